"""Many like parts foretold from few are what following each of them gives."""

from dataclasses import replace

import pytest

import core.measure.forecasting.forecast as forecast_module
from core.engine.excerpt import Excerpt
from core.measure.forecasting.few_steps import Uneven
from core.measure.forecasting.few_units import are_many, from_few_units, groups
from core.measure.forecasting.prediction import predict
from core.measure.memory.blocks import LedgerPhase
from core.results.forecast import Forecast
from core.spec.run import RunSpec
from tests.core.measure.forecasting.told import LAYERS, Told, report_of
from tests.core.measure.memory.exactness import (
    FORECASTER,
    PATIENT_S,
    assert_foretold_to_the_byte,
    run_of,
)

WORKLOADS: list[dict[str, object]] = [
    {"kind": "hvp", "vectors": 12},
    {"kind": "hvp", "vectors": 12, "mode": "forward_over_reverse"},
    {"kind": "hvp", "vectors": 12, "mode": "reverse_over_forward"},
    {"kind": "hvp", "vectors": 12, "mode": "finite_difference"},
    {"kind": "hessian"},
    {"kind": "hessian", "method": "vmap", "chunk_size": 2},
    {"kind": "hutchinson_trace", "probes": 12},
    {"kind": "hutchinson_trace", "probes": 12, "distribution": "gaussian"},
]


def run(workload: dict[str, object], layers: list[dict[str, object]] = LAYERS) -> RunSpec:
    return run_of(layers, [5], workload=workload)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_that_it_is_what_the_whole_run_holds(workload: dict[str, object]) -> None:
    spec = run(workload)

    assert are_many(groups(spec))
    assert_foretold_to_the_byte(spec)


def forecast(spec: RunSpec) -> Forecast:
    seen = FORECASTER.outlook(spec, learn_s=PATIENT_S)
    assert seen.forecast is not None, seen.absent
    return seen.forecast


@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "hvp", "vectors": 1000},
        {"kind": "hessian"},
        {"kind": "hutchinson_trace", "probes": 1000},
    ],
    ids=str,
)
def test_that_thousands_are_told_from_few(
    workload: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[int | None] = []

    def counted(spec: RunSpec, device: object, blocks: int, excerpt: Excerpt) -> object:
        followed.append(excerpt.units)
        return predict(spec, device, blocks, excerpt)

    monkeypatch.setattr(forecast_module, "predict", counted)
    wide = [{"kind": "linear", "out_features": 700}, {"kind": "tanh"}, *LAYERS[3:]]

    told = forecast(run(workload, wide))

    assert followed == [3, 4]
    assert told.exact
    assert told.seconds is not None


def test_that_seconds_grow_with_the_number_of_parts() -> None:
    few, many = (forecast(run({"kind": "hutchinson_trace", "probes": n})) for n in (20, 220))

    assert few.seconds is not None
    assert many.seconds is not None
    assert many.seconds > 5 * few.seconds
    assert many.peak_bytes - few.peak_bytes == 4 * 200


def test_that_rows_are_grouped_by_the_parameter_that_they_belong_to() -> None:
    assert groups(run({"kind": "hessian"})) == (30, 6, 18, 3)
    assert groups(run({"kind": "hessian", "method": "vmap", "chunk_size": 4})) == (8, 2, 5, 1)
    assert groups(run({"kind": "hvp", "vectors": 9})) == (9,)
    assert groups(run({"kind": "nested_gradient"})) == (1,)
    assert not are_many((7,))
    assert are_many((8,))


REPORT = report_of("rows")


def test_that_seconds_are_those_of_the_parts_left_out() -> None:
    """Groups of 10 and of 2: from 5 parts to 6 it takes 2 s more, and there are 12."""
    report, seconds = from_few_units((10, 2), lambda most: Told(REPORT, 1.0 + 2.0 * most))

    assert report == REPORT
    assert seconds == 1.0 + 2.0 * 4 + 2.0 * 6


def test_that_an_unknown_time_stays_unknown() -> None:
    assert from_few_units((10,), lambda most: Told(REPORT, None)) == (REPORT, None)


@pytest.mark.parametrize(
    "change",
    [
        {"peak_bytes": 91},
        {"baseline_bytes": 11},
        {"by_category": {"other": 99, "data": 1}},
        {"phases": (LedgerPhase("rows", 90, 1, None, True),)},
    ],
    ids=str,
)
def test_that_parts_that_are_not_alike_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(Uneven):
        from_few_units(
            (10,), lambda most: Told(replace(REPORT, **(change if most == 4 else {})), 1.0)
        )
