"""Attacks against loops and equations written out here."""

import json

import pytest
import torch
from torch.nn import functional

from core.engine.computed import Computed
from core.engine.data import Batch
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute, follow, look
from core.results.charts import ATTACK_LOSS, ATTACK_SUCCESS, curves_of
from core.spec.run import RunSpec

HIDDEN = [
    {"kind": "linear", "out_features": 8},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 3},
]
EPSILON = 0.4


def problem(
    loss: str = "cross_entropy", layers: list[dict[str, object]] | None = None, **workload: object
) -> Problem:
    document = {
        "model": {"input_shape": [4], "layers": layers or HIDDEN},
        "data": {"kind": "synthetic", "batch_size": 12},
        "loss": loss,
        "workload": {"kind": "adversarial", "epsilon": EPSILON, "steps": 5, **workload},
        "mitigation": {"precision": "float64"},
        "device": "cpu",
    }
    spec = RunSpec.from_json(json.dumps(document))
    assert not spec.problems()
    return prepare(spec, torch.device("cpu"))


def computed(made: Problem) -> Computed:
    made.reset()
    return compute(made, SILENT)


def data_of(made: Problem) -> Batch:
    assert isinstance(made.data, Batch)
    return Batch(made.data.x.detach(), made.data.y)


def scores(made: Problem, x: torch.Tensor) -> torch.Tensor:
    first, bias, second, other = made.parameters.values()
    return functional.linear(torch.tanh(functional.linear(x, first, bias)), second, other)


def test_that_signed_steps_are_those_of_a_loop_within_the_box() -> None:
    made = problem()
    x, y = data_of(made)
    moved = x
    for _ in range(5):
        leaf = moved.clone().requires_grad_()
        (slope,) = torch.autograd.grad(functional.cross_entropy(scores(made, leaf), y), leaf)
        moved = (moved + EPSILON / 5 * slope.sign()).clamp(x - EPSILON, x + EPSILON)

    found = computed(made)

    assert torch.allclose(found.result["x"], moved, rtol=0, atol=1e-14)
    assert (found.result["x"] - x).abs().max() <= EPSILON + 1e-15
    assert found.loss.item() == pytest.approx(
        functional.cross_entropy(scores(made, moved), y).item(), rel=1e-12
    )


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_that_each_example_fulfils_the_conditions_of_its_highest_point(loss: str) -> None:
    """(μI - H)d = g and ‖d‖ = ε, μ at least the largest eigenvalue; one example at a time."""
    made = problem(loss, method="second_order", epsilon=0.05)
    x, y = data_of(made)
    criterion = functional.mse_loss if loss == "mse" else functional.cross_entropy

    found = computed(made).result["x"] - x

    for example, target, step in zip(x, y, found, strict=True):

        def value(one: torch.Tensor, target: torch.Tensor = target) -> torch.Tensor:
            return criterion(scores(made, one[None]), target[None])

        slope = torch.autograd.functional.jacobian(value, example)
        hessian = torch.autograd.functional.hessian(value, example)
        pull = slope + hessian @ step
        multiplier = (pull @ step) / 0.05**2
        assert step.norm().item() == pytest.approx(0.05, rel=1e-12)
        assert (pull - multiplier * step).norm() <= 1e-9 * pull.norm()
        assert multiplier >= max(torch.linalg.eigvalsh(hessian)[-1].item(), 0.0)


def test_that_on_a_quadratic_it_is_never_below_the_first_order_step() -> None:
    linear: list[dict[str, object]] = [{"kind": "linear", "out_features": 3}]
    made = problem("mse", linear, method="second_order", steps=2)
    x, y = data_of(made)
    weight, bias = made.parameters.values()

    def losses(inputs: torch.Tensor) -> torch.Tensor:
        return ((functional.linear(inputs, weight, bias) - y) ** 2).mean(1)

    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(losses(leaf).sum(), leaf)
    first = x + EPSILON * slope / slope.norm(dim=1, keepdim=True)

    found = computed(made).result["x"]

    assert (losses(found) >= losses(first) - 1e-14).all()
    assert (losses(found) > losses(first) + 1e-6).any()


