"""Slopes of a function by central differences, and how far a given slope is from them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.measure.correctness.checks.comparison import relative

TOLERANCE = 1e-6
"""Relative distance from a difference up to which a slope is right."""

_SURE = TOLERANCE / 20
"""No other step is tried where a slope is as near as that."""

_ROUNDING = 20.0
"""How many times larger than its estimate the rounding error of a function may be."""

_NOISE = TOLERANCE / 5
"""Share of a slope that rounding may be at the first step."""

_STEPS = (1e-6, 1e-2)
"""The shortest first step meets the fewest kinks, the longest the least rounding error."""

_SMALLER, _LARGER = 1 / 16, 8.0
"""Other steps, in terms of the first: past a kink, and above the rounding error."""

_AMPLIFIED = 7.0
"""How much larger than that of the first step the rounding error of a judge may be."""

_LOST = 1e-5
"""Share of a slope above which rounding leaves nothing to compare."""


@dataclass(frozen=True)
class _Estimate:
    """What one step says.

    Attributes:
        slope: the difference over the distance.
        rounding: how far it may be off because the function is rounded.
    """

    slope: float
    rounding: float


class Slope:
    """How a slope compares with central differences.

    Attributes:
        error: relative distance; None where the steps do not agree on what is right.
        is_informative: false where the slope is lost in rounding errors; nothing is learned.
    """

    def __init__(self, function: Callable[[float], float], slope: float, rounding: float) -> None:
        """Compares.

        Args:
            function: of a distance; its slope at 0 is judged. Distance 1 is a large step.
            slope: what is judged.
            rounding: estimate of the function's rounding error.
        """
        self._function, self._slope = function, slope
        self._rounding = _ROUNDING * rounding
        wanted = self._rounding / (_NOISE * abs(slope)) if slope else math.inf
        self._first = min(max(wanted, _STEPS[0]), _STEPS[1])
        self._is_lost = self._rounding > _LOST * self._first * abs(slope)
        self.is_informative = slope == 0 or not self._is_lost
        self.error = self._error()

    def _error(self) -> float | None:
        if not math.isfinite(self._slope):
            return math.inf
        judges: list[_Estimate] = []
        most = max(TOLERANCE * abs(self._slope), _AMPLIFIED * self._rounding / self._first)
        for estimate in self._estimates():
            if estimate.rounding <= most or self._is_lost:  # another would let too much pass
                judges.append(estimate)
                if self._distance(estimate) <= _SURE:
                    break
        nearest = min(self._distance(estimate) for estimate in judges)
        if nearest <= TOLERANCE or _agree(judges):
            return nearest
        return None

    def _estimates(self) -> Iterator[_Estimate]:
        """From the first step, extrapolated from smaller ones (Richardson), from others."""
        whole = self._estimate(self._first)
        yield whole
        half = self._estimate(self._first / 2)
        once = _extrapolated(whole, half, 4)
        yield once
        twice = _extrapolated(once, _extrapolated(half, self._estimate(self._first / 4), 4), 16)
        yield twice
        yield self._estimate(self._first * _SMALLER)
        yield self._estimate(self._first * _LARGER)

    def _estimate(self, step: float) -> _Estimate:
        change = self._function(step) - self._function(-step)
        return _Estimate(change / (2 * step), self._rounding / step)

    def _distance(self, estimate: _Estimate) -> float:
        """Relative to the slope, or where it is next to nothing to what rounding explains."""
        distance = abs(estimate.slope - self._slope)
        if math.isnan(distance):
            return math.inf
        return relative(distance, abs(self._slope) + estimate.rounding / TOLERANCE)


def _extrapolated(far: _Estimate, near: _Estimate, factor: int) -> _Estimate:
    """To a step of zero, where halving the step divides the error by a factor."""
    return _Estimate(
        (factor * near.slope - far.slope) / (factor - 1),
        (factor * near.rounding + far.rounding) / (factor - 1),
    )


def _agree(estimates: Sequence[_Estimate]) -> bool:
    """Do two steps? At a kink, or in noise, no two do."""
    return any(
        abs(one.slope - other.slope)
        <= TOLERANCE * max(abs(one.slope), abs(other.slope)) + one.rounding + other.rounding
        for one, other in itertools.combinations(estimates, 2)
    )
