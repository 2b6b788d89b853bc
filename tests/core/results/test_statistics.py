"""Median, interval and verdict."""

import math
import random

import pytest

from core.results.statistics import median_interval, relative_width, timing


def test_that_the_interval_covers_the_median_as_often_as_promised() -> None:
    """95 % of intervals of 40 exponential samples hold the true median, ln 2."""
    generator = random.Random(1)
    hits = 0
    for _ in range(2000):
        low, high = median_interval([generator.expovariate(1.0) for _ in range(40)])
        hits += low <= math.log(2) <= high
    assert 0.94 <= hits / 2000 <= 0.985


@pytest.mark.parametrize("count", [6, 10, 50, 199, 200, 201, 1000])
def test_that_the_interval_is_the_narrowest_symmetric_one_that_covers(count: int) -> None:
    """Ranks of 0, 1, 2, ... are the samples themselves; the tails are summed exactly."""
    low, high = median_interval([float(k) for k in range(count)])
    assert low + high == count - 1

    def covers(left_out: int) -> float:
        return 1 - 2 * sum(math.comb(count, k) for k in range(left_out + 1)) / 2**count

    assert covers(int(low)) >= 0.95
    assert covers(int(low) + 2) < 0.95


def test_that_the_interval_narrows_with_the_square_root_of_the_samples() -> None:
    generator = random.Random(2)
    widths = []
    for count in (400, 6400):
        low, high = median_interval([generator.gauss(1.0, 0.1) for _ in range(count)])
        widths.append(high - low)
    assert 2.5 <= widths[0] / widths[1] <= 6.5


def test_that_order_of_samples_does_not_matter() -> None:
    samples = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 7.0, 8.0]
    assert median_interval(samples) == median_interval(sorted(samples))


def test_that_few_samples_are_never_called_stable() -> None:
    assert relative_width([1.0] * 5) == math.inf
    assert relative_width([1.0] * 6) == 0.0


def test_that_one_sample_is_its_own_interval_and_none_is_an_error() -> None:
    assert median_interval([2.0]) == (2.0, 2.0)
    with pytest.raises(ValueError, match="at least one"):
        median_interval([])


def test_that_steady_samples_are_stable_and_scattered_ones_noisy() -> None:
    steady = timing([1.0, 1.001, 0.999] * 20, first_s=3.0)
    scattered = timing([1.0 + k / 60 for k in range(60)], first_s=None)
    assert steady is not None
    assert scattered is not None
    assert (steady.verdict, scattered.verdict) == ("stable", "noisy")
    assert steady.median_s == 1.0
    assert steady.first_s == 3.0
    assert timing([], None) is None
