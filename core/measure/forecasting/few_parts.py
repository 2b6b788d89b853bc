"""Many parts of a batch foretold from few.

Each begins with what the ones before have added up to and leaves nothing else, so that a run of a
few parts of each size holds what the whole run does. Two such runs check that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from core.measure.forecasting.few_steps import Uneven
from core.measure.forecasting.few_units import Foretold
from core.measure.memory.blocks import LedgerReport
from core.results.memory_timeline import MemoryTimeline
from core.spec.accumulation import part_sizes
from core.spec.run import RunSpec

FEW, MORE = 3, 4
"""Of each size: a first, which finds no sum yet, one that does, and one that is alike."""


def sizes(spec: RunSpec) -> tuple[int, ...]:
    """How many examples each part has; none where the batch is not cut."""
    parts = spec.mitigation.accumulation
    return part_sizes(spec.data.batch_size, parts) if parts > 1 and not spec.is_own_step else ()


def are_many_parts(counts: Sequence[int]) -> bool:
    """Whether two short runs are less work than all parts."""
    return len(counts) > len(followed(counts, FEW)) + len(followed(counts, MORE))


def followed(counts: Sequence[int], most: int) -> tuple[int, ...]:
    """Those of them that a run with at most so many of each size computes."""
    seen: dict[int, int] = {}
    kept = []
    for size in counts:
        seen[size] = seen.get(size, 0) + 1
        if seen[size] <= most:
            kept.append(size)
    return tuple(kept)


def from_few_parts(
    counts: Sequence[int], predict: Callable[[int], Foretold]
) -> tuple[LedgerReport, float | None]:
    """The report of the whole run without its curve and without most of its parts' phases, and its
    seconds.

    Args:
        counts: how many examples each part has.
        predict: a run with at most so many parts of each size.

    Raises:
        Uneven: the short runs do not hold the same.
    """
    few, more = predict(FEW), predict(MORE)
    if _held(few.report) != _held(more.report) or not _agree(few.report, more.report):
        raise Uneven
    seconds = None
    if few.seconds is not None and more.seconds is not None:
        done = sum(followed(counts, MORE))
        each = (more.seconds - few.seconds) / (done - sum(followed(counts, FEW)))
        seconds = more.seconds + each * (sum(counts) - done)
    return replace(more.report, timeline=MemoryTimeline()), seconds


def _held(report: LedgerReport) -> object:
    return report.baseline_bytes, report.peak_bytes, report.by_category


def _agree(few: LedgerReport, more: LedgerReport) -> bool:
    """Whether what both runs computed held the same, and the others no more than that."""
    known, found = _phases(few), _phases(more)
    highest = max((peak for peak, _ in known.values()), default=0)
    return all(found.get(name) == held for name, held in known.items()) and all(
        peak <= highest for peak, _ in found.values()
    )


def _phases(report: LedgerReport) -> Mapping[str, tuple[int, int]]:
    return {phase.name: (phase.peak_bytes, phase.retained_bytes) for phase in report.phases}
