"""Workloads traced and compiled: the graph, the program, and what is needed to make one."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.compiling import STEP, CannotCompile, Compiled, compiled, what_is_missing
from core.engine.compiling import tracing as tracing_module
from core.engine.compiling.inductor import made
from core.engine.compiling.tracing import Traced, traced
from core.engine.computed import Computed
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Silent
from core.engine.workloads import compute
from core.spec.mitigations import INNER_LOOPS
from core.spec.run import RunSpec

CPU = torch.device("cpu")
TANH = [
    {"kind": "linear", "out_features": 4},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 1},
]
NORMED = [
    {"kind": "linear", "out_features": 4},
    {"kind": "batch_norm"},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 1},
]
MAML = {"kind": "maml", "tasks": 3, "inner_steps": 2, "support": 5, "query": 4, "inner_lr": 0.1}
WORKLOADS: dict[str, dict[str, Any]] = {
    "nested gradient by weights": {"kind": "nested_gradient", "order": 3},
    "nested gradient by inputs": {"kind": "nested_gradient", "order": 2, "wrt": "inputs"},
    "hvp": {"kind": "hvp", "vectors": 2},
    "hvp at once": {"kind": "hvp", "vectors": 2, "batched": True},
    "hvp forward over reverse": {"kind": "hvp", "mode": "forward_over_reverse"},
    "hvp reverse over forward": {"kind": "hvp", "mode": "reverse_over_forward"},
    "hvp by differences": {"kind": "hvp", "mode": "finite_difference"},
    "hessian by rows": {"kind": "hessian"},
    "hessian by vmap": {"kind": "hessian", "method": "vmap", "chunk_size": 5},
    "maml": MAML,
    "maml, one task": MAML | {"tasks": 1},
    "maml, first order": MAML | {"order": 1},
    "maml, third order": MAML | {"order": 3},
    "anil": MAML | {"variant": "anil"},
    "reptile": MAML | {"variant": "reptile", "order": 1},
    "imaml": MAML | {"variant": "imaml", "cg_iterations": 3},
    "darts": {"kind": "darts"},
    "adversarial": {"kind": "adversarial", "steps": 2},
    "adversarial, second order": {"kind": "adversarial", "method": "second_order", "steps": 2},
}


def spec_of(workload: dict[str, Any], layers: list[dict[str, Any]], **changes: Any) -> RunSpec:
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


def eager(problem: Problem) -> Computed:
    problem.reset()
    return compute(problem, SILENT)


def assert_same(found: Computed, right: Computed, tolerance: float = 1e-11) -> None:
    assert found.warnings == right.warnings
    assert list(found.result) == list(right.result)
    for name, tensor in right.result.items():
        assert torch.allclose(found.result[name], tensor, rtol=tolerance, atol=tolerance), name
    assert torch.allclose(found.loss, right.loss, rtol=tolerance)
    assert list(found.readings) == list(right.readings)
    for name, value in right.readings.items():
        assert float(found.readings[name]) == pytest.approx(float(value), rel=tolerance), name


def interpreted(found: Traced) -> Computed:
    """What the graph computes, operation by operation."""
    with torch.no_grad():
        each = [found.graph(*call) for call in found.calls]
    outputs = [torch.stack(list(parts)).mean(0) for parts in zip(*each, strict=True)]
    return found.outline.filled(outputs)


@pytest.fixture(scope="module")
def meta() -> tuple[Problem, Compiled]:
    problem = prepare(spec_of(MAML, TANH), CPU)
    return problem, compiled(problem)


@pytest.fixture(scope="module")
def normed() -> tuple[Problem, Compiled]:
    problem = prepare(spec_of(MAML | {"tasks": 2, "inner_steps": 1}, NORMED), CPU)
    return problem, compiled(problem)


# ------------------------------------------------------------------------------------- the graph


@pytest.mark.parametrize("name", WORKLOADS)
def test_that_the_graph_of_a_workload_computes_what_the_engine_does(name: str) -> None:
    problem = prepare(spec_of(WORKLOADS[name], TANH), CPU)
    tolerance = 1e-7 if "differences" in name else 1e-11
    assert_same(interpreted(traced(problem)), eager(problem), tolerance)


@pytest.mark.parametrize("inner_loop", [name for name in INNER_LOOPS if name != "standard"])
def test_that_the_graph_of_a_mitigated_inner_loop_computes_the_same(inner_loop: str) -> None:
    problem = prepare(spec_of(MAML, TANH, **{"mitigation.inner_loop": inner_loop}), CPU)
    assert_same(interpreted(traced(problem)), eager(problem))


@pytest.mark.parametrize(
    ("mitigation", "tolerance"),
    [
        ({"checkpointing.kind": "rematerialize"}, 1e-11),
        ({"accumulation": 2}, 1e-11),
        ({"precision": "autocast"}, 1e-4),
        ({"precision": "bfloat16"}, 1e-2),
    ],
)
def test_that_the_graph_of_a_mitigated_computation_computes_the_same(
    mitigation: dict[str, Any], tolerance: float
) -> None:
    changes = {f"mitigation.{key}": value for key, value in mitigation.items()}
    problem = prepare(spec_of({"kind": "nested_gradient", "order": 2}, TANH, **changes), CPU)
    assert_same(interpreted(traced(problem)), eager(problem), tolerance)


def test_that_weights_and_examples_are_inputs_and_no_constants_of_the_graph() -> None:
    problem = prepare(spec_of(WORKLOADS["nested gradient by weights"], TANH), CPU)
    found = traced(problem)
    with torch.no_grad():
        for tensor in (*problem.parameters.values(), *problem.data):
            tensor.mul_(0.5).add_(0.1)
    assert_same(interpreted(found), eager(problem))


def test_that_small_tasks_are_computed_at_once_and_large_ones_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = prepare(spec_of(MAML, TANH), CPU)
    assert (len(traced(problem).calls), traced(problem).at_once) == (1, 3)
    monkeypatch.setattr(tracing_module, "SMALL_BYTES", 8)
    apart = traced(problem)
    assert (len(apart.calls), apart.at_once) == (3, 1)
    assert_same(interpreted(apart), eager(problem))


def test_that_all_that_tasks_at_once_need_has_a_rule_of_vmap(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Else vmap takes task after task, and torch says so for each on the stream of the process."""
    assert traced(prepare(spec_of(WORKLOADS["imaml"], TANH), CPU)).at_once == 3
    assert "batching rule" not in capfd.readouterr().err


