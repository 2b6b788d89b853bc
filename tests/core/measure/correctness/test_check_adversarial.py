"""The check of attacks passes what is right and finds what is not."""

from collections.abc import Callable

import pytest
import torch

from core.engine import trust_region
from core.engine.workloads import adversarial
from core.measure.correctness.check import check
from core.spec.run import RunSpec
from tests.core.measure.correctness.checked_specs import MLP, Layers, spec
from tests.core.measure.correctness.test_check import CPU, assert_passes

NORMS: Layers = [
    {"kind": "linear", "out_features": 6},
    {"kind": "layer_norm"},
    {"kind": "gelu"},
    {"kind": "dropout"},
    {"kind": "linear", "out_features": 3},
]


def run(method: str, layers: Layers = MLP, **changes: object) -> RunSpec:
    workload = {"kind": "adversarial", "method": method, "training_steps": 3, "epsilon": 0.3}
    return spec(1, layers=layers).with_changes({"workload": workload, **changes})


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("layers", [MLP, NORMS], ids=["mlp", "norms"])
@pytest.mark.parametrize("method", ["i_fgsm", "second_order"])
def test_that_attacks_pass(method: str, layers: Layers, loss: str) -> None:
    for checkpointing in ("none", "torch", "rematerialize"):
        changes = {"loss": loss, "mitigation.checkpointing.kind": checkpointing}
        assert_passes(run(method, layers, **changes))


def smaller(matrix: torch.Tensor, slope: torch.Tensor, radius: float) -> torch.Tensor:
    return trust_region.highest_in_ball(matrix, slope, radius * (1 - 1e-6))


def first_order(matrix: torch.Tensor, slope: torch.Tensor, radius: float) -> torch.Tensor:
    return radius * slope / slope.norm(dim=1, keepdim=True)


def halved(*given: object, create_graph: bool) -> tuple[torch.Tensor | None, ...]:
    (found,) = adversarial_gradients(*given, create_graph=create_graph)  # type: ignore[arg-type]
    assert found is not None
    return (found[:1].expand_as(found).clone(),)


adversarial_gradients = adversarial.gradients_of


@pytest.mark.parametrize(
    ("method", "name", "fault", "words"),
    [
        ("second_order", "highest_in_ball", smaller, "the equations of the highest point"),
        ("second_order", "highest_in_ball", first_order, "the equations of the highest point"),
        ("i_fgsm", "gradients_of", halved, "signed steps computed apart"),
    ],
)
def test_that_a_fault_is_found(
    method: str,
    name: str,
    fault: Callable[..., object],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adversarial, name, fault)

    found = check(run(method), CPU)

    assert not found.passed
    assert any(words in failure for failure in found.failures)
