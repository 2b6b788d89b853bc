"""Keeps the tool bar and the status line in step with the session."""

from __future__ import annotations

from PySide6.QtCore import QObject

from core.results.device import Device
from hogui.actions import Actions
from hogui.open_tab import OpenTab, RunState
from hogui.preferences import Place, Preferences
from hogui.run_worker import WarmUp
from hogui.session import Session
from hogui.status_line import StatusLine
from hogui.tool_bar import ToolBar
from hogui.units import format_bytes


class RunControls(QObject):
    """Run, cancel, device, progress: what they show and what they ask of the session."""

    def __init__(
        self,
        session: Session,
        preferences: Preferences,
        actions: Actions,
        bar: ToolBar,
        status: StatusLine,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._preferences = session, preferences
        self._actions, self._bar, self._status = actions, bar, status
        self._worker_sentence, self._worker_tip = self.tr("worker: starting"), ""
        actions["run"].triggered.connect(self._run)
        actions["runAll"].triggered.connect(session.run_all)
        actions["cancel"].triggered.connect(self._cancel)
        actions["cancelAll"].triggered.connect(session.cancel_all)
        bar.deviceChosen.connect(self._choose_device)
        session.tabOpened.connect(self._observe)
        session.currentChanged.connect(self.refresh)
        session.runsChanged.connect(self.refresh)
        session.devicesChanged.connect(self._show_devices)
        preferences.changed.connect(self._show_worker)
        for tab in session.tabs:
            self._observe(tab)
        self.refresh()

    def follow(self, warm_up: WarmUp) -> None:
        """Shows what becomes of the measuring process, and learns the devices from it."""
        warm_up.devicesFound.connect(self._ready)
        warm_up.failed.connect(self._failed)

    def refresh(self) -> None:
        """Brings everything up to date."""
        self._show_run()
        self._show_devices()
        self._show_progress()
        self._show_worker()

    def _observe(self, tab: OpenTab, position: int = 0) -> None:
        tab.problemsChanged.connect(self._show_run)
        tab.specChanged.connect(self._show_devices)
        tab.resultChanged.connect(self._show_run)
        tab.outlookChanged.connect(self._show_run)
        tab.runChanged.connect(self._run_changed)
        tab.progressed.connect(self._show_progress)

    def _run_changed(self) -> None:
        self._show_run()
        self._show_devices()
        self._show_progress()
        self._show_worker()

    def _run(self) -> None:
        if self._session.current is not None:
            self._session.run(self._session.current)

    def _cancel(self) -> None:
        if self._session.current is not None:
            self._session.cancel(self._session.current)

    # Run and cancel.

    def _show_run(self) -> None:
        tab, tabs = self._session.current, self._session.tabs
        reason, is_problem = self._why_not(tab)
        again = tab is not None and tab.result is not None
        self._actions["run"].setEnabled(not reason)
        self._bar.show_run(
            self.tr("Run again") if again else self.tr("Run"),
            reason,
            "\n".join([self._actions["run"].toolTip(), *_expected_failures(tab)]),
            is_problem=is_problem,
        )
        stoppable = (RunState.QUEUED, RunState.RUNNING)
        self._actions["cancel"].setEnabled(tab is not None and tab.state in stoppable)
        self._actions["cancelAll"].setEnabled(any(other.busy for other in tabs))
        self._actions["runAll"].setEnabled(
            any(not other.busy and not other.problems for other in tabs)
        )

    def _why_not(self, tab: OpenTab | None) -> tuple[str, bool]:
        """Why Run is disabled, empty where it is not; and whether there is something to mend."""
        if tab is None:
            return self.tr("Open a tab to run its configuration."), False
        if tab.state is RunState.QUEUED:
            return self.tr("This tab's run waits in the queue."), False
        if tab.busy:
            return self.tr("This tab's run is not over yet."), False
        if not tab.problems:
            return "", False
        first, more = tab.problems[0], len(tab.problems) - 1
        sentence = first.sentence
        if first.path[:2] == ("model", "layers") and len(first.path) > 2:
            sentence = self.tr("Layer {number}: {sentence}").format(
                number=int(first.path[2]) + 1, sentence=sentence
            )
        if more:
            sentence = self.tr("{sentence} ({count} more)").format(sentence=sentence, count=more)
        return sentence, True

    # Device.

    def _show_devices(self) -> None:
        session, tab = self._session, self._session.current
        chosen = tab.spec.device if tab is not None else "auto"
        known = session.devices or (
            Device(name="cpu", title=self.tr("CPU"), memory_bytes=None, available_bytes=None),
        )
        automatic = next((device for device in known if device.name != "cpu"), known[0])
        entries = [("auto", self.tr("Auto ({device})").format(device=automatic.name))]
        entries += [(device.name, _device_title(device)) for device in known]
        if chosen not in dict(entries):
            entries.append((chosen, self.tr("{device} (not here)").format(device=chosen)))
        self._bar.show_devices(entries, chosen)
        self._bar.device_combo.setEnabled(tab is not None and not tab.busy)

    def _choose_device(self, name: str) -> None:
        tab = self._session.current
        if tab is not None:
            tab.edit(tab.spec.with_changes({"device": name}))

    # Progress.

    def _show_progress(self) -> None:
        tab = self._tab_to_show()
        if tab is None:
            self._status.show_progress(None, "")
        elif tab.state is RunState.QUEUED:
            sentence = self.tr("Waiting for the device: {count} before it in the queue")
            self._status.show_progress(0.0, sentence.format(count=tab.ahead))
        else:
            self._status.show_progress(tab.progress.share, self._running_sentence(tab))

    def _tab_to_show(self) -> OpenTab | None:
        """The tab in front if it runs or waits, else one that runs."""
        current = self._session.current
        if current is not None and current.busy:
            return current
        return next((tab for tab in self._session.tabs if tab.state is RunState.RUNNING), None)

    def _running_sentence(self, tab: OpenTab) -> str:
        cancelling = tab.state is RunState.CANCELLING
        sentence = self.tr("Cancelling") if cancelling else tab.progress.sentence
        waiting = sum(other.state is RunState.QUEUED for other in self._session.tabs)
        if tab is not self._session.current:
            sentence = f"{tab.name}: {sentence}"
        if waiting:
            sentence += " · " + self.tr("{count} waiting").format(count=waiting)
        return sentence

    # The measuring process.

    def _ready(self, devices: tuple[Device, ...]) -> None:
        self._worker_sentence, self._worker_tip = self.tr("worker: ready"), ""
        self._session.set_devices(devices)
        self._show_worker()

    def _failed(self, reason: str) -> None:
        self._worker_sentence = self.tr("worker: could not be started")
        self._worker_tip = reason
        self._show_worker()

    def _show_worker(self) -> None:
        if self._preferences.choices.place is Place.THIS_PROCESS:
            self._status.show_worker(
                self.tr("measures in the window's process: painting disturbs the figures"),
                self.tr("Preferences say where the core runs."),
            )
        elif any(tab.state is RunState.RUNNING for tab in self._session.tabs):
            self._status.show_worker(self.tr("worker: measuring"))
        else:
            self._status.show_worker(self._worker_sentence, self._worker_tip)


def _expected_failures(tab: OpenTab | None) -> list[str]:
    """What cannot run; it is said and not forbidden, since torch may have been mended."""
    if tab is None:
        return []
    return [finding.sentence for finding in tab.findings if finding.severity == "error"]


def _device_title(device: Device) -> str:
    parts = [device.title]
    if device.name not in ("cpu", device.title):
        parts.append(device.name)
    if device.memory_bytes is not None:
        parts.append(format_bytes(device.memory_bytes))
    return " · ".join(parts)
