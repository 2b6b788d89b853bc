"""Numbers on the device, against those of the CPU."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.results.events import Finished
from core.results.outcome import Outcome
from core.runner import run
from core.spec.presets import preset
from core.spec.run import RunSpec
from tests.oracles import relative_error

QUICK = {
    "mitigation.precision": "float64",
    "measure.repetitions": "1",
    "measure.warmup": "0",
}
PRESETS = {
    "lecture-second-order": {},
    "conv-order-2": {"data.batch_size": "8"},
    "deep-mlp": {"data.batch_size": "32", "workload.order": "3"},
    "deep-mlp-rematerialize": {"data.batch_size": "32", "workload.order": "3"},
    "sinusoid-maml": {"workload.outer_steps": "2"},
    "digits-5-way-1-shot": {"workload.outer_steps": "2"},
}


def with_values(spec: RunSpec, values: dict[str, str]) -> RunSpec:
    for key, value in values.items():
        spec = spec.with_value(key, value)
    return spec


@pytest.mark.parametrize("name", PRESETS)
def test_that_the_gradients_are_those_of_the_processor(name: str, tmp_path: Path) -> None:
    saved = {}
    for device in ("cpu", "cuda:0"):
        file = tmp_path / f"{device[:3]}.npz"
        spec = with_values(preset(name).spec, QUICK | PRESETS[name] | {"device": device})
        *_, last = run(spec, save_tensors=file)
        assert isinstance(last, Finished)
        assert last.result.outcome is Outcome.FINISHED, last.result.error
        arrays = np.load(file)
        saved[device] = [torch.from_numpy(arrays[key]) for key in arrays if "result/" in key]
    assert relative_error(saved["cuda:0"], saved["cpu"]) < 1e-10


def dropout(checkpointing: str, seed: int = 0) -> RunSpec:
    block = [
        {"kind": "linear", "out_features": 64},
        {"kind": "tanh"},
        {"kind": "dropout", "p": 0.3},
    ]
    document = {
        "model": {"input_shape": [64], "layers": block * 6},
        "data": {"kind": "synthetic", "batch_size": 128},
        "workload": {"kind": "nested_gradient", "order": 2},
        "mitigation": {"checkpointing": {"kind": checkpointing}, "precision": "float64"},
        "measure": {"seed": seed},
    }
    return RunSpec.from_json(json.dumps(document))


def result_on(spec: RunSpec, device: torch.device, order: int) -> list[torch.Tensor]:
    problem = prepare(spec.with_value("workload.order", str(order)), device)
    problem.reset()
    first = list(compute(problem, SILENT).result.values())
    problem.reset()
    again = list(compute(problem, SILENT).result.values())
    assert relative_error(again, first) < 1e-14, "each repetition draws the same numbers"
    return first


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("checkpointing", ["torch", "rematerialize"])
def test_that_dropout_is_drawn_again_as_it_was_at_first(
    device: torch.device, checkpointing: str, order: int
) -> None:
    plain = result_on(dropout("none"), device, order)
    assert relative_error(result_on(dropout(checkpointing), device, order), plain) < 1e-10
    assert relative_error(result_on(dropout("none", seed=1), device, order), plain) > 0.01