def test_that_a_computation_too_long_to_compile_is_refused_with_its_length() -> None:
    problem = prepare(spec_of({"kind": "hvp", "vectors": 400}, TANH), CPU)
    with pytest.raises(CannotCompile, match=r"has more than 6,000 operations.*allowed: false, or"):
        traced(problem)


# ----------------------------------------------------------------------------------- the program


class Phases(Silent):
    """Hears of phases and results, and of layers too, so that it is not deaf."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.results: list[list[torch.Tensor]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.names.append(name)
        yield

    def layer(self, index: int) -> None:
        raise AssertionError("compiled code has no layers")

    def result(self, tensors: Any) -> None:
        self.results.append(list(tensors))


def test_that_a_compiled_meta_gradient_is_that_of_the_engine(
    meta: tuple[Problem, Compiled],
) -> None:
    problem, program = meta
    assert program.at_once == 3
    assert program.seconds > 0
    heard = Phases()
    assert_same(program.compute(heard), eager(problem))
    assert heard.names == [STEP]
    assert len(heard.results[0]) == len(problem.parameters)


def test_that_a_program_computes_with_the_weights_of_the_moment(
    meta: tuple[Problem, Compiled],
) -> None:
    problem, program = meta
    before = program.compute(SILENT).loss.clone()
    with torch.no_grad():
        for tensor in problem.parameters.values():
            tensor.mul_(1.1)
    found = program.compute(SILENT)
    assert not torch.equal(found.loss, before)
    assert_same(found, eager(problem))


def test_that_a_compiled_sum_over_parts_is_that_of_the_engine() -> None:
    """Each part's share is a factor of a sum with a product of matrices, which inductor forgets."""
    changes = {"mitigation.accumulation": 3, "data.batch_size": 7}
    problem = prepare(spec_of({"kind": "nested_gradient", "order": 2}, TANH, **changes), CPU)
    assert_same(compiled(problem).compute(SILENT), eager(problem), 1e-10)


