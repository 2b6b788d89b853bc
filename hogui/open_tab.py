"""One open tab: its configuration with its past, its file, its run and its last result."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from time import monotonic
from uuid import uuid4

from PySide6.QtCore import QObject, Signal

from core.results.events import Event, Finished
from core.results.forecast import Finding, Forecast, Outlook
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline
from core.spec.declaration import Problem
from core.spec.run import RunSpec
from hogui.progress import Progress
from hogui.question import Question
from hogui.result_mark import result_mark
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
        outlookChanged: another forecast is known, or the one that is known is out of date.
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
    outlookChanged = Signal()
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
        self.kept_mark = ""
        """What that result came to at a glance."""
        self.wanted: Question | None = None
        """What the outlook should be of; None where the configuration cannot run."""
        self.outlook: Outlook | None = None
        self.outlook_of: Question | None = None
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
        self.kept_mark = ""
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
        self.kept_mark = ""
        self.resultChanged.emit()

    # What it will cost.

    @property
    def outlook_is_stale(self) -> bool:
        """Whether the outlook is of another configuration than that of now."""
        return self.outlook_of != self.wanted

    @property
    def own_forecast(self) -> Forecast | None:
        """The forecast of the configuration of now on its own device, None where unknown."""
        question = self.outlook_of
        if self.outlook is None or self.outlook_is_stale or question is None:
            return None
        return self.outlook.forecast if question.memory is None else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What would fail, be wrong or surprise, as far as it is known."""
        return self.outlook.findings if self.outlook is not None and self.wanted else ()

    def set_wanted(self, question: Question | None) -> None:
        """The outlook should be of this from now on; None where there can be none."""
        if question != self.wanted:
            self.wanted = question
            self.outlookChanged.emit()

    def set_outlook(self, question: Question, outlook: Outlook) -> None:
        """What is known of the configuration before it runs."""
        self.outlook, self.outlook_of = outlook, question
        self.outlookChanged.emit()

    # What ran.

    @property
    def shown_run_id(self) -> str | None:
        """The run that the tab's figures are of: under way, ended, or of an earlier start."""
        if self.state in (RunState.RUNNING, RunState.CANCELLING) and self.job is not None:
            return self.job.run_id
        return self.result.run_id if self.result is not None else self.kept_run_id

    @property
    def mark(self) -> str:
        """The icon for the last result, also of an earlier start; empty where there is none."""
        return result_mark(self.result) if self.result is not None else self.kept_mark

    @property
    def result_is_of_another_spec(self) -> bool:
        """Whether the configuration was changed since the last result, apart from its name."""
        return self.result is not None and self._differs(self.result.spec)

    @property
    def figures_are_of_another_spec(self) -> bool:
        """The same for what is drawn: of the run that is under way, else of the last result."""
        if self.state in (RunState.RUNNING, RunState.CANCELLING) and self.job is not None:
            return self._differs(self.job.spec)
        return self.result_is_of_another_spec

    def _differs(self, spec: RunSpec) -> bool:
        return spec.model_copy(update={"name": self.name}) != self.spec

    def _step(self, move: Callable[[], RunSpec]) -> None:
        before = self.spec
        if move() != before:
            self._spec_changed()

    def _spec_changed(self) -> None:
        self._problems = None
        self.specChanged.emit(self.spec)
        self.titleChanged.emit()
        self.problemsChanged.emit()
