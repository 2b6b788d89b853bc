"""The outer loop of MAML: Adam on the initial weights."""

from collections.abc import Sequence

import pytest
import torch

from core.engine.data import Tasks, draw_tasks
from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.engine.workloads.meta_training import learn
from core.spec.run import RunSpec
from tests.core.engine.test_maml import problem


def test_that_learning_lowers_the_loss_and_leaves_the_problem_as_it_was() -> None:
    made = problem("batch norm", 2)
    spec = made.spec.with_changes({"workload.outer_steps": 30, "workload.outer_lr": 0.02})
    made = prepare(spec, torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in (made.parameters | made.buffers).items()}

    curve = [score.loss for score in learn(made)]

    for name, tensor in (made.parameters | made.buffers).items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in made.parameters.values())
    assert len(curve) == 30
    assert curve[-1] < 0.8 * curve[0]
    assert curve[0] == pytest.approx(compute(made, SILENT).loss.item(), rel=1e-12)


def test_that_learning_follows_adam_on_fresh_tasks() -> None:
    spec = RunSpec.from_json(
        """{"model": {"input_shape": [1], "layers": [{"kind": "linear", "out_features": 5},
        {"kind": "tanh"}, {"kind": "linear", "out_features": 1}]}, "data": {"kind": "sinusoid"},
        "workload": {"kind": "maml", "inner_steps": 1, "outer_steps": 4, "outer_lr": 0.01},
        "mitigation": {"precision": "float64"}}"""
    )
    made = prepare(spec, torch.device("cpu"))
    weights = [parameter.detach().clone() for parameter in made.parameters.values()]
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    right = []
    for step in range(4):
        tasks = draw_tasks(spec, torch.device("cpu"), torch.float64, step)
        leaves = [weight.clone().requires_grad_() for weight in weights]
        loss = _sinusoid_meta_loss(leaves, tasks)
        right.append(loss.item())
        for position, gradient in enumerate(torch.autograd.grad(loss, leaves)):
            mean, square = moments[position]
            mean.mul_(0.9).add_(0.1 * gradient)
            square.mul_(0.999).add_(0.001 * gradient**2)
            unbiased = mean / (1 - 0.9 ** (step + 1))
            scale = (square / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            weights[position] -= 0.01 * unbiased / scale

    assert [score.loss for score in learn(made)] == pytest.approx(right, rel=1e-10)


def _sinusoid_meta_loss(weights: list[torch.Tensor], tasks: Tasks) -> torch.Tensor:
    def net(w: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ w[0].T + w[1]) @ w[2].T + w[3]

    losses = []
    for support_x, support_y, query_x, query_y in zip(*tasks, strict=True):
        inner = ((net(weights, support_x) - support_y) ** 2).mean()
        gradients = torch.autograd.grad(inner, weights, create_graph=True)
        fast = [w - 0.01 * g for w, g in zip(weights, gradients, strict=True)]
        losses.append(((net(fast, query_x) - query_y) ** 2).mean())
    return torch.stack(losses).mean()
