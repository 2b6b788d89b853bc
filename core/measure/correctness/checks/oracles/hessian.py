"""Hessians."""

from __future__ import annotations

import torch
from torch import Tensor

from core.engine.data import Batch
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import batch_loss, detached, lengths

_VECTORS = 2


def oracles(problem: Problem) -> Oracles:
    """Its products with random vectors v, from both sides, against the gradient of the sum of the
    gradient's entries times those of v."""
    data = problem.data
    assert isinstance(data, Batch)
    point = detached(problem.parameters)
    sizes = [tensor.numel() for tensor in point.values()]
    generator = torch.Generator().manual_seed(problem.spec.measure.seed)

    def value(weights: Tensors, graph: bool) -> Tensor:
        del graph
        return batch_loss(problem, weights, data.x, data.y)

    def by_name(flat: Tensor) -> dict[str, Tensor]:
        parts = torch.split(flat, sizes)
        return {
            name: part.view_as(tensor)
            for (name, tensor), part in zip(point.items(), parts, strict=True)
        }

    def of(position: int) -> Oracle:
        vector = torch.randn(sum(sizes), generator=generator, dtype=torch.float64)
        vector = vector.to(problem.device)

        def part(result: Tensors) -> dict[str, Tensor]:
            hessian = result["hessian"]
            return by_name((hessian.T if position % 2 else hessian) @ vector)

        return Oracle(value, point, lengths(point), 2, along=by_name(vector), part=part)

    return Oracles(tuple(of(position) for position in range(_VECTORS)))
