"""Hessian-vector products."""

from __future__ import annotations

from torch import Tensor

from core.engine.data import Batch
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import batch_loss, detached, lengths
from core.spec.workloads import Hvp


def oracles(problem: Problem) -> Oracles:
    """For each vector v the gradient of the sum of the gradient's entries times those of v."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, Hvp)
    assert isinstance(data, Batch)
    point = detached(problem.parameters)

    def value(weights: Tensors, graph: bool) -> Tensor:
        del graph
        return batch_loss(problem, weights, data.x, data.y)

    def of(position: int) -> Oracle:
        return Oracle(
            value,
            point,
            lengths(point),
            2,
            along={name: problem.own[f"vectors/{name}"][position] for name in point},
            part=lambda result: {name: result[name][position] for name in point},
        )

    return Oracles(tuple(of(position) for position in range(workload.vectors)))
