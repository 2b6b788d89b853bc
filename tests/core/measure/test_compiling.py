"""What a compiled run says of compiling: its time, when it pays, and that the result is right."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import core.measure.compiling as module
from core.engine.compiling import CannotCompile
from core.engine.computed import Computed
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Recorder
from core.engine.workloads import compute
from core.measure.compiling import Compilation
from core.results.measurement import Check
from core.spec.run import RunSpec

CPU = torch.device("cpu")
SMALL_COPY = Check(method="a small copy", relative_error=1e-9, passed=True, tolerance=1e-8)


class Instead:
    """Stands for a compiled program: the engine's result times a factor."""

    def __init__(self, problem: Problem, factor: float = 1.0, at_once: int = 1) -> None:
        self._problem, self._factor = problem, factor
        self.seconds, self.at_once = 12.0, at_once

    def compute(self, recorder: Recorder) -> Computed:
        found = compute(self._problem, recorder)
        return found._replace(
            result={name: tensor * self._factor for name, tensor in found.result.items()}
        )


def problem_of(**changes: Any) -> Problem:
    document = {
        "device": "cpu",
        "model": {"input_shape": [2], "layers": [{"kind": "linear", "out_features": 3}]},
        "data": {"kind": "synthetic", "batch_size": 4},
        "workload": {"kind": "nested_gradient", "order": 2},
        "mitigation": {"compile": True},
    }
    return prepare(RunSpec.from_json(json.dumps(document)).with_changes(changes), CPU)


@pytest.fixture
def compilation_of(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[Compilation, Computed]]:
    """A compilation, of which a stand-in says what was compiled, and what that computed."""
    monkeypatch.setattr(module, "BUDGET_S", 0.02)

    def make(problem: Problem, **options: Any) -> tuple[Compilation, Computed]:
        stand_in = Instead(problem, **options)
        monkeypatch.setattr(module, "compiled", lambda _: stand_in)
        compilation = Compilation()
        return compilation, compilation.of(problem)(SILENT)

    return make


Make = Callable[..., tuple[Compilation, Computed]]


def test_that_a_run_that_does_not_compile_has_nothing_to_say() -> None:
    problem = problem_of(**{"mitigation.compile": False})
    compilation = Compilation()
    found = compilation.of(problem)(SILENT)
    assert compilation.against_uncompiled(found, [1e-3]) == ({},)
    assert compilation.judged(SMALL_COPY) is SMALL_COPY
    assert compilation.judged(None) is None


def test_that_compiling_pays_after_its_time_by_the_time_that_a_step_saves(
    compilation_of: Make,
) -> None:
    compilation, found = compilation_of(problem_of())
    readings, sentence = compilation.against_uncompiled(found, [3e-9, 1e-9, 2e-9])
    assert readings["compile_s"] == 12.0
    saved_s = readings["eager_median_s"] - 2e-9
    assert saved_s > 0
    assert readings["pays_after_steps"] == math.ceil(12.0 / saved_s)
    assert sentence.startswith("Compiling took 12 s and pays after ")
    assert "steps: one takes 2e-06 ms instead of " in sentence
    assert "at once" not in sentence


def test_that_compiled_code_that_is_no_faster_does_not_pay(compilation_of: Make) -> None:
    compilation, found = compilation_of(problem_of(), at_once=3)
    readings, sentence = compilation.against_uncompiled(found, [5.0])
    assert "pays_after_steps" not in readings
    assert "does not pay: a compiled step takes 5 s, an uncompiled one " in sentence
    assert sentence.endswith("All 3 tasks are computed at once.")


def test_that_without_times_the_time_of_compiling_is_told_all_the_same(
    compilation_of: Make,
) -> None:
    compilation, found = compilation_of(problem_of())
    assert compilation.against_uncompiled(found, []) == (
        {"compile_s": 12.0},
        "Compiling took 12 s.",
    )


def test_that_a_right_program_passes_beside_the_small_copy(compilation_of: Make) -> None:
    compilation, found = compilation_of(problem_of())
    compilation.against_uncompiled(found, [1e-3])
    check = compilation.judged(SMALL_COPY)
    assert check is not None
    assert check.passed
    assert check.relative_error == 1e-9  # that which is nearer to what is allowed
    assert check.method.startswith("a small copy; the compiled result against")


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_that_a_program_that_computes_something_else_fails_with_the_tensor(
    compilation_of: Make, precision: str
) -> None:
    problem = problem_of(**{"mitigation.precision": precision})
    compilation, found = compilation_of(problem, factor=1.001)
    compilation.against_uncompiled(found, [1e-3])
    for small in (SMALL_COPY, None):
        check = compilation.judged(small)
        assert check is not None
        assert not check.passed
        assert check.relative_error == pytest.approx(1e-3, rel=1e-3)
        (sentence,) = check.failures
        assert sentence.startswith("The compiled result by 0.")
        assert "differs from the uncompiled one by 1.0e-03" in sentence


def test_that_numbers_lost_by_the_program_alone_fail(compilation_of: Make) -> None:
    compilation, found = compilation_of(problem_of(), factor=math.nan)
    compilation.against_uncompiled(found, [1e-3])
    check = compilation.judged(None)
    assert check is not None
    assert not check.passed
    assert check.relative_error is None


def test_that_a_missing_compiler_is_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    spec = problem_of().spec
    with pytest.raises(CannotCompile, match="no-such-compiler"):
        Compilation().foresee(spec, CPU)
    Compilation().foresee(spec.with_changes({"mitigation.compile": False}), CPU)
