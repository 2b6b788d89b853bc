"""What ledger, forecast and allocator each say of the same run."""

import json
from collections.abc import Collection
from dataclasses import dataclass

import torch

from core.engine.late_modules import load_late_modules
from core.engine.problem import prepare
from core.engine.workloads import compute
from core.measure.forecasting.forecast import Forecaster
from core.measure.memory.allocator import AllocatorPeak, allocator_peak
from core.measure.memory.blocks import LedgerReport
from core.measure.memory.calls import Call
from core.measure.memory.kernels import Kernels
from core.measure.memory.ledger import Ledger
from core.results.forecast import Forecast
from core.spec.run import RunSpec

CPU = torch.device("cpu")
KERNELS = Kernels(CPU, 1)
"""Learned once for all tests, by forecasts alone."""

FORECASTER = Forecaster(lambda device, threads: KERNELS)
PATIENT_S = 60.0


@dataclass(frozen=True)
class Watched:
    """A run as the ledger saw it, and what the allocator says of a clean pass."""

    report: LedgerReport
    allocator: AllocatorPeak


def scratch(call: Call) -> int | None:
    """Bytes that an operation allocates within itself."""
    kernel = KERNELS.known(call)
    return None if kernel is None else kernel.scratch_bytes


def watched(spec: RunSpec, *, learn: bool = False) -> Watched:
    """Runs the spec twice: under the ledger, and under the profiler.

    Args:
        spec: a run without problems.
        learn: also what no forecast has learned before.
    """
    torch.set_num_threads(1)
    load_late_modules(spec)
    problem = prepare(spec, CPU)
    ledger = Ledger(0.0)
    ledger.register_problem(problem)
    with ledger:
        computed = compute(problem, ledger)
    if learn:
        KERNELS.learn(ledger.calls())
    report = ledger.finish(scratch)
    del computed
    allocator = allocator_peak(CPU, lambda recorder: compute(problem, recorder), problem.reset)
    assert allocator is not None
    return Watched(report, allocator)


def forecast(spec: RunSpec) -> Forecast:
    """Made before the run, by a forecaster that has time to learn."""
    seen = FORECASTER.outlook(spec, learn_s=PATIENT_S)
    assert seen.forecast is not None, seen.absent
    return seen.forecast


def assert_foretold_to_the_byte(spec: RunSpec, *, but: Collection[str] = ()) -> None:
    """Forecast first, run after: peak, categories and phases are the same everywhere.

    Args:
        spec: a run without problems.
        but: phases whose own peak may be less than what was foretold.
    """
    told = forecast(spec)
    seen = watched(spec)
    assert seen.report.peak_bytes == seen.allocator.peak_bytes
    assert told.exact
    assert told.peak_bytes == seen.allocator.peak_bytes
    assert told.by_category == seen.report.by_category
    assert sum(told.by_category.values()) == (told.baseline_bytes or 0) + told.peak_bytes
    known = {phase.name: phase.peak_bytes for phase in told.phases}
    found = {name: seen.allocator.phases.get(name, peak) for name, peak in known.items()}
    assert all(found[name] <= known.pop(name) for name in but)
    assert known == {name: peak for name, peak in found.items() if name not in but}


def run_of(layers: list[dict[str, object]], input_shape: list[int], **keys: object) -> RunSpec:
    """A small run on the CPU."""
    document: dict[str, object] = {
        "model": {"input_shape": input_shape, "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 16},
        "device": "cpu",
    }
    return RunSpec.from_json(json.dumps(document | keys))
