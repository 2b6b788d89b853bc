"""Growth over inner steps: lines through known levels, and runs of the real engine."""

import gc
import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from core.engine import inner_loop
from core.engine.inner_loop import SupportLoss, Weights
from core.engine.recorder import Recorder
from core.results.events import Finished
from core.results.forecast import ForecastPhase
from core.results.growth import Growth, Verdict, designed_bytes, growth, steps_of
from core.results.measurement import Measurement
from core.runner import run
from core.spec.run import RunSpec

MIB = 2**20


def found(retained: Sequence[int], designed: int | None, left_behind: float = 0.0) -> Growth:
    grown = growth(retained, designed, left_behind)
    assert grown is not None
    return grown


def test_that_the_line_is_the_least_squares_one() -> None:
    retained = [900, 310, 280, 305, 290, 330, 299]

    grown = found(retained, 300)

    levels = np.cumsum(retained)
    steps = np.arange(1, len(levels) + 1)
    slope, offset = np.polyfit(steps, levels, 1)
    rest = ((levels - slope * steps - offset) ** 2).sum()
    assert grown.bytes_per_step == pytest.approx(slope, rel=1e-12)
    assert grown.fit == pytest.approx(1 - rest / ((levels - levels.mean()) ** 2).sum(), rel=1e-12)


def test_that_what_a_forecast_says_too_is_by_design() -> None:
    grown = found([5 * MIB, 2 * MIB, 2 * MIB, 2 * MIB], 2 * MIB)

    assert grown.verdict is Verdict.BY_DESIGN
    assert grown.sentence("its graph") == (
        "Memory grows by 2.00 MiB per inner step, linear by design: each step keeps its graph."
    )
    assert grown.readings == {"bytes_per_inner_step": 2 * MIB, "inner_step_fit": 1.0}


def test_that_runs_that_keep_their_first_weights_are_by_design() -> None:
    grown = growth([MIB, 0, 0, MIB, 0, MIB], None, runs=3)

    assert grown is not None
    assert grown.verdict is Verdict.IN_RUNS
    assert grown.sentence("its weights alone") == (
        f"Memory grows by {grown.bytes_per_step / 1024:.1f} KiB per inner step on average, by "
        "design: until it is differentiated, each of 3 runs of steps keeps its first weights alone."
    )
    leaking = growth([MIB, 0, 0, MIB, 0, MIB], None, 1.0, runs=3)
    assert leaking is not None
    assert leaking.verdict is Verdict.LEAK


def test_that_steps_that_keep_nothing_are_flat() -> None:
    grown = found([3 * MIB, 0, 0, 0, 0], 0)

    assert grown.verdict is Verdict.FLAT
    assert grown.sentence("its graph") == (
        "Memory does not grow with the inner steps: each lets go of the one before."
    )


@pytest.mark.parametrize("designed", [0, 2 * MIB])
def test_that_a_tensor_that_nobody_needs_is_a_leak(designed: int) -> None:
    """Each step keeps 4 KiB more than it should, out of nothing or out of megabytes."""
    leak = 4096 if designed == 0 else designed // 50
    grown = found([5 * MIB] + [designed + leak] * 9, designed)

    assert grown.verdict is Verdict.LEAK
    assert grown.leaked_bytes == pytest.approx(leak, rel=1e-9)


def test_that_what_outlived_the_workload_is_a_leak_though_a_forecast_expects_it() -> None:
    grown = found([3 * MIB] * 5, 3 * MIB, left_behind=MIB)

    assert grown.verdict is Verdict.LEAK
    assert grown.sentence("its graph") == (
        "Memory grows by 3.00 MiB per inner step, of which 1.00 MiB are a leak: nothing needs "
        "them. By design a step keeps 2.00 MiB."
    )


def test_that_growth_off_a_line_is_not_called_linear() -> None:
    grown = found([100, 200, 400, 800, 1600], 3000)

    assert grown.verdict is Verdict.UNEVEN
    assert "not evenly (R² 0.8" in grown.sentence("its graph")


def test_that_without_a_forecast_growth_is_not_explained() -> None:
    assert found([2048] * 4, None).sentence("its graph") == (
        "Memory grows by 2.0 KiB per inner step; without a forecast it is not known how much of "
        "it is by design."
    )


def test_that_two_steps_are_too_few() -> None:
    assert growth([100, 100], 100) is None


def test_that_steps_are_those_of_the_first_task() -> None:
    phases = [
        ("task 1: features", 7),
        ("task 1: inner step 1", 1),
        ("task 1: inner step 2", 2),
        ("task 1: query loss", 9),
        ("task 2: inner step 1", 3),
    ]
    assert steps_of(phases) == [1, 2]
    assert steps_of([("inner step 1", 4), ("query loss", 5)]) == [4]


