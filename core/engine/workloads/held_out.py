"""How fast weights adapt to tasks that nothing was trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from core.engine.data import draw_tasks
from core.engine.problem import Problem
from core.engine.workloads.meta_scores import paths
from core.results.charts import ADAPTATION, Point, Reading
from core.spec.workloads import Maml

STEPS = 10
"""Inner steps that are drawn at least, as in Finn et al. 2017 (section 5.1)."""

_NORMAL_95 = 1.959964
"""Half the width of a 95 % interval of a normal distribution, in standard deviations."""

Weights = Mapping[str, torch.Tensor]


def compared(problem: Problem, apart: Weights, together: Weights) -> Iterator[Point | Reading]:
    """The loss by inner step of weights that were meta-trained and of others, on the same tasks.

    Intervals are 95 %, over tasks.

    Args:
        problem: whose workload says how many tasks there are, and how they are adapted to.
        apart: weights that were trained to adapt.
        together: weights that were trained on all tasks together.
    """
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    steps = max(STEPS, workload.inner_steps)
    ours, theirs = _losses(problem, apart, steps), _losses(problem, together, steps)
    for name, losses in (("meta-trained", ours), ("trained on all tasks together", theirs)):
        for step, column in enumerate(zip(*losses, strict=True)):
            middle, margin = _mean(column)
            yield Point(ADAPTATION, name, step, middle, middle - margin, middle + margin)
    for step in (1, STEPS):
        mine, others = ([row[step] for row in losses] for losses in (ours, theirs))
        ratio, margin = _ratio(mine, others)
        after = f"after_{step}_step{'s' if step > 1 else ''}"
        yield Reading(f"held_out_loss_ratio_{after}", ratio)
        yield Reading(f"held_out_loss_ratio_{after}_low", ratio - margin)
        yield Reading(f"held_out_loss_ratio_{after}_high", ratio + margin)


def _losses(problem: Problem, weights: Weights, steps: int) -> list[tuple[float, ...]]:
    """A row for each task, with the loss before and after each inner step."""
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    one = problem.spec.model_copy(update={"workload": workload.model_copy(update={"tasks": 1})})
    dtype = next(iter(weights.values())).dtype
    rows = []
    for number in range(workload.test_tasks):
        task = draw_tasks(one, problem.device, dtype, number, held_out=True)
        state = replace(problem, spec=one, parameters=dict(weights), data=task)
        rows += [tuple(score.loss for score in path) for path in paths(state, steps)]
    return rows


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean and half the width of its interval, which is infinite for a single value."""
    count = len(values)
    middle = sum(values) / count
    if count < 2:
        return middle, math.inf
    square = sum((value - middle) * (value - middle) for value in values) / (count - 1)
    return middle, _NORMAL_95 * math.sqrt(square / count)


def _ratio(over: Sequence[float], under: Sequence[float]) -> tuple[float, float]:
    """The ratio of two means over the same tasks, and half the width of its interval.

    To first order its error is that of the mean of ``over - ratio · under``, by the mean of
    ``under`` (the delta method).
    """
    below, _ = _mean(under)
    if below == 0:
        return math.nan, math.nan
    ratio = _mean(over)[0] / below
    _, margin = _mean([one - ratio * other for one, other in zip(over, under, strict=True)])
    return ratio, margin / below