def test_that_factors_of_sums_beside_products_of_matrices_are_compiled() -> None:
    def sums(t: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        return [
            torch.add(t, a @ b, alpha=0.25),
            torch.add(a @ b, t, alpha=0.25),
            torch.sub(t, a @ b, alpha=0.25),
            t.clone().add_(a @ b, alpha=0.25),
            t.clone().sub_(a @ b, alpha=0.25),
            t.new_zeros(9, 4)[2:6].add_(a @ b, alpha=0.25),
            t.clone().addcmul_(a @ b, a, value=0.25),
            t.clone().addcdiv_(a @ b, a, value=0.25),
            torch.addmm(t, a, b, beta=0.5, alpha=0.25),
        ]

    generator = torch.Generator().manual_seed(3)
    inputs = tuple(torch.randn(3, 4, 4, generator=generator, dtype=torch.float64))
    found = made(tracing_module._operations_of(sums, inputs), inputs, CPU)(*inputs)
    for position, (ours, right) in enumerate(zip(found, sums(*inputs), strict=True)):
        assert torch.allclose(ours, right, rtol=1e-10, atol=1e-10), position


def test_that_running_statistics_are_updated_task_by_task(
    normed: tuple[Problem, Compiled],
) -> None:
    problem, program = normed
    right = eager(problem)
    statistics = {name: buffer.clone() for name, buffer in problem.buffers.items()}
    problem.reset()
    heard = Phases()
    found = program.compute(heard)
    assert_same(found, right)
    assert heard.names == [f"task 1: {STEP}", f"task 2: {STEP}"]
    assert problem.buffers
    for name, buffer in problem.buffers.items():
        assert torch.allclose(buffer.double(), statistics[name].double(), rtol=1e-12), name


def test_that_compiling_leaves_no_file_and_no_variable_behind(
    meta: tuple[Problem, Compiled], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    abandoned = tmp_path / "hogui-inductor-999999999-x"
    abandoned.mkdir()
    seen: list[list[Path]] = []

    class Fails(torch.nn.Module):
        def forward(self, *_: torch.Tensor) -> None:
            seen.append(sorted(tmp_path.iterdir()))
            raise ZeroDivisionError("not today\nmore")

    with pytest.raises(CannotCompile, match=r"\(ZeroDivisionError: not today\); allowed: false"):
        made(Fails(), (torch.zeros(1),), CPU)
    assert len(seen[0]) == 1
    assert seen[0][0].name.startswith(f"hogui-inductor-{os.getpid()}-")
    assert list(tmp_path.iterdir()) == []
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


# --------------------------------------------------------------------------------- what it needs


def test_that_without_a_compiler_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert what_is_missing(CPU) is None
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    sentence = what_is_missing(CPU)
    assert sentence is not None
    assert sentence.startswith("mitigation.compile: no ")
    assert "C++ compiler" in sentence
    problem = prepare(spec_of(MAML, TANH), CPU)
    with pytest.raises(CannotCompile, match="C\\+\\+ compiler"):
        compiled(problem)


def test_that_a_compiler_that_is_named_and_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    sentence = what_is_missing(CPU)
    assert sentence is not None
    assert "CXX names no-such-compiler, which is not there" in sentence


def test_that_a_packaged_program_without_headers_says_what_to_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "torch" / "__init__.py"))
    sentence = what_is_missing(CPU)
    assert sentence is not None
    assert "installed Python with torch" in sentence


def test_that_python_headers_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    sentence = what_is_missing(CPU)
    assert sentence is not None
    assert "Python.h" in sentence


def test_that_what_decides_by_numbers_cannot_be_traced() -> None:
    document = spec_of(MAML, TANH).to_json()
    newton = {"kind": "newton", "steps": 1, "cg_iterations": 2}
    spec = RunSpec.from_json(json.dumps(json.loads(document) | {"workload": newton}))
    assert [problem.key for problem in spec.problems()] == ["mitigation.compile"]
    with pytest.raises(CannotCompile, match="depends on numbers"):
        traced(prepare(spec, CPU))
