"""The check of Newton's method passes what is right and finds what is not."""

from collections.abc import Callable

import pytest
import torch

from core.engine import curvature
from core.engine.conjugate_gradient import Solution, conjugate_gradient
from core.engine.workloads import newton
from core.measure.correctness.check import CheckUnavailable, check
from core.spec.run import RunSpec
from tests.core.measure.correctness.checked_specs import MLP, Layers, spec
from tests.core.measure.correctness.test_check import CPU, assert_passes

NORMS: Layers = [
    {"kind": "linear", "out_features": 6},
    {"kind": "batch_norm"},
    {"kind": "relu"},
    {"kind": "dropout"},
    {"kind": "linear", "out_features": 3},
]


def run(method: str, damping: float = 0.1, layers: Layers = MLP, **changes: object) -> RunSpec:
    workload = {"kind": "newton", "method": method, "damping": damping}
    return spec(1, layers=layers).with_changes({"workload": workload, **changes})


@pytest.mark.parametrize(("damping", "loss"), [(0.001, "mse"), (0.3, "cross_entropy")])
@pytest.mark.parametrize("layers", [MLP, NORMS], ids=["mlp", "norms"])
@pytest.mark.parametrize("method", ["exact", "cg"])
def test_that_newton_steps_pass(method: str, layers: Layers, damping: float, loss: str) -> None:
    for checkpointing in ("none", "torch", "rematerialize"):
        changes = {"loss": loss, "mitigation.checkpointing.kind": checkpointing}
        assert_passes(run(method, damping, layers, **changes))


def test_that_conjugate_gradients_without_damping_pass() -> None:
    assert_passes(run("cg", 0.0))


def test_that_equations_that_rounding_decides_are_not_judged() -> None:
    flat: Layers = [{"kind": "linear", "out_features": 3}]
    singular = run("exact", 0.0, flat, loss="cross_entropy")
    with pytest.raises(CheckUnavailable, match="nearly singular that rounding decides"):
        check(singular, CPU)


Solve = Callable[..., object]


def wrong_damping(matrix: torch.Tensor, right: torch.Tensor, damping: float) -> curvature.Damped:
    return curvature.solve_damped(matrix, right, damping * 1.001)


def one_less(*given: object, iterations: range, **more: object) -> Solution:
    fewer = iterations[:-1]
    return conjugate_gradient(*given, iterations=fewer, **more)  # type: ignore[arg-type]


def uphill(parts: list[torch.Tensor], like: list[torch.Tensor]) -> torch.Tensor:
    return -curvature.flattened(tuple(parts), like)


@pytest.mark.parametrize(
    ("method", "name", "fault"),
    [
        ("exact", "solve_damped", wrong_damping),
        ("cg", "conjugate_gradient", one_less),
        ("cg", "flattened", uphill),
    ],
)
def test_that_a_fault_is_found(
    method: str, name: str, fault: Solve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newton, name, fault)

    found = check(run(method, 2.0, **{"workload.cg_tolerance": 1e-9}), CPU)

    assert not found.passed
    assert any("differs from Newton steps by" in failure for failure in found.failures)
