"""Many inner steps and tasks foretold from few: the same as following each, or nothing."""

import dataclasses

import pytest

import core.measure.forecasting.forecast as forecast_module
from core.measure.forecasting import few_loops
from core.measure.forecasting.few_steps import Short, Uneven, checked, far, moved
from core.measure.forecasting.forecast import Forecaster
from core.measure.memory.kernels import Kernels
from core.results.forecast import Forecast
from core.spec.mitigations import INNER_LOOPS
from core.spec.run import RunSpec
from tests.core.measure.memory.exactness import FORECASTER, run_of
from tests.core.measure.memory.test_exactness import STACKS
from tests.random_specs import random_maml

PATIENT_S = 60.0


def told(spec: RunSpec) -> Forecast:
    outlook = FORECASTER.outlook(spec, learn_s=PATIENT_S)
    assert outlook.forecast is not None, outlook.absent
    return outlook.forecast


def followed(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> Forecast:
    """Every step of every task."""
    with monkeypatch.context() as patch:
        patch.setattr(forecast_module, "_AT_ONCE", 10**9)
        return told(spec)


def assert_equal(few: Forecast, all_of_them: Forecast) -> None:
    assert few.peak_bytes == all_of_them.peak_bytes
    assert few.baseline_bytes == all_of_them.baseline_bytes
    assert few.by_category == all_of_them.by_category
    assert few.exact
    assert all_of_them.exact


@pytest.mark.parametrize("seed", [0, 4])
def test_that_it_is_what_following_every_step_gives(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = random_maml(seed, steps=(5, 12), tasks=(1, 6))
    few = told(spec)
    assert_equal(few, followed(spec, monkeypatch))


@pytest.mark.parametrize("inner_loop", INNER_LOOPS)
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
def test_that_it_holds_for_every_mitigation(
    checkpointing: str, inner_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, layers = STACKS["linear"]
    spec = run_of(
        layers,
        shape,
        workload={
            "kind": "maml",
            "inner_steps": 6,
            "tasks": 2,
            "support": 6,
            "query": 9,
        },
        mitigation={"checkpointing": {"kind": checkpointing}, "inner_loop": inner_loop},
    )
    assert_equal(told(spec), followed(spec, monkeypatch))


@pytest.mark.parametrize(
    ("variant", "order"),
    [
        ("maml", 1),
        ("maml", 2),
        ("maml", 3),
        ("anil", 1),
        ("anil", 2),
        ("reptile", 1),
        ("imaml", 2),
    ],
)
def test_that_it_holds_for_every_variant(
    variant: str, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, layers = STACKS["linear"]
    workload = {"kind": "maml", "variant": variant, "order": order, "inner_steps": 6, "tasks": 5}
    spec = run_of(layers, shape, workload=workload | {"support": 6, "query": 9})
    assert_equal(told(spec), followed(spec, monkeypatch))


def test_that_a_moment_that_overtakes_the_peak_of_short_runs_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two and three steps the peak is where the features are differentiated, and the same;
    of seven it is where the weights of all steps are alive."""
    wide = [{"kind": "linear", "out_features": 16}, {"kind": "tanh"}]
    layers = [
        {"kind": "dropout", "p": 0.3},
        {"kind": "linear", "out_features": 16},
        {"kind": "mixed", "candidates": [*wide, {"kind": "identity"}]},
        {"kind": "linear", "out_features": 16},
        {"kind": "residual", "layers": wide},
        {"kind": "linear", "out_features": 16},
    ]
    workload = {"kind": "maml", "variant": "anil", "order": 2, "inner_steps": 7, "tasks": 1}
    mitigation = {"checkpointing": {"kind": "rematerialize", "segments": "auto"}}
    spec = run_of(
        layers,
        [16],
        workload=workload | {"support": 4, "query": 2},
        mitigation=mitigation | {"precision": "bfloat16"},
    )
    few = told(spec)
    assert_equal(few, followed(spec, monkeypatch))
    short = [told(spec.with_changes({"workload.inner_steps": steps})) for steps in (2, 3)]
    assert len({one.peak_bytes for one in short}) == 1
    assert few.peak_bytes > short[0].peak_bytes


def test_that_a_thousand_steps_are_told_from_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """No prediction of more than a handful of steps is made."""
    predicted: list[int] = []
    original = forecast_module.predict

    def counted(spec: RunSpec, *others):
        predicted.append(spec.workload.inner_steps * spec.workload.tasks)
        return original(spec, *others)

    monkeypatch.setattr(forecast_module, "predict", counted)
    shape, layers = STACKS["linear"]
    maml = {"kind": "maml", "inner_steps": 1000, "tasks": 100, "support": 7, "query": 9}
    few = told(run_of(layers, shape, workload=maml))
    assert max(predicted) <= 4
    ten = told(run_of(layers, shape, workload=maml | {"inner_steps": 10}))
    twenty = told(run_of(layers, shape, workload=maml | {"inner_steps": 20}))
    assert few.peak_bytes == ten.peak_bytes + 99 * (twenty.peak_bytes - ten.peak_bytes)


def short(step: int, growth: int = 10) -> Short:
    """A run whose peak grows by as much with every step."""
    return Short(
        baseline_bytes=100,
        phases={"query loss": 40 + step, "meta-gradient": 50 + growth * step},
        retained={"query loss": 1, "meta-gradient": 2},
        by_category={"parameters": 100, "graph_1": 50 + growth * step},
        seconds=1.0 + step,
    )


def test_that_the_way_goes_on_as_it_began() -> None:
    assert far([short(1), short(2), short(3)], (1, 2, 3), 50) == short(50)


def test_that_growth_that_is_not_even_is_refused() -> None:
    with pytest.raises(Uneven):
        far([short(1), short(2), short(3, growth=11)], (1, 2, 3), 50)


def test_that_phases_that_come_and_go_are_refused() -> None:
    other = dataclasses.replace(short(3), phases={"meta-gradient": 80})
    with pytest.raises(Uneven):
        far([short(1), short(2), other], (1, 2, 3), 50)


def test_that_a_peak_that_moves_to_another_phase_is_refused() -> None:
    """The query loss grows faster, and overtakes after a while: the categories are another's."""
    points = [
        dataclasses.replace(
            short(step), phases={"query loss": 20 + 15 * step, "meta-gradient": 50 + 10 * step}
        )
        for step in (1, 2, 3)
    ]
    with pytest.raises(Uneven):
        far(points, (1, 2, 3), 50)


def test_that_tasks_move_all_phases_alike_or_not_at_all() -> None:
    start = short(1)
    end = dataclasses.replace(
        start,
        baseline_bytes=107,
        phases={name: peak + 4 for name, peak in start.phases.items()},
        by_category={"parameters": 107, "graph_1": 64},
    )
    run = moved(moved(short(9), start, end), start, end)
    assert run.peak_bytes == short(9).peak_bytes + 8
    assert checked(run).baseline_bytes == 114
    bent = dataclasses.replace(end, phases={"query loss": 41, "meta-gradient": 70})
    with pytest.raises(Uneven):
        moved(short(9), start, bent)


def test_that_categories_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(Uneven):
        checked(dataclasses.replace(short(1), by_category={"parameters": 100}))
    with pytest.raises(Uneven):
        checked(dataclasses.replace(short(1), by_category={"parameters": 170, "graph_1": -10}))


def test_that_what_grows_unevenly_is_followed_step_by_step_or_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def uneven(*_: object) -> Short:
        raise Uneven

    shape, layers = STACKS["linear"]
    maml = {"kind": "maml", "inner_steps": 6, "tasks": 1, "support": 6, "query": 9}
    spec = run_of(layers, shape, workload=maml)
    expected = told(spec)
    monkeypatch.setattr(few_loops, "far", uneven)
    assert_equal(told(spec), expected)
    many = run_of(layers, shape, workload=maml | {"inner_steps": 600})
    outlook = FORECASTER.outlook(many)
    assert outlook.forecast is None
    assert outlook.absent == forecast_module._TOO_MANY


def test_that_unknown_scratch_in_a_short_run_makes_a_lower_bound() -> None:
    shape, layers = STACKS["linear"]
    maml = {"kind": "maml", "inner_steps": 6, "tasks": 2, "support": 6, "query": 9}
    hasty = Forecaster(lambda device, threads: Kernels(device, threads))
    outlook = hasty.outlook(run_of(layers, shape, workload=maml), learn_s=-1.0)
    assert outlook.forecast is not None
    assert not outlook.forecast.exact
    assert outlook.unfinished
