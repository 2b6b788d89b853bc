"""Median, interval, verdict, and what is said of them."""

import math
import random

import pytest

from core.results.conditions import Conditions
from core.results.statistics import (
    MOST_REPETITIONS,
    explain,
    half_width,
    median_interval,
    timing,
)


def gaussian(count: int, scatter: float, seed: int = 2) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(1.0, scatter) for _ in range(count)]


def said(samples: list[float], conditions: Conditions | None = None) -> str:
    figures = timing(samples, None, conditions)
    assert figures is not None
    return explain(figures)


def test_that_the_interval_covers_the_median_as_often_as_promised() -> None:
    """95 % of intervals of 40 exponential samples hold the true median, ln 2."""
    generator = random.Random(1)
    hits = 0
    for _ in range(1000):
        low, high = median_interval([generator.expovariate(1.0) for _ in range(40)])
        hits += low <= math.log(2) <= high
    assert 0.93 <= hits / 1000 <= 0.985


def test_that_the_interval_narrows_with_the_square_root_of_the_samples() -> None:
    widths = []
    for count in (400, 6400):
        low, high = median_interval(gaussian(count, 0.1))
        widths.append(high - low)
    assert 2.5 <= widths[0] / widths[1] <= 6.5


def test_that_samples_which_come_in_spells_have_a_wider_interval_than_the_same_ones_mixed() -> None:
    """A load that comes and goes is no independent sample each time."""
    spells = [1.0 + 0.001 * k + (0.1 if (k // 25) % 2 else 0.0) for k in range(200)]
    mixed = spells.copy()
    random.Random(4).shuffle(mixed)
    assert half_width(spells) > 1.5 * half_width(mixed)


def test_that_few_samples_are_never_called_stable() -> None:
    assert half_width([1.0] * 5) == math.inf
    assert half_width([1.0] * 6) == 0.0


def test_that_one_sample_is_its_own_interval_and_none_is_an_error() -> None:
    assert median_interval([2.0]) == (2.0, 2.0)
    assert median_interval([4.0, 1.0, 2.0]) == (1.0, 4.0)
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


def test_that_stable_means_one_percent_to_either_side() -> None:
    samples = gaussian(200, 0.06)
    low, high = median_interval(samples)
    figures = timing(samples, None)
    assert figures is not None
    within = (high - low) / 2 <= 0.01 * figures.median_s
    assert (figures.verdict == "stable") == within
    assert figures.interval_s == (low, high)


def test_that_a_stable_figure_says_how_well_it_is_known() -> None:
    samples = gaussian(60, 0.005)
    low, high = median_interval(samples)
    known, _, spent = said(samples).partition(" % ")
    assert spent == "after 60 repetitions in 60 s."
    assert known.startswith("Stable: the interval is ±")
    assert float(known.rpartition("±")[2]) == pytest.approx(50 * (high - low), rel=0.05)
    assert said([0.01] * 60) == "Stable: the interval is ±0.01 % after 60 repetitions in 0.6 s."


def test_that_a_noisy_figure_says_what_would_help() -> None:
    busy = Conditions(cores=2, other_cores=0.81, stolen_cores=0.3)
    sentence = said(gaussian(40, 0.2), busy)
    assert sentence.startswith("Noisy: the interval is ±")
    assert "raise measure.time_budget_s" in sentence
    assert "close other programs (they used 0.8 of 2 cores)" in sentence
    assert "withheld 0.3 of 2 cores" in sentence


def test_that_nothing_is_blamed_that_was_not_seen() -> None:
    sentence = said(gaussian(40, 0.2), Conditions(cores=2, other_cores=0.02))
    assert sentence.endswith("; raise measure.time_budget_s.")
    assert said(gaussian(40, 0.2)).endswith("; raise measure.time_budget_s.")


def test_that_heat_and_a_moving_clock_speed_are_named() -> None:
    moving = Conditions(clock_mhz=(1200.0, 2000.0, 3400.0))
    assert "moved between 1,200 and 3,400 MHz" in said(gaussian(40, 0.2), moving)
    hot = moving.model_copy(update={"throttled": True})
    assert "let the machine cool" in said(gaussian(40, 0.2), hot)


def test_that_too_few_repetitions_have_no_interval_to_tell() -> None:
    assert said([1.0, 1.1, 1.2]) == (
        "Noisy: no interval after 3 repetitions in 3.3 s; raise measure.time_budget_s."
    )


def test_that_more_time_is_not_asked_for_where_it_would_not_be_used() -> None:
    sentence = said(gaussian(MOST_REPETITIONS, 3.0))
    assert "measure.time_budget_s" not in sentence
    assert f"set measure.repetitions to more than {MOST_REPETITIONS:,}" in sentence


@pytest.mark.parametrize(
    ("conditions", "threads", "slowdown"),
    [
        (Conditions(), 4, 1.0),
        (Conditions(cores=4, other_cores=1.0), 1, 1.0),
        (Conditions(cores=2, other_cores=2.0), 1, 1.5),
        (Conditions(cores=2, other_cores=1.0, stolen_cores=0.5), 2, 1.75),
    ],
)
def test_that_others_slow_down_only_where_cores_are_short(
    conditions: Conditions, threads: int, slowdown: float
) -> None:
    assert conditions.slowdown(threads) == slowdown


def test_that_a_longer_budget_is_no_remedy_where_repetitions_are_counted() -> None:
    figures = timing([1.0, 1.5, 1.2, 1.9, 1.1, 1.4, 1.8], 1.0)
    assert figures is not None
    assert "measure.time_budget_s" in explain(figures)
    advice = explain(figures, fixed=True)
    assert "measure.time_budget_s" not in advice
    assert "raise measure.repetitions, or set it to auto" in advice
