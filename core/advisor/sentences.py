"""Recommendations as sentences, with their reason and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.advisor.front import SAME_TIME, known_bytes, time_factor
from core.advisor.words import size, sizes, times
from core.results.advice import AdvicePoint
from core.spec.run import RunSpec


def reason(taken: AdvicePoint, asked: AdvicePoint, budget_bytes: int, rivals: int) -> str:
    """Why a point is recommended.

    Args:
        taken: the point.
        asked: the configuration as it was asked about.
        budget_bytes: what it fits into.
        rivals: how many were measured beside it; 0 where the forecast decides.
    """
    if taken.label == asked.label:
        needed, there = sizes(known_bytes(taken), budget_bytes)
        fits = f"it fits, {needed} of {there}{_as_measured(taken)}"
        words = f"As it is: {fits}, and nothing exact that fits is faster"
    else:
        words = f"{_capital(taken.label)}: {costs(taken, asked)}; the fastest exact one that fits"
    if taken.fits is None:
        words += ", if the lower bound is all that it needs"
    if rivals:
        words += f", measured beside {rivals} others" if rivals > 1 else ", measured beside another"
    return f"{words}."


def costs(point: AdvicePoint, asked: AdvicePoint) -> str:
    """Memory and time of a point beside those of the configuration asked about."""
    mine, other = sizes(known_bytes(point), known_bytes(asked))
    runs = [each.measured_bytes is not None for each in (point, asked)]
    times_known = [each.measured_s is not None for each in (point, asked)]
    factor = time_factor(point, asked)
    if runs[0] != runs[1]:
        first, second = ("measured", "foretold") if runs[0] else ("foretold", "measured")
        words = f"{mine} as {first} instead of {other} as {second}"
    else:
        words = f"{mine} instead of {other}"
    if factor is None:
        return words + (" as measured" if all(runs) else "")
    in_time = f"{times(factor)} time"
    if all(runs) and all(times_known):
        return f"{words}, {in_time}, as measured"
    if all(runs):
        return f"{words} as measured, {in_time} as foretold"
    if all(times_known):
        return f"{words}, {in_time}" + (" as measured" if any(runs) else "")
    return f"{words}, {in_time}" + (" as foretold" if any(runs) or any(times_known) else "")


def _as_measured(point: AdvicePoint) -> str:
    return "" if point.measured_bytes is None else " as measured"


def sentences(
    points: Sequence[AdvicePoint],
    taken: AdvicePoint | None,
    asked: AdvicePoint | None,
    budget_bytes: int,
    left_out: int,
    least_unasked: int | None = None,
) -> Iterator[str]:
    """What else there is to say, most important first.

    Args:
        points: every point.
        taken: the recommended one, None where nothing fits.
        asked: the configuration as it was asked about, None where it has no forecast.
        budget_bytes: what there is.
        left_out: combinations that were not asked about.
        least_unasked: at how many parts the search for one that fits was given up, if it was.
    """
    exact = [point for point in points if not point.approximates]
    smallest = min(exact, key=known_bytes, default=None)
    if taken is None and smallest is not None:
        yield _nothing_fits(smallest, budget_bytes)
        if least_unasked is not None:
            yield (
                f"{least_unasked} parts and more were not asked about, since each answer takes "
                "long."
            )
    if asked is not None and taken is not None and taken.label != asked.label:
        more = known_bytes(asked) - budget_bytes
        if more > 0:
            needed = f"{size(known_bytes(asked))}{_as_measured(asked)}"
            yield f"As it is, it needs {needed}, {size(more)} more than there is."
    if asked is not None and smallest is not None:
        if taken is not None and known_bytes(smallest) < known_bytes(taken):
            yield f"The least memory: {smallest.label}, {costs(smallest, asked)}."
        yield from _approximations(points, asked)
    yield from _unknown(points)
    if left_out:
        yield f"{left_out} combinations that do more at once were not asked about."


def _nothing_fits(nearest: AdvicePoint, budget_bytes: int) -> str:
    needed = known_bytes(nearest)
    return (
        f"Nothing exact fits into {size(budget_bytes)}: the nearest is {nearest.label} with "
        f"{size(needed)}{_as_measured(nearest)}, and {size(needed - budget_bytes)} are missing."
    )


def _unknown(points: Sequence[AdvicePoint]) -> Iterator[str]:
    """Why it is not known of some points whether they fit."""
    unknown = [point for point in points if point.fits is None]
    if not unknown:
        return
    if len(unknown) == 1:
        words = f"Not known to fit: {unknown[0].label}, whose peak is a lower bound."
    elif len(unknown) == len(points):
        words = "Of no point it is known whether it fits: each peak is a lower bound."
    else:
        count = len(unknown)
        words = f"Of {count} points it is not known whether they fit: their peaks are lower bounds."
    because = dict.fromkeys(reason for point in unknown for reason in point.forecast.reasons)
    yield " ".join((words, *tuple(because)[:1]))


def _approximations(points: Sequence[AdvicePoint], asked: AdvicePoint) -> Iterator[str]:
    """Those that save memory, of each the form that fits and is nearest to what was asked about,
    cheapest first; then those that save time alone."""

    def far(point: AdvicePoint) -> tuple[bool, int]:
        return point.fits is False, len(point.changes)

    plain: dict[str, AdvicePoint] = {}
    for point in points:
        known = plain.get(point.approximates)
        if point.approximates and (known is None or far(point) < far(known)):
            plain[point.approximates] = point
    smaller, faster = [], []
    for point in sorted(plain.values(), key=known_bytes):
        factor = time_factor(point, asked)
        if known_bytes(point) < known_bytes(asked):
            smaller.append(point)
        elif factor is not None and factor * SAME_TIME < 1:
            faster.append(point)
    for words, saving in (("", smaller), (", and saves time alone", faster)):
        for point in saving:
            near = "" if point.approximates == point.label else f" ({point.approximates})"
            yield f"Not the same answer{words}: {point.label}{near}, {costs(point, asked)}."


def saves_nothing(spec: RunSpec, plain: AdvicePoint, point: AdvicePoint) -> str:
    """Why torch's checkpointing is not among the points, empty where it saves memory.

    Args:
        spec: the configuration asked about.
        plain: the same without checkpointing.
        point: with torch's.
    """
    mine, other = point.forecast.total_bytes, plain.forecast.total_bytes
    order = spec.workload.derivative_order
    if mine < other or order < 2:
        return ""
    with_it, without = sizes(mine, other)
    return (
        "torch's checkpointing frees activations for the first gradient only, and there are "
        f"{order} here: it needs {with_it}, {without} without."
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
