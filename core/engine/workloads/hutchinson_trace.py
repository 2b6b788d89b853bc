"""Hutchinson's estimate of the trace of the Hessian: the mean of vᵀHv over random vectors v."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from core.engine.computed import Computed, zeros_warning
from core.engine.own_tensors import probes
from core.engine.problem import Problem
from core.engine.recorder import Recorder, Silent, within
from core.engine.workloads.hvp import Multiply, kept_gradient, reverse_over_reverse
from core.results.charts import TRACE, Point
from core.spec.workloads import HutchinsonTrace

NAME = "trace"
_MOST_EXACT = 500
"""Parameters up to which the trace itself is computed to be drawn beside the estimate."""


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The estimate; all probes share one graph, and none of them is kept."""
    workload = problem.spec.workload
    assert isinstance(workload, HutchinsonTrace)
    weights = tuple(problem.parameters.values())
    multiply = reverse_over_reverse(problem, recorder)
    with recorder.phase("probes"):
        recorder.born("other")
        samples = weights[0].new_zeros(workload.probes)
        drawn, inner = probes(problem.spec, weights), within(recorder)
        last = len(problem.units(workload.probes)) - 1
        loss, curved = None, False
        for position in range(last + 1):
            recorder.born("tangents")
            probe = next(drawn)
            product = multiply(probe, inner, position == last)
            loss = product.loss
            for left, right in zip(probe, product.by_weight, strict=True):
                if right is not None:
                    curved = True
                    samples[position].add_((left * right).sum())
            del probe, product, left, right
        estimate = samples.mean()
        error = samples.std() / math.sqrt(workload.probes) if last else samples.new_tensor(math.nan)
        recorder.hold("gradients", (estimate,))
        recorder.result((estimate,))
    assert loss is not None
    readings = {"trace_estimate": estimate, "standard_error": error}
    return Computed({NAME: estimate}, loss, () if curved else zeros_warning(2), readings)


def follow(problem: Problem) -> Iterator[Point]:
    """The estimate after each probe, between one standard error less and more; beside it the trace
    itself, where there are few parameters."""
    workload = problem.spec.workload
    assert isinstance(workload, HutchinsonTrace)
    problem.reset()
    weights = tuple(problem.parameters.values())
    if sum(weight.numel() for weight in weights) <= _MOST_EXACT:
        exact = exact_trace(problem)
        for position in sorted({1, workload.probes}):
            yield Point(TRACE, "exact trace", float(position), exact)
        problem.reset()  # the same dropout for both
    multiply = reverse_over_reverse(problem, Silent())
    drawn, mean, squares = probes(problem.spec, weights), 0.0, 0.0
    for count in range(1, workload.probes + 1):
        sample = _sample(next(drawn), multiply, count == workload.probes)
        before = sample - mean
        mean += before / count
        squares += before * (sample - mean)
        error = math.sqrt(squares / (count - 1) / count) if count > 1 else None
        yield Point(
            TRACE,
            "estimate",
            float(count),
            mean,
            mean - error if error is not None else None,
            mean + error if error is not None else None,
            count / workload.probes,
        )
    problem.reset()


def _sample(probe: list[torch.Tensor], multiply: Multiply, is_last: bool) -> float:
    product = multiply(probe, Silent(), is_last)
    return sum(
        float((left * right).sum())
        for left, right in zip(probe, product.by_weight, strict=True)
        if right is not None
    )


def exact_trace(problem: Problem) -> float:
    """The sum of the Hessian's diagonal, a gradient for each of its entries."""
    weights = tuple(problem.parameters.values())
    gradients, _ = kept_gradient(problem, Silent())
    total = 0.0
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is None or not gradient.requires_grad:
            continue
        for position in range(weight.numel()):
            unit = torch.zeros_like(weight)
            unit.view(-1)[position] = 1
            (row,) = torch.autograd.grad(
                (gradient,), (weight,), (unit,), retain_graph=True, materialize_grads=True
            )
            total += float(row.to_dense().reshape(-1)[position])
    return total
