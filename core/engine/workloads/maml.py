"""Model-agnostic meta-learning (Finn et al. 2017, arXiv 1703.03400).

The meta-gradient is the gradient, by the initial weights, of the loss after some steps of gradient
descent on a task; first-order MAML takes the gradient by the adapted weights for it. Orders above
2 differentiate the sum of the meta-gradient again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from core.engine.computed import Computed, computed
from core.engine.data import Tasks, draw_tasks
from core.engine.gradients import Derivative, Gradients, derive
from core.engine.inner_loop import (
    INNER_STEPS,
    InnerStep,
    SupportLoss,
    Weights,
    WeightsLoss,
    detached_step,
)
from core.engine.problem import Problem
from core.engine.recorder import Recorder, Silent
from core.results.charts import LEARNING, Point
from core.spec.workloads import Maml

META_GRADIENT = 2
"""The order that is the gradient of the loss after the inner steps."""


@dataclass(frozen=True)
class Task:
    """A task as two functions of the weights: what is descended, and what is judged by."""

    support: SupportLoss
    query: WeightsLoss


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """One meta-gradient at the problem's parameters: the mean over its tasks."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, Maml)
    assert isinstance(data, Tasks)
    names = tuple(problem.parameters)
    derivative = meta_gradient(
        [_task(problem, names, *examples, recorder) for examples in zip(*data, strict=True)],
        tuple(problem.parameters.values()),
        workload,
        recorder,
        INNER_STEPS[problem.spec.mitigation.inner_loop],
    )
    return computed(derivative, problem.parameters, workload.order)


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


def meta_gradient(
    tasks: Sequence[Task],
    initial: Sequence[torch.Tensor],
    workload: Maml,
    recorder: Recorder,
    step: InnerStep,
) -> Derivative:
    """Mean over the tasks of the derivative of the query loss at the adapted weights.

    The tasks are computed one after the other, so that no more than one graph is alive.

    Args:
        tasks: at least one.
        initial: the weights that every task starts from; leaf tensors that require grad.
        workload: order, number of inner steps and their rate.
        recorder: hears of the phases, which are named after the task where there are several.
        step: how an inner step is computed from order 2 on.
    """
    learner = _Learner(tuple(initial), workload, recorder, step)
    if len(tasks) == 1:
        return learner.derivative(tasks[0], prefix="", weight=1.0)
    total = tuple(torch.zeros_like(weight) for weight in initial)
    recorder.hold("gradients", total)
    influences = [False] * len(total)
    losses = []
    for number, task in enumerate(tasks, start=1):
        gradients, loss = learner.derivative(task, prefix=f"task {number}: ", weight=1 / len(tasks))
        _add(total, gradients)
        influences = [
            known or gradient is not None
            for known, gradient in zip(influences, gradients, strict=True)
        ]
        losses.append(loss)
        del gradients  # not kept beside the sum while the next task is computed
    mean = tuple(
        tensor if influence else None for tensor, influence in zip(total, influences, strict=True)
    )
    return Derivative(mean, torch.stack(losses).mean())


@dataclass(frozen=True)
class _Learner:
    """What all tasks share: where they start and how they adapt."""

    initial: Weights
    workload: Maml
    recorder: Recorder
    step: InnerStep

    def derivative(self, task: Task, *, prefix: str, weight: float) -> Derivative:
        """The derivative for one task.

        Args:
            task: the task.
            prefix: what the names of its phases begin with.
            weight: factor on the derivative.
        """
        order = self.workload.order
        phases = [f"{prefix}meta-gradient"]
        phases += [f"{prefix}gradient {higher}" for higher in range(3, order + 1)]
        if order == 1:
            adapted = self._adapted(task, detached_step, prefix)
            return derive(
                lambda: self._query_loss(task, adapted, prefix),
                adapted,
                phases,
                self.recorder,
                weight=weight,
            )
        return derive(
            lambda: self._query_loss(task, self._adapted(task, self.step, prefix), prefix),
            self.initial,
            phases,
            self.recorder,
            first_order=2,
            weight=weight,
        )

    def _adapted(self, task: Task, step: InnerStep, prefix: str) -> Weights:
        """The fast weights after the inner steps; before them they are the initial weights."""
        weights = self.initial
        for number in range(1, self.workload.inner_steps + 1):
            with self.recorder.phase(f"{prefix}inner step {number}"):
                weights = step(task.support, weights, self.workload.inner_lr, self.recorder)
                self.recorder.result(weights)
        return weights

    def _query_loss(self, task: Task, weights: Weights, prefix: str) -> torch.Tensor:
        with self.recorder.phase(f"{prefix}query loss"):
            self.recorder.born("activations")
            value = task.query(weights)
            self.recorder.result((value,))
            return value


def _add(total: Sequence[torch.Tensor], gradients: Gradients) -> None:
    for tensor, gradient in zip(total, gradients, strict=True):
        if gradient is not None:
            tensor.add_(gradient)


def _task(
    problem: Problem,
    names: Sequence[str],
    support_x: torch.Tensor,
    support_y: torch.Tensor,
    query_x: torch.Tensor,
    query_y: torch.Tensor,
    recorder: Recorder,
) -> Task:
    """The problem's loss on the examples of one task."""

    def loss(x: torch.Tensor, y: torch.Tensor, update_statistics: bool) -> WeightsLoss:
        return lambda weights: problem.loss(
            dict(zip(names, weights, strict=True)),
            x,
            y,
            recorder,
            update_statistics=update_statistics,
        )

    support = SupportLoss(
        first=loss(support_x, support_y, True),
        again=loss(support_x, support_y, False),
        random=problem.stack.random,
    )
    return Task(support, loss(query_x, query_y, True))
