"""What the actions on the window as a whole do: dialogs and the way out."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QMainWindow, QMessageBox

from hogui.actions import Actions
from hogui.dialogs.about import AboutDialog
from hogui.dialogs.commands import CommandPalette, ShortcutSheet
from hogui.dialogs.preferences_dialog import PreferencesDialog
from hogui.preferences import Preferences
from hogui.session import Session


class WindowCommands(QObject):
    """Preferences, palette, shortcuts, about, quit."""

    def __init__(
        self, actions: Actions, preferences: Preferences, home: Path, window: QMainWindow
    ) -> None:
        super().__init__(window)
        self._preferences, self._window = preferences, window
        self._may_close = False
        actions["preferences"].triggered.connect(
            lambda: PreferencesDialog(preferences, home, window).open()
        )
        actions["palette"].triggered.connect(lambda: CommandPalette(actions, window).open())
        actions["shortcuts"].triggered.connect(lambda: ShortcutSheet(actions, window).open())
        actions["about"].triggered.connect(lambda: AboutDialog(window).open())
        actions["quit"].triggered.connect(window.close)

    def asks_before_closing(self, session: Session) -> bool:
        """Whether closing has to wait for an answer; asks the question."""
        if self._may_close or not session.busy or not self._preferences.choices.confirm_close:
            return False
        box = QMessageBox(
            QMessageBox.Icon.Question,
            self.tr("Close HoGUI"),
            self.tr("A run is not over yet. Closing ends it and keeps what it has measured."),
            QMessageBox.StandardButton.Close | QMessageBox.StandardButton.Cancel,
            self._window,
        )
        box.finished.connect(self._answered)
        box.finished.connect(box.deleteLater)
        box.open()
        return True

    def _answered(self, answer: int) -> None:
        if answer == QMessageBox.StandardButton.Close:
            self._may_close = True
            self._window.close()
