"""Asks for advice in a thread, so that the window never waits, and gives up at any moment.

One question at a time is answered; those of other tabs wait. While a run measures, nothing is
foretold, since that would disturb the clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol

from PySide6.QtCore import QObject, QThread, QTimer, Signal

from core.results.advice import Advice, Advising
from core.results.forecast import DeviceMemory
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec
from hogui.open_tab import OpenTab
from hogui.session import Session
from hogui.tab_advice import AdviceQuestion, TabAdvice

PATIENCE_MS = 3000
"""How long closing the window waits."""
GRACE_MS = 400
"""So long a forecast that nobody wants any more may go on until its process is ended."""


class Advisor(Protocol):
    """Says what makes configurations cheaper. Asked from one thread, closed from another."""

    def advise(
        self,
        spec: RunSpec,
        budget_bytes: int,
        on: DeviceMemory | None,
        resting: threading.Event,
    ) -> Generator[Advising | Advice, None, None]:
        """Points as they are foretold, and the whole answer at the end.

        Args:
            spec: a configuration without problems.
            budget_bytes: what baseline and peak have to fit into.
            on: the device of that memory, None for the configuration's own.
            resting: set while nothing should be computed; whoever takes the answer then waits
                before the next part of it.

        Raises:
            InvalidSpec: this machine cannot run it.
            RuntimeError: there is no answer; the message is a sentence.
        """
        ...

    def close(self) -> None:
        """Ends what answers; a question that is under way fails."""


def own_advisor() -> Advisor:
    """The core's, in processes of its own."""
    # Imported late because the first frame does not wait for it.
    from hogui.own_advisor import OwnAdvisor

    return OwnAdvisor()


