"""What one repetition of a workload gives back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch

from core.engine.gradients import Derivative, is_known
from core.results.heat_map import HeatMap


class Computed(NamedTuple):
    """The outcome of a workload.

    Attributes:
        result: the highest derivative, by the names of what was differentiated by.
        loss: the value that was differentiated, without an axis and without a graph.
        warnings: what the user should know of the result, one sentence each.
        readings: single numbers that were found beside it, by what they are called; tensors
            have no axes.
    """

    result: dict[str, torch.Tensor]
    loss: torch.Tensor
    warnings: tuple[str, ...]
    readings: Mapping[str, torch.Tensor | float] = MappingProxyType({})


class Look(NamedTuple):
    """What a result shows when it is looked at, beside what was computed with it.

    Attributes:
        readings: single numbers by what they are called; tensors without axes.
        heat_map: a picture of a matrix.
    """

    readings: Mapping[str, torch.Tensor] = MappingProxyType({})
    heat_map: HeatMap | None = None


def computed(derivative: Derivative, wrt: Mapping[str, torch.Tensor], order: int) -> Computed:
    """A derivative under its names; where nothing depends on a tensor it is zeros and a warning.

    Args:
        derivative: by the tensors of ``wrt``, in their order.
        wrt: what was differentiated by.
        order: how often.
    """
    gradients = tuple(filter(is_known, derivative.gradients))
    if len(gradients) == len(wrt):
        return Computed(dict(zip(wrt, gradients, strict=True)), derivative.loss, ())
    result: dict[str, torch.Tensor] = {}
    zero: list[str] = []
    for (name, tensor), gradient in zip(wrt.items(), derivative.gradients, strict=True):
        if gradient is None:
            zero.append(name)
            gradient = torch.zeros_like(tensor)
        result[name] = gradient
    return Computed(result, derivative.loss, _warnings(zero, len(result), order))


def _warnings(zero: list[str], count: int, order: int) -> tuple[str, ...]:
    if len(zero) == count:
        return zeros_warning(order)
    return (f"{_ZERO.format(order=order)} for {', '.join(zero)}.",)


def zeros_warning(order: int) -> tuple[str, ...]:
    """What is said of a result that is zeros because nothing depends on anything."""
    return (f"{_ZERO.format(order=order)}; the result is zeros.",)


_ZERO = "The derivative of order {order} is identically zero"
