"""One open tab: its configuration with its past, its file, its run and its last result."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from time import monotonic
from uuid import uuid4

from PySide6.QtCore import QObject, Signal

from core.results.events import Event, Finished
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline
from core.spec.declaration import Problem
from core.spec.run import RunSpec
from hogui.progress import Progress
from hogui.run_worker import Job
from hogui.spec_history import SpecHistory


class RunState(Enum):
    """What a tab's run is doing."""

    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"


class OpenTab(QObject):
    """The state of one tab, without a widget. Pages observe it.

    Signals:
        specChanged: the configuration is another one (edited, undone, renamed).
        titleChanged: the name or the mark for unsaved changes is another one.
        draftsDiscarded: what was typed and refused gives way to the configuration's own values.
        problemsChanged: there are other reasons why it cannot run, or none any more.
        runChanged: the run's state, or its place in the queue, is another one.
        progressed: the present run got further.
        runStarted: a run begins; what was drawn of the last one goes.
        eventsArrived: a list of events of the present run.
        resultChanged: there is another last result, or none.
        noted: a sentence for the user, and whether it is about an error.
    """

    specChanged = Signal(object)
    titleChanged = Signal()
    draftsDiscarded = Signal()
    problemsChanged = Signal()
    runChanged = Signal()
    progressed = Signal()
    runStarted = Signal()
    eventsArrived = Signal(object)
    resultChanged = Signal()
    noted = Signal(str, bool)

    def __init__(self, spec: RunSpec, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.id = uuid4().hex[:12]
        self.path: Path | None = None
        self.state = RunState.IDLE
        self.job: Job | None = None
        self.ahead = 0
        """How many runs the queue holds before this one."""
        self.progress = Progress()
        self.live: list[Event] = []
        """What the present run has said so far, for a page that is built while it runs."""
        self.result: Measurement | None = None
        self.timeline: MemoryTimeline | None = None
        self.kept_run_id: str | None = None
        """The last result of an earlier start, until it is read from the history."""
        self._history = SpecHistory(spec)
        self._saved: RunSpec | None = None
        self._problems: tuple[Problem, ...] | None = None
        self._has_drafts = False

    # The configuration.

    @property
    def spec(self) -> RunSpec:
        """The configuration of now."""
        return self._history.current

    @property
    def name(self) -> str:
        """The tab's title."""
        return self.spec.name

    @property
    def saved(self) -> RunSpec | None:
        """What the tab's file holds, None where there is no file."""
        return self._saved

    @property
    def dirty(self) -> bool:
        """Whether the tab's file holds something else."""
        return self.path is not None and self._saved != self.spec

    @property
    def can_undo(self) -> bool:
        return self._has_drafts or self._history.can_undo

    @property
    def can_redo(self) -> bool:
        return self._history.can_redo

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why the configuration cannot run; empty when it can."""
        if self._problems is None:
            self._problems = self.spec.problems()
        return self._problems

    def set_problems(self, problems: tuple[Problem, ...], *, drafts: bool = False) -> None:
        """What a form says, which also knows what was typed and is no configuration at all.

        Args:
            problems: all reasons why the configuration cannot run.
            drafts: whether some of them are about typed values that were refused.
        """
        if (problems, drafts) != (self.problems, self._has_drafts):
            self._problems, self._has_drafts = problems, drafts
            self.problemsChanged.emit()

    def edit(self, spec: RunSpec) -> None:
        """Takes another configuration, as a step that can be undone."""
        if spec != self.spec:
            self._history.change(spec, monotonic())
            self._spec_changed()

    def rename(self, name: str) -> None:
        """Gives the tab another title."""
        if name.strip():
            self.edit(self.spec.model_copy(update={"name": name.strip()}))

    def undo(self) -> None:
        """Back by one step. Where a refused value is shown, that value was the last step."""
        if self._has_drafts:
            self._has_drafts = False
            self.draftsDiscarded.emit()
        else:
            self._step(self._history.undo)

    def redo(self) -> None:
        self._step(self._history.redo)

    def bind_file(self, path: Path | None, saved: RunSpec | None) -> None:
        """The tab belongs to a file that holds this configuration."""
        self.path, self._saved = path, saved
        self.titleChanged.emit()

    # The run.

    @property
    def busy(self) -> bool:
        """Whether a run of this tab waits, measures or is ending."""
        return self.state is not RunState.IDLE

    def queue(self, job: Job) -> None:
        """A run of this tab was asked for."""
        self.job = job
        self.set_state(RunState.QUEUED)

    def begin(self) -> None:
        """The tab's turn has come."""
        self.live, self.progress = [], Progress()
        self.result = self.timeline = self.kept_run_id = None
        self.set_state(RunState.RUNNING)
        self.runStarted.emit()

    def take(self, events: list[Event]) -> None:
        """What the present run said."""
        self.live += events
        for event in events:
            self.progress = self.progress.after(event)
        self.eventsArrived.emit(events)
        last = events[-1]
        if isinstance(last, Finished):
            self.set_result(last.result, last.timeline)
        self.progressed.emit()

    def end(self) -> None:
        """The present run is over."""
        self.job = None
        self.live = []
        self.set_state(RunState.IDLE)

    def set_state(self, state: RunState, ahead: int = 0) -> None:
        """Says what the run is doing, and how many are before it in the queue."""
        self.state, self.ahead = state, ahead
        self.runChanged.emit()

    def set_result(self, result: Measurement | None, timeline: MemoryTimeline | None) -> None:
        """The last result is this one."""
        self.result, self.timeline, self.kept_run_id = result, timeline, None
        self.resultChanged.emit()

    @property
    def shown_run_id(self) -> str | None:
        """The run that the tab's figures are of: under way, ended, or of an earlier start."""
        if self.state in (RunState.RUNNING, RunState.CANCELLING) and self.job is not None:
            return self.job.run_id
        return self.result.run_id if self.result is not None else self.kept_run_id

    @property
    def result_is_of_another_spec(self) -> bool:
        """Whether the configuration was changed since the last result, apart from its name."""
        if self.result is None:
            return False
        return self.result.spec.model_copy(update={"name": self.name}) != self.spec

    def _step(self, move: Callable[[], RunSpec]) -> None:
        before = self.spec
        if move() != before:
            self._spec_changed()

    def _spec_changed(self) -> None:
        self._problems = None
        self.specChanged.emit(self.spec)
        self.titleChanged.emit()
        self.problemsChanged.emit()
