"""Taking figures along: CSV files of one, several or all runs, a picture, a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from hogui.actions import Actions
from hogui.dialogs.files import ask_for_folder, ask_for_picture
from hogui.dialogs.run_choice import RunChoice
from hogui.open_tab import OpenTab
from hogui.pages.run_page import RunPage
from hogui.run_store import RunStore, StoreError
from hogui.session import Session

if TYPE_CHECKING:
    from core.history import HistoryRow


class ExportCommands(QObject):
    """What the export actions do.

    Signals:
        told: a sentence for the user, and whether it is about an error.
    """

    told = Signal(str, bool)

    def __init__(
        self,
        session: Session,
        store: RunStore,
        actions: Actions,
        current_page: Callable[[], RunPage | None],
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._session, self._store, self._window = session, store, window
        self._actions, self._current_page = actions, current_page
        actions["exportCsv"].triggered.connect(self._export_current)
        actions["exportSelectedCsv"].triggered.connect(self._choose_and_export)
        actions["exportAllCsv"].triggered.connect(self._export_all)
        actions["savePng"].triggered.connect(self._save_picture)
        actions["copyResult"].triggered.connect(self._copy_result)
        actions["copyPython"].triggered.connect(self._copy_python)
        session.currentChanged.connect(self.refresh)
        session.tabOpened.connect(self._observe)
        for tab in session.tabs:
            self._observe(tab)
        self.refresh()

    def refresh(self) -> None:
        """Disables what has nothing to take along."""
        tab = self._session.current
        has_result = tab is not None and tab.result is not None
        for name in ("exportCsv", "copyResult", "savePng"):
            self._actions[name].setEnabled(has_result)
        self._actions["copyPython"].setEnabled(tab is not None and not tab.problems)

    def export(self, run_ids: Sequence[str], folder: Path) -> bool:
        """Writes the CSV files of some kept runs."""
        try:
            count = self._store.export(run_ids, folder)
        except (OSError, StoreError) as error:
            self.told.emit(
                self.tr("The CSV files were not written to {folder}: {reason}").format(
                    folder=folder, reason=_reason(error)
                ),
                True,
            )
            return False
        sentence = (
            self.tr("The CSV files of 1 run are in {folder}.")
            if count == 1
            else self.tr("The CSV files of {count} runs are in {folder}.")
        )
        self.told.emit(sentence.format(count=count, folder=folder), False)
        return True

    def _observe(self, tab: OpenTab, position: int = 0) -> None:
        tab.resultChanged.connect(self.refresh)
        tab.problemsChanged.connect(self.refresh)

    def _export_current(self) -> None:
        tab = self._session.current
        if tab is not None and tab.result is not None:
            self._ask_and_export([tab.result.run_id])

    def _export_all(self) -> None:
        run_ids = [row.run_id for row in self._rows()]
        if run_ids:
            self._ask_and_export(run_ids)
        else:
            self.told.emit(self.tr("There is no run to export yet."), False)

    def _rows(self) -> list[HistoryRow]:
        try:
            return self._store.rows()
        except StoreError as error:
            self.told.emit(str(error), True)
            return []

    def _choose_and_export(self) -> None:
        open_runs = {tab.result.run_id for tab in self._session.tabs if tab.result is not None}
        choice = RunChoice(self._rows(), open_runs, self._window)
        choice.chosen.connect(self._ask_and_export)
        choice.open()

    def _ask_and_export(self, run_ids: Sequence[str]) -> None:
        folder = ask_for_folder(self._window)
        if folder is not None:
            self.export(run_ids, folder)

    def _save_picture(self) -> None:
        page = self._current_page()
        if page is None:
            return
        path = ask_for_picture(self._window, f"{page.tab.name} memory.png")
        if path is None:
            return
        try:
            page.figures.memory.save_png(path)
        except OSError as error:
            self.told.emit(str(error), True)

    def _copy_result(self) -> None:
        tab = self._session.current
        if tab is not None and tab.result is not None:
            QGuiApplication.clipboard().setText(tab.result.model_dump_json(indent=2))
            self.told.emit(self.tr("The result is on the clipboard as JSON."), False)

    def _copy_python(self) -> None:
        """Reads nothing but the configuration, so it needs no run."""
        from core.export.script import script

        tab = self._session.current
        if tab is None or tab.problems:
            return
        try:
            text = script(tab.spec)
        except (OSError, ValueError) as error:
            self.told.emit(
                self.tr("There is no script of {name}: {reason}").format(
                    name=tab.name, reason=error
                ),
                True,
            )
            return
        QGuiApplication.clipboard().setText(text)
        self.told.emit(self.tr("The Python script is on the clipboard."), False)


def _reason(error: OSError | StoreError) -> str:
    """Why, without numbers and paths that have been said."""
    words = error.strerror if isinstance(error, OSError) else None
    return f"{words or error}."
