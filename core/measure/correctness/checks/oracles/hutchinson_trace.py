"""Hutchinson's trace."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from core.engine.data import Batch
from core.engine.own_tensors import probes
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import batch_loss, detached, mean
from core.spec.workloads import HutchinsonTrace


def oracles(problem: Problem) -> Oracles:
    """The second derivative by t of the mean over the probes v of the loss at w + tv, where t = 0:
    the same estimate, without a product or a sum of them."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, HutchinsonTrace)
    assert isinstance(data, Batch)
    weights = detached(problem.parameters)
    drawn = list(itertools.islice(probes(problem.spec, list(weights.values())), workload.probes))

    def value(point: Tensors, graph: bool) -> Tensor:
        del graph
        losses = []
        for probe in drawn:
            moved = {
                name: weight + point["t"] * part
                for (name, weight), part in zip(weights.items(), probe, strict=True)
            }
            losses.append(batch_loss(problem, moved, data.x, data.y))
        return mean(losses)

    origin = {"t": torch.zeros((), dtype=torch.float64, device=problem.device)}
    length = torch.cat([weight.flatten() for weight in weights.values()]).square().mean().sqrt()
    return Oracles(
        (
            Oracle(
                value,
                origin,
                {"t": length.item()},
                2,
                part=lambda result: {"t": result["trace"]},
            ),
        )
    )
