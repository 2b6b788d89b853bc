"""Opening and saving configurations as JSON files, also by dropping them on the window."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QMenu, QWidget

from core.spec.beside import beside
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec
from hogui.actions import Actions
from hogui.dialogs.files import ask_for_specs, ask_where_to_save
from hogui.home import write_text
from hogui.open_tab import OpenTab
from hogui.session import Session
from hogui.session_file import LONGEST_RECENTS


class FileCommands(QObject):
    """Open, save, save as, and the files that were used last.

    Signals:
        told: a sentence for the user, and whether it is about an error.
        recentsChanged: the files that were used last are others.
    """

    told = Signal(str, bool)
    recentsChanged = Signal()

    def __init__(
        self,
        session: Session,
        actions: Actions,
        recents: Iterable[str],
        recents_menu: QMenu,
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._session, self._window = session, window
        self.recents = list(recents)
        self._menu = recents_menu
        actions["open"].triggered.connect(self._ask_and_open)
        actions["save"].triggered.connect(lambda: self._with_current(self.save))
        actions["saveAs"].triggered.connect(lambda: self._with_current(self.save_as))
        recents_menu.aboutToShow.connect(self._fill_menu)

    def open(self, path: Path) -> OpenTab | None:
        """Opens a configuration in a tab; what is wrong with the file becomes a sentence."""
        for tab in self._session.tabs:
            if tab.path == path:
                self._session.set_current(tab)
                return tab
        spec = self._read(path)
        if spec is None:
            return None
        tab = self._session.open(spec)
        tab.bind_file(path, spec)
        self._session.set_current(tab)
        self._used(path)
        return tab

    def save(self, tab: OpenTab) -> bool:
        """Writes a tab's configuration to its file; asks for one where there is none."""
        return self.save_as(tab) if tab.path is None else self._write(tab, tab.path)

    def save_as(self, tab: OpenTab) -> bool:
        """Writes a tab's configuration to a file that the user names."""
        path = ask_where_to_save(self._window, str(tab.path or f"{_file_name(tab.name)}.json"))
        return path is not None and self._write(tab, path)

    def _read(self, path: Path) -> RunSpec | None:
        try:
            return beside(RunSpec.from_json(path.read_bytes()), path)
        except InvalidSpec as error:
            if any(problem.sentence.startswith("model is missing") for problem in error.problems):
                self._tell(path, self.tr("it is not a configuration: it has no key model."))
            else:
                self._tell(path, " ".join(problem.sentence for problem in error.problems[:3]))
        except OSError as error:
            self._tell(path, self.tr("it cannot be read: {reason}.").format(reason=error.strerror))
        return None

    def _write(self, tab: OpenTab, path: Path) -> bool:
        try:
            write_text(path, tab.spec.to_json() + "\n")
        except OSError as error:
            self._tell(path, self.tr("it was not written: {reason}.").format(reason=error.strerror))
            return False
        tab.bind_file(path, tab.spec)
        self._used(path)
        return True

    def _tell(self, path: Path, sentence: str) -> None:
        self.told.emit(f"{path.name}: {sentence}", True)

    def _ask_and_open(self) -> None:
        for path in ask_for_specs(self._window):
            self.open(path)

    def _with_current(self, act: Callable[[OpenTab], bool]) -> None:
        if self._session.current is not None:
            act(self._session.current)

    def _used(self, path: Path) -> None:
        name = str(path.absolute())
        self.recents = [name, *(other for other in self.recents if other != name)]
        del self.recents[LONGEST_RECENTS:]
        self.recentsChanged.emit()

    def _fill_menu(self) -> None:
        self._menu.clear()
        existing = [name for name in self.recents if Path(name).exists()]
        for name in existing:
            action = self._menu.addAction(name)
            action.triggered.connect(lambda _=False, name=name: self.open(Path(name)))
        if not existing:
            self._menu.addAction(self.tr("No file was opened yet")).setEnabled(False)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w.-]+", "-", title).strip("-.") or "configuration"
