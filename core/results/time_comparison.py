"""Which of two computations is faster, if that can be told.

Two computations are called the same where their times surely differ by less than what the place
of the code in memory alone changes (Mytkowicz et al. 2009, Producing Wrong Data Without Doing
Anything Obviously Wrong), and faster or slower only where they surely differ and by enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.results.bootstrap import Floats, MedianDistribution, median_distribution
from core.results.statistics import FEWEST_FOR_INTERVAL

Interval = tuple[float, float]
TimeVerdict = Literal["faster", "slower", "same", "cannot_tell"]


@dataclass(frozen=True)
class Rule:
    """When to say what.

    Attributes:
        same_within: the same where the whole 95 % interval of the ratio is this close to 1.
        least: faster or slower by at least this, where even the 99 % interval does not hold 1.
    """

    same_within: float
    least: float


INTERLEAVED: Final = Rule(same_within=0.02, least=0.01)
"""Repetitions took turns, so that load and clock speed were the same for both."""
APART: Final = Rule(same_within=0.05, least=0.03)
"""Runs of their own: what changes from process to process and from hour to hour is in the ratio,
and no interval from within a run knows of it."""


LEVEL: Final = 0.95
SURE_LEVEL: Final = 0.99
STRICT_LEVEL: Final = 0.999
PRECISION: Final = 0.005
FEWEST_TO_SEE: Final = 3
FAR: Final = 1.25
"""With at least three samples each but too few for an interval, the slowest of one must be this far
from the fastest of the other."""
FEWEST_TO_SETTLE: Final = 32
"""With fewer pairs an interval of 99.9 % is none."""


class TimeComparison(BaseModel):
    """Time of ``b`` relative to ``a``.

    Attributes:
        ratio: median of b over median of a; of interleaved samples the median ratio of a pair.
        interval: its 95 % interval; None with too few samples to have one.
        verdict: what ``b`` is.
        interleaved: whether the repetitions took turns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: float
    interval: Interval | None
    verdict: TimeVerdict
    interleaved: bool


def compare_samples(
    a: Sequence[float],
    b: Sequence[float],
    interleaved: bool,
    slowdown: tuple[float, float] = (1.0, 1.0),
) -> TimeComparison:
    """Compares seconds with seconds.

    Args:
        a: the reference, in the order in which it was taken.
        b: what is compared with it; of the same length where they are interleaved.
        interleaved: a[k] and b[k] were taken one right after the other, a first where k is even
            and b first where it is odd.
        slowdown: how many times longer a and b took at most because others wanted the processor.

    Raises:
        ValueError: no samples, not above 0, or interleaved ones of different numbers.
    """
    if not a or not b or min(*a, *b) <= 0:
        raise ValueError("a comparison needs samples above 0")
    ratio, distribution = (_paired if interleaved else _apart)(a, b)
    rule = INTERLEAVED if interleaved else APART

    def interval(level: float) -> Interval:
        low, high = distribution.interval(level)
        return low / slowdown[1], high * slowdown[0]

    enough = min(len(a), len(b)) >= FEWEST_FOR_INTERVAL * (2 if interleaved else 1)
    return TimeComparison(
        ratio=ratio,
        interval=interval(LEVEL) if enough else None,
        verdict=verdict(ratio, interval(LEVEL), interval(SURE_LEVEL), rule)
        if enough
        else _verdict_of_few(a, b, slowdown),
        interleaved=interleaved,
    )


def _verdict_of_few(
    a: Sequence[float], b: Sequence[float], slowdown: tuple[float, float]
) -> TimeVerdict:
    """What too few samples for an interval allow to be said: only what is plain to see."""
    if min(len(a), len(b)) < FEWEST_TO_SEE:
        return "cannot_tell"
    if min(b) / slowdown[1] >= FAR * max(a):
        return "slower"
    if min(a) / slowdown[0] >= FAR * max(b):
        return "faster"
    return "cannot_tell"


