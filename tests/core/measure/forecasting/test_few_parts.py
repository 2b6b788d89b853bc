"""A batch in parts is foretold to the byte, and many parts from few."""

from dataclasses import replace

import pytest

import core.measure.forecasting.forecast as forecast_module
from core.engine.excerpt import Excerpt
from core.measure.forecasting.few_parts import (
    are_many_parts,
    followed,
    from_few_parts,
    sizes,
)
from core.measure.forecasting.few_steps import Uneven
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
    watched,
)
from tests.core.workloads_on_a_batch import ON_A_BATCH

WORKLOADS = [
    *(each for each in ON_A_BATCH if each.get("method") != "exact"),
    {"kind": "newton", "method": "exact", "steps": 1},
    {"kind": "hvp", "vectors": 12},
    {"kind": "hutchinson_trace", "probes": 12},
]
"""With more vectors and probes than are followed, too; one whole Hessian takes long enough."""

UNEVEN, MANY = 3, 30


def run(workload: dict[str, object], parts: int, batch: int = 8) -> RunSpec:
    return run_of(LAYERS, [5], workload=workload).with_changes(
        {"mitigation.accumulation": parts, "data.batch_size": batch}
    )


def forecast(spec: RunSpec) -> Forecast:
    seen = FORECASTER.outlook(spec, learn_s=PATIENT_S)
    assert seen.forecast is not None, seen.absent
    return seen.forecast


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_that_unequal_parts_are_foretold_to_the_byte(workload: dict[str, object]) -> None:
    assert_foretold_to_the_byte(run(workload, UNEVEN))


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_that_many_parts_hold_what_is_foretold_from_few(workload: dict[str, object]) -> None:
    spec = run(workload, MANY, batch=2 * MANY + 11)

    told, seen = forecast(spec), watched(spec)

    assert are_many_parts(sizes(spec))
    assert told.exact
    assert told.peak_bytes == seen.report.peak_bytes == seen.allocator.peak_bytes
    assert told.baseline_bytes == seen.report.baseline_bytes
    assert told.by_category == {k: v for k, v in seen.report.by_category.items() if v}


def test_that_few_parts_of_each_size_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def counted(spec: RunSpec, device: object, blocks: int, excerpt: Excerpt) -> object:
        asked.append(excerpt.parts)
        return predict(spec, device, blocks, excerpt)

    monkeypatch.setattr(forecast_module, "predict", counted)

    told = forecast(run({"kind": "nested_gradient", "order": 2}, 1000, batch=2001))

    assert asked == [3, 4]
    assert told.exact
    assert told.seconds is not None


def test_that_the_larger_parts_come_first_and_are_followed_beside_the_smaller_ones() -> None:
    assert sizes(run({"kind": "hvp"}, 4, batch=10)) == (3, 3, 2, 2)
    assert followed((3, 3, 3, 3, 2, 2), 2) == (3, 3, 2, 2)
    assert not are_many_parts((2,) * 7)
    assert are_many_parts((2,) * 8)
    assert sizes(run({"kind": "hvp"}, 1)) == ()


REPORT = report_of("part 1: forward")


def test_that_seconds_are_those_of_the_examples_left_out() -> None:
    """10 parts of 3: from 9 examples to 12 it takes 6 s more, and there are 30."""
    report, seconds = from_few_parts((3,) * 10, lambda most: Told(REPORT, 1.0 + 6.0 * most))

    assert report == REPORT
    assert seconds == 1.0 + 6.0 * 10


@pytest.mark.parametrize(
    "change",
    [
        {"peak_bytes": 91},
        {"by_category": {"other": 99, "data": 1}},
        {"phases": (LedgerPhase("part 1: forward", 90, 1, None, True),)},
        {"phases": (*REPORT.phases, LedgerPhase("part 2: forward", 91, 0, None, True))},
    ],
    ids=str,
)
def test_that_parts_that_are_not_alike_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(Uneven):
        from_few_parts(
            (3,) * 10, lambda most: Told(replace(REPORT, **(change if most == 4 else {})), 1.0)
        )
