"""Where a median would lie if the whole measurement were repeated.

The percentile bootstrap (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13)
with circular blocks (Politis & Romano 1992), since repetitions that follow each other are alike:
load and clock speed come in spells, and resampling one by one would promise far too narrow an
interval. Nothing is drawn at random: a resample's median is at most x where more than half of its
samples are, and the number of those is a sum of independent blocks, whose distribution is computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_GRID = 65
"""Number of samples around the median at which the distribution is computed."""
_REACH = 4.5
"""Standard deviations to either side that are looked at."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class MedianDistribution:
    """The bootstrap distribution of a median.

    Attributes:
        values: samples, ascending.
        cumulative: probability that the median of a resample is at most the value.
        blocks: independent parts that a resample is made of.
    """

    values: Floats
    cumulative: Floats
    blocks: int

    @property
    def probabilities(self) -> Floats:
        """Of each value; they sum to 1."""
        bounded = np.concatenate(([0.0], self.cumulative[:-1], [1.0]))
        return np.diff(bounded)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval that holds the median with this probability."""
        tail = tail_probability(level, self.blocks)
        return quantile(self.values, self.cumulative, tail)


def quantile(values: Floats, cumulative: Floats, tail: float) -> tuple[float, float]:
    """The values that leave out ``tail`` at either end."""
    last = len(values) - 1
    low = min(int(np.searchsorted(cumulative, tail, side="right")), last)
    high = min(int(np.searchsorted(cumulative, 1 - tail, side="left")), last)
    return float(values[low]), float(values[max(low, high)])


def tail_probability(level: float, blocks: int) -> float:
    """What to leave out at either end so that the interval covers with a probability of ``level``.

    Percentile intervals of few blocks are too narrow; this widens them as Student's quantile does
    those of a mean (Hesterberg 2015, What Teachers Should Know About the Bootstrap: the expanded
    percentile interval; the quantile by its expansion, Abramowitz & Stegun 26.7.5).
    """
    z = _NORMAL.inv_cdf(0.5 + level / 2)
    freedom = max(blocks, 2) - 1
    student = (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
    return _NORMAL.cdf(-student * math.sqrt(1 + 1 / freedom))


def median_distribution(samples: Sequence[float]) -> MedianDistribution:
    """The bootstrap distribution of the median of samples, in the order in which they were taken.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("a median needs at least one sample")
    taken = np.asarray(samples, dtype=np.float64)
    count = len(taken)
    correlation = correlation_time(np.sign(taken - np.median(taken)))
    block = block_length(count, correlation)
    blocks = max(round(count / block), 1)
    values = np.sort(taken)[_ranks(count, max(correlation, float(block)))]
    shares = _block_shares(taken, values, block)
    return MedianDistribution(values, _more_than_half(shares, blocks), blocks)


def correlation_time(series: Floats) -> float:
    """How many neighbours tell as much as one independent sample; 1 where all are independent.

    The sum of the autocorrelations up to five times itself (Sokal 1997, Monte Carlo Methods in
    Statistical Mechanics).
    """
    count = len(series)
    centred = series - series.mean()
    spectrum = np.fft.rfft(centred, 2 * count)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum))[:count]
    if count < 3 or covariance[0] <= 1e-12 * count:
        return 1.0
    sums = 1 + 2 * np.cumsum(covariance[1:] / covariance[0])
    wide_enough = np.flatnonzero(np.arange(1, count) >= 5 * sums)
    return max(float(sums[wide_enough[0]]), 1.0) if len(wide_enough) else float(count)


def block_length(count: int, correlation: float) -> int:
    """Samples of a block: long enough for what is alike, short enough to leave several blocks.

    What an autoregressive series with this correlation time needs (Carlstein 1986, The Annals of
    Statistics 14, 1171; for overlapping blocks Sherman, Speed & Speed 1998, Journal of Applied
    Statistics 25, 333), and no less than the cube root of the count, since a short series hides
    its correlation.
    """
    neighbour = (correlation - 1) / (correlation + 1)
    root = math.cbrt(count)
    best = math.pow(math.sqrt(6) * neighbour / (1 - neighbour**2), 2 / 3) * root
    return max(min(round(max(best, root)), count // 4), 1)


def _ranks(count: int, correlation: float) -> npt.NDArray[np.int64]:
    """Which of the sorted samples a median can plausibly be."""
    reach = _REACH * math.sqrt(count * correlation) / 2 + 1
    low, high = max(count / 2 - reach, 0.0), min(count / 2 + reach, count - 1.0)
    return np.unique(np.linspace(math.floor(low), math.ceil(high), _GRID).round().astype(np.int64))


def _block_shares(taken: Floats, values: Floats, block: int) -> Floats:
    """For each value, the share of blocks that hold 0, 1, … ``block`` samples up to it."""
    below = taken[None, :] <= values[:, None]
    round_about = np.concatenate([below, below[:, : block - 1]], axis=1)
    sums = np.cumsum(round_about, axis=1, dtype=np.int32)
    counts = sums[:, block - 1 :].copy()
    counts[:, 1:] -= sums[:, :-block]
    rows = np.arange(len(values), dtype=np.int32)[:, None] * (block + 1)
    tallied = np.bincount((counts + rows).ravel(), minlength=len(values) * (block + 1))
    return tallied.reshape(len(values), block + 1) / len(taken)


def _more_than_half(shares: Floats, blocks: int) -> Floats:
    """Probability that more than half of a resample is counted; just half counts half."""
    most = blocks * (shares.shape[1] - 1)
    size = 1 << most.bit_length()
    sums = np.fft.irfft(np.fft.rfft(shares, size, axis=1) ** blocks, size, axis=1)[:, : most + 1]
    more: Floats = sums[:, most // 2 + 1 :].sum(axis=1)
    if most % 2 == 0:
        more = more + sums[:, most // 2] / 2
    return np.maximum.accumulate(np.clip(more, 0.0, 1.0))
