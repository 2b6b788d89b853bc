"""Meta-training: Adam on the initial weights, and what becomes of it, drawn as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from core.engine.data import draw_tasks
from core.engine.problem import Problem
from core.engine.recorder import Silent
from core.engine.workloads.maml import compute
from core.results.charts import LEARNING, Point
from core.spec.workloads import Maml

META_GRADIENT = 2
"""The order that is the gradient of the loss after the inner steps."""


def follow(problem: Problem) -> Iterator[Point] | None:
    """The learning curve, None without outer steps."""
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    if not workload.outer_steps:
        return None
    return (
        Point(LEARNING, "outer loss", step, loss, done=(step + 1) / workload.outer_steps)
        for step, loss in enumerate(learn(problem))
    )


def learn(problem: Problem) -> Iterator[float]:
    """Lets Adam follow the meta-gradient, and yields the loss before each of its steps.

    The meta-gradient is the exact one, or at order 1 its first-order approximation: what the higher
    orders compute is no gradient of the loss. Starts from the problem's initial state and does not
    change its parameters and buffers. A loss may be infinite or not a number.
    """
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    problem.reset()
    followed = workload.model_copy(update={"order": min(workload.order, META_GRADIENT)})
    spec = problem.spec.model_copy(update={"workload": followed})
    parameters = {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in problem.parameters.items()
    }
    buffers = {name: buffer.clone() for name, buffer in problem.buffers.items()}
    optimizer = torch.optim.Adam(parameters.values(), lr=workload.outer_lr)
    dtype = next(iter(parameters.values())).dtype
    for step in range(workload.outer_steps):
        tasks = draw_tasks(problem.spec, problem.device, dtype, step)
        state = replace(problem, spec=spec, parameters=parameters, buffers=buffers, data=tasks)
        outcome = compute(state, Silent())
        for name, parameter in parameters.items():
            gradient = outcome.result[name]
            parameter.grad = gradient.to_dense() if gradient.is_sparse else gradient
        optimizer.step()
        yield outcome.loss.item()
