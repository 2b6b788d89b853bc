"""The check of an architecture gradient: it passes what is right and notices what is not."""

import json
from collections.abc import Iterator

import pytest
import torch

import core.engine.workloads.darts as engine
from core.measure.correctness.check import check
from core.results.measurement import Check
from core.spec.run import RunSpec
from tests.core.engine.test_darts import WAYS

CPU = torch.device("cpu")
SMOOTH: list[dict[str, object]] = [
    {"kind": "linear", "out_features": 6},
    {"kind": "mixed", "candidates": [
        {"kind": "tanh"},
        {"kind": "residual", "layers": [{"kind": "linear", "out_features": 6}, {"kind": "silu"}]},
    ]},
    {"kind": "linear", "out_features": 3},
]  # fmt: skip
CONVOLUTIONS: list[dict[str, object]] = [
    {"kind": "conv2d", "out_channels": 4, "padding": 1},
    {"kind": "batch_norm"},
    {"kind": "relu"},
    {"kind": "dropout", "p": 0.2},
    {"kind": "max_pool2d"},
    {"kind": "residual", "layers": [
        {"kind": "relu"}, {"kind": "conv2d", "out_channels": 4, "padding": 1}
    ]},
    {"kind": "flatten"},
    {"kind": "linear", "out_features": 3},
]  # fmt: skip


def spec(
    order: int,
    method: str,
    layers: list[dict[str, object]] = SMOOTH,
    shape: tuple[int, ...] = (4,),
    checkpointing: str = "none",
    **more: object,
) -> RunSpec:
    document = {
        "model": {"input_shape": shape, "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 16},
        "workload": {"kind": "darts", "order": order, "method": method, "weight_lr": 0.3},
        "mitigation": {"checkpointing": {"kind": checkpointing}},
        **more,
    }
    made = RunSpec.from_json(json.dumps(document))
    assert not made.problems()
    return made


def checks(order: int, method: str) -> Iterator[Check]:
    for seed, checkpointing in enumerate(["none", "torch", "rematerialize"]):
        more = {"checkpointing": checkpointing, "measure": {"seed": seed}}
        yield check(spec(order, method, **more), CPU)  # type: ignore[arg-type]
        loss = {"loss": "cross_entropy"}
        yield check(spec(order, method, CONVOLUTIONS, (1, 8, 8), **more, **loss), CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize(("order", "method"), WAYS)
def test_that_a_right_gradient_passes_far_from_the_tolerance(order: int, method: str) -> None:
    for found in checks(order, method):
        assert found.passed, found.failures
        assert found.relative_error is not None
        assert found.tolerance is not None
        assert found.relative_error <= 0.1 * found.tolerance
        assert found.method.startswith("central differences in float64 along ")


def failures(monkeypatch: pytest.MonkeyPatch, name: str, value: object, *run: str) -> str:
    monkeypatch.setattr(engine, name, value)
    found = check(spec(2, *run), CPU)
    assert not found.passed
    return " ".join(found.failures)


def test_that_a_step_that_forgets_its_graph_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = engine._stepped

    def forgetful(weights, gradients, rate, recorder):
        return stepped(weights, [one.detach() for one in gradients], rate, recorder)

    said = failures(monkeypatch, "_stepped", forgetful, "exact")
    assert "Order 2: the result by 1.alpha (layer 2, mixed) differs" in said


def test_that_another_step_size_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = engine._stepped

    def hasty(weights, gradients, rate, recorder):
        return stepped(weights, gradients, rate * 1.001, recorder)

    assert "The loss differs" in failures(monkeypatch, "_stepped", hasty, "exact")


def test_that_another_reach_than_the_papers_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = failures(monkeypatch, "REACH", 0.02, "finite_difference")
    assert "The result by 1.alpha (layer 2, mixed) differs from an independent computation" in said


def test_that_a_difference_of_the_wrong_sign_is_far_from_the_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    difference = engine._difference

    def wrong(direct, ahead, behind, factor):
        return difference(direct, behind, ahead, factor)

    said = failures(monkeypatch, "_difference", wrong, "finite_difference")
    assert "differs from the gradient through the training step by more than the step" in said
