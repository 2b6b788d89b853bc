"""What outlives a workload is reported with what it was, and figures that are absent with why."""

from dataclasses import replace
from functools import partial

import pytest
import torch

import core.measure.compiling as compiling_module
import core.outlook as outlook_module
from core.engine.computed import Computed
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads import compute
from core.found import leak_sentence
from core.measure.memory.blocks import Block
from core.partial import PartialRun
from core.results.events import Finished
from core.results.measurement import NO_CHECK, NO_FORECAST, NO_MEMORY, NO_TIME, Measurement
from core.results.outcome import Outcome
from core.runner import run
from core.spec.run import RunSpec
from tests.core.measure.memory.exactness import run_of
from tests.core.measure.memory.test_exactness import STACKS

SHAPE, LAYERS = STACKS["linear"]
QUICK = {"repetitions": 2, "warmup": 0}
SPEC = run_of(LAYERS, SHAPE, measure=QUICK)
KEPT_BYTES = 12_000


def finish(spec: RunSpec = SPEC, **options: object) -> Measurement:
    *_, last = run(spec, **options)
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.FINISHED, last.result.error
    return last.result


def leaks(result: Measurement) -> list[str]:
    return [sentence for sentence in result.warnings if "outlived the workload" in sentence]


def test_that_a_clean_run_leaks_nothing() -> None:
    for kind in ("none", "torch", "rematerialize"):
        mitigation = {"checkpointing": {"kind": kind}}
        assert leaks(finish(run_of(LAYERS, SHAPE, measure=QUICK, mitigation=mitigation))) == []


