"""What each variant of meta-learning takes for the gradient by the initial weights.

MAML (Finn et al. 2017, arXiv 1703.03400) differentiates the loss after some steps of gradient
descent by the weights before them; its first order takes the gradient by the adapted weights for
it, and orders above 2 differentiate the sum of the meta-gradient again. In ANIL (Raghu et al. 2020,
arXiv 1909.09157) the head alone takes the steps. Reptile (Nichol et al. 2018, arXiv 1803.02999)
goes where the steps lead. iMAML (Rajeswaran et al. 2019, arXiv 1909.04630) holds the steps near
their start and differentiates implicitly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import or_
from typing import Self

import torch

from core.engine.gradients import Derivative, Gradients, derive, gradients_of, is_known
from core.engine.implicit import Heard, solve
from core.engine.inner_loop import (
    Descent,
    InnerStep,
    SupportLoss,
    Weights,
    WeightsLoss,
    detached_step,
    proximal_step,
)
from core.engine.recorder import Recorder
from core.results.categories import graph_category
from core.spec.workloads import Maml


@dataclass(frozen=True)
class Task:
    """A task as functions of the weights.

    Attributes:
        support: what is descended, by the weights that adapt; beside them it takes the features.
        query: what is judged by, of all weights.
        features: what the weights that stay make of the support set; None where all adapt.
    """

    support: SupportLoss
    query: WeightsLoss
    features: WeightsLoss | None = None


@dataclass(frozen=True)
class Names:
    """What the phases of a task are called.

    Attributes:
        prefix: what all of them begin with.
        steps: of the inner steps.
        query: of the loss that is judged by.
        derivatives: of the meta-gradient and of what follows it at orders above 2.
    """

    prefix: str
    steps: tuple[str, ...]
    query: str
    derivatives: tuple[str, ...]

    @classmethod
    def of(cls, prefix: str, workload: Maml) -> Self:
        """Those of a workload, after a prefix."""
        steps = [f"{prefix}inner step {number}" for number in range(1, workload.inner_steps + 1)]
        higher = [f"{prefix}gradient {order}" for order in range(3, workload.order + 1)]
        return cls(prefix, tuple(steps), f"{prefix}query loss", (f"{prefix}meta-gradient", *higher))


@dataclass(frozen=True)
class Learner:
    """What all tasks share: where they start and how they adapt.

    Attributes:
        initial: the weights that every task starts from; leaf tensors that require grad.
        workload: the variant, its order, the number of inner steps and their rate.
        recorder: hears of the phases.
        step: how an inner step is computed where its graph is kept.
        staying: how many of the first weights no inner step changes.
        runs: lengths of the runs of inner steps that keep their first weights alone; what they
            leave over keeps what each step keeps.
        heard: told of the iterations of conjugate gradients.
    """

    initial: Weights
    workload: Maml
    recorder: Recorder
    step: InnerStep
    staying: int = 0
    runs: tuple[int, ...] = ()
    heard: Heard | None = None

    @cached_property
    def inner_step(self) -> InnerStep:
        """How the weights adapt."""
        if self.workload.variant == "imaml":
            return proximal_step(self.initial, self.workload.regularisation)
        return self.step if self.workload.unrolls else detached_step

    @cached_property
    def names(self) -> dict[int, list[Names]]:
        """Those of each task by how many tasks there are, once they are known."""
        return {}

    def names_of(self, tasks: int) -> list[Names]:
        """Names of the phases, after the task where there are several."""
        if tasks not in self.names:
            prefixes = [f"task {number}: " for number in range(1, tasks + 1)]
            if tasks == 1:
                prefixes = [""]
            self.names[tasks] = [Names.of(prefix, self.workload) for prefix in prefixes]
        return self.names[tasks]

    @cached_property
    def descent(self) -> Descent:
        """The inner steps."""
        return Descent(self.inner_step, self.workload.inner_lr, self.recorder)

    def support_loss(self, task: Task, prefix: str = "") -> SupportLoss:
        """What is descended, once the weights that stay have done their part."""
        if task.features is None:
            return task.support
        support = task.support
        with self.recorder.phase(f"{prefix}features"):
            self.recorder.born("activations")
            if self.workload.unrolls:
                features = task.features(self.initial[: self.staying])
            else:
                with torch.no_grad():
                    features = task.features(self.initial[: self.staying])
            self.recorder.result((features,))
        return SupportLoss(
            support.first, support.again, support.random, support.closed, (features,)
        )

    def adapted(self, task: Task, names: Names) -> Weights:
        """All weights after the inner steps; before them they are the initial weights."""
        support = task.support if task.features is None else self.support_loss(task, names.prefix)
        weights, done = self.initial[self.staying :], 0
        for length in self.runs:
            phases = names.steps[done : done + length]
            weights = self.descent.once_more(support, weights, phases)
            done += length
        weights = self.descent.along(support, weights, names.steps[done:])
        return (*self.initial[: self.staying], *weights) if self.staying else weights

    def path(self, task: Task, steps: int) -> Iterator[Weights]:
        """All weights before and after each of some inner steps."""
        support, step = self.support_loss(task), self.inner_step
        staying, weights = self.initial[: self.staying], self.initial[self.staying :]
        yield self.initial
        for _ in range(steps):
            weights = step(support, weights, self.workload.inner_lr, self.recorder)
            yield (*staying, *weights)

    def query_loss(self, task: Task, weights: Weights, names: Names) -> torch.Tensor:
        """What the adapted weights are judged by."""
        with self.recorder.phase(names.query):
            self.recorder.born("activations")
            value = task.query(weights)
            self.recorder.result((value,))
            return value


def meta_gradient(learner: Learner, tasks: Sequence[Task]) -> Derivative:
    """Mean over the tasks of the derivative of the query loss, and of that loss.

    The tasks are computed one after the other, so that no more than one graph is alive. Phases are
    named after the task where there are several.

    Args:
        learner: what the tasks share.
        tasks: at least one.
    """
    derivative_of = _VARIANTS[learner.workload.variant]
    all_names, weight = learner.names_of(len(tasks)), 1 / len(tasks)
    if len(tasks) == 1:
        return derivative_of(learner, tasks[0], all_names[0], 1.0)
    total = tuple(map(torch.zeros_like, learner.initial))
    learner.recorder.hold("gradients", total)
    influences = [False] * len(total)
    losses = []
    for task, names in zip(tasks, all_names, strict=True):
        gradients, loss = derivative_of(learner, task, names, weight)
        _add(total, gradients)
        influences = list(map(or_, influences, map(is_known, gradients)))
        losses.append(loss)
        del gradients  # not kept beside the sum while the next task is computed
    mean = tuple(
        [tensor if known else None for tensor, known in zip(total, influences, strict=True)]
    )
    return Derivative(mean, torch.stack(losses).mean())


def _add(total: Sequence[torch.Tensor], gradients: Gradients) -> None:
    for tensor, gradient in zip(total, gradients, strict=True):
        if gradient is not None:
            tensor.add_(gradient)


def _through_the_steps(learner: Learner, task: Task, names: Names, weight: float) -> Derivative:
    """The query loss differentiated by the initial weights, or at order 1 by the adapted ones."""
    order, recorder, phases = learner.workload.order, learner.recorder, names.derivatives
    weights = learner.adapted(task, names)
    with recorder.phase(names.query):
        recorder.born("activations")
        outputs = [task.query(weights)]
        recorder.result(outputs)
    if order == 1:
        return derive(outputs, weights, phases, recorder, weight=weight)
    del weights  # they go with the graph
    return derive(outputs, learner.initial, phases, recorder, first_order=2, weight=weight)


def _where_they_lead(learner: Learner, task: Task, names: Names, weight: float) -> Derivative:
    """From the adapted weights to the initial ones, in terms of the inner rate (Reptile)."""
    recorder = learner.recorder
    adapted = learner.adapted(task, names)
    with torch.no_grad():
        value = learner.query_loss(task, adapted, names).clone()
        with recorder.phase(names.derivatives[0]):
            recorder.born("gradients")
            gradients = tuple(
                [
                    torch.sub(start, end).mul_(weight / learner.workload.inner_lr)
                    for start, end in zip(learner.initial, adapted, strict=True)
                ]
            )
            recorder.hold("gradients", gradients)
            recorder.result(gradients)
    return Derivative(gradients, value)


def _implicitly(learner: Learner, task: Task, names: Names, weight: float) -> Derivative:
    """The gradient by the adapted weights, through the inverse of I + H/λ (iMAML)."""
    recorder, workload = learner.recorder, learner.workload
    adapted = learner.adapted(task, names)
    query, value = derive(
        [learner.query_loss(task, adapted, names)],
        adapted,
        [f"{names.prefix}query gradient"],
        recorder,
        weight=weight,
    )
    right = [
        torch.zeros_like(end) if gradient is None else gradient
        for end, gradient in zip(adapted, query, strict=True)
    ]
    del query
    with recorder.phase(f"{names.prefix}support gradient"):
        recorder.born("activations")
        loss = task.support.again(adapted)
        recorder.born(graph_category(1))
        gradients = gradients_of((loss,), adapted, create_graph=True)
        recorder.result([gradient for gradient in gradients if gradient is not None])
        del loss
    with recorder.phase(f"{names.prefix}conjugate gradients"):
        recorder.born("gradients")
        found = solve(
            gradients,
            adapted,
            right,
            workload.regularisation,
            workload.cg_iterations,
            learner.heard,
        )
        del gradients
        recorder.hold("gradients", found)
        recorder.result(found)
    return Derivative(tuple(found), value)


_VARIANTS: dict[str, Callable[[Learner, Task, Names, float], Derivative]] = {
    "maml": _through_the_steps,
    "anil": _through_the_steps,
    "reptile": _where_they_lead,
    "imaml": _implicitly,
}
