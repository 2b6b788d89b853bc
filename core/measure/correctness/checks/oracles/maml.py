"""Meta-gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from core.engine.data import Tasks
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import detached, gradients, lengths, loss, mean
from core.spec.workloads import Maml


def oracles(problem: Problem) -> Oracles:
    """The loss after an inner loop of its own, or beside the weights adapted by one."""
    workload, tasks = problem.spec.workload, problem.data
    assert isinstance(workload, Maml)
    assert isinstance(tasks, Tasks)
    initial = detached(problem.parameters)
    sizes = lengths(initial)
    seed, count = problem.spec.measure.seed, workload.tasks

    def adapted(weights: Tensors, number: int, graph: bool) -> Tensors:
        x, y = tasks.support_x[number], tasks.support_y[number]
        for _ in range(workload.inner_steps):
            if not graph:
                weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
            slopes = gradients(loss(problem, weights, x, y), weights, graph)
            weights = {name: w - workload.inner_lr * slopes[name] for name, w in weights.items()}
        return weights if graph else detached(weights)

    def judged(weights: Tensors, number: int) -> Tensor:
        return loss(problem, weights, tasks.query_x[number], tasks.query_y[number])

    def support_loss(point: Tensors, graph: bool) -> Tensor:
        del graph
        torch.manual_seed(seed)
        x, y = tasks.support_x, tasks.support_y
        return mean([loss(problem, point, x[number], y[number]) for number in range(count)])

    def meta_loss(point: Tensors, graph: bool) -> Tensor:
        torch.manual_seed(seed)
        return mean([judged(adapted(point, number, graph), number) for number in range(count)])

    def beside_adapted(offsets: Tensors, graph: bool) -> Tensor:
        """The loss as far from the adapted weights of each task: its gradient is first-order."""
        del graph
        torch.manual_seed(seed)
        losses = []
        for number in range(count):
            end = adapted(initial, number, False)
            losses.append(judged({name: w + offsets[name] for name, w in end.items()}, number))
        return mean(losses)

    inner = Oracle(support_loss, initial, sizes, 1, about="The gradient of an inner step")
    if workload.order == 1:
        nowhere = {name: torch.zeros_like(tensor) for name, tensor in initial.items()}
        return Oracles((Oracle(beside_adapted, nowhere, sizes, 1),), (inner,))
    exact = Oracle(meta_loss, initial, sizes, workload.order - 1, first_order=2)
    return Oracles((exact,), (inner,))
