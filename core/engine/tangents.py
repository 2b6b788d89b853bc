"""Derivatives carried forward beside the numbers (torch.autograd.forward_ad)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch.autograd import forward_ad

Tensors = Mapping[str, torch.Tensor]


@contextmanager
def moving(weights: Tensors, along: Sequence[torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """The weights with tangents, while it is entered.

    Args:
        weights: by name; they require grad.
        along: a tangent for each, in their order.
    """
    with forward_ad.dual_level():
        yield {
            name: forward_ad.make_dual(weight, tangent)  # type: ignore[no-untyped-call]
            for (name, weight), tangent in zip(weights.items(), along, strict=True)
        }


def carries_tangents() -> bool:
    """Whether tensors may have tangents now."""
    level: int = forward_ad._current_level
    return level >= 0


def tangent_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """How a tensor changes along the tangents; None where it does not."""
    tangent: torch.Tensor | None = forward_ad.unpack_dual(tensor).tangent  # type: ignore[no-untyped-call]
    return tangent
