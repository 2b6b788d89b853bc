"""The bootstrap of a median, against resampling by brute force and against known truths."""

import math

import numpy as np
import pytest

from core.results.bootstrap import (
    block_length,
    correlation_time,
    median_distribution,
    tail_probability,
)


def autoregressive(generator: np.random.Generator, count: int, neighbour: float) -> np.ndarray:
    """Series of mean and median 0 and variance 1, each value remembering a share of the last."""
    noise = generator.normal(size=count + 100) * math.sqrt(1 - neighbour**2)
    values = np.empty(count + 100)
    values[0] = noise[0]
    for k in range(1, len(values)):
        values[k] = neighbour * values[k - 1] + noise[k]
    return values[100:]


def coverage(draw, truth: float, times: int = 400) -> float:
    hits = 0
    for _ in range(times):
        low, high = median_distribution(draw()).interval()
        hits += low <= truth <= high
    return hits / times


@pytest.mark.parametrize(("count", "neighbour"), [(11, 0.0), (60, 0.0), (60, 0.7), (301, 0.8)])
def test_that_the_distribution_is_that_of_resampled_blocks(count: int, neighbour: float) -> None:
    """20,000 resamples of blocks drawn at random, a median each."""
    generator = np.random.default_rng(3)
    samples = autoregressive(generator, count, neighbour)
    block = block_length(count, correlation_time(np.sign(samples - np.median(samples))))
    blocks = max(round(count / block), 1)
    starts = generator.integers(count, size=(20_000, blocks))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(20_000, -1) % count
    resampled = np.sort(samples[drawn], axis=1)
    size = resampled.shape[1]
    lower, upper = resampled[:, (size - 1) // 2], resampled[:, size // 2]
    distribution = median_distribution(list(samples))
    for value, cumulative in zip(distribution.values, distribution.cumulative, strict=True):
        # Between the two middle samples of an even number lies half of the weight.
        expected = ((lower <= value).mean() + (upper <= value).mean()) / 2
        assert cumulative == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("count", [10, 20, 100, 400])
def test_that_the_interval_of_independent_samples_covers_as_often_as_promised(count: int) -> None:
    """The median of the exponential distribution is ln 2."""
    generator = np.random.default_rng(count)
    covered = coverage(lambda: list(generator.exponential(size=count)), math.log(2))
    assert 0.92 <= covered <= 0.995


@pytest.mark.parametrize(("count", "least"), [(100, 0.87), (1000, 0.91)])
def test_that_the_interval_of_neighbours_that_are_alike_still_covers(
    count: int, least: float
) -> None:
    """Taken for independent, these would be covered in 73 % of the cases."""
    generator = np.random.default_rng(count)
    assert coverage(lambda: list(autoregressive(generator, count, 0.6)), 0.0) >= least


@pytest.mark.parametrize("neighbour", [0.0, 0.5, 0.8])
def test_that_the_correlation_time_is_that_of_an_autoregressive_series(neighbour: float) -> None:
    series = autoregressive(np.random.default_rng(5), 100_000, neighbour)
    expected = (1 + neighbour) / (1 - neighbour)
    assert correlation_time(series) == pytest.approx(expected, rel=0.1)


def test_that_constant_samples_have_themselves_as_interval() -> None:
    assert median_distribution([2.0] * 50).interval() == (2.0, 2.0)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_that_few_samples_have_an_interval_within_themselves(count: int) -> None:
    samples = [float(k) for k in range(count)]
    low, high = median_distribution(samples).interval()
    assert 0 <= low <= (count - 1) / 2 <= high <= count - 1


@pytest.mark.parametrize(("blocks", "student"), [(5, 2.776), (10, 2.262), (30, 2.045)])
def test_that_few_blocks_are_given_a_wider_interval(blocks: int, student: float) -> None:
    """Student's quantiles from a table."""
    widened = student * math.sqrt(blocks / (blocks - 1))
    expected = 0.5 * math.erfc(widened / math.sqrt(2))
    assert tail_probability(0.95, blocks) == pytest.approx(expected, rel=0.1)
    assert tail_probability(0.95, 10**6) == pytest.approx(0.025, rel=1e-3)


def test_that_the_probabilities_sum_to_one_and_centre_on_the_median() -> None:
    samples = list(np.random.default_rng(8).exponential(size=500))
    distribution = median_distribution(samples)
    assert distribution.probabilities.sum() == pytest.approx(1.0)
    assert (distribution.probabilities >= 0).all()
    mean = float(distribution.values @ distribution.probabilities)
    assert mean == pytest.approx(float(np.median(samples)), rel=0.02)
