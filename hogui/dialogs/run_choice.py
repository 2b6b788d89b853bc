"""Choosing several kept runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hogui.theme import GRID

if TYPE_CHECKING:
    from core.history import HistoryRow


class RunChoice(QDialog):
    """A list of runs to tick.

    Signals:
        chosen: the run ids, in the order of the list.
    """

    chosen = Signal(object)

    def __init__(
        self, runs: Sequence[HistoryRow], ticked: set[str], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Export several runs"))
        self.list = QTreeWidget()
        self.list.setAccessibleName(self.tr("Kept runs"))
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setHeaderLabels([self.tr("Run"), self.tr("Started"), self.tr("Outcome")])
        for run in runs:
            started = datetime.fromisoformat(run.started_at).astimezone()
            item = QTreeWidgetItem(
                [run.name, started.strftime("%Y-%m-%d %H:%M:%S"), run.outcome.sentence]
            )
            item.setData(0, Qt.ItemDataRole.UserRole, run.run_id)
            state = Qt.CheckState.Checked if run.run_id in ticked else Qt.CheckState.Unchecked
            item.setCheckState(0, state)
            # On another column: a hint for the first one would be its width too.
            item.setSizeHint(2, QSize(0, 6 * GRID))
            self.list.addTopLevelItem(item)
        for column in range(2):
            self.list.resizeColumnToContents(column)
        self.list.itemChanged.connect(self._enable)
        hint = self.tr("Tick the runs to export.") if runs else self.tr("There is no run yet.")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.export_button = self.buttons.addButton(
            self.tr("Export…"), QDialogButtonBox.ButtonRole.AcceptRole
        )
        self.export_button.setProperty("role", "primary")
        self.buttons.accepted.connect(self._accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(QLabel(hint))
        layout.addWidget(self.list, 1)
        layout.addWidget(self.buttons)
        self.resize(140 * GRID, 100 * GRID)
        self._enable()

    def ticked(self) -> list[str]:
        """The run ids that are ticked."""
        items = (self.list.topLevelItem(row) for row in range(self.list.topLevelItemCount()))
        return [
            item.data(0, Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState(0) is Qt.CheckState.Checked
        ]

    def _enable(self) -> None:
        self.export_button.setEnabled(bool(self.ticked()))

    def _accept(self) -> None:
        chosen = self.ticked()
        self.accept()
        self.chosen.emit(chosen)
