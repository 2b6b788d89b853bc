"""The window runs a preset by itself: what a packaged program has to be able to do."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication

from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.presets import preset
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab

PATIENCE_MS = 280_000


class SmokeRun(QObject):
    """Opens a preset in the window, presses Run, exports the CSV files, quits.

    The exit status is 0 when the run finished and the files are there; else a sentence on standard
    error says what went wrong.
    """

    def __init__(self, window: MainWindow, name: str, folder: Path) -> None:
        super().__init__(window)
        self._window, self._name, self._folder = window, name, folder
        self._tab: OpenTab | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(lambda: self._quit("it took too long"))

    def start(self) -> None:
        """Presses Run; the rest follows."""
        try:
            spec = preset(self._name).spec
        except InvalidSpec as error:
            QTimer.singleShot(0, partial(self._quit, str(error), 2))
            return
        self._tab = self._window.workbench.open_copy_of(spec)
        self._tab.runChanged.connect(self._look)
        self._tab.noted.connect(lambda sentence, is_error: is_error and self._quit(sentence))
        self._timer.start(PATIENCE_MS)
        button = self._window.tool_bar.run_button
        if not button.isEnabled():
            self._quit(self._window.tool_bar.reason_label.full_text)
        button.click()

    def _look(self) -> None:
        assert self._tab is not None
        result = self._tab.result
        if self._tab.busy or result is None:
            return
        self._tab.runChanged.disconnect(self._look)
        if result.outcome is not Outcome.FINISHED:
            self._quit(result.sentence)
        elif self._window.exports.export([result.run_id], self._folder):
            self._quit("")
        else:
            self._quit(self._window.strip.text)

    def _quit(self, trouble: str, status: int = 1) -> None:
        self._timer.stop()
        if trouble:
            print(f"hogui: {self._name}: {trouble}", file=sys.stderr)
        self._window.close()
        QApplication.exit(status if trouble else 0)