def test_that_success_counts_right_answers_that_became_wrong() -> None:
    made = problem(training_steps=40)
    x, y = data_of(made)

    found = computed(made)

    before, after = (scores(made, inputs).argmax(1) == y for inputs in (x, found.result["x"]))
    lost = int((before & ~after).sum())
    assert lost > 0
    seen = look(made, found).readings
    assert float(seen["success_rate"]) == pytest.approx(lost / int(before.sum()))
    assert float(seen["accuracy_before"]) == pytest.approx(int(before.sum()) / 12)
    assert float(seen["loss_after"]) == found.loss.item()
    assert float(seen["loss_before"]) == pytest.approx(
        functional.cross_entropy(scores(made, x), y).item(), rel=1e-12
    )
    assert float(seen["loss_before"]) < found.loss.item()


def test_that_a_loss_without_classes_has_no_success() -> None:
    made = problem("mse")
    found = computed(made)
    assert not found.readings
    assert set(look(made, found).readings) == {"loss_before", "loss_after"}


def test_that_training_is_adams() -> None:
    untrained, made = problem(), problem(training_steps=3)
    x, y = data_of(made)
    weights = [w.detach().clone().requires_grad_() for w in untrained.parameters.values()]
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    for step in range(1, 4):
        first, bias, second, other = weights
        hidden = torch.tanh(functional.linear(x, first, bias))
        loss = functional.cross_entropy(functional.linear(hidden, second, other), y)
        for weight, gradient, (mean, square) in zip(
            weights, torch.autograd.grad(loss, weights), moments, strict=True
        ):
            mean.mul_(0.9).add_(0.1 * gradient)
            square.mul_(0.999).add_(0.001 * gradient**2)
            scale = (square / (1 - 0.999**step)).sqrt() + 1e-8
            with torch.no_grad():
                weight -= 0.01 * mean / (1 - 0.9**step) / scale

    for ours, right in zip(made.parameters.values(), weights, strict=True):
        assert torch.allclose(ours, right, rtol=1e-10)
        assert not ours.requires_grad


@pytest.mark.parametrize("method", ["i_fgsm", "second_order"])
def test_that_it_starts_anew_each_time_and_changes_nothing_of_the_problem(method: str) -> None:
    layers = [*HIDDEN[:2], {"kind": "dropout", "p": 0.3}, HIDDEN[2]]
    made = problem(layers=layers, method=method, training_steps=2)
    x = data_of(made).x.clone()

    first, second = computed(made), computed(made)

    assert torch.equal(first.result["x"], second.result["x"])
    assert not first.result["x"].requires_grad
    assert torch.equal(data_of(made).x, x)


def test_that_signed_steps_leave_running_statistics_alone() -> None:
    layers = [HIDDEN[0], {"kind": "batch_norm"}, *HIDDEN[1:]]
    made = problem(layers=layers, training_steps=2)

    computed(made)

    assert not made.buffers["1.running_mean"].any()
    assert made.buffers["1.num_batches_tracked"] == 0


@pytest.mark.parametrize("method", ["i_fgsm", "second_order"])
def test_that_the_curves_end_where_the_attack_does(method: str) -> None:
    made = problem(method=method, training_steps=40, steps=3)
    found = computed(made)
    seen = look(made, found).readings

    curves = {curve.chart: curve for curve in curves_of(follow(made) or ())}

    assert curves[ATTACK_LOSS].x == (0, 1, 2, 3)
    assert curves[ATTACK_SUCCESS].x == (1, 2, 3)
    assert curves[ATTACK_LOSS].y[0] == float(seen["loss_before"])
    assert curves[ATTACK_LOSS].y[-1] == found.loss.item()
    assert curves[ATTACK_SUCCESS].y[-1] == float(seen["success_rate"])


def test_that_a_norm_over_the_batch_is_refused_where_each_example_is_taken_by_itself() -> None:
    spec = problem(layers=[HIDDEN[0], {"kind": "batch_norm"}, *HIDDEN[1:]]).spec
    (found,) = spec.with_value("workload.method", "second_order").problems()
    assert found.key == "workload.method"
    assert "batch_norm (layer 2) makes them depend on each other" in found.sentence
