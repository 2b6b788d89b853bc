"""The measuring loop: what it says, in which order, and what the figures mean."""

import json
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import core.measure.compiling as compiling_module
import core.outlook as outlook_module
from core.results.device import Device
from core.results.events import Event, Finished, MemorySamples, PhaseStarted, Repetition, Started
from core.results.measurement import Measurement
from core.results.outcome import Outcome
from core.runner import run
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec
from core.spec.size import least_bytes

LAYERS = [{"kind": "linear", "out_features": 16}, {"kind": "tanh"}, {"kind": "linear"}]
QUICK = {"repetitions": 3, "warmup": 1}


def spec(layers: list[dict] | None = None, **keys: object) -> RunSpec:
    document = {
        "model": {"input_shape": [8], "layers": layers or LAYERS},
        "data": {"kind": "synthetic", "batch_size": 32},
        "device": "cpu",
        "measure": QUICK,
    }
    return RunSpec.from_json(json.dumps(document | keys))


def finish(value: RunSpec, **options: object) -> tuple[list[Event], Measurement]:
    events = list(run(value, **options))
    assert isinstance(events[-1], Finished)
    return events, events[-1].result


def test_that_a_run_starts_streams_memory_then_times_and_finishes() -> None:
    events, result = finish(spec())
    kinds = [event.type for event in events]
    assert isinstance(events[0], Started)
    assert kinds.index("memory") < kinds.index("repetition")
    assert [event.name for event in events if isinstance(event, PhaseStarted)] == [
        "forward",
        "gradient 1",
        "gradient 2",
    ]
    timed = [event for event in events if isinstance(event, Repetition) and not event.warm_up]
    assert len(timed) == 3
    assert result.outcome is Outcome.FINISHED
    assert result.time is not None
    assert result.time.samples_s == tuple(event.seconds for event in timed)
    assert result.time.first_s is not None


def test_that_times_of_events_never_run_backwards() -> None:
    events, _ = finish(spec())
    seconds = [
        t
        for event in events
        for t in (event.t_s if isinstance(event, MemorySamples) else [getattr(event, "t_s", None)])
        if t is not None
    ]
    assert seconds[0] >= 0
    stage_seconds = [event.t_s for event in events if event.type == "stage"]
    assert stage_seconds == sorted(stage_seconds)


def test_that_the_baseline_is_what_parameters_and_data_weigh() -> None:
    _, result = finish(spec())
    parameters = 8 * 16 + 16 + 16 * 64 + 64
    data = 32 * 8 + 32 * 64
    assert result.memory is not None
    assert result.memory.baseline_bytes == 4 * (parameters + data)
    assert result.memory.by_category["parameters"] == 4 * parameters
    assert result.memory.by_category["data"] == 4 * data


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_categories_sum_to_baseline_and_peak_and_the_timeline_reaches_it(order: int) -> None:
    events, result = finish(spec(workload={"kind": "nested_gradient", "order": order}))
    memory = result.memory
    assert memory is not None
    assert sum(memory.by_category.values()) == memory.total_bytes
    timeline = events[-1].timeline
    assert max(timeline.totals()) == memory.total_bytes
    assert max(phase.peak_bytes for phase in result.phases) == memory.peak_bytes
    assert [span.name for span in timeline.phases] == [phase.name for phase in result.phases]


def test_that_memory_repeats_to_the_byte() -> None:
    first, second = finish(spec())[1], finish(spec())[1]
    assert first.memory == second.memory
    assert first.layers == second.layers


def test_that_phase_norms_are_those_of_a_plain_script(tmp_path: Path) -> None:
    """The same numbers by torch alone, from the saved parameters and data."""
    file = tmp_path / "tensors.npz"
    _, result = finish(spec(mitigation={"precision": "float64"}), save_tensors=file)
    saved = {name: torch.from_numpy(array) for name, array in np.load(file).items()}
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 64)).double()
    model.load_state_dict(
        {name.removeprefix("parameters/"): t for name, t in saved.items() if "parameters" in name}
    )
    loss = nn.functional.mse_loss(model(saved["data/x"]), saved["data/y"])
    first = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    second = torch.autograd.grad(sum(g.sum() for g in first), list(model.parameters()))
    norms = [loss, nn.utils.get_total_norm(first), nn.utils.get_total_norm(second)]
    assert [phase.result_norm for phase in result.phases] == pytest.approx(
        [norm.item() for norm in norms], rel=1e-12
    )
    for (name, _), gradient in zip(model.named_parameters(), second, strict=True):
        torch.testing.assert_close(saved[f"result/{name}"], gradient, rtol=1e-12, atol=1e-14)


