"""The table behind the advice's plot: sortable, its rows can be opened, measured and copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from PySide6.QtCore import (
    QCoreApplication,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QAction,
    QColor,
    QFontMetrics,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)
from typing_extensions import override

from hogui.plots.point_marks import Kind, point_icon
from hogui.tables.advice_rows import (
    ANSWER,
    FITS,
    LABEL,
    NUMBERS,
    OF_RUNS,
    PEAK,
    TIME,
    AdviceRows,
)
from hogui.tables.invitation import paint_invitation
from hogui.tables.rows_model import ICON_SIDE, Index, RowsModel
from hogui.theme import GRID, Size, theme

_ROW = 6 * GRID
_LEAST_LABEL, _LEAST_ANSWER = 32 * GRID, 16 * GRID
_LEAST_ROWS = 4
_MEASURED = 3
_ROOM, _ROOM_BESIDE_ICON = 16, 24
"""Pixels of a cell beside its text."""
_TINT = 0.14
"""How strongly the row to take is in the accent's colour."""
_TOO_LARGE = (Kind.TOO_LARGE, Kind.TOO_LARGE_APPROXIMATION)


class _Points(RowsModel):
    """Rows that begin with the mark that their point has in the plot."""

    def __init__(self) -> None:
        super().__init__([""] * (max(OF_RUNS) + 1))
        self.kinds: Sequence[Kind] = ()
        self.recommended: int | None = None

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DecorationRole and index.column() == LABEL:
            return point_icon(self.kinds[index.row()], ICON_SIDE)
        if role == Qt.ItemDataRole.ForegroundRole and self.kinds[index.row()] in _TOO_LARGE:
            return QColor(theme().tokens.text_secondary)
        if index.row() == self.recommended:
            if role == Qt.ItemDataRole.FontRole:
                return theme().font(bold=True, tabular=True)
            if role == Qt.ItemDataRole.BackgroundRole:
                tint = QColor(theme().tokens.accent)
                tint.setAlphaF(_TINT)
                return tint
        return super().data(index, role)

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole and section in NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole and section in (PEAK, TIME):
            return QCoreApplication.translate(
                "AdviceTable", "As measured, where the mark of a run says so, else as foretold"
            )
        return super().headerData(section, orientation, role)


class _Sorted(QSortFilterProxyModel):
    """What is absent comes last, whichever way the rows are sorted."""

    def __init__(self, rows: _Points, parent: QObject) -> None:
        super().__init__(parent)
        self._rows = rows
        self.setSourceModel(rows)

    @override
    def lessThan(self, left: Index, right: Index) -> bool:
        return self._key(left) < self._key(right)

    def _key(self, index: Index) -> tuple[bool, float, str]:
        value = self._rows.row(index.row()).cells[index.column()].value
        if value is None:
            return self.sortOrder() is Qt.SortOrder.AscendingOrder, 0.0, ""
        is_last = self.sortOrder() is Qt.SortOrder.DescendingOrder
        if isinstance(value, str):
            return is_last, 0.0, value.casefold()
        return is_last, float(value), ""


class _Tinted(QStyledItemDelegate):
    """Paints the background that a row asks for, which a style sheet for items leaves out."""

    @override
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        tint = index.data(Qt.ItemDataRole.BackgroundRole)
        if isinstance(tint, QColor):
            painter.fillRect(option.rect, tint)
        super().paint(painter, option, index)


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
        self._sorted = _Sorted(self._model, self)
        self.setObjectName("adviceTable")
        self.setAccessibleName(self.tr("Combinations"))
        self.setModel(self._sorted)
        self.setItemDelegate(_Tinted(self))
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
        header.setSortIndicator(TIME, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.doubleClicked.connect(lambda index: self.opened.emit(self._number(index)))
        self.selectionModel().selectionChanged.connect(
            lambda *_: self.selectionChangedTo.emit(self.selected())
        )
        self._fit()
        self._add_actions()
        theme().changed.connect(self.viewport().update)

    def show_rows(self, rows: AdviceRows, kinds: Sequence[Kind], *, anew: bool) -> None:
        """Shows these rows.

        Args:
            rows: cells.
            kinds: the mark of each row.
            anew: they are others than before; else the same, and perhaps more of them.
        """
        is_new_advice = rows.recommended is not None and (
            anew or rows.recommended != self._model.recommended
        )
        self._model.kinds, self._model.recommended = tuple(kinds), rows.recommended
        if anew:
            self._model.set_rows(rows.rows)
        else:
            self._model.change_rows(rows.rows)
        self._model.set_headers(rows.headers)
        self._fit()
        if is_new_advice:
            self.show_recommended()

    def show_recommended(self) -> None:
        """Scrolls to the row to take, where nobody looks at another one."""
        number = self._model.recommended
        if number is not None and not self.selected():
            place = self._sorted.mapFromSource(self._model.index(number, 0))
            # How far it can scroll is otherwise known with the next event.
            self.updateGeometries()
            self.scrollTo(place, QAbstractItemView.ScrollHint.PositionAtCenter)

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

    def _fit(self) -> None:
        """Figures take the width they need; what a row does, and what it approximates, share the
        rest. Forecasts of what was measured are in its tip too, and give way to names."""
        widths = {column: self._wanted(column) for column in range(self._model.columnCount())}
        width = self.viewport().width()
        measured = any(
            self._model.row(number).cells[column].value is not None
            for number in range(self._model.rowCount())
            for column in OF_RUNS
        )
        if not measured or sum(widths.values()) > width:
            widths = {column: wide for column, wide in widths.items() if column not in OF_RUNS}
        for column in OF_RUNS:
            self.setColumnHidden(column, column not in widths)
        lacking = sum(widths.values()) - width
        for column, least in ((ANSWER, _LEAST_ANSWER), (LABEL, _LEAST_LABEL)):
            given = min(max(lacking, 0), max(widths[column] - least, 0))
            widths[column] -= given
            lacking -= given
        widths[LABEL] += max(-lacking, 0)
        for column, wide in widths.items():
            self.setColumnWidth(column, wide)

    def _wanted(self, column: int) -> int:
        metrics, small = self.fontMetrics(), QFontMetrics(theme().font(Size.SMALL))
        header = self._model.headerData(column, Qt.Orientation.Horizontal)
        widest = small.horizontalAdvance(str(header or "")) + 2 * GRID
        cells = [self._model.row(n).cells[column] for n in range(self._model.rowCount())]
        # Of hundreds of texts only the longest are measured.
        longest = sorted({cell.text for cell in cells}, key=len)[-_MEASURED:]
        mark = ICON_SIDE + 6 if column == LABEL or any(cell.icon for cell in cells) else 0
        widest = max([widest, *(metrics.horizontalAdvance(text) + mark for text in longest)])
        best = self._model.recommended
        if best is not None and best < len(cells):
            bold = QFontMetrics(theme().font(bold=True, tabular=True))
            widest = max(widest, bold.horizontalAdvance(cells[best].text) + mark)
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
