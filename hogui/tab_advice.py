"""What is known of one tab's advice: asked, on its way, or complete. It knows no widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from PySide6.QtCore import QObject, Signal

from core.results.advice import Advice, AdvicePoint, Advising
from core.results.forecast import DeviceMemory
from core.results.measurement import Measurement
from core.spec.run import RunSpec

Measured = Mapping[RunSpec, Measurement]
"""Results of runs by the configuration without its name."""


@dataclass(frozen=True, eq=False)
class AdviceQuestion:
    """A configuration, what it has to fit into, and where. One that is put again is another one.

    Attributes:
        memory: None for the configuration's own device.
    """

    spec: RunSpec
    budget_bytes: int
    memory: DeviceMemory | None = None


class AdviceState(Enum):
    """How far a tab's advice is."""

    IDLE = "idle"
    """Not asked for yet."""
    WAITING = "waiting"
    """That of another tab comes first, or a run does."""
    ASKING = "asking"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


class TabAdvice(QObject):
    """The last question of one tab, and what has been answered.

    Signals:
        changed: the state is another one, or there is another answer.
        pointsChanged: there are other points; with ``True`` only more of them.
    """

    changed = Signal()
    pointsChanged = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = AdviceState.IDLE
        self.question: AdviceQuestion | None = None
        self.points: tuple[AdvicePoint, ...] = ()
        """Of the question of now, as they come; ranked once the answer is complete."""
        self.done = self.of = 0
        """Combinations that are foretold, of how many."""
        self.doing = ""
        """What is done after all points are known, in words."""
        self.answer: Advice | None = None
        self.earlier: Advice | None = None
        """The answer for another budget, until there is one for this."""
        self.trouble = ""
        """Why there is no answer, in a sentence."""

    @property
    def is_under_way(self) -> bool:
        """Whether there is something to stop."""
        return self.state in (AdviceState.WAITING, AdviceState.ASKING)

    def is_of(self, spec: RunSpec) -> bool:
        """Whether the question was about these settings; the name does not count."""
        return self.question is not None and nameless(self.question.spec) == nameless(spec)

    def ask(self, question: AdviceQuestion) -> None:
        """Another question was put. Forecasts are the same for every budget, so that one about
        another budget alone begins with the points of now."""
        before = self.question
        if (
            before is not None
            and before.memory == question.memory
            and nameless(before.spec) == nameless(question.spec)
        ):
            self.earlier = self.answer or self.earlier
        else:
            self.earlier, self.points = None, ()
        self.question, self.answer, self.trouble = question, None, ""
        self.done, self.of, self.doing = 0, 0, ""
        self.pointsChanged.emit(False)
        self.set_state(AdviceState.WAITING)

    def hear(self, question: AdviceQuestion, news: Advising | Advice) -> None:
        """Takes a part of the answer; one to an earlier question is stale."""
        if question is not self.question or not self.is_under_way:
            return
        if isinstance(news, Advice):
            self.answer, self.earlier, self.points = news, None, news.points
            self.pointsChanged.emit(False)
            self.set_state(AdviceState.DONE)
            return
        self.done, self.of, self.doing = news.done, news.of, news.doing
        if news.point is not None:
            known = {point.label: point for point in self.points}
            self.points = tuple((known | {news.point.label: news.point}).values())
            self.pointsChanged.emit(True)
        self.set_state(AdviceState.ASKING)

    def fail(self, question: AdviceQuestion, trouble: str) -> None:
        """There is no answer to this question."""
        if question is self.question and self.is_under_way:
            self.trouble = trouble
            self.set_state(AdviceState.FAILED)

    def refuse(self, why: str) -> None:
        """The question could not even be put."""
        self.trouble = why
        self.set_state(AdviceState.FAILED)

    def stop(self) -> None:
        """What is there stays; nothing more is wanted."""
        if self.is_under_way:
            self.set_state(AdviceState.STOPPED)

    def set_state(self, state: AdviceState) -> None:
        """Says how far the answer is."""
        self.state = state
        self.changed.emit()


def nameless(spec: RunSpec) -> RunSpec:
    """The settings without the name, which changes no figure."""
    return spec.model_copy(update={"name": ""})


@dataclass(frozen=True)
class Proposal:
    """A configuration that advice offers, and the words that tell it from the one asked about."""

    spec: RunSpec
    words: str
