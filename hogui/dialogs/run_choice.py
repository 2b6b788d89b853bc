"""Choosing several kept runs."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from core.history import HistoryRow
from hogui.theme import GRID


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
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Kept runs"))
        for run in runs:
            item = QListWidgetItem(f"{run.started_at}   {run.name}   {run.outcome}")
            item.setData(Qt.ItemDataRole.UserRole, run.run_id)
            state = Qt.CheckState.Checked if run.run_id in ticked else Qt.CheckState.Unchecked
            item.setCheckState(state)
            self.list.addItem(item)
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
        items = (self.list.item(row) for row in range(self.list.count()))
        return [
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState() is Qt.CheckState.Checked
        ]

    def _enable(self) -> None:
        self.export_button.setEnabled(bool(self.ticked()))

    def _accept(self) -> None:
        chosen = self.ticked()
        self.accept()
        self.chosen.emit(chosen)
