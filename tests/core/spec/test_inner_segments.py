"""Into which runs inner steps are cut: against a search through every way of cutting them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from core.spec.inner_segments import (
    fewest_bytes,
    inner_segments,
    is_cut,
    lengths,
    walked_twice,
)
from core.spec.mitigations import IN_SEGMENTS
from core.spec.run import RunSpec

LINEAR = {"kind": "linear", "out_features": 8}
TANH = {"kind": "tanh"}


def spec_of(inner_loop: str, steps: int, segments: int | str = "auto", **workload: Any) -> RunSpec:
    document = {
        "model": {"input_shape": [8], "layers": [LINEAR, TANH, LINEAR]},
        "workload": {"kind": "maml", "inner_steps": steps, **workload},
        "mitigation": {"inner_loop": inner_loop, "inner_segments": segments},
    }
    return RunSpec.from_json(json.dumps(document))


def ways_of_cutting(steps: int, runs: int) -> Iterator[tuple[int, ...]]:
    if runs == 1:
        yield (steps,)
        return
    for first in range(1, steps - runs + 2):
        for rest in ways_of_cutting(steps - first, runs - 1):
            yield (first, *rest)


def dearest(runs: tuple[int, ...], before: int, within: int) -> int:
    """What is alive when the run that needs the most is differentiated."""
    return max(position * before + length * within for position, length in enumerate(runs))


SIZES = [(1, 1), (1, 3), (3, 7), (5, 1), (10, 200)]


@pytest.mark.parametrize(("before", "within"), SIZES)
@pytest.mark.parametrize("steps", [1, 2, 5, 9, 12])
def test_that_no_other_runs_of_that_number_need_less(steps: int, before: int, within: int) -> None:
    for runs in range(1, steps + 1):
        found = lengths(steps, before, within, runs)
        assert sum(found) == steps
        assert len(found) == runs
        least = min(dearest(way, before, within) for way in ways_of_cutting(steps, runs))
        assert dearest(found, before, within) == least


@pytest.mark.parametrize(("before", "within"), SIZES)
@pytest.mark.parametrize("steps", [1, 2, 5, 9, 12])
def test_that_no_other_number_of_runs_needs_less(steps: int, before: int, within: int) -> None:
    runs = fewest_bytes(steps, before, within)
    least = min(
        dearest(way, before, within)
        for count in range(1, steps + 1)
        for way in ways_of_cutting(steps, count)
    )
    assert dearest(lengths(steps, before, within, runs), before, within) == least


def test_that_steps_that_keep_their_weights_are_cut_as_revolve_cuts_them() -> None:
    """With each step walked twice, s checkpoints reach (s + 1)(s + 2)/2 steps (Griewank and
    Walther 2000); the weights before the first step are kept anyway."""
    for most in range(1, 10):
        steps = most * (most + 1) // 2
        found = inner_segments(spec_of("segments_saved_gradient", steps))
        assert found == tuple(range(most, 0, -1))


def test_that_equal_runs_would_need_more() -> None:
    """√n runs of √n steps, and k* = √(nP/G) steps a run."""
    assert dearest(lengths(36, 1, 1, 8), 1, 1) == 8
    assert dearest((6,) * 6, 1, 1) == 11
    steps, before, within = 1000, 10, 40
    best = round((steps * before / within) ** 0.5)
    equal = (best,) * (steps // best)
    auto = lengths(steps, before, within, fewest_bytes(steps, before, within))
    assert dearest(auto, before, within) == pytest.approx(
        dearest(equal, before, within) / 2**0.5, rel=0.05
    )


def test_that_the_number_of_runs_is_taken_from_the_spec() -> None:
    assert len(inner_segments(spec_of("segments", 20, 7))) == 7
    assert inner_segments(spec_of("segments_saved_gradient", 9, 2)) == (5, 4)
    assert inner_segments(spec_of("standard", 9, 2)) == (9,)


@pytest.mark.parametrize("inner_loop", IN_SEGMENTS)
def test_that_more_runs_than_steps_are_refused(inner_loop: str) -> None:
    (found,) = spec_of(inner_loop, 3, 4).problems()

    assert found.sentence == (
        "mitigation.inner_segments: 4 was given; allowed: at most the number of inner steps, 3."
    )
    assert not spec_of(inner_loop, 3, 3).problems()
    assert not spec_of("checkpoint", 3, 4).problems()
    assert not spec_of(inner_loop, 3, 4, order=1).problems()


def test_that_only_what_is_differentiated_is_cut() -> None:
    assert is_cut(spec_of("segments", 5))
    assert not is_cut(spec_of("segments", 5, order=1))
    assert not is_cut(spec_of("segments", 5, variant="imaml"))
    assert walked_twice(spec_of("segments", 5, order=1)) == ()


def test_that_the_last_run_is_walked_twice_where_it_keeps_graphs() -> None:
    assert walked_twice(spec_of("segments", 9, 2)) == inner_segments(spec_of("segments", 9, 2))
    assert walked_twice(spec_of("segments_saved_gradient", 9, 2)) == (5,)
    assert walked_twice(spec_of("saved_gradient", 9, 2)) == ()


@pytest.mark.parametrize("inner_loop", IN_SEGMENTS)
def test_that_ten_thousand_steps_are_cut_at_once(inner_loop: str) -> None:
    found = inner_segments(spec_of(inner_loop, 10_000))
    assert sum(found) == 10_000
    assert len(found) < 1_000
