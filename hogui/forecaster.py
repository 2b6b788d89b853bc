"""What a configuration will cost, asked while it is typed.

One question at a time goes to a warm process; while it is answered, only the newest of those that
follow is kept. Nothing is asked twice, and nothing while nothing changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from PySide6.QtCore import QObject, QThread, QTimer, Signal

from core.results.forecast import DeviceMemory, Outlook
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec
from hogui.device_memories import memory_from_text
from hogui.open_tab import OpenTab
from hogui.preferences import Preferences
from hogui.question import Question
from hogui.session import Session

DEBOUNCE_MS = 80
"""A question waits so long for the next key."""

PATIENCE_MS = 3000
_CLOSED = "The window was closed."


class Oracle(Protocol):
    """Says what configurations will cost. Called from one thread, closed from another."""

    def ask(self, spec: RunSpec, on: DeviceMemory | None = None) -> Outlook:
        """Waits for the answer.

        Args:
            spec: the configuration.
            on: the memory that it has to fit into, None for that of its own device.

        Raises:
            InvalidSpec: this machine cannot run it.
            RuntimeError: there is none; the message is a sentence.
        """
        ...

    def close(self) -> None:
        """Ends what answers; a question that waits fails."""


def own_oracle() -> Oracle:
    """The core's, in a process of its own."""
    # Imported late because the first frame does not wait for it.
    from core.isolation import forecaster

    return forecaster()


class Asker(QThread):
    """Puts one question after the other. Lives in the window's thread; only ``run`` is another one.

    Signals:
        answered: the question and its outlook.
    """

    answered = Signal(object, object)

    def __init__(self, oracle: Callable[[], Oracle], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_oracle = oracle
        self._oracle: Oracle | None = None
        self._next: Question | None = None
        self._is_over = False
        self._news = threading.Condition()

    def ask(self, question: Question) -> None:
        """Asks this next; a question that still waits is given up."""
        with self._news:
            self._next = question
            self._news.notify()
        if not self.isRunning():
            self.start()

    def forget(self) -> None:
        """Drops the question that waits; the one that is being answered is not interrupted."""
        with self._news:
            self._next = None

    def close(self) -> None:
        """Ends the thread and what answers; waits, but never for long."""
        with self._news:
            self._is_over = True
            self._news.notify()
            oracle = self._oracle
        if oracle is not None:
            oracle.close()
        self.wait(PATIENCE_MS)

    def run(self) -> None:
        """The thread: nothing here touches a widget."""
        while (question := self._take()) is not None:
            outlook = self._answer(question)
            if not self._is_over:
                self.answered.emit(question, outlook)

    def _take(self) -> Question | None:
        with self._news:
            self._news.wait_for(lambda: self._is_over or self._next is not None)
            question, self._next = self._next, None
            return None if self._is_over else question

    def _answer(self, question: Question) -> Outlook:
        try:
            return self._ready_oracle().ask(question.spec, question.memory)
        except Exception as error:
            # Whatever goes wrong over there, the window says so in its place and goes on.
            says_all = isinstance(error, RuntimeError | InvalidSpec)
            why = str(error) if says_all else f"{type(error).__name__}: {error}"
            return Outlook(forecast=None, absent=why or type(error).__name__)

    def _ready_oracle(self) -> Oracle:
        with self._news:
            if self._is_over:
                raise RuntimeError(_CLOSED)
            if self._oracle is None:
                self._oracle = self._make_oracle()
            return self._oracle


class Forecasts(QObject):
    """Keeps the outlook of the tab in front up to date.

    It rests until ``start``: the window's first picture and the measuring process come before.

    Signals:
        started: it asks from now on.
    """

    started = Signal()

    def __init__(
        self, session: Session, preferences: Preferences, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._preferences = session, preferences
        self._asker: Asker | None = None
        self._is_closed = False
        self._asked: Question | None = None
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(DEBOUNCE_MS)
        self._pause.timeout.connect(self._ask)
        session.currentChanged.connect(self._look)
        session.runsChanged.connect(self._look)
        session.tabOpened.connect(self._observe)
        preferences.changed.connect(self._look)
        for tab in session.tabs:
            self._observe(tab)

    @property
    def is_started(self) -> bool:
        """Whether forecasts are asked for."""
        return self._asker is not None

    def start(self, oracle: Callable[[], Oracle]) -> None:
        """Asks from now on.

        Args:
            oracle: makes what answers; called in another thread, with the first question.
        """
        if self._is_closed or self.is_started:
            return
        self._asker = Asker(oracle, self)
        self._asker.answered.connect(self._answered)
        self._look()
        self.started.emit()

    def close(self) -> None:
        """Asks nothing any more."""
        self._is_closed = True
        self._pause.stop()
        if self._asker is not None:
            self._asker.close()
            self._asker = None

    def wanted(self, tab: OpenTab) -> Question | None:
        """What is to be asked for a tab; None where its configuration cannot run."""
        if tab.problems:
            return None
        return Question(tab.spec.model_copy(update={"name": ""}), self._memory())

    def _memory(self) -> DeviceMemory | None:
        try:
            return memory_from_text(self._preferences.choices.memory)
        except ValueError:  # Another version of the program wrote it.
            return None

    def _observe(self, tab: OpenTab, position: int = 0) -> None:
        tab.problemsChanged.connect(partial(self._changed, tab))

    def _changed(self, tab: OpenTab) -> None:
        if tab is self._session.current:
            self._look()

    def _look(self) -> None:
        """Compares what the tab in front knows with what it could know."""
        tab = self._session.current
        if tab is None or self._asker is None:
            return
        question = self.wanted(tab)
        known = question == tab.outlook_of and not (tab.outlook and tab.outlook.unfinished)
        if question is None or known:
            self._pause.stop()
            self._asked = None
        elif self._session.busy:
            # Learning what operations cost runs them, and would disturb the clock of the run.
            self._pause.stop()
            self._asker.forget()
            self._asked = None
        elif question != self._asked:
            self._pause.start()
        tab.set_wanted(question)

    def _ask(self) -> None:
        tab = self._session.current
        question = self.wanted(tab) if tab is not None else None
        if question is not None and self._asker is not None and not self._session.busy:
            self._asked = question
            self._asker.ask(question)

    def _answered(self, question: Question, outlook: Outlook) -> None:
        """An answer goes to every tab that still wants it; anything else is stale."""
        if question == self._asked:
            self._asked = None
        for tab in self._session.tabs:
            if tab.wanted == question:
                tab.set_outlook(question, outlook)
                if outlook.unfinished:
                    self._ask_again(tab)

    def _ask_again(self, tab: OpenTab) -> None:
        """With each question the core learns operations that it had no time for: a lower bound may
        become exact."""
        if tab is self._session.current and self._asker is not None and not self._pause.isActive():
            self._ask()