def settled(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether further interleaved repetitions are not worth their time.

    Looking again and again must not turn chance into a verdict. So a difference ends the measuring
    only where it holds with an interval of 99.9 %, which leaves the risk of the last look as it is
    (Peto et al. 1976, British Journal of Cancer 34, 585). That the two are the same within 2 % ends
    it sooner: a difference that matters is further away than chance reaches. Otherwise the ratio
    must be known to 0.5 %, which says nothing about its value and so favours none (Chow & Robbins
    1965, Annals of Mathematical Statistics 36, 457).
    """
    if len(a) < FEWEST_TO_SETTLE:
        return False
    ratio, distribution = _paired(a, b)
    low, high = distribution.interval(LEVEL)
    found = verdict(ratio, (low, high), distribution.interval(STRICT_LEVEL), INTERLEAVED)
    return found != "cannot_tell" or (high - low) / 2 <= PRECISION


def verdict(ratio: float, interval: Interval, sure: Interval, rule: Rule) -> TimeVerdict:
    """What intervals of the ratio allow to be said: ``sure`` is the wider one."""
    if 1 - rule.same_within <= interval[0] and interval[1] <= 1 + rule.same_within:
        return "same"
    if sure[0] > 1 and ratio >= 1 + rule.least:
        return "slower"
    if sure[1] < 1 and ratio <= 1 - rule.least:
        return "faster"
    return "cannot_tell"


def _paired(a: Sequence[float], b: Sequence[float]) -> tuple[float, MedianDistribution]:
    """Ratio within pairs: what both repetitions suffered alike drops out.

    Pairs that b began are by themselves, and the geometric mean of both kinds is taken: the second
    of a pair finds warmer caches, and a median of two humps could lie anywhere between them.
    """
    ratios = [second / first for first, second in zip(a, b, strict=True)]
    halves = [median_distribution(half) for half in (ratios[::2], ratios[1::2]) if half]
    medians = [float(np.median(half)) for half in (ratios[::2], ratios[1::2]) if half]
    if len(halves) == 1:
        return medians[0], halves[0]
    mean = _combined(halves[0], halves[1], lambda first, second: np.sqrt(first * second))
    return math.sqrt(medians[0] * medians[1]), mean


def _apart(a: Sequence[float], b: Sequence[float]) -> tuple[float, MedianDistribution]:
    """Ratio of the medians, each resampled by itself."""
    of_a, of_b = median_distribution(a), median_distribution(b)
    ratio = float(np.median(b) / np.median(a))
    return ratio, _combined(of_a, of_b, lambda first, second: second / first)


def _combined(
    a: MedianDistribution, b: MedianDistribution, function: Callable[[Floats, Floats], Floats]
) -> MedianDistribution:
    """Distribution of a function of two independent medians, with as many blocks as the less
    certain of them has."""
    values = function(a.values[:, None], b.values[None, :]).ravel()
    weights = (a.probabilities[:, None] * b.probabilities[None, :]).ravel()
    order = np.argsort(values)
    return MedianDistribution(values[order], np.cumsum(weights[order]), min(a.blocks, b.blocks))


def sentence(comparison: TimeComparison, a: str, b: str) -> str:
    """The comparison in words; ``a`` and ``b`` are names."""
    rule = INTERLEAVED if comparison.interleaved else APART
    times = f"{comparison.ratio:.3f} times the time of {a}"
    if comparison.interval is None and comparison.verdict != "cannot_tell":
        return (
            f"{b} is {comparison.verdict}: it took {times}, and every repetition of one took at "
            f"least {FAR} times as long as any of the other."
        )
    if comparison.interval is None:
        return f"Cannot tell: {b} took {times}, and there are too few repetitions for an interval."
    low, high = comparison.interval
    known = f"{times} (95 % interval {low:.3f} to {high:.3f})"
    change = abs(comparison.ratio - 1) * 100
    words = {
        "slower": f"{b} is slower by {change:.3g} %: it takes {known}.",
        "faster": f"{b} is faster by {change:.3g} %: it takes {known}.",
        "same": f"The same within {100 * rule.same_within:.0f} %: {b} takes {known}.",
        "cannot_tell": f"Cannot tell which is faster: {b} takes {known}.",
    }
    return words[comparison.verdict]