def test_that_maml_saves_its_tasks_and_meta_gradient(tmp_path: Path) -> None:
    file = tmp_path / "tensors.npz"
    workload = {"kind": "maml", "tasks": 3, "support": 5, "query": 7, "inner_steps": 2}
    finish(spec(workload=workload), save_tensors=file)
    saved = np.load(file)
    assert saved["data/support_x"].shape == (3, 5, 8)
    assert saved["data/query_y"].shape == (3, 7, 64)
    assert saved["result/0.weight"].shape == saved["parameters/0.weight"].shape


def test_that_outer_steps_draw_a_learning_curve() -> None:
    workload = {"kind": "maml", "tasks": 2, "inner_steps": 1, "outer_steps": 4, "outer_lr": 0.05}
    events, result = finish(spec(workload=workload))
    (curve,) = result.curves
    assert (curve.chart, curve.name, curve.x) == ("learning", "outer loss", (0, 1, 2, 3))
    assert curve.y[-1] < curve.y[0]
    points = [event for event in events if event.type == "chart_point"]
    assert [(event.x, event.y) for event in points] == list(zip(curve.x, curve.y, strict=True))
    assert points[-1].done == 1


def test_that_a_run_reads_the_loss_before_and_after_adapting() -> None:
    workload = {"kind": "maml", "tasks": 2, "inner_steps": 2, "inner_lr": 0.1}
    _, result = finish(spec(workload=workload))
    assert list(result.readings) == [
        "loss_before_adaptation",
        "loss_after_adaptation",
        "precision_error",
    ]
    assert result.readings["loss_after_adaptation"] < result.readings["loss_before_adaptation"]


def test_that_conjugate_gradients_that_have_not_converged_are_a_warning() -> None:
    workload = {"kind": "maml", "variant": "imaml", "tasks": 1, "regularisation": 1e-3}
    _, result = finish(spec(workload=workload | {"inner_steps": 1, "cg_iterations": 1}))
    assert result.outcome is Outcome.FINISHED
    assert any("Conjugate gradients have not converged" in one for one in result.warnings)


def test_that_nan_is_a_finished_run_with_a_warning_on_every_figure_it_touches() -> None:
    workload = {
        "kind": "maml",
        "tasks": 1,
        "inner_steps": 40,
        "inner_lr": 1e30,
        "outer_steps": 2,
    }
    _, result = finish(spec(workload=workload))
    assert result.outcome is Outcome.FINISHED
    said = " ".join(result.warnings)
    assert "The loss is not a finite number" in said
    assert "inner step 2 and those of 40 later phases hold NaN or infinite values" in said
    assert "The outer loss is NaN" in said
    assert result.curves[0].y == (None, None)
    assert result.phases[-1].result_norm is None
    assert json.loads(result.model_dump_json())["curves"][0]["y"] == [None, None]


def test_that_an_identically_zero_derivative_is_a_result_of_zeros_with_a_warning() -> None:
    value = spec([{"kind": "linear"}], workload={"kind": "nested_gradient", "order": 3})
    _, result = finish(value)
    assert result.outcome is Outcome.FINISHED
    assert result.phases[-1].result_norm == 0.0
    assert any("identically zero" in warning for warning in result.warnings)


def test_that_a_spec_with_problems_is_refused_before_the_first_event() -> None:
    with pytest.raises(InvalidSpec, match="No layer has parameters"):
        run(spec([{"kind": "relu"}]))
    with pytest.raises(InvalidSpec, match="device: cuda:7 was given"):
        run(spec(device="cuda:7"))


def test_that_what_cannot_fit_is_refused_before_it_is_allocated_and_can_be_forced(
    monkeypatch,
) -> None:
    small = Device(name="cpu", title="c", memory_bytes=1000, available_bytes=1000)
    monkeypatch.setattr(outlook_module, "describe", lambda _: small)
    events, refused = finish(spec())
    assert refused.outcome is Outcome.OUT_OF_MEMORY
    assert refused.error is not None
    assert "It needs at least" in refused.error
    assert "can be forced" in refused.error
    assert refused.memory is None
    assert len([warning for warning in refused.warnings if "There are no" in warning]) == 2
    assert "memory" not in [event.type for event in events]
    assert finish(spec(), force=True)[1].outcome is Outcome.FINISHED