def test_that_a_tensor_that_is_kept_is_a_leak_with_its_origin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[torch.Tensor] = []

    def leaking(problem: Problem, recorder: Recorder) -> Computed:
        computed = compute(problem, recorder)
        with recorder.phase("afterwards"):
            recorder.born("activations")
            recorder.layer(2)
            kept.append(torch.ones(KEPT_BYTES // 4))
        return computed

    monkeypatch.setattr(compiling_module, "computation", lambda problem: partial(leaking, problem))
    (sentence,) = leaks(finish())
    assert sentence == (
        f"{KEPT_BYTES:,} bytes outlived the workload, which is a leak: {KEPT_BYTES:,} bytes of "
        "activations of afterwards, layer 3."
    )


class Node:
    """Something that refers to itself, and to a tensor."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.itself = self
        self.tensor = tensor


def test_that_a_reference_cycle_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def cyclic(problem: Problem, recorder: Recorder) -> Computed:
        computed = compute(problem, recorder)
        with recorder.phase("afterwards"):
            recorder.born("graph_1")
            Node(torch.ones(KEPT_BYTES // 4))
        return computed

    monkeypatch.setattr(compiling_module, "computation", lambda problem: partial(cyclic, problem))
    (sentence,) = leaks(finish())
    assert sentence.startswith(f"{KEPT_BYTES:,} bytes outlived the workload until Python's garbage")
    assert "reference cycle" in sentence
    assert sentence.endswith(f"{KEPT_BYTES:,} bytes of graph_1 of afterwards.")


def test_that_the_three_largest_leaks_are_named_and_all_are_counted() -> None:
    blocks = tuple(
        Block(nbytes, category, layer, phase)
        for nbytes, category, layer, phase in [
            (1000, "activations", 0, 0),
            (500, "activations", 0, 0),
            (1200, "gradients", -1, 1),
            (30, "other", -1, 1),
            (7, "data", -1, 0),
        ]
    )
    assert leak_sentence(blocks, ("forward", "gradient 1"), cycle=False) == (
        "2,737 bytes outlived the workload, which is a leak: 1,500 bytes of activations of "
        "forward, layer 1, 1,200 bytes of gradients of gradient 1, 30 bytes of other of gradient 1."
    )


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        run_of(
            LAYERS,
            SHAPE,
            measure=QUICK,
            workload={"kind": "maml", "inner_steps": 6, "tasks": 2, "support": 4, "query": 4},
        ),
        run_of(
            STACKS["batch_norm"][1],
            STACKS["batch_norm"][0],
            measure=QUICK,
            workload={"kind": "nested_gradient", "order": 3},
            mitigation={"checkpointing": {"kind": "rematerialize"}},
        ),
    ],
    ids=["mlp", "maml", "convolutions"],
)
def test_that_a_runs_forecast_is_its_peak_to_the_byte(spec: RunSpec) -> None:
    result = finish(spec)
    assert result.forecast is not None
    assert result.memory is not None
    assert result.forecast.exact
    assert result.forecast.peak_bytes == result.memory.peak_bytes
    assert result.forecast.by_category == result.memory.by_category
    assert result.forecast.baseline_bytes == result.memory.baseline_bytes
    assert result.check is not None
    assert result.check.passed


def test_that_a_forecast_that_is_there_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = finish().forecast
    assert first is not None

    def made_again(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(outlook_module.forecaster, "outlook", made_again)
    marked = first.model_copy(update={"memory_name": "handed over"})
    result = finish(forecast=marked)
    assert result.forecast == marked
    assert not any("forecast" in sentence for sentence in result.warnings)


def test_that_a_run_that_ends_early_says_why_figures_are_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Computed:
        raise RuntimeError("the operation is broken")

    monkeypatch.setattr(compiling_module, "computation", lambda problem: partial(broken, problem))
    *_, last = run(SPEC)
    assert isinstance(last, Finished)
    result = last.result
    assert result.outcome is Outcome.FAILED
    assert (result.memory, result.time, result.check) == (None, None, None)
    assert {NO_MEMORY, NO_TIME, NO_CHECK} <= set(result.warnings)
    assert result.forecast is not None
    assert NO_FORECAST not in result.warnings


def test_that_a_run_refused_beforehand_has_no_figure_and_every_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny = outlook_module.describe(torch.device("cpu")).model_copy(update={"available_bytes": 10})
    monkeypatch.setattr(outlook_module, "describe", lambda _: tiny)
    *_, last = run(SPEC)
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.OUT_OF_MEMORY
    assert {NO_FORECAST, NO_MEMORY, NO_TIME, NO_CHECK} <= set(last.result.warnings)


def test_that_a_cancelled_run_says_why_figures_are_absent() -> None:
    """As far as it came: forecast and memory are there, times and check are not."""
    events = run(SPEC)
    partial = PartialRun(next(events))
    nothing = partial.end(Outcome.CANCELLED).result
    assert {NO_FORECAST, NO_MEMORY, NO_TIME, NO_CHECK} <= set(nothing.warnings)
    for event in events:
        partial.add(event)
        if event.type == "memory_measured":
            break
    result = partial.end(Outcome.CANCELLED).result
    assert result.forecast is not None
    assert result.memory is not None
    absent = {NO_FORECAST, NO_MEMORY, NO_TIME, NO_CHECK} & set(result.warnings)
    assert absent == {NO_TIME, NO_CHECK}


def test_that_an_absent_forecast_has_its_own_reason_and_no_other() -> None:
    embedding, *others = STACKS["embedding"][1]
    sparse = run_of([embedding | {"sparse": True}, *others], [6], measure=QUICK)
    result = finish(sparse)
    assert result.forecast is None
    (reason,) = [sentence for sentence in result.warnings if "forecast" in sentence]
    assert reason.startswith(
        "There is no forecast. Tensors without numbers have no second derivative"
    )


def test_that_blocks_are_told_apart_by_layer() -> None:
    block = Block(10, "graph_1", 4, 0)
    assert "layer 5" in leak_sentence((block,), ("forward",), cycle=False)
    assert "layer" not in leak_sentence((replace(block, layer=-1),), ("forward",), cycle=False)
