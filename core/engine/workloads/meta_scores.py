"""What weights are worth on tasks, before and after each step that they take to adapt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from core.engine.problem import Problem
from core.engine.recorder import SILENT
from core.engine.workloads.maml import learner_of, tasks_of
from core.spec.workloads import Maml


class Score(NamedTuple):
    """On the query set of a task, or the mean of several.

    Attributes:
        accuracy: share of the examples that are told right; None where the loss knows no classes.
    """

    loss: float
    accuracy: float | None


@dataclass
class Shown:
    """Keeps what share of each query set is told right."""

    classes: bool
    accuracies: list[float]

    @classmethod
    def of(cls, problem: Problem) -> Shown:
        """Accuracies where the problem's loss knows classes."""
        return cls(problem.spec.loss == "cross_entropy", [])

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> None:
        if self.classes:
            right = output.detach().argmax(1) == target
            self.accuracies.append(right.double().mean().item())

    @property
    def mean(self) -> float | None:
        """Of all query sets that were shown, None where there is none."""
        if not self.accuracies:
            return None
        return sum(self.accuracies) / len(self.accuracies)


def mean_score(scores: list[Score]) -> Score:
    """The mean of scores of one kind, at least one."""
    accuracies = [score.accuracy for score in scores if score.accuracy is not None]
    return Score(
        sum(score.loss for score in scores) / len(scores),
        sum(accuracies) / len(accuracies) if accuracies else None,
    )


def paths(problem: Problem, steps: int, *, ends: bool = False) -> Iterator[tuple[Score, ...]]:
    """For each task the score of the problem's weights, and of those after each inner step.

    Neither weights nor running statistics are changed.

    Args:
        problem: with a workload of meta-learning, of any variant and order.
        steps: how many inner steps are taken.
        ends: whether the first and the last score do.
    """
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    # Where nothing is differentiated further, no inner step needs its graph.
    order = 1 if workload.unrolls else workload.order
    spec = problem.spec.model_copy(
        update={"workload": workload.model_copy(update={"order": order})}
    )
    buffers = {name: buffer.clone() for name, buffer in problem.buffers.items()}
    state, silent = replace(problem, spec=spec, buffers=buffers), SILENT
    problem.same_random_numbers()
    learner, shown = learner_of(state, silent), Shown.of(problem)
    for task in tasks_of(state, silent, shown):
        path = []
        for number, weights in enumerate(learner.path(task, steps)):
            if ends and 0 < number < steps:
                continue
            shown.accuracies.clear()
            with torch.no_grad():
                loss = task.query(weights).item()
            path.append(Score(loss, shown.mean))
        yield tuple(path)
