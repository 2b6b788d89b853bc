"""Median, its interval and a verdict, from raw samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from core.results.measurement import Timing

STABLE_RELATIVE_INTERVAL = 0.02
"""A median is called stable when its interval is at most this wide, relative to it (±1 %)."""


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Distribution-free 95 % interval of the median, from order statistics.

    Ranks n/2 ± 1.96·√n/2 (Conover 1999, Practical Nonparametric Statistics, section 3.2). With
    fewer than six samples the extremes are returned, which cover less than 95 %.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("an interval needs at least one sample")
    ordered = sorted(samples)
    count = len(ordered)
    reach = 1.959964 * math.sqrt(count) / 2
    low = max(math.floor(count / 2 - reach), 0)
    high = min(math.ceil(count / 2 + reach), count - 1)
    return ordered[low], ordered[high]


def relative_width(samples: Sequence[float]) -> float:
    """Width of the interval over the median; infinite while it says nothing."""
    low, high = median_interval(samples)
    median = statistics.median(samples)
    return (high - low) / median if median > 0 and len(samples) >= 6 else math.inf


def timing(samples: Sequence[float], first_s: float | None) -> Timing | None:
    """The figures of the timed repetitions, None where there are none."""
    if not samples:
        return None
    stable = relative_width(samples) <= STABLE_RELATIVE_INTERVAL
    return Timing(
        median_s=statistics.median(samples),
        interval_s=median_interval(samples),
        samples_s=tuple(samples),
        first_s=first_s,
        verdict="stable" if stable else "noisy",
    )
