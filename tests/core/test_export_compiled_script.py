"""The script of a compiled run: it traces what it computes and calls what was compiled."""

import json
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.export.script import script
from core.spec.run import RunSpec

CPU = torch.device("cpu")
TANH = [
    {"kind": "linear", "out_features": 4},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 1},
]
NORMED = [TANH[0], {"kind": "batch_norm"}, *TANH[1:]]
MAML = {"kind": "maml", "tasks": 2, "inner_steps": 2, "support": 5, "query": 4, "inner_lr": 0.1}
CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "nested gradient": ({"kind": "nested_gradient", "order": 3}, TANH),
    "inputs": ({"kind": "nested_gradient", "order": 2, "wrt": "inputs"}, TANH),
    "running statistics": ({"kind": "nested_gradient", "order": 2}, NORMED),
    "hvp": ({"kind": "hvp", "vectors": 2}, TANH),
    "hessian": ({"kind": "hessian", "method": "vmap"}, TANH),
    "maml": (MAML, TANH),
    "maml, one task": (MAML | {"tasks": 1}, TANH),
    "maml with running statistics": (MAML, NORMED),
    "first order": (MAML | {"order": 1}, TANH),
    "anil": (MAML | {"variant": "anil"}, TANH),
    "imaml": (MAML | {"variant": "imaml", "cg_iterations": 2}, TANH),
    "darts": ({"kind": "darts"}, TANH),
    "adversarial": ({"kind": "adversarial", "steps": 2}, TANH),
}


def spec_of(case: str, **changes: Any) -> RunSpec:
    workload, layers = CASES[case]
    document = {
        "device": "cpu",
        "model": {"input_shape": [3], "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 6},
        "workload": workload,
        "mitigation": {"precision": "float64", "compile": True},
    }
    spec = RunSpec.from_json(json.dumps(document)).with_changes(changes)
    assert spec.problems() == ()
    return spec


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """What would be compiled; it is interpreted instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        inductor = import_module("torch._inductor.compile_fx")
    seen: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        seen.append(graph)
        return graph

    monkeypatch.setattr(inductor, "compile_fx", keep)
    # The script sets the first and leaves it; monkeypatch puts it back.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "nowhere")
    return seen


@pytest.mark.parametrize("case", CASES)
def test_that_the_script_compiles_what_the_engine_computes(
    case: str, graphs: list[torch.fx.GraphModule]
) -> None:
    spec = spec_of(case)
    made, names = prepare(spec, CPU), dict[str, Any](__name__="script")
    exec(compile(script(spec), "script", "exec"), names)
    made.reset()
    right = compute(made, SILENT)
    names.get("reset", bool)()
    loss, found = names["compute"]()
    assert torch.allclose(loss, right.loss, rtol=1e-11)
    for (name, tensor), ours in zip(right.result.items(), found, strict=True):
        assert torch.allclose(ours, tensor, rtol=1e-10, atol=1e-12), name
    (graph,) = graphs
    constants = [node for node in graph.graph.nodes if node.op == "get_attr"]
    assert constants == []


def test_that_a_script_without_compiling_does_not_speak_of_it() -> None:
    source = script(spec_of("maml", **{"mitigation.compile": False}))
    assert "inductor" not in source
    assert "make_fx" not in source


def test_that_a_compiled_script_prints_what_compiling_took(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(script(spec_of("maml", **{"measure.repetitions": 3})), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(file)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["compile_s"] > 0.5
    right = compute(prepare(spec_of("maml"), CPU), SILENT).result
    norm = torch.stack([tensor.norm() for tensor in right.values()]).norm().item()
    assert figures["result_norm"] == pytest.approx(norm, rel=1e-9)
