"""What fits, what is on the Pareto front, and which point to take."""

from __future__ import annotations

from collections.abc import Sequence

from core.results.advice import AdvicePoint
from core.results.forecast import Forecast

SAME_TIME = 1.03
"""Forecast times this near each other are the same: then the simpler or smaller one is taken."""


def fits(forecast: Forecast, budget_bytes: int) -> bool | None:
    """Whether a forecast is within a budget; None where a lower bound is, which says nothing."""
    if forecast.total_bytes > budget_bytes:
        return False
    return True if forecast.exact else None


def known_bytes(point: AdvicePoint) -> int:
    """What has to fit, by the best that is known: as measured, else as foretold."""
    return point.forecast.total_bytes if point.measured_bytes is None else point.measured_bytes


def known_seconds(point: AdvicePoint) -> float | None:
    """Of one repetition, as measured, else as foretold; None where neither is known."""
    return point.forecast.seconds if point.measured_s is None else point.measured_s


def time_factor(point: AdvicePoint, other: AdvicePoint) -> float | None:
    """Time over time, both measured or both foretold: what is off in one is off in both."""
    if point.measured_s is not None and other.measured_s:
        return point.measured_s / other.measured_s
    mine, its = point.forecast.seconds, other.forecast.seconds
    return None if mine is None or not its else mine / its


def with_front(points: Sequence[AdvicePoint]) -> list[AdvicePoint]:
    """The points, those marked that no other with the same answer beats in memory and in time.

    A point is beaten by one that needs no more of both and less of one. Of points whose time is
    not known, those are on the front that need the least memory of all.
    """
    costs = [(*_cost(point), point.approximates) for point in points]
    front = set()
    for answer in {point.approximates for point in points}:
        least_s: float | None = None
        for cost in sorted(cost for cost in set(costs) if cost[2] == answer):
            # Whatever came before needs no more memory.
            if least_s is None or cost[1] < least_s:
                front.add(cost)
                least_s = cost[1]
    return [
        point.model_copy(update={"on_front": cost in front})
        for point, cost in zip(points, costs, strict=True)
    ]


def _cost(point: AdvicePoint) -> tuple[int, float]:
    seconds = known_seconds(point)
    return known_bytes(point), float("inf") if seconds is None else seconds


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
    seconds = {id(point): known_seconds(point) for point in points}
    timed = [taken for taken in seconds.values() if taken is not None]
    limit = min(timed, default=0.0) * SAME_TIME
    near = [
        point
        for point in points
        if not timed or ((taken := seconds[id(point)]) is not None and taken <= limit)
    ]
    return min(
        near,
        key=lambda point: (simplicity.get(point.label, 0), known_bytes(point)),
        default=None,
    )
