"""Runs of compiled computations, from the spec to the result."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from core.engine.compiling import STEP
from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.isolation import Isolation
from core.measure.correctness.preflight import preflight
from core.outlook import outlook
from core.results.events import Event, Finished, StageStarted
from core.results.measurement import Measurement
from core.results.outcome import Outcome
from core.runner import run
from core.spec.run import RunSpec

DOCUMENT: dict[str, Any] = {
    "device": "cpu",
    "model": {
        "input_shape": [1],
        "layers": [
            {"kind": "linear", "out_features": 4},
            {"kind": "tanh"},
            {"kind": "linear", "out_features": 1},
        ],
    },
    "data": {"kind": "sinusoid"},
    "workload": {"kind": "maml", "tasks": 2, "inner_steps": 1, "outer_steps": 0},
    "mitigation": {"compile": True},
    "measure": {"repetitions": 20, "warmup": 2},
}
SPEC = RunSpec.from_json(json.dumps(DOCUMENT))


@pytest.fixture(scope="module")
def events() -> Iterator[list[Event]]:
    """Of a run in a process of its own, as it is measured."""
    isolation = Isolation()
    yield list(isolation.run(SPEC))
    isolation.shut_down()


@pytest.fixture(scope="module")
def result(events: list[Event]) -> Measurement:
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.FINISHED, last.result.error
    return last.result


def stages(events: list[Event]) -> list[str]:
    return [event.stage for event in events if isinstance(event, StageStarted)]


def test_that_compiling_is_a_stage_of_its_own_before_anything_is_measured(
    events: list[Event],
) -> None:
    found = stages(events)
    assert found[: found.index("memory")][-2:] == ["prepare", "compile"]
    assert found.count("compile") == 1


def test_that_a_compiled_run_says_when_compiling_pays(result: Measurement) -> None:
    readings = result.readings
    assert result.time is not None
    compile_s, eager_s = readings["compile_s"], readings["eager_median_s"]
    assert compile_s is not None
    assert eager_s is not None
    assert compile_s > 0.5
    saved_s = eager_s - result.time.median_s
    assert saved_s > 0  # 100 operations in a few calls
    assert readings["pays_after_steps"] == math.ceil(compile_s / saved_s)
    (sentence,) = (note for note in result.notes if note.startswith("Compiling took "))
    assert "pays after" in sentence


def test_that_its_memory_adds_up_and_is_one_phase(result: Measurement) -> None:
    memory = result.memory
    assert memory is not None
    assert sum(memory.by_category.values()) == memory.total_bytes
    assert min(memory.by_category.values()) >= 0
    assert memory.by_category["gradients"] >= 4 * 13  # the result
    assert [phase.name for phase in result.phases] == [STEP]
    assert any("kernel temporaries" in warning for warning in result.warnings)


def test_that_its_result_is_that_of_the_engine_and_is_checked(result: Measurement) -> None:
    right = compute(prepare(SPEC, torch.device("cpu")), SILENT).result
    norm = torch.stack([tensor.norm() for tensor in right.values()]).norm().item()
    assert result.phases[0].result_norm == pytest.approx(norm, rel=1e-4)
    assert result.check is not None
    assert result.check.passed
    assert "the compiled result against the uncompiled one of the run itself" in result.check.method


def test_that_a_compiled_run_has_no_forecast_and_says_why(result: Measurement) -> None:
    assert result.forecast is None
    (said,) = (warning for warning in result.warnings if "no forecast" in warning)
    assert "known once it has" in said
    seen = outlook(SPEC)
    assert seen.forecast is None
    assert seen.absent is not None
    assert seen.absent in said


def test_that_nothing_is_computed_where_there_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = list(run(SPEC))
    last = found[-1]
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.FAILED
    assert last.result.error is not None
    assert "CXX names no-such-compiler" in last.result.error
    assert "allowed" in last.result.error
    assert last.result.sentence == last.result.error
    assert stages(found) == []


def test_that_preflight_knows_whether_there_is_a_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def errors(spec: RunSpec) -> list[str]:
        return [found.sentence for found in preflight(spec) if found.severity == "error"]

    assert errors(SPEC) == []
    monkeypatch.setenv("CXX", "no-such-compiler")
    (sentence,) = errors(SPEC)
    assert "CXX names no-such-compiler" in sentence
    assert errors(SPEC.with_changes({"mitigation.compile": False})) == []
