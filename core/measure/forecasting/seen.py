"""One prediction as a forecast shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.measure.memory.blocks import LedgerReport
from core.results.forecast import Forecast, ForecastPhase
from core.results.memory_timeline import MemoryTimeline, PhaseSpan


@dataclass(frozen=True)
class Seen:
    """One prediction: a report, and what its operations cost.

    Attributes:
        seconds: of one repetition, None where an operation's time is not known.
    """

    report: LedgerReport
    seconds: float | None
    timeline: MemoryTimeline


def forecast_of(seen: Seen, *, exact: bool) -> Forecast:
    """What it foretells.

    Args:
        seen: the prediction.
        exact: whether the scratch memory of every operation is known.
    """
    report = seen.report
    return Forecast(
        peak_bytes=report.peak_bytes,
        exact=exact,
        seconds=seen.seconds,
        baseline_bytes=report.baseline_bytes,
        by_category=report.by_category,
        phases=tuple(
            ForecastPhase(
                name=phase.name,
                peak_bytes=phase.peak_bytes,
                retained_bytes=phase.retained_bytes,
            )
            for phase in report.phases
        ),
    )


def retimed(timeline: MemoryTimeline, spent: Sequence[float]) -> MemoryTimeline:
    """A curve over operations as one over seconds."""

    def seconds(made: float) -> float:
        return spent[int(made)]

    return timeline.model_copy(
        update={
            "t_s": tuple(seconds(made) for made in timeline.t_s),
            "phases": tuple(
                PhaseSpan(
                    name=phase.name, start_s=seconds(phase.start_s), end_s=seconds(phase.end_s)
                )
                for phase in timeline.phases
            ),
        }
    )
