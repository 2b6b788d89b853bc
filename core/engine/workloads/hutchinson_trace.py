"""Hutchinson's estimate of the trace of the Hessian: the mean of vᵀHv over random vectors v."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from core.engine.computed import Computed, zeros_warning
from core.engine.own_tensors import probes
from core.engine.parts import Part, Total, parts
from core.engine.problem import Problem
from core.engine.recorder import SILENT, Recorder, within
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
    samples, curved, total = None, False, Total(recorder)
    last = len(problem.units(workload.probes)) - 1
    estimate = error = None
    for part in parts(problem, recorder):
        estimate = error = None  # of fewer examples, not kept beside this part
        multiply = reverse_over_reverse(part.problem, part.recorder)
        with part.recorder.phase("probes"):
            recorder.born("other")
            if samples is None:
                samples = weights[0].new_zeros(workload.probes)
            drawn, inner = probes(problem.spec, weights), within(recorder)
            loss = None
            for position in range(last + 1):
                recorder.born("tangents")
                probe = next(drawn)
                product = multiply(probe, inner, position == last)
                loss = product.loss
                for left, right in zip(probe, product.by_weight, strict=True):
                    if right is not None:
                        curved = True
                        samples[position].add_((left * right).sum(), alpha=part.share)
                del probe, product, left, right
            estimate = samples.mean()
            error = (
                samples.std() / math.sqrt(workload.probes) if last else samples.new_tensor(math.nan)
            )
            recorder.hold("gradients", (estimate,))
            part.recorder.result((estimate,))
            assert loss is not None
            total.add_loss(loss, part)
            del loss
        del multiply  # with the gradient that it keeps
    assert estimate is not None
    assert error is not None
    readings = {"trace_estimate": estimate, "standard_error": error}
    return Computed({NAME: estimate}, total.loss, () if curved else zeros_warning(2), readings)


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
    mean, squares = 0.0, 0.0
    for count, sample in enumerate(_samples(problem, workload.probes), start=1):
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


def _samples(problem: Problem, count: int) -> Iterator[float]:
    """vᵀHv of each probe; only a batch that is not cut tells the first ones before the last."""
    weights = tuple(problem.parameters.values())

    def each(part: Part) -> Iterator[float]:
        multiply = reverse_over_reverse(part.problem, SILENT)
        drawn = probes(problem.spec, weights)
        for number in range(1, count + 1):
            yield part.share * _sample(next(drawn), multiply, number == count)

    if not problem.parts:
        yield from each(next(parts(problem, SILENT)))
        return
    totals = [0.0] * count
    for part in parts(problem, SILENT):
        totals = [total + found for total, found in zip(totals, each(part), strict=True)]
    yield from totals


def _sample(probe: list[torch.Tensor], multiply: Multiply, is_last: bool) -> float:
    product = multiply(probe, SILENT, is_last)
    return sum(
        float((left * right).sum())
        for left, right in zip(probe, product.by_weight, strict=True)
        if right is not None
    )


def exact_trace(problem: Problem) -> float:
    """The sum of the Hessian's diagonal, a gradient for each of its entries."""
    weights = tuple(problem.parameters.values())
    gradients, _ = kept_gradient(problem, SILENT)
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
