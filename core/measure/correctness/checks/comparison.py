"""Two computations of the same thing, as far as rounding lets them differ."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from core.measure.correctness.checks.rounding import Rounding

_ROUNDING = 1e4
"""How many times larger than its estimate a rounding error may be: torch's norms cancel terms that
written-out norms do not have. An error of 1e-4 still shows in what is known to eight digits."""

_CANCELLED = 1e2
_CANCELLED_TO_NOTHING = 1e5
"""The same where larger numbers cancel, and where nothing is left but rounding errors."""

_NOTHING = 1e3
"""A gradient that is less than so many rounding errors is nothing else."""


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared.

    Attributes:
        error: relative; infinite for NaN, or for tensors of different shapes.
        tolerance: up to which it agrees.
        about: what differs from what, the beginning of a sentence.
    """

    error: float
    tolerance: float
    about: str

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    @property
    def sentence(self) -> str:
        """What is wrong."""
        error = f"{self.error:.1e}" if math.isfinite(self.error) else "no finite number"
        return f"{self.about} by {error}, relative; allowed is {self.tolerance:.0e}."


def distance(
    found: Tensor, right: Tensor, tolerance: float, rounding: Rounding, times: int, name: str
) -> float:
    """Euclidean distance of two gradients, relative to what is right, or to what rounding explains.

    Args:
        found: what is judged.
        right: what it should be.
        tolerance: of the relative distance.
        rounding: estimates for the function that was differentiated.
        times: how often it was.
        name: by which tensor.
    """
    if found.shape != right.shape:
        return math.inf
    length = (found - right).norm().item()
    if not math.isfinite(length):
        return math.inf
    size, noise = right.norm().item(), rounding.of_gradient(times, name)
    cancelled = _CANCELLED if size > _NOTHING * noise else _CANCELLED_TO_NOTHING
    noise = _ROUNDING * noise + cancelled * rounding.of_cancelled(times, name)
    return relative(length, size + noise / tolerance)


def relative(length: float, unit: float) -> float:
    """A distance in terms of a length that may be zero."""
    if length == 0:
        return 0.0
    return length / unit if unit else math.inf


def largest(comparisons: Iterable[Comparison]) -> Comparison:
    """The one that is nearest to its tolerance, or furthest beyond."""
    return max(comparisons, key=lambda comparison: comparison.error / comparison.tolerance)
