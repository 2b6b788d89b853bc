"""What fits, what is on the Pareto front, and which point to take."""

from __future__ import annotations

from collections.abc import Sequence

from core.results.advice import AdvicePoint
from core.results.forecast import Forecast

SAME_TIME = 1.03
"""Forecast times this near each other are the same: then the simpler or smaller one is taken."""


def needed_bytes(forecast: Forecast) -> int:
    """What has to fit: baseline and peak."""
    return (forecast.baseline_bytes or 0) + forecast.peak_bytes


def fits(forecast: Forecast, budget_bytes: int) -> bool | None:
    """Whether a forecast is within a budget; None where a lower bound is, which says nothing."""
    if needed_bytes(forecast) > budget_bytes:
        return False
    return True if forecast.exact else None


def with_front(points: Sequence[AdvicePoint]) -> list[AdvicePoint]:
    """The points, those marked that no other with the same answer beats in memory and in time.

    A point is beaten by one that needs no more of both and less of one. Of points whose time is
    not known, those are on the front that need the least memory of all.
    """
    return [point.model_copy(update={"on_front": _is_on_front(point, points)}) for point in points]


def _is_on_front(point: AdvicePoint, points: Sequence[AdvicePoint]) -> bool:
    mine = _cost(point)
    rivals = (_cost(other) for other in points if other.approximates == point.approximates)
    return not any(
        other[0] <= mine[0] and other[1] <= mine[1] and other != mine for other in rivals
    )


def _cost(point: AdvicePoint) -> tuple[int, float]:
    seconds = point.forecast.seconds
    return needed_bytes(point.forecast), float("inf") if seconds is None else seconds


def eligible(points: Sequence[AdvicePoint]) -> list[AdvicePoint]:
    """The exact points that may be recommended: those that fit, or where none is sure to, those
    that may fit."""
    exact = [point for point in points if not point.approximates]
    sure = [point for point in exact if point.fits]
    return sure or [point for point in exact if point.fits is None]


def fastest(points: Sequence[AdvicePoint], simplicity: dict[str, int]) -> AdvicePoint | None:
    """The point to take: the fastest, of those as fast the simplest, of those the smallest.

    Args:
        points: the eligible ones, all of them measured or none.
        simplicity: how many mitigations each has, by its label.
    """
    seconds = {id(point): point.measured_s or point.forecast.seconds for point in points}
    timed = [taken for taken in seconds.values() if taken is not None]
    limit = min(timed, default=0.0) * SAME_TIME
    near = [
        point
        for point in points
        if not timed or ((taken := seconds[id(point)]) is not None and taken <= limit)
    ]
    return min(
        near,
        key=lambda point: (simplicity.get(point.label, 0), needed_bytes(point.forecast)),
        default=None,
    )
