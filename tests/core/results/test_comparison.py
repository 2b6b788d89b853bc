"""Two results beside each other."""

import math
from collections import Counter

import numpy as np
import pytest

from core.results.comparison import Comparison, compare, differences
from core.results.conditions import Conditions
from core.results.environment import Environment
from core.results.measurement import Measurement, Memory
from core.results.outcome import Outcome
from core.results.statistics import timing
from core.results.time_comparison import (
    APART,
    INTERLEAVED,
    compare_samples,
    sentence,
    settled,
    verdict,
)
from core.spec.presets import preset
from core.spec.run import RunSpec

SPEC = preset("lecture-relu-network").spec
ENVIRONMENT = Environment(
    hogui="1.0",
    python="3.11",
    torch="2.13",
    numpy="2.0",
    platform="System",
    cpu="Processor",
    cpu_count=2,
    threads=1,
    memory_bytes=2**30,
    device="cpu",
    device_name="Processor",
)


def noisy(seconds: float, count: int = 200, scatter: float = 0.02, seed: int = 1) -> list[float]:
    generator = np.random.default_rng(seed)
    return list(seconds * np.exp(scatter * generator.normal(size=count)))


def measured(
    name: str,
    seconds: float | None = 0.01,
    peak: int | None = 1000,
    spec: RunSpec = SPEC,
    conditions: Conditions | None = None,
    **environment: object,
) -> Measurement:
    memory = None if peak is None else Memory(baseline_bytes=500, peak_bytes=peak, by_category={})
    seed = sum(map(ord, name))
    return Measurement(
        run_id=f"{name}-id",
        started_at="2026-01-01T00:00:00+00:00",
        spec=spec.with_value("name", name),
        environment=ENVIRONMENT.model_copy(update=environment),
        outcome=Outcome.FINISHED,
        memory=memory,
        time=None if seconds is None else timing(noisy(seconds, seed=seed), None, conditions),
    )


def verdict_of(comparison: Comparison) -> str:
    assert comparison.time is not None
    return comparison.time.verdict


# --------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize(
    ("low", "high", "ratio", "said"),
    [
        (0.995, 1.004, 1.0, "same"),
        (1.012, 1.018, 1.015, "same"),  # surely different, and surely by too little to matter
        (0.99, 1.021, 1.005, "cannot_tell"),
        (1.001, 1.03, 1.009, "cannot_tell"),  # surely slower, perhaps by next to nothing
        (1.001, 1.03, 1.011, "slower"),
        (1.04, 1.06, 1.05, "slower"),
        (0.94, 0.96, 0.95, "faster"),
        (0.97, 0.999, 0.995, "cannot_tell"),
        (0.5, 2.0, 1.4, "cannot_tell"),
    ],
)
def test_that_the_verdict_follows_from_interval_and_ratio(
    low: float, high: float, ratio: float, said: str
) -> None:
    assert verdict(ratio, (low, high), (low, high), INTERLEAVED) == said


def test_that_a_difference_must_be_surer_than_the_interval_that_is_shown() -> None:
    assert verdict(1.03, (1.01, 1.05), (0.999, 1.06), INTERLEAVED) == "cannot_tell"
    assert verdict(0.97, (0.95, 0.99), (0.94, 1.001), INTERLEAVED) == "cannot_tell"
    assert verdict(1.01, (1.001, 1.019), (0.99, 1.03), INTERLEAVED) == "same"


def test_that_runs_measured_apart_must_differ_by_more() -> None:
    said = [
        (1.025, (1.01, 1.06), "slower", "cannot_tell"),
        (1.035, (1.01, 1.06), "slower", "slower"),
        (1.03, (0.96, 1.04), "cannot_tell", "same"),
    ]
    for ratio, interval, interleaved, apart in said:
        assert verdict(ratio, interval, interval, INTERLEAVED) == interleaved
        assert verdict(ratio, interval, interval, APART) == apart


