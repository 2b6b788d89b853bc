"""Many like parts of a workload foretold from few: vectors, probes, rows of a matrix.

They follow each other through one graph and leave nothing behind, so that a run with a few of them
holds what the whole run does. Two such runs check that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from core.measure.forecasting.few_steps import Uneven
from core.measure.memory.blocks import LedgerReport
from core.results.memory_timeline import MemoryTimeline
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

FEW, MORE = 3, 4
"""Of each group: a first, at least one in the middle, which keeps the graph, and a last."""

AT_MOST = 200
"""Parts that are followed one by one at most, where they are not alike."""

TOO_MANY = "What its parts hold is not alike, and there are too many of them to follow each."


class Foretold(Protocol):
    """A prediction: a report, and the seconds of one repetition, None where nobody knows."""

    @property
    def report(self) -> LedgerReport: ...

    @property
    def seconds(self) -> float | None: ...


T = TypeVar("T", bound=Foretold)


def groups(spec: RunSpec) -> tuple[int, ...]:
    """How many like parts follow each other, for each group of them."""
    if isinstance(spec.model, PythonModel):
        known = spec.model.known
        return () if known is None or known.has_step else spec.workload.unit_groups(known.weights)
    sizes: list[int] = []
    for row in spec.model.trace():
        shapes = row.layer.parameter_shapes(row.input_shape or ())
        sizes += [math.prod(shape) for shape in shapes.values()]
    return spec.workload.unit_groups(sizes)


def are_many(counts: Sequence[int]) -> bool:
    """Whether two short runs are less work than all parts."""
    return sum(counts) > _within(counts, FEW) + _within(counts, MORE)


def from_few_units(
    counts: Sequence[int], predict: Callable[[int], T]
) -> tuple[LedgerReport, float | None]:
    """The report of the whole run without its curve, and its seconds.

    Args:
        counts: how many parts there are in each group.
        predict: a run with at most so many parts of each group.

    Raises:
        Uneven: the short runs do not hold the same.
    """
    few, more = predict(FEW), predict(MORE)
    if _held(few.report) != _held(more.report):
        raise Uneven
    seconds = None
    if few.seconds is not None and more.seconds is not None:
        done = _within(counts, MORE)
        each = (more.seconds - few.seconds) / (done - _within(counts, FEW))
        seconds = more.seconds + each * (sum(counts) - done)
    return replace(more.report, timeline=MemoryTimeline()), seconds


def _held(report: LedgerReport) -> object:
    phases = [(phase.name, phase.peak_bytes, phase.retained_bytes) for phase in report.phases]
    return report.baseline_bytes, report.peak_bytes, report.by_category, phases


def _within(counts: Sequence[int], most: int) -> int:
    return sum(min(count, most) for count in counts)