def test_that_an_allocation_that_fails_is_out_of_memory_and_not_a_failure() -> None:
    huge = spec([{"kind": "linear", "out_features": 10**9}]).with_changes(
        {"model.input_shape": [10**9]}
    )
    _, result = finish(huge, force=True)
    assert result.outcome is Outcome.OUT_OF_MEMORY
    assert result.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GiB)"),
    ],
)
def test_that_every_way_of_running_out_of_memory_is_known(monkeypatch, error) -> None:
    def without_room(*_: object) -> None:
        raise error

    monkeypatch.setattr(
        compiling_module, "computation", lambda problem: partial(without_room, problem)
    )
    _, result = finish(spec())
    assert result.outcome is Outcome.OUT_OF_MEMORY
    assert (result.error or "").startswith(str(error).splitlines()[0])


def test_that_an_operation_that_raises_is_a_failed_run_with_its_sentence(monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("derivative for aten::cdist is not implemented\nstack follows")

    monkeypatch.setattr(compiling_module, "computation", lambda problem: partial(broken, problem))
    _, result = finish(spec())
    assert result.outcome is Outcome.FAILED
    assert result.error == "derivative for aten::cdist is not implemented."


def test_that_closing_the_stream_ends_the_memory_pass() -> None:
    workload = {"kind": "maml", "inner_steps": 3000, "tasks": 1}
    events = run(spec(workload=workload))
    for event in events:
        if event.type == "memory":
            break
    assert "memory pass" in [thread.name for thread in threading.enumerate()]
    events.close()
    assert "memory pass" not in [thread.name for thread in threading.enumerate()]


MITIGATED = {"inner_loop": "checkpoint", "checkpointing": {"kind": "rematerialize"}}


@pytest.mark.parametrize("order", [2, 3, 4])
def test_that_being_watched_does_not_change_a_result(order: int, tmp_path: Path) -> None:
    """What a rematerialized segment still holds was once added to in place by the ledger."""
    workload = {
        "kind": "maml",
        "order": order,
        "inner_steps": 3,
        "tasks": 2,
        "inner_lr": 0.1,
    }
    norms = {}
    for name, mitigation in (("mitigated", MITIGATED), ("plain", {})):
        value = spec(workload=workload, mitigation={"precision": "float64"} | mitigation)
        file = tmp_path / f"{name}.npz"
        _, result = finish(value, save_tensors=file)
        saved = np.load(file)
        tensors = [saved[key] for key in saved.files if key.startswith("result/")]
        norms[name] = result.phases[-1].result_norm
        norms[f"{name}, saved"] = np.sqrt(sum((tensor**2).sum() for tensor in tensors))
    assert norms["mitigated"] == pytest.approx(norms["plain"], rel=1e-12)
    assert norms["mitigated, saved"] == pytest.approx(norms["plain, saved"], rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_outer_steps_follow_a_gradient_of_the_loss_at_every_order(order: int) -> None:
    workload = {
        "kind": "maml",
        "order": order,
        "tasks": 2,
        "inner_steps": 2,
        "outer_steps": 12,
        "outer_lr": 0.02,
    }
    _, result = finish(spec(workload=workload))
    losses = [loss for loss in result.curves[0].y if loss is not None]
    assert losses[-1] < 0.97 * losses[0]


def test_that_a_result_of_zeros_that_autograd_does_not_know_of_is_said() -> None:
    """A ReLU network is piecewise linear in its inputs."""
    layers = [{"kind": "linear"}, {"kind": "relu"}, {"kind": "linear", "out_features": 2}]
    workload = {"kind": "nested_gradient", "order": 3, "wrt": "inputs"}
    _, result = finish(spec(layers, workload=workload))
    assert result.phases[-1].result_norm == 0
    assert "The result of gradient 3 is zero in every entry." in result.warnings


def test_that_a_large_but_finite_norm_is_a_number() -> None:
    layers = [{"kind": "linear", "out_features": 2}]
    workload = {"kind": "maml", "order": 1, "tasks": 1, "inner_steps": 1, "inner_lr": 1e200}
    value = spec(layers, workload=workload, mitigation={"precision": "float64"})
    _, result = finish(value)
    norm = result.phases[0].result_norm
    assert norm is not None
    assert norm > 1e190


def test_that_tensors_that_cannot_be_written_are_a_warning_of_a_finished_run(tmp_path) -> None:
    _, result = finish(spec(), save_tensors=tmp_path)
    assert result.outcome is Outcome.FINISHED
    assert any("could not be written" in warning for warning in result.warnings)
    assert list(tmp_path.parent.glob(".*unfinished")) == []


@pytest.mark.parametrize(
    "value",
    [
        spec(),
        spec([{"kind": "flatten"}, {"kind": "linear", "out_features": 1}]),
        spec(workload={"kind": "nested_gradient", "order": 1, "wrt": "inputs"}),
        spec(workload={"kind": "maml", "order": 1, "tasks": 3, "inner_steps": 1}),
        spec(loss="cross_entropy", mitigation={"precision": "float64"}),
        spec([{"kind": "embedding", "num_embeddings": 5000, "sparse": True}]),
        spec(mitigation={"checkpointing": {"kind": "rematerialize"}}),
    ],
    ids=lambda value: value.model.layers[0].kind + "-" + value.workload.kind,
)
def test_that_what_a_run_takes_is_never_less_than_the_least(value: RunSpec) -> None:
    """A run that would fit is never refused."""
    least = least_bytes(value)
    _, result = finish(value)
    assert least is not None
    assert result.memory is not None
    assert least.total <= result.memory.total_bytes
    assert least.total > result.memory.baseline_bytes


def test_that_layers_carry_their_share_of_the_peak() -> None:
    _, result = finish(spec())
    memory = result.memory
    assert memory is not None
    shares = [layer.bytes_at_peak or 0 for layer in result.layers]
    assert all(share > 0 for share in shares)
    assert sum(shares) <= memory.total_bytes


@pytest.mark.parametrize("kind", ["none", "torch", "rematerialize"])
def test_that_torch_loads_nothing_in_the_middle_of_the_memory_pass(kind: str) -> None:
    """Its late imports take seconds, which would dwarf the computation on the time axis."""
    script = f"""
import sys
from core.runner import run
from core.spec.presets import preset
spec = preset("lecture-relu-network").spec.with_changes({{
    "mitigation.checkpointing.kind": "{kind}", "measure.repetitions": 1, "workload.order": 2}})
for event in run(spec):
    if event.type == "stage" and event.stage == "memory":
        before = set(sys.modules)
    if event.type == "stage" and event.stage == "allocator":
        print(sorted(name for name in set(sys.modules) - before if name.startswith("torch")))
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    late = done.stdout.strip()
    assert len(late.split(",")) < 10, late


def test_that_a_hessian_comes_with_its_picture_and_readings() -> None:
    _, result = finish(spec(workload={"kind": "hessian", "method": "vmap"}, layers=LAYERS[:2]))

    parameters = 8 * 16 + 16
    assert result.heat_map is not None
    assert result.heat_map.size == parameters
    assert [block.name for block in result.heat_map.blocks] == ["0.weight", "0.bias"]
    assert set(result.readings) == {"largest_asymmetry", "trace", "precision_error"}
    assert result.readings["largest_asymmetry"] == pytest.approx(0, abs=1e-5)
    assert result.check is not None
    assert result.check.passed
    assert Measurement.model_validate_json(result.model_dump_json()) == result


def test_that_a_hessian_that_cannot_fit_is_refused_with_what_can() -> None:
    wide = [{"kind": "linear", "out_features": 500_000}]
    _, result = finish(spec(wide, workload={"kind": "hessian"}))

    assert result.outcome is Outcome.OUT_OF_MEMORY
    assert result.error is not None
    assert result.error.endswith(
        "Hessian-vector products (workload.kind hvp) never form the matrix."
    )


def test_that_a_run_tells_of_a_setting_without_effect() -> None:
    value = spec(mitigation={"checkpointing": {"segments": 2}})
    told = (
        "mitigation.checkpointing.segments has no effect here: "
        'mitigation.checkpointing.kind is "none".'
    )
    events, result = finish(value)
    assert told in result.warnings
    assert told in [event.sentence for event in events if event.type == "warned"]
