"""What the oracles of several workloads need: losses and gradients apart from the engine."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.engine.problem import Problem
from core.engine.recorder import SILENT
from core.measure.correctness.checks.network import LOSSES, Tensors, output_of
from core.spec.python_model import PythonModel


def loss(
    problem: Problem, parameters: Tensors, x: Tensor, y: Tensor, part: slice = slice(None)
) -> Tensor:
    """The loss of a batch at any weights, or of what some first layers have made of it."""
    spec = problem.spec
    if isinstance(spec.model, PythonModel):
        # Nobody else knows what the user's module computes; differences judge its derivatives.
        return problem.loss(parameters, x, y, SILENT, update_statistics=False)
    return LOSSES[spec.loss](output_of(spec.model, parameters, x, part), y)


def draws(problem: Problem) -> bool:
    """Whether the loss draws random numbers; of a module of the user's it is asked."""
    if not problem.stack.random or not isinstance(problem.spec.model, PythonModel):
        return problem.stack.random
    x, y = problem.examples
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            losses.append(loss(problem, problem.parameters, x, y).item())
    return losses[0] != losses[1]


def batch_loss(problem: Problem, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
    """The loss of the whole batch at any weights, with the same random numbers each time; those of
    each part are its own, where the batch is cut."""
    seed = problem.spec.measure.seed
    torch.manual_seed(seed)
    if not (problem.parts and draws(problem)):
        return loss(problem, parameters, x, y)
    total = torch.zeros((), dtype=torch.float64, device=problem.device)
    for number, (rows, _) in problem.parts.items():
        torch.manual_seed(seed + number)
        of_part = loss(problem, parameters, x[rows], y[rows])
        total = total + of_part * len(x[rows]) / len(x)
    return total


def gradients(value: Tensor, weights: Tensors, graph: bool) -> dict[str, Tensor]:
    """The gradient by the weights, zeros by what it does not depend on."""
    found = torch.autograd.grad(
        value, list(weights.values()), create_graph=graph, materialize_grads=True, allow_unused=True
    )
    return dict(zip(weights, found, strict=True))


def mean(losses: list[Tensor]) -> Tensor:
    """Of several losses."""
    return torch.stack(losses).mean()


def detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers as constants."""
    return {name: tensor.detach() for name, tensor in tensors.items()}


def lengths(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Euclidean lengths."""
    return {name: tensor.detach().norm().item() for name, tensor in tensors.items()}
