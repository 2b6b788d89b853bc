"""Many runs of inner steps foretold from few: the same as following each, or nothing."""

import json
from typing import Any

import pytest

import core.measure.forecasting.forecast as forecast_module
from core.measure.forecasting.few_runs import FOLLOWED, from_few_runs
from core.measure.forecasting.few_steps import Short, Uneven
from core.results.forecast import Forecast
from core.spec.inner_segments import inner_segments
from core.spec.mitigations import IN_SEGMENTS
from core.spec.run import RunSpec
from tests.core.measure.forecasting.test_few_steps import assert_equal, followed, told
from tests.core.measure.memory.exactness import assert_foretold_to_the_byte

STEPS = FOLLOWED + 12


def spec_of(
    inner_loop: str, steps: int = STEPS, segments: int | str = "auto", **workload: Any
) -> RunSpec:
    linear, tanh = {"kind": "linear", "out_features": 12}, {"kind": "tanh"}
    sizes = {"inner_steps": steps, "tasks": 1, "support": 30, "query": 20}
    document = {
        "model": {"input_shape": [12], "layers": [linear, tanh, linear, tanh, linear]},
        "workload": {"kind": "maml", **(sizes | workload)},
        "mitigation": {"inner_loop": inner_loop, "inner_segments": segments},
        "device": "cpu",
    }
    return RunSpec.from_json(json.dumps(document))


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inner steps of each prediction that is made."""
    steps: list[int] = []
    original = forecast_module.predict

    def counted(spec: RunSpec, *others: object):
        steps.append(spec.workload.inner_steps)
        return original(spec, *others)

    monkeypatch.setattr(forecast_module, "predict", counted)
    return steps


@pytest.mark.parametrize("segments", ["auto", 2, STEPS - 3])
@pytest.mark.parametrize("variant", ["maml", "anil"])
@pytest.mark.parametrize("inner_loop", IN_SEGMENTS)
def test_that_it_is_what_following_every_step_gives(
    inner_loop: str,
    variant: str,
    segments: int | str,
    predicted: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = spec_of(inner_loop, segments=segments, variant=variant)

    few = told(spec)
    assert max(predicted, default=0) < STEPS
    every = followed(spec, monkeypatch)

    assert_equal(few, every)
    assert few.seconds == pytest.approx(every.seconds, rel=0.05)
    phases = {phase.name: phase for phase in every.phases}
    for phase in few.phases:
        name = f"inner step {STEPS}" if phase.name == "last inner step" else phase.name
        assert phase.peak_bytes == phases[name].peak_bytes
        assert phase.retained_bytes == phases[name].retained_bytes


@pytest.mark.parametrize("inner_loop", IN_SEGMENTS)
def test_that_long_runs_are_foretold_to_the_byte(inner_loop: str) -> None:
    assert_foretold_to_the_byte(spec_of(inner_loop, tasks=2))
    assert_foretold_to_the_byte(spec_of(inner_loop, steps=36))


def test_that_ten_thousand_steps_are_told_from_few(predicted: list[int]) -> None:
    """Along Revolve's triangle each further run costs its first weights."""
    far = told(spec_of("segments_saved_gradient", 9_870, support=31))
    assert 0 < max(predicted) < 8
    near = told(spec_of("segments_saved_gradient", 28, support=31))
    runs = [len(inner_segments(spec_of("segments_saved_gradient", n))) for n in (9_870, 28)]
    weights = 4 * (3 * (12 * 12 + 12))
    assert runs == [140, 7]
    assert far.peak_bytes - near.peak_bytes == (140 - 7) * weights


def test_that_order_3_is_followed_or_said_to_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("segments", order=3)
    assert_equal(told(spec), followed(spec, monkeypatch))
    with pytest.raises(AssertionError, match="too many of them to follow each"):
        told(spec_of("segments", 500, order=3))


def loop(runs: tuple[int, ...], bend: int = 0) -> Short:
    """A loop whose steps need 7 each, and whose runs need 10 before them."""
    moments = [10 * position + 7 * length for position, length in enumerate(runs)]
    peak = 100 + max(moments) + bend * (len(runs) > 3)
    return Short(
        baseline_bytes=50,
        phases={"query loss": 20 + 10 * len(runs), "meta-gradient": peak},
        retained={"query loss": 1, "meta-gradient": -10 * len(runs)},
        by_category={"parameters": 50, "graph_1": peak},
        seconds=1.0 + sum(runs) + len(runs),
    )


@pytest.mark.parametrize("runs", [(9, 8, 7, 6, 5), (3, 3, 3, 3), (1,) * 30, (40, 2), (2, 40)])
def test_that_the_dearest_moment_is_found(runs: tuple[int, ...]) -> None:
    assert from_few_runs(runs, loop, order=2) == loop(runs)


def test_that_growth_that_is_not_even_is_refused() -> None:
    with pytest.raises(Uneven):
        from_few_runs((9, 8, 7), lambda runs: loop(runs, bend=1), order=2)
    with pytest.raises(Uneven):
        from_few_runs((9, 8, 7), loop, order=3)
    with pytest.raises(Uneven):
        from_few_runs((9,), loop, order=2)


def test_that_a_peak_elsewhere_is_not_told_from_runs(predicted: list[int]) -> None:
    """The loss after the steps needs more than any of them, so each is followed."""
    spec = spec_of("segments_saved_gradient", query=3000)

    found: Forecast = told(spec)

    assert max(predicted) == STEPS
    assert found.exact
