"""The table behind the advice's plot: sortable, its rows can be opened, measured and copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QAction,
    QFontMetrics,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView
from typing_extensions import override

from hogui.plots.point_marks import Kind, point_icon
from hogui.tables.advice_rows import ANSWER, FITS, LABEL, NUMBERS, OF_RUNS, AdviceRows
from hogui.tables.invitation import paint_invitation
from hogui.tables.rows_model import ICON_SIDE, SORT_ROLE, Index, RowsModel
from hogui.theme import GRID, Size, theme

_ROW = 6 * GRID
_LEAST_LABEL, _LEAST_ANSWER = 32 * GRID, 16 * GRID
_LEAST_ROWS = 4
_MEASURED = 3
_ROOM, _ROOM_BESIDE_ICON = 16, 24
"""Pixels of a cell beside its text."""


class _Points(RowsModel):
    """Rows that begin with the mark that their point has in the plot."""

    def __init__(self) -> None:
        super().__init__([""] * (max(OF_RUNS) + 1))
        self.kinds: Sequence[Kind] = ()

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DecorationRole and index.column() == LABEL:
            return point_icon(self.kinds[index.row()], ICON_SIDE)
        return super().data(index, role)

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole and section in NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return super().headerData(section, orientation, role)


class AdviceTable(QTableView):
    """The points of an advice. Numbers of rows are those of the points, however it is sorted.

    Signals:
        opened: a row was clicked twice, or Enter was pressed on it.
        selectionChangedTo: the numbers of the selected rows.
    """

    opened = Signal(int)
    selectionChangedTo = Signal(object)

    def __init__(self, empty: str) -> None:
        """Starts without a row.

        Args:
            empty: what will stand here.
        """
        super().__init__()
        self._empty = empty
        self._model = _Points()
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self._model)
        self._sorted.setSortRole(SORT_ROLE)
        self._sorted.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setObjectName("adviceTable")
        self.setAccessibleName(self.tr("Combinations"))
        self.setModel(self._sorted)
        self.setFont(theme().font(Size.BODY, tabular=True))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setMinimumHeight((_LEAST_ROWS + 1) * _ROW + 2 * GRID)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setHighlightSections(False)
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.doubleClicked.connect(lambda index: self.opened.emit(self._number(index)))
        self.selectionModel().selectionChanged.connect(
            lambda *_: self.selectionChangedTo.emit(self.selected())
        )
        self._show_columns()
        self._add_actions()
        theme().changed.connect(self.viewport().update)

    def show_rows(self, rows: AdviceRows, kinds: Sequence[Kind], *, anew: bool) -> None:
        """Shows these rows.

        Args:
            rows: cells.
            kinds: the mark of each row.
            anew: they are others than before; else the same, and perhaps more of them.
        """
        self._model.kinds = tuple(kinds)
        if anew:
            self._model.set_rows(rows.rows)
        else:
            self._model.change_rows(rows.rows)
        self._model.set_headers(rows.headers)
        self._show_columns()
        self._fit()

    def selected(self) -> frozenset[int]:
        """The numbers of the selected rows."""
        return frozenset(map(self._number, self.selectionModel().selectedRows()))

    def select(self, numbers: Iterable[int]) -> None:
        """Selects these rows and no others, and shows the first of them."""
        chosen = QItemSelection()
        places = [
            self._sorted.mapFromSource(self._model.index(number, 0)) for number in sorted(numbers)
        ]
        for place in places:
            chosen.select(place, place)
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().select(chosen, flags.ClearAndSelect | flags.Rows)
        if places:
            self.selectionModel().setCurrentIndex(places[0], flags.NoUpdate)
            self.scrollTo(places[0])

    def csv_text(self) -> str:
        """The selected rows as CSV text, as they are sorted, or all where none is selected."""
        rows = sorted({index.row() for index in self.selectionModel().selectedRows()})
        shown = rows or range(self._sorted.rowCount())
        return self._model.csv_text(self._number(self._sorted.index(row, 0)) for row in shown)

    def copy(self) -> None:
        """Puts the selected rows, or all, on the clipboard as CSV text."""
        QGuiApplication.clipboard().setText(self.csv_text())

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.opened.emit(self._number(self.currentIndex()))
            return
        super().keyPressEvent(event)

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._model.rowCount():
            paint_invitation(self, self._empty)

    def _number(self, index: QModelIndex) -> int:
        return self._sorted.mapToSource(index).row()

    def _show_columns(self) -> None:
        """What was measured of no row has no column."""
        rows = [self._model.row(number) for number in range(self._model.rowCount())]
        for column in OF_RUNS:
            nothing = all(row.cells[column].value is None for row in rows)
            self.setColumnHidden(column, nothing)

    def _fit(self) -> None:
        """Figures take the width they need; what a row does, and what it approximates, share the
        rest."""
        shown = [c for c in range(self._model.columnCount()) if not self.isColumnHidden(c)]
        widths = {column: self._wanted(column) for column in shown}
        lacking = sum(widths.values()) - self.viewport().width()
        for column, least in ((ANSWER, _LEAST_ANSWER), (LABEL, _LEAST_LABEL)):
            given = min(max(lacking, 0), max(widths[column] - least, 0))
            widths[column] -= given
            lacking -= given
        widths[LABEL] += max(-lacking, 0)
        for column, width in widths.items():
            self.setColumnWidth(column, width)

    def _wanted(self, column: int) -> int:
        metrics, small = self.fontMetrics(), QFontMetrics(theme().font(Size.SMALL))
        header = self._model.headerData(column, Qt.Orientation.Horizontal)
        # Room for the arrow of the column that is sorted by.
        widest = small.horizontalAdvance(str(header or "")) + 2 * GRID
        cells = [self._model.row(n).cells[column] for n in range(self._model.rowCount())]
        # Of hundreds of texts only the longest are measured.
        longest = sorted({cell.text for cell in cells}, key=len)[-_MEASURED:]
        mark = ICON_SIDE + 6 if column == LABEL or any(cell.icon for cell in cells) else 0
        widest = max([widest, *(metrics.horizontalAdvance(text) + mark for text in longest)])
        return widest + (_ROOM_BESIDE_ICON if column == FITS else _ROOM)

    def _add_actions(self) -> None:
        for text, keys, act in (
            (self.tr("Copy as CSV"), QKeySequence.StandardKey.Copy, self.copy),
            (self.tr("Select all"), QKeySequence.StandardKey.SelectAll, self.selectAll),
        ):
            action = QAction(text, self)
            action.setShortcut(QKeySequence(keys))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(act)
            self.addAction(action)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