def test_that_the_ratio_of_medians_has_the_interval_of_brute_force() -> None:
    """4,000 resamples of either side, drawn one by one."""
    a, b = noisy(1.0, 101, 0.1, 3), noisy(1.3, 81, 0.2, 4)
    generator = np.random.default_rng(5)
    ratios = [
        np.median(generator.choice(b, len(b))) / np.median(generator.choice(a, len(a)))
        for _ in range(4000)
    ]
    found = compare_samples(a, b, interleaved=False)
    assert found.interval is not None
    assert found.ratio == pytest.approx(float(np.median(b) / np.median(a)))
    expected = np.quantile(ratios, [0.025, 0.975])
    # The blocks that the product draws make its interval a little wider or narrower.
    width = expected[1] - expected[0]
    assert found.interval[0] == pytest.approx(expected[0], abs=0.3 * width)
    assert found.interval[1] == pytest.approx(expected[1], abs=0.3 * width)


def test_that_the_interval_of_runs_apart_covers_as_often_as_promised() -> None:
    hits = 0
    for seed in range(200):
        a, b = noisy(1.0, 60, 0.1, 2 * seed), noisy(1.2, 40, 0.1, 2 * seed + 1)
        interval = compare_samples(a, b, interleaved=False).interval
        assert interval is not None
        hits += interval[0] <= 1.2 <= interval[1]
    assert 0.92 <= hits / 200 <= 1.0


