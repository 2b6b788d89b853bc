"""Gradient of the sum of the gradient of the sum of the gradient ..., as often as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from core.engine.computed import Computed, computed
from core.engine.data import Batch
from core.engine.gradients import Derivative, derive
from core.engine.parts import ByRows, Part, Total, parts
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.spec.workloads import NestedGradient


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The nested gradient of the problem's loss by its parameters, or by its inputs as ``x``."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, NestedGradient)
    assert isinstance(data, Batch)
    wrt = {"x": data.x} if workload.by_inputs else problem.parameters
    total = ByRows(recorder, data.x) if workload.by_inputs else Total(recorder)
    for part in parts(problem, recorder):
        total.add(_of_part(part, workload), part)
    return computed(total.derivative, wrt, workload.order)


def _of_part(part: Part, workload: NestedGradient) -> Derivative:
    problem, data = part.problem, part.problem.data
    assert isinstance(data, Batch)
    wrt = (data.x,) if workload.by_inputs else tuple(problem.parameters.values())
    return nested_gradients(
        lambda: problem.loss(problem.parameters, data.x, data.y, part.recorder),
        wrt,
        workload.order,
        part.recorder,
    )


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

    def forward() -> torch.Tensor:
        with recorder.phase("forward"):
            recorder.born("activations")
            value = loss()
            recorder.result((value,))
            return value

    phases = [f"gradient {k}" for k in range(1, order + 1)]
    return derive(forward, wrt, phases, recorder)
