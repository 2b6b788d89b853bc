"""Gradient of the sum of the gradient of the sum of the gradient ..., as often as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch

from core.engine.computed import Computed, computed
from core.engine.data import Batch
from core.engine.gradients import Derivative, derive
from core.engine.parts import ByRows, Total, parts
from core.engine.problem import Problem
from core.engine.recorder import SILENT, Recorder, is_deaf
from core.spec.workloads import NestedGradient


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The nested gradient of the problem's loss by its parameters, or by its inputs as ``x``."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, NestedGradient)
    assert isinstance(data, Batch)
    by_inputs = workload.wrt == "inputs"
    wrt = {"x": data.x} if by_inputs else problem.parameters
    if not problem.parts:
        return computed(_differentiated(problem, workload, recorder), wrt, workload.order)
    total = ByRows(recorder, data.x) if by_inputs else Total(recorder)
    for part in parts(problem, recorder):
        total.add(_differentiated(part.problem, workload, part.recorder), part)
    return computed(total.derivative, wrt, workload.order)


def _differentiated(problem: Problem, workload: NestedGradient, recorder: Recorder) -> Derivative:
    """The nested gradient of a batch that is not cut, or of one part."""
    data = problem.data
    assert isinstance(data, Batch)
    wrt = (data.x,) if workload.wrt == "inputs" else tuple(problem.parameters.values())
    return nested_gradients(_loss(problem, data, recorder), wrt, workload.order, recorder)


def _loss(problem: Problem, data: Batch, recorder: Recorder) -> Callable[[], torch.Tensor]:
    """The loss of the batch, made once for those who hear nothing of it."""
    deaf = is_deaf(recorder)
    if deaf and "loss" in problem.kept:
        kept: Callable[[], torch.Tensor] = problem.kept["loss"]
        return kept
    weights = tuple(problem.parameters.values())
    loss = partial(problem.loss_of(data.x, data.y, SILENT if deaf else recorder), weights)
    if deaf:
        problem.kept["loss"] = loss
    return loss


def nested_gradients(
    loss: Callable[[], torch.Tensor],
    wrt: Sequence[torch.Tensor],
    order: int,
    recorder: Recorder,
) -> Derivative:
    """Differentiates a loss ``order`` times; order k is of the sum of all entries of order k - 1.

    Args:
        loss: computes a tensor without axes from ``wrt``.
        wrt: tensors that require grad.
        order: at least 1.
        recorder: hears of the phases ``forward``, ``gradient 1``, ``gradient 2``, ...
    """

    with recorder.phase("forward"):
        recorder.born("activations")
        outputs = [loss()]
        recorder.result(outputs)
    return derive(outputs, wrt, _phases(order), recorder)


@cache
def _phases(order: int) -> tuple[str, ...]:
    return tuple(f"gradient {k}" for k in range(1, order + 1))
