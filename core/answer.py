"""How good the answer of a run is: whether it is right, and how far it is from the exact one."""

from __future__ import annotations

from typing import NamedTuple

import torch

from core.measure.correctness.accuracy import (
    APPROXIMATION_COSINE,
    APPROXIMATION_ERROR,
    PRECISION_ERROR,
    Accuracy,
    accuracy,
    exact,
)
from core.measure.correctness.check import CheckUnavailable, check
from core.outlook import forecaster
from core.results.measurement import Check
from core.spec.notices import NO_CHECK_OF_STEPS
from core.spec.run import RunSpec

EXACT_PEAK, EXACT_SECONDS = "peak_bytes_exact", "seconds_exact"
"""Readings of what the exact computation would cost, by its forecast."""

_COARSE = ("bfloat16", "autocast")
_MIB = 2**20


class Answer(NamedTuple):
    """What is known of an answer.

    Attributes:
        check: whether it is right, None where that is not known.
        absent: why there is no check, empty where there is one.
        readings: how far it is from the exact one, and what that would cost.
        notes: the same in sentences.
    """

    check: Check | None
    absent: str
    readings: dict[str, float | None]
    notes: list[str]


def judged(spec: RunSpec, device: torch.device) -> Answer:
    """Checks the answer of a run, and compares it with the exact one where it is not that.

    Args:
        spec: a run without problems.
        device: where to compute.
    """
    if spec.is_own_step:
        return Answer(None, NO_CHECK_OF_STEPS, {}, [])
    found, absent = None, ""
    try:
        found = check(spec, device)
    except CheckUnavailable as reason:
        absent = str(reason)
    seen = accuracy(spec, device)
    if seen is None:
        return Answer(found, absent, {}, [])
    readings = dict(seen.readings)
    if spec.workload.approximates:
        readings |= _cost(exact(spec))
    return Answer(found, absent, readings, [*_notes(spec, seen, readings)])


def _cost(spec: RunSpec) -> dict[str, float | None]:
    told = forecaster.outlook(spec).forecast
    if told is None:
        return {}
    seconds = {} if told.seconds is None else {EXACT_SECONDS: told.seconds}
    return {EXACT_PEAK: told.peak_bytes, **seconds}


def _notes(spec: RunSpec, seen: Accuracy, readings: dict[str, float | None]) -> list[str]:
    notes = []
    error, precision = readings.get(PRECISION_ERROR), spec.mitigation.precision
    if error is not None and precision in _COARSE:
        notes.append(
            f"{precision} brings a relative error of {error:.2g} to the result ({seen.extent})."
        )
    error, cosine = readings.get(APPROXIMATION_ERROR), readings.get(APPROXIMATION_COSINE)
    if error is not None and cosine is not None:
        peak, seconds = readings.get(EXACT_PEAK), readings.get(EXACT_SECONDS)
        cost = "" if peak is None else f"; that would take {peak / _MIB:.3g} MiB by its forecast"
        cost += "" if seconds is None else f" and {seconds * 1e3:.3g} ms"
        notes.append(
            f"The result approximates {spec.workload.approximates}: its relative error is "
            f"{error:.2g} and the cosine between both {cosine:.3f} ({seen.extent}){cost}."
        )
    return notes