def test_that_what_both_suffered_alike_drops_out_of_interleaved_samples() -> None:
    """Load that doubles times for a while hides 5 % from runs apart, not from those in turns."""
    load = [1.0 + (k // 20) % 2 for k in range(200)]
    a = [seconds * slow for seconds, slow in zip(noisy(1.0, seed=1), load, strict=True)]
    b = [seconds * slow for seconds, slow in zip(noisy(1.05, seed=2), load, strict=True)]
    assert compare_samples(a, b, interleaved=True).verdict == "slower"
    assert compare_samples(a, b, interleaved=False).verdict == "cannot_tell"


def test_that_swapping_the_two_turns_the_verdict_round() -> None:
    a, b = noisy(1.0, seed=1), noisy(1.2, seed=2)
    for interleaved in (True, False):
        there, back = compare_samples(a, b, interleaved), compare_samples(b, a, interleaved)
        assert (there.verdict, back.verdict) == ("slower", "faster")
        assert there.ratio == pytest.approx(1 / back.ratio, rel=0.01)


def test_that_too_few_samples_allow_no_verdict() -> None:
    found = compare_samples([1.0] * 5, [1.2] * 50, interleaved=False)
    assert (found.interval, found.verdict, found.ratio) == (None, "cannot_tell", 1.2)
    assert "too few repetitions" in sentence(found, "A", "B")


@pytest.mark.parametrize("samples", [[], [0.0] * 9, [-1.0] * 9])
def test_that_samples_which_are_no_times_are_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="samples above 0"):
        compare_samples([1.0] * 9, samples, interleaved=False)


def test_that_chance_does_not_settle_a_comparison_that_is_looked_at_again_and_again() -> None:
    """A dozen looks at equal computations, with intervals of 95 % a quarter would err."""
    looks = [round(32 * 1.3**k) for k in range(13)]
    verdicts: Counter[str] = Counter()
    for seed in range(100):
        a, b = noisy(1.0, 800, 0.1, 2 * seed), noisy(1.0, 800, 0.1, 2 * seed + 1)
        count = next((n for n in looks if settled(a[:n], b[:n])), 800)
        verdicts[compare_samples(a[:count], b[:count], interleaved=True).verdict] += 1
    assert verdicts["faster"] + verdicts["slower"] <= 5


@pytest.mark.parametrize("interleaved", [True, False])
def test_that_one_look_at_equal_computations_errs_in_one_of_a_hundred(interleaved: bool) -> None:
    """The intervals that are shown leave 1 out in one of twenty."""
    verdicts: Counter[str] = Counter()
    left_out = 0
    for seed in range(300):
        scatter = 0.3
        a, b = noisy(1.0, 150, scatter, 2 * seed), noisy(1.0, 150, scatter, 2 * seed + 1)
        found = compare_samples(a, b, interleaved)
        assert found.interval is not None
        left_out += not found.interval[0] <= 1 <= found.interval[1]
        verdicts[found.verdict] += 1
    assert 6 <= left_out <= 24
    assert verdicts["faster"] + verdicts["slower"] <= 6 < left_out


def test_that_a_handful_of_pairs_settles_nothing() -> None:
    assert not settled([1.0] * 31, [2.0] * 31)
    assert settled([1.0] * 32, [2.0] * 32)


# -------------------------------------------------------------------------------------- sentences


def test_that_the_sentence_names_ratio_interval_and_verdict() -> None:
    found = compare_samples(noisy(1.0, seed=1), noisy(1.2, seed=2), interleaved=True)
    assert found.interval is not None
    low, high = found.interval
    assert sentence(found, "A", "B") == (
        f"B is slower by {100 * (found.ratio - 1):.3g} %: it takes {found.ratio:.3f} times the "
        f"time of A (95 % interval {low:.3f} to {high:.3f})."
    )


def test_that_same_says_within_what() -> None:
    same = compare_samples([1.0] * 50, [1.0] * 50, interleaved=True)
    assert sentence(same, "A", "B").startswith("The same within 2 %: B takes 1.000 times")
    apart = compare_samples([1.0] * 50, [1.0] * 50, interleaved=False)
    assert sentence(apart, "A", "B").startswith("The same within 5 %")


# ----------------------------------------------------------------------------------------- runs


def test_that_peaks_are_compared_exactly() -> None:
    found = compare(measured("A", peak=1000), measured("B", peak=1500)).memory
    assert found is not None
    assert (found.peak_ratio, found.peak_difference_bytes) == (1.5, 500)
    assert found.total_ratio == pytest.approx(2000 / 1500)
    nothing = compare(measured("A", peak=0), measured("B", peak=10)).memory
    assert nothing is not None
    assert nothing.peak_ratio is None


def test_that_a_run_that_takes_longer_is_slower_and_the_sentence_says_all() -> None:
    found = compare(measured("A"), measured("B", seconds=0.02, peak=3 * 2**20))
    assert verdict_of(found) == "slower"
    assert found.sentence.startswith("B is slower by ")
    assert "The peak of B is 3146 times that of A (2.999 MiB more)." in found.sentence
    assert (found.a, found.b) == ("A-id", "B-id")
    assert found.warnings == ()


def test_that_a_run_is_the_same_as_itself() -> None:
    run = measured("A")
    found = compare(run, run)
    assert verdict_of(found) == "same"
    assert found.differences == ()
    assert "Both have the same peak." in found.sentence


def test_that_absent_figures_are_none_with_their_reason() -> None:
    found = compare(measured("A"), measured("B", seconds=None, peak=None))
    assert (found.time, found.memory) == (None, None)
    assert found.sentence == (
        "The times cannot be compared: there is none of B. "
        "The peaks cannot be compared: there is none of B."
    )


def test_that_differences_are_named_by_their_keys() -> None:
    changed = SPEC.with_changes({"workload.order": 2, "name": "Other"})
    assert [(one.key, one.a, one.b) for one in differences(SPEC, changed)] == [
        ("workload.order", 1, 2)
    ]


def test_that_layers_differ_by_their_position_and_keys_that_one_lacks_are_none() -> None:
    other = SPEC.with_value("model.layers.1.kind", "leaky_relu")
    found = {one.key: (one.a, one.b) for one in differences(SPEC, other)}
    assert found["model.layers.1.kind"] == ("relu", "leaky_relu")
    assert found["model.layers.1.negative_slope"] == (None, 0.01)
    assert all(key.startswith("model.layers.1.") for key in found)


@pytest.mark.parametrize(
    ("key", "first", "second", "words"),
    [
        ("cpu", "X", "Y", "different processors: X and Y"),
        ("torch", "2.12", "2.13", "different versions of torch: 2.12 and 2.13"),
        ("threads", 1, 4, "different numbers of threads: 1 and 4"),
        ("device_name", "GPU", "CPU", "different devices: GPU and CPU"),
        ("power_source", "mains", "battery", "different sources of power: mains and battery"),
    ],
)
def test_that_runs_from_different_surroundings_are_compared_with_a_warning(
    key: str, first: object, second: object, words: str
) -> None:
    found = compare(measured("A", **{key: first}), measured("B", **{key: second}))
    assert found.time is not None
    assert found.warnings == (f"The runs were measured with {words}.",)


def test_that_what_an_older_run_does_not_tell_is_not_held_against_it() -> None:
    assert compare(measured("A"), measured("B", git_revision="1234")).warnings == ()


def test_that_a_crowded_machine_widens_the_interval_until_nothing_is_said() -> None:
    crowded = Conditions(cores=2, other_cores=2.0)
    quiet = compare(measured("A"), measured("B", seconds=0.013))
    found = compare(measured("A"), measured("B", seconds=0.013, conditions=crowded))
    assert (verdict_of(quiet), verdict_of(found)) == ("slower", "cannot_tell")
    assert found.warnings == (
        "Other programs wanted the cores that B ran on: it may have taken up to 50% longer "
        "than it would alone.",
    )
    much = compare(measured("A"), measured("B", seconds=0.02, conditions=crowded))
    assert verdict_of(much) == "slower"
    reference = compare(measured("A", conditions=crowded), measured("B", seconds=0.008))
    assert verdict_of(reference) == "cannot_tell"


def test_that_heat_noise_and_clock_speed_are_warned_of() -> None:
    hot = Conditions(throttled=True, clock_mhz=(900.0, 1000.0, 1100.0))
    cool = Conditions(throttled=False, clock_mhz=(1900.0, 2000.0, 2100.0))
    warnings = compare(measured("A", conditions=hot), measured("B", conditions=cool)).warnings
    assert warnings == (
        "The hardware slowed itself down while A was timed.",
        "The clock speeds differed: 1,000 and 2,000 MHz.",
    )
    restless = measured("C")
    assert restless.time is not None
    noise = timing(noisy(0.01, 50, 0.5), None)
    restless = restless.model_copy(update={"time": noise})
    assert "The time of C is noisy." in compare(measured("A"), restless).warnings


def test_that_runs_of_one_name_are_told_apart_by_their_ids() -> None:
    a = measured("Same")
    b = measured("Same", seconds=0.02).model_copy(update={"run_id": "other-long-id"})
    assert "Same (other-lo) is slower" in compare(a, b).sentence


def test_that_a_comparison_travels_as_json() -> None:
    found = compare(measured("A"), measured("B", seconds=0.02, spec=preset("deep-mlp").spec))
    assert Comparison.model_validate_json(found.model_dump_json()) == found
    assert found.time is not None
    assert math.isfinite(found.time.ratio)


def test_that_a_difference_that_is_plain_to_see_needs_no_interval() -> None:
    """Three repetitions each, and even the closest two of them far apart."""
    slower = compare_samples([1.0, 1.1, 1.2], [1.8, 1.9, 2.1], False)
    assert (slower.verdict, slower.interval) == ("slower", None)
    assert compare_samples([1.8, 1.9, 2.1], [1.0, 1.1, 1.2], False).verdict == "faster"
    assert compare_samples([1.0, 1.1, 1.2], [1.4, 1.9, 2.1], False).verdict == "cannot_tell"
    assert compare_samples([1.0, 1.1], [1.8, 1.9], False).verdict == "cannot_tell"
    crowded = compare_samples([1.0, 1.1, 1.2], [1.8, 1.9, 2.1], False, slowdown=(1.0, 1.5))
    assert crowded.verdict == "cannot_tell"