def test_that_a_forecast_tells_what_its_last_step_keeps() -> None:
    def phase(name: str, retained: int) -> ForecastPhase:
        return ForecastPhase(name=name, peak_bytes=0, retained_bytes=retained)

    assert designed_bytes([phase("query loss", 1), phase("last inner step", 5)]) == 5
    steps = [phase("task 2: inner step 1", 3), phase("task 2: inner step 2", 4)]
    assert designed_bytes([*steps, phase("task 2: query loss", 9)]) == 4
    assert designed_bytes([phase("forward", 1)]) is None


# ---------------------------------------------------------------------------------- real runs


def finished(spec: RunSpec) -> Measurement:
    *_, last = run(spec)
    assert isinstance(last, Finished)
    assert last.result.error is None
    return last.result


def unrolled(width: int = 8, depth: int = 2, examples: int = 16, **workload: object) -> RunSpec:
    linear = {"kind": "linear", "out_features": width}
    layers = [linear, {"kind": "tanh"}] * depth + [linear]
    asked = {"kind": "maml", "inner_steps": 6, "tasks": 2, "support": examples, "query": examples}
    document = {
        "model": {"input_shape": [width], "layers": layers},
        "workload": asked | workload,
        "device": "cpu",
        "measure": {"repetitions": 1, "warmup": 0},
    }
    return RunSpec.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("workload", "verdict"),
    [
        ({"order": 2}, "linear by design: each step keeps its graph."),
        ({"order": 3, "inner_steps": 4}, "linear by design: each step keeps its graph."),
        ({"variant": "anil"}, "linear by design: each step keeps its graph."),
        ({"order": 1}, "does not grow"),
        ({"variant": "reptile", "order": 1}, "does not grow"),
        ({"variant": "imaml"}, "does not grow"),
    ],
)
def test_that_a_run_says_why_memory_grows(workload: dict[str, object], verdict: str) -> None:
    result = finished(unrolled(**workload))

    assert any(verdict in note for note in result.notes)
    assert result.readings["inner_step_fit"] == 1.0


@pytest.mark.parametrize("inner_loop", ["segments", "segments_saved_gradient"])
def test_that_runs_of_steps_are_no_leak(inner_loop: str) -> None:
    result = finished(
        unrolled(32, inner_steps=9).with_changes(
            {"mitigation.inner_loop": inner_loop, "mitigation.inner_segments": 3}
        )
    )

    (note,) = result.notes
    assert "each of 3 runs of steps keeps its first weights alone" in note
    assert not any("leak" in warning for warning in result.warnings)


@pytest.mark.parametrize("way", ["checkpoint", "saved_gradient"])
def test_that_a_step_keeps_its_weights_alone(way: str) -> None:
    result = finished(unrolled().with_value("mitigation.inner_loop", way))

    assert "each step keeps its weights alone" in result.notes[0]
    weights = sum(layer.parameters for layer in result.layers) * 4
    assert result.readings["bytes_per_inner_step"] == weights


def test_that_a_step_grows_by_three_times_its_activations() -> None:
    """8 blocks of Linear(64) + Tanh and a last Linear on 1024 examples: 2 MiB of activations."""
    result = finished(unrolled(64, 8, 1024, tasks=1, inner_steps=4))

    activations = 8 * 64 * 1024 * 4
    assert 3.0 <= result.readings["bytes_per_inner_step"] / activations <= 3.4
    assert result.readings["inner_step_fit"] > 0.999


def test_that_a_step_of_anil_keeps_no_more_than_the_graph_of_the_head() -> None:
    """Of the same network: it has five layers with weights, the last of which steps."""
    maml = finished(unrolled(depth=4, inner_steps=4, tasks=1))
    anil = finished(unrolled(depth=4, inner_steps=4, tasks=1, variant="anil"))

    name = "bytes_per_inner_step"
    assert 0 < anil.readings[name] < maml.readings[name] / 5


def test_that_a_step_that_keeps_a_tensor_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forecast runs the same engine, so it keeps tensors too; what is left behind tells."""
    kept: list[torch.Tensor] = []
    right = inner_loop.standard_step

    def leaking(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
        stepped = right(loss, weights, rate, recorder)
        kept.append(stepped[0].detach().clone())
        return stepped

    monkeypatch.setitem(inner_loop.INNER_STEPS, "standard", leaking)

    result = finished(unrolled())

    (sentence,) = (one for one in result.warnings if one.startswith("Memory grows"))
    assert "of which 256 bytes are a leak" in sentence
    assert result.notes == ()
    kept.clear()
    gc.collect()
