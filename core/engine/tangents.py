"""Derivatives carried forward beside the numbers (torch.autograd.forward_ad)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module

import torch
from torch.autograd import forward_ad
from torch.overrides import enable_reentrant_dispatch

_AUTOGRAD = torch._C.DispatchKey.AutogradFunctionality
Tensors = Mapping[str, torch.Tensor]


@cache
def load() -> None:
    """Loads what torch would load at the first tangent, in the middle of what is watched.

    WORKAROUND: torch 2.13 compiles formulas for tangents by what it calls deprecated itself, and
    not at all while tensors have no numbers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import_module("torch._decomp.decompositions_for_jvp")
    import_module("torch._dynamo")


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


def is_moving(tensor: torch.Tensor) -> bool:
    """Whether a tensor that a dispatch mode has been handed has a tangent.

    WORKAROUND: a mode runs below the dispatch keys of autograd, where torch 2.13 answers that
    question with an internal error. So it is asked with the keys of the call that the mode saw.
    """
    with enable_reentrant_dispatch():
        if torch._C._dispatch_tls_is_dispatch_key_excluded(_AUTOGRAD):
            return False
        return tangent_of(tensor) is not None
