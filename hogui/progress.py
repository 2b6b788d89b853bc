"""How far a run is, folded from its events: a share for the bar and a line of words."""

from dataclasses import dataclass, replace

from PySide6.QtCore import QCoreApplication

from core.results.events import (
    ChartPoint,
    Event,
    Finished,
    PhaseStarted,
    Repetition,
    Stage,
    StageStarted,
)
from hogui.units import format_seconds

_SPANS: dict[Stage, tuple[float, float]] = {
    "prepare": (0.0, 0.02),
    "forecast": (0.02, 0.05),
    "compile": (0.05, 0.05),
    "memory": (0.05, 0.2),
    "allocator": (0.2, 0.25),
    "warm_up": (0.25, 0.35),
    "time": (0.35, 0.9),
    "follow": (0.9, 0.95),
    "check": (0.95, 1.0),
}
"""The share of the bar that each stage has, from where to where."""


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        share: from 0 to 1; it never goes back.
        phase: of the workload, empty outside the memory pass.
        done: repetitions or steps that ended in this stage.
        about: how many there will be, None while unknown.
        left_s: estimate of the time left in this stage, None while unknown.
    """

    stage: Stage | None = None
    share: float = 0.0
    phase: str = ""
    done: int = 0
    about: int | None = None
    left_s: float | None = None

    def after(self, event: Event) -> "Progress":
        """The progress once this event has happened."""
        match event:
            case StageStarted(stage=stage):
                return Progress(stage, max(self.share, _SPANS[stage][0]))
            case PhaseStarted(name=name):
                return replace(self, phase=name)
            case Repetition(index=index, about=about, left_s=left_s):
                return self._counted(index + 1, about, left_s)
            case ChartPoint():
                return replace(self._at(event.done), phase=f"{event.curve} {event.x:g}")
            case Finished():
                return replace(self, share=1.0, left_s=None)
        return self

    def _counted(self, done: int, about: int | None, left_s: float | None) -> "Progress":
        moved = self._at(done / about if about else None)
        return replace(moved, done=done, about=about, left_s=left_s)

    def _at(self, part: float | None) -> "Progress":
        """With so much of the stage done, None where nobody knows."""
        if self.stage is None or part is None:
            return self
        start, end = _SPANS[self.stage]
        return replace(self, share=max(self.share, start + (end - start) * min(part, 1.0)))

    @property
    def sentence(self) -> str:
        """For example ``Time · repetition 12 of about 50 · 3 s left``."""
        parts = [_stage_words(self.stage), self.phase, self._count_words()]
        if self.left_s is not None:
            parts.append(_tr("{time} left").format(time=format_seconds(max(self.left_s, 0.0))))
        return " · ".join(part for part in parts if part)

    def _count_words(self) -> str:
        if not self.done:
            return ""
        if self.about is None:
            return _tr("repetition {done}").format(done=self.done)
        about = max(self.about, self.done)
        return _tr("repetition {done} of about {about}").format(done=self.done, about=about)


def _stage_words(stage: Stage | None) -> str:
    if stage is None:
        return _tr("Starting")
    return {
        "prepare": _tr("Preparing"),
        "forecast": _tr("Forecast"),
        "compile": _tr("Compile"),
        "memory": _tr("Memory pass"),
        "allocator": _tr("Allocator pass"),
        "warm_up": _tr("Warm-up"),
        "time": _tr("Time"),
        "follow": _tr("Curves"),
        "check": _tr("Check"),
    }[stage]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Progress", text)