class AdviceThread(QThread):
    """Puts one question after the other. Lives in the window's thread; only ``run`` is another one.

    Signals:
        told: the question, and a part of its answer.
        failed: the question, and why it has no answer.
    """

    told = Signal(object, object)
    failed = Signal(object, str)

    def __init__(self, make: Callable[[], Advisor], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make = make
        self._advisor: Advisor | None = None
        self._waiting: list[AdviceQuestion] = []
        self._present: AdviceQuestion | None = None
        self._is_unwanted = self._is_held = self._is_over = False
        self._news = threading.Condition()
        self._resting = threading.Event()

    def ask(self, question: AdviceQuestion) -> None:
        """Asks this when those before it are answered."""
        with self._news:
            self._waiting.append(question)
            self._news.notify()
        if not self.isRunning():
            self.start()

    def give_up(self, question: AdviceQuestion) -> None:
        """Nobody wants the answer any more. The forecast that is on its way is not waited for."""
        with self._news:
            if question in self._waiting:
                self._waiting.remove(question)
            if question is self._present:
                self._is_unwanted = True
            self._notify()

    def hold(self, held: bool) -> None:
        """Rests between two forecasts, or goes on."""
        with self._news:
            self._is_held = held
            self._notify()

    def is_stuck(self, question: AdviceQuestion) -> bool:
        """Whether a question that was given up is still being answered."""
        with self._news:
            return question is self._present and self._is_unwanted

    def interrupt(self) -> None:
        """Ends what answers; the next question gets another one."""
        with self._news:
            advisor, self._advisor = self._advisor, None
        if advisor is not None:
            advisor.close()

    def close(self) -> None:
        """Ends the thread and what answers; waits, but never for long."""
        with self._news:
            self._is_over = True
            self._notify()
        self.interrupt()
        self.wait(PATIENCE_MS)

    def run(self) -> None:
        """The thread: nothing here touches a widget."""
        while (question := self._take()) is not None:
            self._answer(question)
            with self._news:
                self._present = None

    def _take(self) -> AdviceQuestion | None:
        with self._news:
            self._news.wait_for(lambda: self._is_over or (self._waiting and not self._is_held))
            if self._is_over:
                return None
            self._present, self._is_unwanted = self._waiting.pop(0), False
            self._notify()
            return self._present

    def _answer(self, question: AdviceQuestion) -> None:
        try:
            advisor = self._ready_advisor()
            answer = advisor.advise(
                question.spec, question.budget_bytes, question.memory, self._resting
            )
            with closing(answer) as parts:
                for news in parts:
                    if not self._goes_on():
                        return
                    self.told.emit(question, news)
        except Exception as error:
            # Whatever goes wrong over there, the window says so in its place and goes on.
            if self._goes_on():
                says_all = isinstance(error, RuntimeError | InvalidSpec)
                why = str(error) if says_all else f"{type(error).__name__}: {error}"
                self.failed.emit(question, why or type(error).__name__)

    def _goes_on(self) -> bool:
        """Whether the answer is still wanted; waits while held."""
        with self._news:
            self._news.wait_for(lambda: self._is_over or self._is_unwanted or not self._is_held)
            return not (self._is_over or self._is_unwanted)

    def _notify(self) -> None:
        """Says that something is another way now; with the lock held."""
        if self._is_held or self._is_unwanted or self._is_over:
            self._resting.set()
        else:
            self._resting.clear()
        self._news.notify()

    def _ready_advisor(self) -> Advisor:
        with self._news:
            if self._is_over:
                raise RuntimeError("The window was closed.")
            if self._advisor is None:
                self._advisor = self._make()
            return self._advisor


class Adviser(QObject):
    """The advice of every tab that asked for some."""

    def __init__(
        self, session: Session, make: Callable[[], Advisor], parent: QObject | None = None
    ) -> None:
        """Asks nothing yet.

        Args:
            session: the tabs, and the runs that come first.
            make: makes what answers; called in another thread, with the first question.
        """
        super().__init__(parent)
        self._session, self._make = session, make
        self._thread: AdviceThread | None = None
        self._of: dict[OpenTab, TabAdvice] = {}
        self._is_closed = False
        self._grace = QTimer(self)
        self._grace.setSingleShot(True)
        self._grace.setInterval(GRACE_MS)
        self._grace.timeout.connect(self._interrupt)
        self._given_up: AdviceQuestion | None = None
        session.runsChanged.connect(self._hold)
        session.tabClosed.connect(self._forget)
        session.closing.connect(self.close)

    def close(self) -> None:
        """Asks nothing any more."""
        self._is_closed = True
        self._grace.stop()
        for advice in self._of.values():
            advice.stop()
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    @property
    def is_held(self) -> bool:
        """Whether a run measures, for which advice waits."""
        return self._session.busy

    def of(self, tab: OpenTab) -> TabAdvice:
        """The advice of a tab, as far as it is known."""
        if tab not in self._of:
            self._of[tab] = TabAdvice(self)
        return self._of[tab]

    def ask(self, tab: OpenTab, question: AdviceQuestion) -> None:
        """Asks about a tab's configuration; an earlier question of the tab is given up."""
        self.stop(tab)
        self.of(tab).ask(question)
        self._put(question)

    def stop(self, tab: OpenTab) -> None:
        """Gives up what a tab has asked; what is answered stays."""
        advice = self.of(tab)
        was_under_way, question = advice.is_under_way, advice.question
        advice.stop()
        if was_under_way and question is not None and self._thread is not None:
            self._thread.give_up(question)
            self._given_up = question
            self._grace.start()

    def _put(self, question: AdviceQuestion) -> None:
        if self._is_closed:
            return
        if self._thread is None:
            self._thread = AdviceThread(self._make, self)
            self._thread.told.connect(self._told)
            self._thread.failed.connect(self._failed)
            self._hold()
        self._thread.ask(question)

    def _interrupt(self) -> None:
        """A forecast of minutes is not waited for, but most end by themselves, and an ended process
        has to be started again."""
        question, thread = self._given_up, self._thread
        if question is not None and thread is not None and thread.is_stuck(question):
            thread.interrupt()

    def _told(self, question: AdviceQuestion, news: Advising | Advice) -> None:
        for advice in tuple(self._of.values()):
            advice.hear(question, news)

    def _failed(self, question: AdviceQuestion, why: str) -> None:
        for advice in tuple(self._of.values()):
            advice.fail(question, why)

    def _hold(self) -> None:
        if self._thread is not None:
            self._thread.hold(self._session.busy)
        for advice in self._of.values():
            if advice.is_under_way:
                advice.changed.emit()

    def _forget(self, tab: OpenTab) -> None:
        if tab in self._of:
            self.stop(tab)
            self._of.pop(tab).deleteLater()
