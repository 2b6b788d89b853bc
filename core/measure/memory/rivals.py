"""What other methods need for the same: their peaks stand beside the workload's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads import rivals
from core.measure.memory.allocator import allocator_peak
from core.results.charts import Reading


def _unheard(work: Callable[[], object]) -> Callable[[Recorder], object]:
    return lambda recorder: work()


def rival_peaks(problem: Problem) -> Iterator[Reading]:
    """The allocator's peak of each method that the workload is compared with, by its name.

    Bytes above what the problem holds; nothing where the device cannot tell.
    """
    for name, work in rivals(problem).items():
        peak = allocator_peak(problem.device, _unheard(work), problem.reset)
        if peak is not None:
            yield Reading(f"peak_bytes_{name}", peak.peak_bytes)
