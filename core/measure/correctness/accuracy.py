"""How far an answer is from the exact one: by its number format, and by what it leaves out.

The check says whether a method is computed right, in 64 bits. What a user gets is the method in the
format of the run; its distance from the same in 64 bits is the error that the precision brings, and
that from the exact computation in 64 bits the error of an approximation, rounding included. Both
start from the run's own weights and examples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch

from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.correctness.check import same_random_numbers_afterwards
from core.measure.correctness.checks.comparison import relative
from core.measure.correctness.checks.reduced import Copy, whole_or_reduced
from core.measure.machine.devices import resolve
from core.results.charts import finite
from core.spec.mitigations import Mitigation
from core.spec.run import RunSpec

PRECISION_ERROR = "precision_error"
APPROXIMATION_ERROR = "approximation_error"
APPROXIMATION_COSINE = "approximation_cosine"

_FINE = "float64"

Found = Mapping[str, torch.Tensor]


class Accuracy(NamedTuple):
    """What was found.

    Attributes:
        readings: by name; None where one is not finite.
        extent: what it was found on, in words.
    """

    readings: dict[str, float | None]
    extent: str


def accuracy(spec: RunSpec, device: torch.device | None = None) -> Accuracy | None:
    """The relative error of a run's answer, on the whole run where that is cheap, else on a copy.

    Leaves torch's random numbers as they were.

    Args:
        spec: a run without problems.
        device: where to compute; the spec's where left out.

    Returns:
        None where the answer is exact in 64 bits, where there is no way to know the exact one (a
        step of the user's own, a device without 64-bit numbers), or where a copy would take long.
    """
    on = resolve(spec.device) if device is None else device
    is_fine = spec.mitigation.precision == _FINE
    if spec.is_own_step or on.type == "mps" or (is_fine and not spec.workload.approximates):
        return None
    try:
        copy = whole_or_reduced(spec)
        if copy is None:
            return None
        with same_random_numbers_afterwards(on), torch.enable_grad():
            return Accuracy(dict(_readings(spec, copy, on)), copy.extent)
    except Exception:  # a copy that fails is no reason to lose the figures; the check says why
        return None


def exact(spec: RunSpec) -> RunSpec:
    """The run that computes what this one approximates, with its mitigations where they fit."""
    workload = spec.workload.exactly()
    if workload is spec.workload:
        return spec
    other = spec.model_copy(update={"workload": workload})
    if not other.problems():
        return other
    plain = Mitigation(precision=spec.mitigation.precision)
    return other.model_copy(update={"mitigation": plain})


def _readings(
    spec: RunSpec, copy: Copy, device: torch.device
) -> Iterator[tuple[str, float | None]]:
    fine, precision = copy.spec, spec.mitigation.precision
    own = fine.with_changes({"mitigation.precision": precision})
    found = _computed(own, device)
    right = found if precision == _FINE else _computed(fine, device)
    if precision != _FINE:
        yield PRECISION_ERROR, finite(_distance(found, right))
    if spec.workload.approximates:
        best = _computed(exact(fine), device)
        yield APPROXIMATION_ERROR, finite(_distance(found, best))
        yield APPROXIMATION_COSINE, finite(_cosine(found, best))


def _computed(spec: RunSpec, device: torch.device) -> Found:
    problem = prepare(spec, device, trained=False)
    result = compute(problem, SILENT).result
    return {name: tensor.detach().to_dense().double() for name, tensor in result.items()}


def _distance(found: Found, right: Found) -> float:
    """Euclidean, of all entries together, relative to what is right."""
    apart = math.hypot(*((found[name] - right[name]).norm().item() for name in right))
    return relative(apart, _length(right))


def _cosine(found: Found, right: Found) -> float:
    """Of the angle between both: 1 where they point the same way."""
    lengths = _length(found) * _length(right)
    product = sum((found[name] * right[name]).sum().item() for name in right)
    return product / lengths if lengths else math.nan


def _length(found: Found) -> float:
    return math.hypot(*(tensor.norm().item() for tensor in found.values()))
