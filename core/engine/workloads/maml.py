"""Meta-learning: one meta-gradient over the tasks of a problem, whatever the variant."""

from __future__ import annotations

from collections.abc import Callable

import torch

from core.engine.computed import Computed, computed
from core.engine.implicit import Heard
from core.engine.inner_loop import INNER_STEPS, SupportLoss, Weights, WeightsLoss
from core.engine.meta_gradient import Learner, Task, meta_gradient
from core.engine.problem import Problem, Shown
from core.engine.recorder import Recorder
from core.engine.stack import Stack
from core.spec.model import StackModel
from core.spec.workloads import Maml, head_of


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """One meta-gradient at the problem's parameters: the mean over its tasks."""
    workload = problem.spec.workload
    derivative = meta_gradient(learner_of(problem, recorder), tasks_of(problem, recorder))
    return computed(derivative, problem.parameters, workload.derivative_order)


def learner_of(problem: Problem, recorder: Recorder, heard: Heard | None = None) -> Learner:
    """What the tasks of a problem share.

    Args:
        problem: with a workload of meta-learning.
        recorder: hears of the phases.
        heard: told of the iterations of conjugate gradients.
    """
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    return Learner(
        initial=tuple(problem.parameters.values()),
        workload=workload,
        recorder=recorder,
        step=INNER_STEPS[problem.spec.mitigation.inner_loop],
        staying=_staying(problem),
        runs=problem.walked_twice,
        heard=heard,
    )


def tasks_of(problem: Problem, recorder: Recorder, judged: Shown | None = None) -> list[Task]:
    """The tasks of a problem as functions of the weights.

    Args:
        problem: with a workload of meta-learning.
        recorder: hears of the layers.
        judged: shown every output for a query set.
    """
    form = _task_of_a_head if _head(problem) else _task
    return [form(problem, recorder, judged, *task) for task in problem.tasks]


def _head(problem: Problem) -> int:
    """The first layer that the inner steps adapt."""
    workload = problem.spec.workload
    is_anil = isinstance(workload, Maml) and workload.variant == "anil"
    model = problem.spec.model
    return head_of(model) if is_anil and isinstance(model, StackModel) else 0


def _task(
    problem: Problem,
    recorder: Recorder,
    judged: Shown | None,
    support_x: torch.Tensor,
    support_y: torch.Tensor,
    query_x: torch.Tensor,
    query_y: torch.Tensor,
) -> Task:
    """All weights adapt to the support set."""
    names = tuple(problem.parameters)

    def loss(
        x: torch.Tensor, y: torch.Tensor, *, update: bool = True, shown: Shown | None = None
    ) -> WeightsLoss:
        return lambda weights: problem.loss(
            dict(zip(names, weights, strict=True)),
            x,
            y,
            recorder,
            update_statistics=update,
            shown=shown,
        )

    again = loss(support_x, support_y, update=False)
    return Task(
        SupportLoss(loss(support_x, support_y), again, problem.stack.random),
        loss(query_x, query_y, shown=judged),
    )


def _task_of_a_head(
    problem: Problem,
    recorder: Recorder,
    judged: Shown | None,
    support_x: torch.Tensor,
    support_y: torch.Tensor,
    query_x: torch.Tensor,
    query_y: torch.Tensor,
) -> Task:
    """The head alone adapts, to features that the other layers have made once (ANIL)."""
    assert isinstance(problem.stack, Stack)
    first, layers = _head(problem), len(problem.spec.model.layers)
    body, head = problem.stack.part(range(first)), problem.stack.part(range(first, layers))
    names = tuple(problem.parameters)
    staying = _staying(problem)

    def features(weights: Weights, x: torch.Tensor) -> torch.Tensor:
        own = dict(zip(names[:staying], weights, strict=True))
        return body.forward(own, problem.buffers, x, recorder)

    def output(weights: Weights, x: torch.Tensor, update_statistics: bool) -> torch.Tensor:
        own = dict(zip(names[staying:], weights, strict=True))
        return head.forward(own, problem.buffers, x, recorder, update_statistics=update_statistics)

    def loss(update_statistics: bool) -> WeightsLoss:
        return lambda tensors: problem.criterion(
            output(tensors[:-1], tensors[-1], update_statistics), support_y
        )

    def whole(weights: Weights) -> torch.Tensor:
        return output(weights[staying:], features(weights[:staying], query_x), True)

    return Task(
        SupportLoss(problem.cast(loss(True)), problem.cast(loss(False)), head.random),
        problem.cast(_query_loss(problem, judged, whole, query_y)),
        features=problem.cast(lambda weights: features(weights, support_x)),
    )


def _query_loss(
    problem: Problem,
    judged: Shown | None,
    output: Callable[[Weights], torch.Tensor],
    target: torch.Tensor,
) -> WeightsLoss:
    """The loss on the query set; its output is shown to whoever wants to see it."""

    def loss(weights: Weights) -> torch.Tensor:
        found = output(weights)
        if judged is not None:
            judged(found, target)
        return problem.criterion(found, target)

    return loss


def _staying(problem: Problem) -> int:
    """How many of the first weights no inner step changes."""
    head = _head(problem)
    return sum(problem.stack.layer_of(name) < head for name in problem.parameters) if head else 0
