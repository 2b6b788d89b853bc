"""The figures behind a plot, as a table that can be read, selected and copied as CSV."""

import csv
import io
from collections.abc import Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from hogui.icons import set_icon
from hogui.theme import GRID, Size, theme

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]
_Index = QModelIndex | QPersistentModelIndex


def csv_text(headers: Sequence[str], rows: Rows) -> str:
    """The table as CSV: plain numbers, nothing for what is absent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return text.getvalue()


class RowsModel(QAbstractTableModel):
    """Rows as a read-only table; numbers are right-aligned."""

    def __init__(self, headers: Sequence[str], rows: Rows, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._headers, self._rows = tuple(headers), rows

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._headers)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        value = self._rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return "" if value is None else str(value)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft
            if not isinstance(value, str):
                side = Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return self._headers[section] if orientation is Qt.Orientation.Horizontal else section + 1


class TableDialog(QDialog):
    """Shows a plot's figures. Copies the selected rows, or all, as CSV text."""

    def __init__(
        self, title: str, headers: Sequence[str], rows: Rows, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self._headers, self._rows = tuple(headers), rows
        self._view = QTableView()
        self._view.setModel(RowsModel(headers, rows, self))
        self._view.setFont(theme().font(Size.BODY, tabular=True))
        self._view.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self._view.setAlternatingRowColors(True)
        self._view.setShowGrid(False)
        self._view.verticalHeader().hide()
        self._view.verticalHeader().setDefaultSectionSize(6 * GRID)
        self._view.horizontalHeader().setDefaultSectionSize(32 * GRID)
        self._view.horizontalHeader().setStretchLastSection(True)
        note = QLabel(
            self.tr("{count} rows. Bytes and seconds, as in the CSV files.").format(count=len(rows))
        )
        note.setProperty("role", "secondary")
        copy = QPushButton(self.tr("Copy as CSV"))
        set_icon(copy, "copy")
        copy.clicked.connect(self.copy)
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.close)
        QShortcut(QKeySequence.StandardKey.Copy, self, self.copy)

        buttons = QHBoxLayout()
        buttons.setSpacing(2 * GRID)
        buttons.addWidget(note, 1)
        buttons.addWidget(copy)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(self._view)
        layout.addLayout(buttons)
        self.resize(720, 480)

    def copy(self) -> None:
        """Puts the selected rows, or all if none is selected, on the clipboard."""
        selected = sorted(index.row() for index in self._view.selectionModel().selectedRows())
        rows = [self._rows[row] for row in selected] if selected else self._rows
        QGuiApplication.clipboard().setText(csv_text(self._headers, rows))
