"""Meta-learning: one meta-gradient over the tasks of a problem, whatever the variant."""

from __future__ import annotations

from collections.abc import Callable

import torch

from core.engine.computed import Computed, computed
from core.engine.implicit import Heard
from core.engine.inner_loop import INNER_STEPS, SupportLoss, Weights, WeightsLoss
from core.engine.losses import Loss
from core.engine.meta_gradient import Learner, Task, meta_gradient
from core.engine.problem import Problem, Shown
from core.engine.recorder import SILENT, Recorder, is_deaf
from core.engine.stack import Stack
from core.spec.model import StackModel
from core.spec.workloads import Maml, head_of


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """One meta-gradient at the problem's parameters: the mean over its tasks."""
    learner = learner_of(problem, recorder)
    derivative = meta_gradient(learner, tasks_of(problem, recorder))
    return computed(derivative, problem.parameters, learner.workload.order)


def learner_of(problem: Problem, recorder: Recorder, heard: Heard | None = None) -> Learner:
    """What the tasks of a problem share.

    Args:
        problem: with a workload of meta-learning.
        recorder: hears of the phases.
        heard: told of the iterations of conjugate gradients.
    """
    key = "silent learner" if recorder is SILENT else "learner"
    kept: Learner | None = problem.kept.get(key)
    if kept is not None and kept.recorder is recorder and heard is None:
        return kept
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    learner = Learner(
        initial=tuple(problem.parameters.values()),
        workload=workload,
        recorder=recorder,
        step=INNER_STEPS[problem.spec.mitigation.inner_loop],
        staying=_staying(problem),
        runs=problem.walked_twice,
        heard=heard,
    )
    if heard is None and is_deaf(recorder):  # others hold what they have heard
        problem.kept[key] = learner
    return learner


def tasks_of(problem: Problem, recorder: Recorder, judged: Shown | None = None) -> list[Task]:
    """The tasks of a problem as functions of the weights.

    Args:
        problem: with a workload of meta-learning.
        recorder: hears of the layers.
        judged: shown every output for a query set.
    """
    if judged is not None or not is_deaf(recorder):
        return _tasks(problem, recorder, judged)
    if "tasks" not in problem.kept:
        problem.kept["tasks"] = _tasks(problem, SILENT, None)
    tasks: list[Task] = problem.kept["tasks"]
    return tasks


def _tasks(problem: Problem, recorder: Recorder, judged: Shown | None) -> list[Task]:
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
    support = problem.loss_of(support_x, support_y, recorder)
    again = problem.loss_of(support_x, support_y, recorder, update_statistics=False)
    query = problem.loss_of(query_x, query_y, recorder, shown=judged)
    closed = isinstance(problem.stack, Stack)
    return Task(SupportLoss(support, again, problem.stack.random, closed), query)


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
    staying, names, buffers = _staying(problem), tuple(problem.parameters), problem.buffers
    features = body.segment_of(names[:staying], buffers, recorder)
    scores = head.segment_of(names[staying:], buffers, recorder)

    def loss(update_statistics: bool) -> WeightsLoss:
        return problem.cast(
            head.loss_of(
                names[staying:],
                None,
                support_y,
                problem.criterion,
                buffers,
                recorder,
                update_statistics=update_statistics,
            )
        )

    def whole(weights: Weights) -> torch.Tensor:
        return scores(features(query_x, *weights[:staying]), *weights[staying:])

    return Task(
        SupportLoss(loss(True), loss(False), head.random, closed=True),
        problem.cast(_query_loss(problem.criterion, judged, whole, query_y)),
        features=problem.cast(lambda weights: features(support_x, *weights)),
    )


def _query_loss(
    criterion: Loss,
    judged: Shown | None,
    output: Callable[[Weights], torch.Tensor],
    target: torch.Tensor,
) -> WeightsLoss:
    """The loss on the query set; its output is shown to whoever wants to see it."""

    def loss(weights: Weights) -> torch.Tensor:
        found = output(weights)
        if judged is not None:
            judged(found, target)
        return criterion(found, target)

    return loss


def _staying(problem: Problem) -> int:
    """How many of the first weights no inner step changes."""
    if "staying" not in problem.kept:
        head, layer_of = _head(problem), problem.stack.layer_of
        problem.kept["staying"] = sum(layer_of(name) < head for name in problem.parameters)
    staying: int = problem.kept["staying"]
    return staying
