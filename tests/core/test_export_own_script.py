"""Scripts of the user's own models: the same numbers and the same peak, without this program."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.cli import main
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.export.script import script
from core.measure.memory.allocator import allocator_peak
from core.spec.run import RunSpec
from tests.own_models import NETWORK, STEP, own_spec, written

# torch says it when it first differentiates forwards.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
CPU = torch.device("cpu")
MAML = {"kind": "maml", "inner_steps": 2, "tasks": 2, "support": 4, "query": 3}
PARTS = """
class model(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(8, 8)
        self.frozen.requires_grad_(False)
        self.norm = nn.BatchNorm1d(8)
        self.body = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.2), nn.Tanh())
        self.register_buffer("mean", torch.zeros(4))
    def forward(self, x):
        h = self.body(self.norm(self.frozen(x)))
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return {"parts": ({"none": None}, [h + 0 * self.mean])}
def loss(module, batch):
    x, y = batch
    return (module(x)["parts"][1][0] - y).square().mean()
"""
TOKENS = """
class model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.memory = nn.LSTM(8, 8, batch_first=True)
        self.out = nn.Linear(8, 11)
        self.out.weight = self.table.weight
    def forward(self, x):
        return self.out(self.memory(self.layer(self.table(x)))[0]).transpose(1, 2)
"""


def names_of(spec: RunSpec) -> dict[str, Any]:
    """What the script defines, without its main part."""
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(script(spec), "script", "exec"), names)
    return names


def peak_of(made: Problem) -> int:
    peak = allocator_peak(CPU, lambda recorder: compute(made, recorder), made.reset)
    assert peak is not None
    return peak.peak_bytes


def assert_same(spec: RunSpec) -> None:
    """Examples and result to the bit, peak to the byte."""
    made, found = prepare(spec, CPU), names_of(spec)
    theirs = found["data"] if "data" in found else (found["x"], found["y"])
    assert all(torch.equal(one, other) for one, other in zip(made.data, theirs, strict=True))
    made.reset()
    computed = compute(made, SILENT)
    found["reset"]()
    _, result = found["compute"]()
    for name, tensor, ours in zip(computed.result, result, computed.result.values(), strict=True):
        assert torch.equal(tensor, ours), name
    del computed, result
    assert found["peak_on_cpu"]() == peak_of(made)


@pytest.mark.parametrize("text", [NETWORK, PARTS], ids=["plain", "with buffers and a loss"])
@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "nested_gradient", "order": 1},
        {"kind": "nested_gradient", "order": 3},
        {"kind": "nested_gradient", "order": 2, "wrt": "inputs"},
        {"kind": "hvp", "mode": "reverse_over_reverse"},
        {"kind": "hvp", "mode": "forward_over_reverse"},
        {"kind": "hvp", "mode": "reverse_over_forward"},
        {"kind": "hvp", "mode": "finite_difference"},
        MAML | {"order": 1},
        MAML | {"order": 2},
        MAML | {"variant": "reptile", "order": 1},
        MAML | {"variant": "imaml"},
        {"kind": "hessian", "method": "rows"},
        {"kind": "hutchinson_trace", "probes": 2},
        {"kind": "newton", "method": "cg", "steps": 2},
        {"kind": "newton", "method": "exact", "steps": 1},
        {"kind": "adversarial", "method": "i_fgsm", "steps": 2},
        {"kind": "adversarial", "method": "second_order", "steps": 2},
    ],
    ids=str,
)
def test_that_a_module_is_computed_alike(text: str, workload: dict[str, Any], tmp_path) -> None:
    assert_same(own_spec(written(tmp_path, text, "näive 'own'.py"), workload=workload))


@pytest.mark.parametrize("text", [NETWORK, PARTS], ids=["plain", "random"])
def test_that_inner_steps_in_checkpoints_are_computed_alike(text: str, tmp_path) -> None:
    mitigation = {"inner_loop": "checkpoint", "precision": "float64"}
    assert_same(own_spec(written(tmp_path, text), workload=MAML, mitigation=mitigation))


def test_that_whole_numbers_and_classes_are_drawn_alike(tmp_path) -> None:
    tokens = {"input_shape": [5], "model": {"vocabulary": 11}, "loss": "cross_entropy"}
    assert_same(own_spec(written(tmp_path, TOKENS), **tokens))


def test_that_arrays_are_read_with_the_shape_that_the_module_gives(tmp_path) -> None:
    numbers = np.random.default_rng(0)
    file = tmp_path / "arrays.npz"
    np.savez(file, x=numbers.normal(size=(9, 8)), y=numbers.normal(size=(9, 3)))
    data = {"kind": "arrays", "file": str(file), "batch_size": 5}
    assert_same(own_spec(written(tmp_path, NETWORK), data=data))


@pytest.mark.parametrize("workload", [{"kind": "nested_gradient"}, MAML], ids=["batch", "tasks"])
def test_that_a_step_is_what_the_script_measures(workload: dict[str, Any], tmp_path) -> None:
    spec = own_spec(written(tmp_path, NETWORK + STEP), workload=workload)
    assert_same(spec)
    assert script(spec).startswith('"""Untitled: a step of one\'s own.\n')


def test_that_printing_a_script_does_not_run_the_file(tmp_path) -> None:
    ran = tmp_path / "ran"
    script(own_spec(written(tmp_path, f"open({str(ran)!r}, 'w').close()\n" + NETWORK)))
    assert not ran.exists()


def test_that_a_file_that_cannot_be_read_yet_still_has_a_script(tmp_path) -> None:
    for text in ("def model(:", ""):
        source = script(own_spec(written(tmp_path, text)))
        compile(source, "script", "exec")
    (tmp_path / "own.py").unlink()
    compile(script(own_spec(tmp_path / "own.py")), "script", "exec")


def test_that_the_printed_script_runs_without_this_program(tmp_path: Path, capsys) -> None:
    spec = own_spec(written(tmp_path, PARTS), measure={"repetitions": 2, "warmup": 1})
    (tmp_path / "spec.json").write_text(spec.to_json())
    assert main(["script", str(tmp_path / "spec.json")]) == 0
    source = capsys.readouterr().out
    assert "hogui" not in source.replace("Written by HoGUI", "").replace(str(tmp_path), "")
    file = tmp_path / "script.py"
    file.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(file)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    made = prepare(spec, CPU)
    result = compute(made, SILENT).result.values()
    norm = torch.stack([tensor.double().norm() for tensor in result]).norm().item()
    assert figures["result_norm"] == pytest.approx(norm, rel=1e-6)
    assert figures["peak_bytes"] == peak_of(made)
    tensors = (*made.parameters.values(), *made.buffers.values(), *made.data)
    assert figures["baseline_bytes"] == sum(tensor.nbytes for tensor in tensors)
