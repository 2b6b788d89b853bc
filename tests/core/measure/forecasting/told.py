"""Made-up predictions, and a small stack, for the tests of what is foretold from few."""

from dataclasses import dataclass

from core.measure.memory.blocks import LedgerPhase, LedgerReport
from core.results.memory_timeline import MemoryTimeline

LAYERS: list[dict[str, object]] = [
    {"kind": "linear", "out_features": 6},
    {"kind": "tanh"},
    {"kind": "dropout"},
    {"kind": "linear", "out_features": 3},
]


@dataclass(frozen=True)
class Told:
    report: LedgerReport
    seconds: float | None


def report_of(phase: str) -> LedgerReport:
    """One phase with all of the peak."""
    return LedgerReport(
        baseline_bytes=10,
        peak_bytes=90,
        by_category={"other": 100},
        by_layer={},
        phases=(LedgerPhase(phase, 90, 0, None, True),),
        timeline=MemoryTimeline(),
    )
