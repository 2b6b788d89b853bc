"""A look at the user's own model: a button that loads its file elsewhere, and what was found."""

from __future__ import annotations

import threading
from collections.abc import Callable

from PySide6.QtCore import Qt, QThread, Signal
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget
from typing_extensions import override

from core.results.inspection import Inspection
from core.spec.layers import shape_text
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from hogui.forms.note import Note
from hogui.icons import set_icon
from hogui.tables.module_table import ModuleTable
from hogui.units import format_count

Inspect = Callable[[RunSpec, threading.Event], Inspection | None]
"""Of a spec and a flag that ends it at once, then None."""


def inspect_elsewhere(spec: RunSpec, cancelled: threading.Event) -> Inspection | None:
    """The core's, in a process of its own."""
    # Imported late because the first frame does not wait for it.
    from core.isolation import inspect

    return inspect(spec, cancelled)


class _Inspecting(QThread):
    """Waits for one inspection; nothing here touches a widget.

    Signals:
        found: the spec and what was found, None where it was cancelled.
    """

    found = Signal(object, object)

    def __init__(self, inspect: Inspect, spec: RunSpec) -> None:
        super().__init__()
        self._inspect, self._spec = inspect, spec
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ends it at once."""
        self._cancelled.set()

    @override
    def run(self) -> None:
        try:
            found = self._inspect(self._spec, self._cancelled)
        except Exception as error:  # whatever goes wrong over there, the window says so
            found = Inspection(fault=f"The file was not loaded: {type(error).__name__}: {error}.")
        self.found.emit(self._spec, found)


class OwnModel(QWidget):
    """Stands below the form of a model from a file; invisible for others.

    What was found belongs to one state of the form: another file or shape takes it away. An
    inspection ends when its page is left.
    """

    def __init__(self, inspect: Inspect = inspect_elsewhere) -> None:
        super().__init__()
        self._inspect = inspect
        self._spec: RunSpec | None = None
        self._running: _Inspecting | None = None
        self._button = QToolButton()
        self._button.setObjectName("inspectButton")
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.clicked.connect(self._press)
        self._summary = QLabel()
        self._summary.setObjectName("inspectionSummary")
        self._summary.setProperty("role", "secondary")
        self._summary.setWordWrap(True)
        self._table = ModuleTable()
        self._fault, self._note = Note(error=True), Note()
        bar = QHBoxLayout()
        bar.setSpacing(8)
        bar.addWidget(self._button)
        bar.addWidget(self._summary, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(bar)
        for widget in (self._fault, self._table, self._note):
            layout.addWidget(widget)
        self._show(None)

    def set_spec(self, spec: RunSpec) -> None:
        """Shows itself for a model from a file; what was found stays as long as the model does."""
        before = None if self._spec is None else self._spec.model
        self._spec = spec
        is_own = isinstance(spec.model, PythonModel)
        self.setVisible(is_own)
        self._button.setEnabled(
            is_own and not any(problem.path[0] == "model" for problem in spec.problems())
        )
        if spec.model != before:
            self.stop()
            self._show(None)

    def stop(self) -> None:
        """Ends the inspection that runs, if there is one; returns once it has ended."""
        running, self._running = self._running, None
        if running is not None:
            running.found.disconnect(self._take)
            running.cancel()
            running.wait()
            self._show(None)

    @override
    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if not event.spontaneous():
            self.stop()

    def _press(self) -> None:
        if self._running is not None:
            self.stop()
            return
        assert self._spec is not None
        self._running = _Inspecting(self._inspect, self._spec)
        self._running.found.connect(self._take)
        self._running.start()
        self._show(None)

    def _take(self, spec: RunSpec, found: Inspection | None) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.wait()
        self._show(found if self._spec is not None and spec.model == self._spec.model else None)

    def _show(self, found: Inspection | None) -> None:
        is_running = self._running is not None
        self._button.setText(self.tr("Cancel") if is_running else self.tr("Inspect"))
        self._button.setToolTip(
            self.tr("Ends the process that loads the file")
            if is_running
            else self.tr("Loads the file in a process of its own and shows what it defines")
        )
        set_icon(self._button, "cancel" if is_running else "follow")
        self._summary.setText(self.tr("Loading the file …") if is_running else self._words(found))
        self._fault.say("" if found is None or found.fault is None else found.fault)
        self._note.say("" if found is None else self._brings(found))
        self._table.set_modules(() if found is None else found.modules)

    def _words(self, found: Inspection | None) -> str:
        if found is None or found.output_shape is None:
            return ""
        return self.tr("{weights} parameters, output {shape}").format(
            weights=format_count(found.parameters), shape=shape_text(found.output_shape)
        )

    def _brings(self, found: Inspection) -> str:
        if found.has_step:
            return self.tr("The file defines step: that is measured, in place of the workload.")
        if found.has_loss:
            return self.tr("The file defines loss: that is used, in place of the loss below.")
        return ""
