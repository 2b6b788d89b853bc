"""Median, its interval and a verdict, from raw samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

from core.results.measurement import Timing

STABLE_RELATIVE_INTERVAL = 0.02
"""A median is called stable when its interval is at most this wide, relative to it (±1 %)."""

_NORMAL_FROM = 200
"""Number of samples from which the binomial distribution is taken for a normal one."""


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Distribution-free 95 % interval of the median, from order statistics.

    The r-th smallest and the r-th largest sample, r being the largest rank whose two tails of the
    binomial distribution (n, 1/2) hold at most 5 % (Conover 1999, Practical Nonparametric
    Statistics, section 3.2). With fewer than six samples the extremes are returned, which cover
    less than 95 %.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("an interval needs at least one sample")
    ordered = sorted(samples)
    left_out = _left_out(len(ordered))
    return ordered[left_out], ordered[-1 - left_out]


@lru_cache(maxsize=4096)
def _left_out(count: int) -> int:
    """How many samples at each end lie outside the interval."""
    if count > _NORMAL_FROM:
        return math.floor((count - 1.959964 * math.sqrt(count)) / 2) - 1
    tail, left_out = 0.0, -1
    while tail + math.comb(count, left_out + 1) / 2**count <= 0.025:
        left_out += 1
        tail += math.comb(count, left_out) / 2**count
    return max(left_out, 0)


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
