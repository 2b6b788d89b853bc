"""Median, its interval, a verdict, and the verdict in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from core.results.bootstrap import median_distribution
from core.results.conditions import Conditions
from core.results.measurement import Timing

STABLE_HALF_WIDTH = 0.01
"""A median is called stable when its 95 % interval reaches this far to either side at most."""
FEWEST_FOR_INTERVAL = 6
"""Fewer independent samples than this cannot enclose their median with 95 %."""
MOST_REPETITIONS = 10_000
"""Automatic repetitions end here: what is still noisy will stay so."""

BUSY_CORES = 0.1
"""Cores that others use or a host withholds: fewer are always at work."""
_UNSTEADY_CLOCK = 0.9


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median; with fewer than six samples, their extremes.

    Raises:
        ValueError: no samples.
    """
    if len(samples) < FEWEST_FOR_INTERVAL and samples:
        return min(samples), max(samples)
    return median_distribution(samples).interval()


def half_width(samples: Sequence[float]) -> float:
    """Half the width of the interval over the median; infinite while it says nothing."""
    return _half_width(statistics.median(samples), median_interval(samples), len(samples))


def _half_width(median: float, interval: tuple[float, float], count: int) -> float:
    if count < FEWEST_FOR_INTERVAL or median <= 0:
        return math.inf
    return (interval[1] - interval[0]) / 2 / median


def timing(
    samples: Sequence[float], first_s: float | None, conditions: Conditions | None = None
) -> Timing | None:
    """The figures of the timed repetitions, None where there are none."""
    if not samples:
        return None
    median, interval = statistics.median(samples), median_interval(samples)
    stable = _half_width(median, interval, len(samples)) <= STABLE_HALF_WIDTH
    return Timing(
        median_s=median,
        interval_s=interval,
        samples_s=tuple(samples),
        first_s=first_s,
        verdict="stable" if stable else "noisy",
        conditions=conditions,
    )


def explain(timing: Timing, *, fixed: bool = False) -> str:
    """The verdict as a sentence, with a remedy where it is ``noisy``.

    Args:
        fixed: whether the number of repetitions was given, so that a longer budget is no remedy.
    """
    count, seconds = len(timing.samples_s), math.fsum(timing.samples_s)
    width = _half_width(timing.median_s, timing.interval_s, count)
    spent = f"after {count:,} repetitions in {seconds:.2g} s"
    known = f"the interval is ±{_percent(width)}" if math.isfinite(width) else "no interval"
    if timing.verdict == "stable":
        return f"Stable: {known} {spent}."
    return f"Noisy: {known} {spent}; {', or '.join(_remedies(timing, fixed))}."


def _percent(share: float) -> str:
    return f"{max(100 * share, 0.01):.2g} %"


def _remedies(timing: Timing, fixed: bool) -> list[str]:
    more = "raise measure.time_budget_s"
    if fixed:
        more = "raise measure.repetitions, or set it to auto"
    elif len(timing.samples_s) >= MOST_REPETITIONS:
        more = f"set measure.repetitions to more than {MOST_REPETITIONS:,}"
    conditions = timing.conditions or Conditions()
    return [more, *_quieter(conditions)]


def _quieter(conditions: Conditions) -> list[str]:
    """What would disturb less."""
    remedies = []
    other, stolen = conditions.other_cores or 0.0, conditions.stolen_cores or 0.0
    if other >= BUSY_CORES:
        remedies.append(f"close other programs (they used {other:.1f} of {conditions.cores} cores)")
    if stolen >= BUSY_CORES:
        remedies.append(
            "use a machine of your own (the host of this virtual machine withheld "
            f"{stolen:.1f} of {conditions.cores} cores)"
        )
    if conditions.throttled:
        remedies.append("let the machine cool (it slowed itself down)")
    elif (
        conditions.clock_mhz and conditions.clock_mhz[0] < _UNSTEADY_CLOCK * conditions.clock_mhz[2]
    ):
        low, _, high = conditions.clock_mhz
        remedies.append(f"fix the clock speed (it moved between {low:,.0f} and {high:,.0f} MHz)")
    return remedies
