"""The thread that drives a run: it iterates a source of events and hands them to the window.

Two sources give the same events: a child process that does nothing but measure (the default), and
the runner in this thread, which the window's painting disturbs.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from PySide6.QtCore import QObject, QThread, QTimer, Signal

from core.results.device import Device
from core.results.events import Event, Finished, Started
from core.results.forecast import Forecast
from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec
from hogui.preferences import Place

POLL_S = 0.05
BATCH_MS = 33
"""Events are handed over this often: once a frame, whatever their number."""


class Source(Protocol):
    """Runs a spec and says what happens; the last event is ``Finished``."""

    def __call__(
        self, spec: RunSpec, *, run_id: str, force: bool, cancelled: threading.Event
    ) -> Iterator[Event]: ...


@dataclass(frozen=True)
class Job:
    """One run that was asked for.

    Attributes:
        run_id: identity; events of any other run are stale.
        force: run it even where it is certainly too large.
        forecast: what it is expected to cost, None where it is not known yet.
    """

    run_id: str
    spec: RunSpec
    force: bool = False
    forecast: Forecast | None = None


class RunWorker(QThread):
    """Runs one job. Lives in the window's thread; only ``run`` is another one.

    The thread puts events into a queue; a timer of the window's thread takes them out once a frame.
    So a batch never waits for a source that is silent, and a flood never fills the event loop.

    Signals:
        events: a non-empty list of events, in order.
        ended: the thread is over, after all of its events; the sentence says what went wrong with
            the source itself, and is empty otherwise.
    """

    events = Signal(object)
    ended = Signal(str)

    def __init__(
        self,
        job: Job,
        source: Source,
        keep: Callable[[Started | Finished], None],
        parent: QObject | None = None,
    ) -> None:
        """Prepares; ``start`` runs.

        Args:
            job: what to run.
            source: where the events come from.
            keep: called in the thread with the first and the last event, before the window hears
                of them. It raises ``RuntimeError`` or ``OSError`` where it cannot.
        """
        super().__init__(parent)
        self.job = job
        self._source = source
        self._keep = keep
        self._cancelled = threading.Event()
        self._waiting: deque[Event] = deque()
        self._trouble = ""
        self._timer = QTimer(self)
        self._timer.setInterval(BATCH_MS)
        self._timer.timeout.connect(self._hand_over)
        self.started.connect(self._timer.start)
        self.finished.connect(self._end)

    @property
    def cancelling(self) -> bool:
        """Whether the run was told to end."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends the run: at once in its own process, at the next event in this one."""
        self._cancelled.set()

    def run(self) -> None:
        """The thread: nothing here touches a widget."""
        job = self.job
        try:
            events = self._source(
                job.spec, run_id=job.run_id, force=job.force, cancelled=self._cancelled
            )
            for event in events:
                if isinstance(event, Started | Finished):
                    self._keep_event(event)
                self._waiting.append(event)
        except InvalidSpec as error:
            self._trouble = str(error)
        except Exception as error:
            from core.isolation import NotReady

            says_all = isinstance(error, NotReady)
            self._trouble = str(error) if says_all else f"{type(error).__name__}: {error}"

    def _keep_event(self, event: Started | Finished) -> None:
        try:
            self._keep(event)
        except (OSError, RuntimeError) as error:
            self._trouble = self.tr("The run is not in the history: {reason}").format(reason=error)

    def _hand_over(self) -> None:
        batch = []
        while self._waiting:
            batch.append(self._waiting.popleft())
        if batch:
            self.events.emit(batch)

    def _end(self) -> None:
        self._timer.stop()
        self._hand_over()
        self.ended.emit(self._trouble)


class WarmUp(QThread):
    """Gets the measuring process ready, and learns which devices there are, beside the window.

    Signals:
        devicesFound: a tuple of ``Device``.
        failed: why there is no measuring process, one sentence.
    """

    devicesFound = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.is_over = False
        """Whether there is nothing left to wait for."""

    def close(self) -> None:
        """Waits no longer for the process."""
        self.requestInterruption()
        self.wait()

    def run(self) -> None:
        """The thread: the first start of a child takes a second."""
        # Imported here because the first frame does not wait for it.
        from core.isolation import query_devices, warm_up

        try:
            warming = warm_up()
            while not wait([warming], POLL_S).done:
                if self.isInterruptionRequested():
                    return
            warming.result()
            devices: tuple[Device, ...] = tuple(query_devices())
        except Exception as error:
            self.is_over = True
            self.failed.emit(f"{type(error).__name__}: {error}")
            return
        self.is_over = True
        self.devicesFound.emit(devices)


def source_for(place: Place, forecast: Forecast | None = None) -> Source:
    """The source of events that a preference names.

    Args:
        place: where the core runs.
        forecast: of the spec that will run, so that it is not made again.
    """
    source = _in_this_process if place is Place.THIS_PROCESS else _in_own_process
    return partial(source, forecast)


def _in_own_process(
    forecast: Forecast | None,
    spec: RunSpec,
    *,
    run_id: str,
    force: bool,
    cancelled: threading.Event,
) -> Iterator[Event]:
    from core.isolation import run_isolated

    return run_isolated(spec, run_id=run_id, force=force, forecast=forecast, cancelled=cancelled)


def _in_this_process(
    forecast: Forecast | None,
    spec: RunSpec,
    *,
    run_id: str,
    force: bool,
    cancelled: threading.Event,
) -> Iterator[Event]:
    # The one place where the window loads the engine, and only when the user has chosen it.
    from core.partial import PartialRun, started_here
    from core.runner import run

    so_far = PartialRun(started_here(run_id, spec))
    for event in run(spec, run_id=run_id, force=force, forecast=forecast):
        so_far.add(event)
        yield event
        if cancelled.is_set() and not isinstance(event, Finished):
            yield so_far.end(Outcome.CANCELLED)
            return
