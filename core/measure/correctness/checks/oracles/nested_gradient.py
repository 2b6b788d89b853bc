"""Nested gradients."""

from __future__ import annotations

from torch import Tensor

from core.engine.data import Batch
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import batch_loss, detached, lengths
from core.spec.workloads import NestedGradient


def oracles(problem: Problem) -> Oracles:
    """The loss, differentiated as often as asked."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, NestedGradient)
    assert isinstance(data, Batch)
    by_inputs = workload.wrt == "inputs"

    def value(point: Tensors, graph: bool) -> Tensor:
        del graph
        if by_inputs:
            return batch_loss(problem, problem.parameters, point["x"], data.y)
        return batch_loss(problem, point, data.x, data.y)

    point = {"x": data.x} if by_inputs else problem.parameters
    return Oracles((Oracle(value, detached(point), lengths(point), workload.order),))
