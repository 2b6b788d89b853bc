"""A scalar function, its nested gradients, and what else a result is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.measure.correctness.checks.network import Tensors

Value = Callable[[Tensors, bool], Tensor]
"""A scalar at a point; with a graph, where asked, that can be differentiated by the point."""


def _whole(result: Tensors) -> Tensors:
    return result


@dataclass(frozen=True)
class Oracle:
    """A scalar function, and which of its nested gradients is asked for.

    Attributes:
        value: the function; draws the same random numbers each time.
        point: where it is differentiated.
        sizes: the length of a step that changes a tensor of the point as much as it is large.
        times: how often it is differentiated, each time the sum of all entries.
        first_order: the order of its first gradient, in the workload's count.
        about: what its gradients are called in a sentence; None for orders of the workload.
        along: weights of the first gradient's entries in the sum that is differentiated next; ones
            where it is None.
        part: what of the engine's result is the last gradient, under the names of the point.
    """

    value: Value
    point: dict[str, Tensor]
    sizes: dict[str, float]
    times: int
    first_order: int = 1
    about: str | None = None
    along: Tensors | None = None
    part: Callable[[Tensors], Tensors] = _whole

    def order(self, gradient: int) -> str:
        """The name of the first, second, ... gradient."""
        return self.about or f"Order {self.first_order + gradient - 1}"


@dataclass(frozen=True)
class Expected:
    """A result that is no gradient of a scalar, computed apart from the engine.

    Attributes:
        result: under the engine's names.
        loss: that it ends with, or begins with, as the engine's does.
        tolerance: relative, up to which both agree.
        about: what was done apart, the end of a sentence: "differs from ...".
    """

    result: Tensors
    loss: float
    tolerance: float
    about: str


@dataclass(frozen=True)
class Oracles:
    """All that a workload's result is held against.

    Attributes:
        judged: functions whose nested gradients make up the result.
        foundations: functions that it relies on.
        expected: the result itself, where it can only be computed a second time.
        nearby: what the result comes near to, each as far as its own tolerance.
    """

    judged: tuple[Oracle, ...] = ()
    foundations: tuple[Oracle, ...] = ()
    expected: Expected | None = None
    nearby: tuple[Expected, ...] = ()


@dataclass(frozen=True)
class Chain:
    """A function's value at a point, and its first, second, ... nested gradient there.

    A gradient is zero where nothing depends on a tensor.
    """

    value: float
    gradients: list[dict[str, Tensor]]
    along: Tensors | None = None

    def total(self, times: int) -> float:
        """The value, or the sum of all entries of a gradient: what is differentiated next."""
        if times == 0:
            return self.value
        return sum(
            _weighted_sum(gradient, self.along, name if times == 1 else None).item()
            for name, gradient in self.gradients[times - 1].items()
        )

    def size(self, times: int) -> float:
        """The same of the absolute entries."""
        if times == 0:
            return abs(self.value)
        return sum(gradient.abs().sum().item() for gradient in self.gradients[times - 1].values())


def chain(oracle: Oracle, point: Tensors, times: int) -> Chain:
    """Differentiates the function ``times`` times."""
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in point.items()}
    value = oracle.value(leaves, times > 0)
    totals = [value]
    gradients: list[dict[str, Tensor]] = []
    for remaining in reversed(range(times)):
        found: tuple[Tensor | None, ...] = (None,) * len(leaves)
        totals = [total for total in totals if total.requires_grad]
        if totals:
            found = torch.autograd.grad(
                totals, list(leaves.values()), create_graph=remaining > 0, allow_unused=True
            )
        along = oracle.along if not gradients else None
        totals = [
            _weighted_sum(gradient, along, name)
            for name, gradient in zip(leaves, found, strict=True)
            if gradient is not None
        ]
        gradients.append(
            {
                name: torch.zeros_like(leaf) if gradient is None else gradient.detach()
                for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
            }
        )
    return Chain(value.item(), gradients, oracle.along)


def _weighted_sum(gradient: Tensor, along: Tensors | None, name: str | None) -> Tensor:
    """The sum of its entries, or of those times their weights."""
    if along is None or name is None:
        return gradient.sum()
    return (gradient * along[name]).sum()
