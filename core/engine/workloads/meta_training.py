"""Meta-training: Adam on the initial weights, and what becomes of it, drawn as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import torch

from core.engine.computed import computed
from core.engine.data import Tasks, draw_tasks
from core.engine.meta_gradient import meta_gradient
from core.engine.problem import Problem
from core.engine.recorder import SILENT
from core.engine.workloads.held_out import compared
from core.engine.workloads.maml import learner_of, tasks_of
from core.engine.workloads.meta_scores import Score, Shown, mean_score, paths
from core.results.charts import ACCURACY, LEARNING, Point, Reading
from core.spec.workloads import Maml

META_GRADIENT = 2
"""The order that is the gradient of the loss after the inner steps."""


def follow(problem: Problem) -> Iterator[Point | Reading]:
    """What adapting is worth, the learning curve, and what it comes to on tasks apart.

    Starts from the problem's initial state and does not change its parameters and buffers. A loss
    may be infinite or not a number.
    """
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    yield from _readings(problem, "")
    if workload.variant == "imaml":
        yield Reading("cg_residual", cg_residual(problem))
    if not workload.outer_steps:
        return
    training = Training.of(problem)
    beside = Training.of(problem) if workload.test_tasks else None
    for step in range(workload.outer_steps):
        tasks = training.tasks(step)
        if beside is not None:
            beside.together(tasks)
        score, done = training.apart(tasks), (step + 1) / workload.outer_steps
        if score.accuracy is not None:
            yield Point(ACCURACY, "query accuracy", step, score.accuracy)
        yield Point(LEARNING, "outer loss", step, score.loss, done=done)
    # Fresh ones of sinusoids and digits, which no step has seen.
    yield from _readings(training.state(training.tasks(workload.outer_steps)), "trained_")
    if beside is not None:
        yield from compared(problem, training.parameters, beside.parameters)


def learn(problem: Problem) -> Iterator[Score]:
    """Lets Adam follow the meta-gradient, and yields the score before each of its steps."""
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    training = Training.of(problem)
    for step in range(workload.outer_steps):
        yield training.apart(training.tasks(step))


@dataclass
class Training:
    """Weights that Adam moves, beside the initial ones of a problem."""

    problem: Problem
    parameters: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        workload = self.problem.spec.workload
        assert isinstance(workload, Maml)
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=workload.outer_lr)

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """At the problem's initial state.

        The meta-gradient that is followed is the exact one, or at order 1 its first-order
        approximation: what the higher orders compute is no gradient of the loss.
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
        return cls(replace(problem, spec=spec), parameters, buffers)

    def tasks(self, step: int) -> Tasks:
        """Those of an outer step."""
        dtype = next(iter(self.parameters.values())).dtype
        return draw_tasks(self.problem.spec, self.problem.device, dtype, step)

    def state(self, tasks: Tasks) -> Problem:
        """The problem at these weights, with other tasks."""
        return replace(self.problem, parameters=self.parameters, buffers=self.buffers, data=tasks)

    def apart(self, tasks: Tasks) -> Score:
        """A step along the meta-gradient; the score is that before it, of adapted weights."""
        state, silent, shown = self.state(tasks), SILENT, Shown.of(self.problem)
        derivative = meta_gradient(learner_of(state, silent), tasks_of(state, silent, shown))
        self._move(computed(derivative, self.parameters, META_GRADIENT).result)
        return Score(derivative.loss.item(), shown.mean)

    def together(self, tasks: Tasks) -> None:
        """A step down the loss of all examples of all tasks, to none of which it adapts."""
        x = torch.cat([tasks.support_x, tasks.query_x], 1).flatten(0, 1)
        y = torch.cat([tasks.support_y, tasks.query_y], 1).flatten(0, 1)
        loss = self.state(tasks).loss(self.parameters, x, y, SILENT)
        gradients = torch.autograd.grad(
            loss, list(self.parameters.values()), allow_unused=True, materialize_grads=True
        )
        self._move(dict(zip(self.parameters, gradients, strict=True)))

    def _move(self, gradients: dict[str, torch.Tensor]) -> None:
        for name, parameter in self.parameters.items():
            gradient = gradients[name]
            parameter.grad = gradient.to_dense() if gradient.is_sparse else gradient
        self.optimizer.step()


def cg_residual(problem: Problem) -> float:
    """What conjugate gradients leave of the right-hand side at most, over the problem's tasks."""
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    last: list[float] = []

    def heard(number: int, residual: torch.Tensor) -> None:
        if number == workload.cg_iterations:
            last.append(residual.item())

    buffers = {name: buffer.clone() for name, buffer in problem.buffers.items()}
    state, silent = replace(problem, buffers=buffers), SILENT
    problem.same_random_numbers()
    meta_gradient(learner_of(state, silent, heard), tasks_of(state, silent))
    return max(last)


def _readings(problem: Problem, prefix: str) -> Iterator[Reading]:
    """Means over the problem's tasks, before the first inner step and after the last."""
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    both = zip(*paths(problem, workload.inner_steps, ends=True), strict=True)
    for when, scores in zip(("before", "after"), both, strict=True):
        score = mean_score(list(scores))
        yield Reading(f"{prefix}loss_{when}_adaptation", score.loss)
        if score.accuracy is not None:
            yield Reading(f"{prefix}accuracy_{when}_adaptation", score.accuracy)
