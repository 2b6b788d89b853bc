"""Each order of a derivative against central differences of the order below."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.measure.correctness.checks.comparison import Comparison
from core.measure.correctness.checks.differences import TOLERANCE, Slope
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Oracle, chain
from core.measure.correctness.checks.rounding import Rounding

_DRAWS = 3
"""Directions that are tried where a kink keeps the steps from agreeing."""

_OF_A_SINGLE_TENSOR = 3
"""Directions where there is one tensor only, such as the inputs."""


@dataclass(frozen=True)
class Along:
    """What was found along one direction.

    Attributes:
        comparison: None where no step size was reliable.
        is_informative: whether differences can tell a wrong slope from a right one.
    """

    comparison: Comparison | None
    is_informative: bool


@dataclass(frozen=True)
class Judgement:
    """One gradient to be compared with the one below.

    Attributes:
        oracle: the function.
        gradient: which one is judged, 1 for the first.
        judged: what is to be right, by the names of the point.
        right: the same computed apart; it lends the directions their aim.
        rounding: estimates for the function.
        title: what a tensor is called in a sentence.
    """

    oracle: Oracle
    gradient: int
    judged: Tensors
    right: Tensors
    rounding: Rounding
    title: Callable[[str], str]

    def along_directions(self, most: int, generator: torch.Generator) -> Iterator[Along]:
        """Compares along directions that share the tensors among them.

        Args:
            most: how many directions; fewer where there are fewer tensors.
            generator: of the directions.
        """
        names = list(self.judged)
        if len(names) == 1:
            names *= _OF_A_SINGLE_TENSOR
        count = min(most, len(names))
        for position in range(count):
            first, last = (len(names) * edge // count for edge in (position, position + 1))
            yield self._along(names[first:last], generator)

    def _along(self, group: Sequence[str], generator: torch.Generator) -> Along:
        noise = self.rounding.of_total(self.gradient - 1)
        for _ in range(_DRAWS):
            direction = {name: self._step(name, generator) for name in group}
            slope = sum((self.judged[name] * step).sum().item() for name, step in direction.items())
            found = Slope(self._function(direction), slope, noise)
            if found.error is not None:
                comparison = Comparison(found.error, TOLERANCE, self._about(group))
                return Along(comparison, found.is_informative)
        return Along(None, False)

    def _step(self, name: str, generator: torch.Generator) -> Tensor:
        """As large as the tensor: half at random, half along the gradient, which may be slight."""
        right = self.right[name]
        noise = torch.randn(right.shape, dtype=right.dtype, generator=generator)
        return self.oracle.sizes[name] * (_unit(noise.to(right.device)) + _unit(right))

    def _function(self, direction: Tensors) -> Callable[[float], float]:
        """The function that the judged gradient is of, along a direction."""
        point, times = self.oracle.point, self.gradient - 1

        def function(distance: float) -> float:
            moved = {name: point[name] + distance * step for name, step in direction.items()}
            return chain(self.oracle, point | moved, times).total(times)

        return function

    def _about(self, group: Sequence[str]) -> str:
        names = self.title(group[0])
        if group[-1] != group[0]:
            names += f" to {self.title(group[-1])}"
        order = self.oracle.order(self.gradient)
        is_zero = all(not self.judged[name].any() for name in group)
        cut = " is zero, as if something cut its graph, and" if is_zero else ""
        return f"{order}: along a direction in {names} it{cut} differs from central differences"


def _unit(tensor: Tensor) -> Tensor:
    length = tensor.norm().item()
    return tensor / length if length and math.isfinite(length) else tensor
