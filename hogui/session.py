"""The open tabs and their runs. Pages observe it; it knows no widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from uuid import uuid4

from PySide6.QtCore import QObject, Signal

from core.results.device import Device
from core.results.events import Event, Finished, Started
from core.spec.orders import at_each_order
from core.spec.run import RunSpec
from core.spec.variants import variant
from hogui.open_tab import OpenTab, RunState
from hogui.run_worker import Job, RunWorker, Source

MOST_TABS_AT_ONCE = 4
"""Side by side."""

PATIENCE_MS = 3000
"""How long closing the window waits for a run to end."""

LINGER_S = 1.0
"""How long the object of a thread outlives it. An ended thread still frees what it had of Qt's own,
and whether that is over cannot be asked."""


class Session(QObject):
    """Owns the open tabs, and the queue in which their runs wait for a device.

    Signals:
        tabOpened: the tab, and its position.
        tabClosed: the tab.
        currentChanged: the tab that is in front, or None.
        changed: something that is kept for the next start is another one.
        runsChanged: a run was asked for, has begun or is over.
        devicesChanged: it is known which devices there are.
        closing: everything ends now, so nothing may work in the background any more.
    """

    tabOpened = Signal(object, int)
    tabClosed = Signal(object)
    currentChanged = Signal(object)
    changed = Signal()
    runsChanged = Signal()
    devicesChanged = Signal()
    closing = Signal()

    def __init__(
        self,
        source: Callable[[Job], Source],
        keep: Callable[[Started | Finished], None],
        parent: QObject | None = None,
    ) -> None:
        """Starts without a tab.

        Args:
            source: asked for the source of a run's events when it begins.
            keep: commits a run to the history, when it begins and when it ends; called in a
                run's own thread.
        """
        super().__init__(parent)
        self._source, self._keep = source, keep
        self._tabs: list[OpenTab] = []
        self._current: OpenTab | None = None
        self._queue: list[OpenTab] = []
        self._workers: dict[str, RunWorker] = {}
        """The measuring ones, by the device that they measure on."""
        self._dead: list[tuple[float, RunWorker]] = []
        """The ended ones that are not deleted yet, and when they ended."""
        self._devices: tuple[Device, ...] = ()
        self._closed: list[tuple[RunSpec, Path | None, RunSpec | None, str | None]] = []

    # Tabs.

    @property
    def tabs(self) -> Sequence[OpenTab]:
        """The open tabs from left to right."""
        return tuple(self._tabs)

    @property
    def current(self) -> OpenTab | None:
        """The tab in front."""
        return self._current

    def open(self, spec: RunSpec, position: int | None = None) -> OpenTab:
        """Opens a configuration in a tab of its own, at the end or at a position."""
        tab = OpenTab(spec, self)
        position = len(self._tabs) if position is None else position
        self._tabs.insert(position, tab)
        tab.titleChanged.connect(self.changed)
        tab.specChanged.connect(self.changed)
        tab.resultChanged.connect(self.changed)
        self.tabOpened.emit(tab, position)
        self.changed.emit()
        return tab

    def duplicate(self, tab: OpenTab) -> OpenTab:
        """Opens the same configuration, without its file and result, beside a tab."""
        name = free_name(tab.name, {other.name for other in self._tabs})
        spec = tab.spec.model_copy(update={"name": name})
        return self.open(spec, self._tabs.index(tab) + 1)

    def open_variant(self, tab: OpenTab, name: str) -> OpenTab:
        """Opens a variant of a tab's configuration beside it, and brings it to the front.

        Raises:
            InvalidSpec: there is no such variant of it.
        """
        spec = variant(tab.spec, name)
        title = free_name(spec.name, {other.name for other in self._tabs})
        opened = self.open(spec.with_changes({"name": title}), self._tabs.index(tab) + 1)
        self.set_current(opened)
        return opened

    def open_orders(self, tab: OpenTab) -> tuple[OpenTab, ...]:
        """A tab for each order of a tab's configuration, beside it; those that are open already
        stay where they are."""
        opened = []
        position = self._tabs.index(tab) + 1
        for spec in at_each_order(tab.spec):
            known = next((other for other in self._tabs if other.spec == spec), None)
            opened.append(known or self.open(spec, position))
            position = self._tabs.index(opened[-1]) + 1
        return tuple(opened)

    def close(self, tab: OpenTab) -> None:
        """Closes a tab; its run ends."""
        self.cancel(tab)
        self._closed.append((tab.spec, tab.path, tab.saved, tab.shown_run_id))
        self._tabs.remove(tab)
        if self._current is tab:
            self._current = None
        self.tabClosed.emit(tab)
        tab.deleteLater()
        self.changed.emit()

    def reopen(self) -> OpenTab | None:
        """Opens the tab again that was closed last, with its file and result; None without one."""
        if not self._closed:
            return None
        spec, path, saved, run_id = self._closed.pop()
        tab = self.open(spec)
        tab.kept_run_id = run_id
        if path is not None:
            tab.bind_file(path, saved)
        return tab

    def move(self, start: int, end: int) -> None:
        """A tab was dragged from one position to another."""
        self._tabs.insert(end, self._tabs.pop(start))
        self.changed.emit()

    def set_current(self, tab: OpenTab | None) -> None:
        """Brings a tab to the front."""
        if tab is not self._current:
            self._current = tab
            self.currentChanged.emit(tab)
            self.changed.emit()

    # Devices.

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices of this machine, empty while unknown."""
        return self._devices

    def set_devices(self, devices: tuple[Device, ...]) -> None:
        """Learns which devices there are."""
        self._devices = devices
        self.devicesChanged.emit()

    def device_of(self, spec: RunSpec) -> str:
        """The device that a spec measures on; ``auto`` is the first accelerator, else the CPU."""
        if spec.device != "auto":
            return f"{spec.device}:0" if spec.device == "cuda" else spec.device
        accelerators = [device.name for device in self._devices if device.name != "cpu"]
        return accelerators[0] if accelerators else "cpu"

    # Runs.

    @property
    def busy(self) -> bool:
        """Whether any run waits or measures."""
        return bool(self._queue or self._workers)

    def run(self, tab: OpenTab, *, force: bool = False) -> None:
        """Asks for a run of a tab's configuration; it waits while its device is busy."""
        if tab.busy or tab.problems:
            return
        tab.queue(Job(uuid4().hex[:12], tab.spec, force, tab.own_forecast))
        self._queue.append(tab)
        self._start_what_can()

    def run_all(self) -> None:
        """Asks for a run of every tab that can."""
        for tab in self._tabs:
            self.run(tab)

    def cancel(self, tab: OpenTab) -> None:
        """Ends a tab's run, or takes it out of the queue."""
        if tab in self._queue:
            self._queue.remove(tab)
            tab.end()
            self._number_the_queue()
        for worker in self._workers.values():
            if tab.job is not None and worker.job.run_id == tab.job.run_id:
                tab.set_state(RunState.CANCELLING)
                worker.cancel()
        self.runsChanged.emit()

    def cancel_all(self) -> None:
        """Ends every run and empties the queue."""
        for tab in self._tabs:
            self.cancel(tab)

    def shut_down(self) -> bool:
        """Ends every run and waits for its thread; False where one does not end."""
        self.closing.emit()
        self.cancel_all()
        for worker in self._workers.values():
            worker.cancel()
        ended = [worker.wait(PATIENCE_MS) for worker in self._workers.values()]
        return all(ended)

    def _start_what_can(self) -> None:
        for tab in tuple(self._queue):
            assert tab.job is not None
            device = self.device_of(tab.job.spec)
            if device not in self._workers:
                self._queue.remove(tab)
                self._start(tab, tab.job, device)
        self._number_the_queue()
        self.runsChanged.emit()

    def _start(self, tab: OpenTab, job: Job, device: str) -> None:
        worker = RunWorker(job, self._source(job), self._keep, self)
        self._workers[device] = worker
        worker.events.connect(partial(self._take, tab, job.run_id))
        worker.ended.connect(partial(self._end, tab, job.run_id, device))
        tab.begin()
        worker.start()

    def _take(self, tab: OpenTab, run_id: str, events: list[Event]) -> None:
        if self._is_present(tab, run_id):
            tab.take(events)

    def _end(self, tab: OpenTab, run_id: str, device: str, trouble: str) -> None:
        worker = self._workers.pop(device)
        self._bury_the_dead()
        self._dead.append((monotonic(), worker))
        if self._is_present(tab, run_id):
            was_told_to_end = tab.state is RunState.CANCELLING
            tab.end()
            if trouble:
                tab.noted.emit(trouble, True)
            elif was_told_to_end and tab.result is None:
                tab.noted.emit(self.tr("The run was cancelled before it had measured."), False)
        self._start_what_can()

    def _bury_the_dead(self) -> None:
        """Deletes the objects of threads that surely are over, see ``LINGER_S``."""
        now_s = monotonic()
        for ended_s, worker in self._dead:
            if now_s - ended_s > LINGER_S:
                worker.deleteLater()
        self._dead = [(at, worker) for at, worker in self._dead if now_s - at <= LINGER_S]

    def _is_present(self, tab: OpenTab, run_id: str) -> bool:
        """Whether a run is still the one that its tab shows; anything else is stale."""
        return tab in self._tabs and tab.job is not None and tab.job.run_id == run_id

    def _number_the_queue(self) -> None:
        before: dict[str, int] = {}
        for tab in self._queue:
            assert tab.job is not None
            device = self.device_of(tab.job.spec)
            before[device] = before.get(device, 0) + 1
            tab.set_state(RunState.QUEUED, ahead=before[device])


def free_name(name: str, taken: set[str]) -> str:
    """A name like this one that no tab has: ``MAML``, ``MAML (2)``, ``MAML (3)``."""
    stem, _, tail = name.rpartition(" (")
    if not (stem and tail.endswith(")") and tail[:-1].isdigit()):
        stem = name
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{stem} ({number})"
    return candidate
