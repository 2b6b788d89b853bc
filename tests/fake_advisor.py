"""Made-up advice: a few combinations with round figures, as fast or slow as wanted."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field

from core.results.advice import (
    Advice,
    AdvicePoint,
    Advising,
    Impossible,
    Limit,
    Recommendation,
)
from core.results.forecast import DeviceMemory, Forecast
from core.spec.run import RunSpec

MIB = 1 << 20
BASELINE = 1 * MIB

COSTS = (
    ("as it is", {}, 100, 0.010, ""),
    ("rematerialize, 2 segments", {"kind": "rematerialize", "segments": 2}, 60, 0.015, ""),
    ("rematerialize, 3 segments", {"kind": "rematerialize", "segments": 3}, 40, 0.018, ""),
    ("torch's checkpointing", {"kind": "torch", "segments": 2}, 120, 0.020, ""),
    ("first order only", {"kind": "rematerialize", "segments": 4}, 10, 0.002, "a half of it"),
)
"""What each does, its checkpointing, MiB above the baseline, seconds, what it approximates."""
FRONT = (0, 1, 2)
IMPOSSIBLE = Impossible(
    label="compiled", changes={"mitigation.compile": True}, reason="There is no C++ compiler."
)


@dataclass
class FakeAdvisor:
    """Made-up advice.

    Attributes:
        held: clear it, and the combinations from ``hold_at`` on wait until it is set again.
        hold_at: after so many combinations.
        trouble: what is raised in place of the answer.
        can_foretell: whether there is a forecast of any combination.
        asked: configuration, budget and memory of each question.
        is_closed: whether it was told to end.
        rested: how often it was told to rest after a combination.
    """

    hold_at: int = 0
    trouble: Exception | None = None
    can_foretell: bool = True
    held: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[RunSpec, int, DeviceMemory | None]] = field(default_factory=list)
    is_closed: bool = False
    rested: int = 0

    def __post_init__(self) -> None:
        self.held.set()

    def advise(
        self,
        spec: RunSpec,
        budget_bytes: int,
        on: DeviceMemory | None,
        resting: threading.Event,
    ) -> Generator[Advising | Advice, None, None]:
        """All combinations, one after the other."""
        self.asked.append((spec, budget_bytes, on))
        if self.trouble is not None:
            raise self.trouble
        points = points_of(spec, budget_bytes) if self.can_foretell else []
        for done, point in enumerate(points, 1):
            if done > self.hold_at:
                self.held.wait()
            if self.is_closed:
                raise RuntimeError("It was closed.")
            self.rested += resting.is_set()
            yield Advising(done=done, of=len(points), point=point)
        yield advice_of(spec, budget_bytes, points)

    def close(self) -> None:
        """Lets a combination that waits fail."""
        self.is_closed = True
        self.held.set()


def points_of(spec: RunSpec, budget_bytes: int) -> list[AdvicePoint]:
    """The combinations for a configuration."""
    return [_point(spec, budget_bytes, number, *cost) for number, cost in enumerate(COSTS)]


def _point(
    spec: RunSpec,
    budget_bytes: int,
    number: int,
    label: str,
    checkpointing: dict[str, object],
    mib: int,
    seconds: float,
    approximates: str,
) -> AdvicePoint:
    changes = {f"mitigation.checkpointing.{key}": value for key, value in checkpointing.items()}
    total = BASELINE + mib * MIB
    return AdvicePoint(
        spec=spec.with_changes(changes),
        changes=changes,
        label=label,
        forecast=Forecast(
            peak_bytes=mib * MIB, exact=True, seconds=seconds, baseline_bytes=BASELINE
        ),
        fits=total <= budget_bytes,
        on_front=number in FRONT,
        approximates=approximates,
    )


def advice_of(spec: RunSpec, budget_bytes: int, points: list[AdvicePoint]) -> Advice:
    """The whole answer: the fastest exact one that fits."""
    fitting = [point for point in points if point.fits and not point.approximates]
    best = min(fitting, key=lambda point: point.forecast.seconds or 0, default=None)
    larger = spec.with_changes({"data.batch_size": 4096})
    return Advice(
        budget_bytes=budget_bytes,
        recommended=None
        if best is None
        else Recommendation(
            spec=best.spec,
            forecast=best.forecast,
            label=best.label,
            reason=f"{best.label.capitalize()}: {_mib(best)} MiB, the fastest that fits.",
        ),
        points=tuple(points),
        impossible=(IMPOSSIBLE,),
        limits=()
        if not points
        else (
            Limit(
                key="data.batch_size",
                title="Largest batch",
                value=4096,
                spec=larger,
                forecast=points[0].forecast,
                note="The sentence says more.",
            ),
            Limit(key="workload.order", title="Highest order", value=None),
        ),
        sentences=() if best is not None else ("The nearest needs 31 MiB more.",),
    )


def _mib(point: AdvicePoint) -> int:
    return (BASELINE + point.forecast.peak_bytes) // MIB
