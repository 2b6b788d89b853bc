"""The result of a run as one calm table."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QAction,
    QColor,
    QFontMetrics,
    QGuiApplication,
    QHelpEvent,
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
    QToolTip,
)
from typing_extensions import override

from core.results.measurement import Measurement
from hogui.tables.fitting import changes_text_sizes
from hogui.tables.invitation import paint_invitation
from hogui.tables.result_rows import COLUMNS, result_rows
from hogui.tables.rows_model import ICON_SIDE, LOOK_ROLE, SEGMENTS_ROLE, Look, RowsModel
from hogui.tables.share_bar import bar_height, paint_bar, segment_at
from hogui.theme import GRID, Size, theme

_PADDING = 5
_GAP = 12
"""Room above a heading."""
_INSET = 9
_OVERLAP = 6
"""Figures stand at the right of their cells and may begin in the margin of the cell before."""
_SLACK = 3
"""Digits of equal width may be painted a little wider than they are measured."""

_LEAST_NAME = 30 * GRID
_ACROSS = (Look.SENTENCE, Look.BAR)
"""Looks of rows that go across all columns."""


class ResultTable(QTableView):
    """A measurement in groups of rows; rows can be selected and copied as CSV text."""

    def __init__(self) -> None:
        super().__init__()
        # The last column is empty and takes what is left, so that figures stay near their labels.
        self._model = RowsModel([""] * (COLUMNS + 1))
        self.setObjectName("resultTable")
        self.setAccessibleName(self.tr("Result"))
        self.setModel(self._model)
        self.setItemDelegate(_ResultDelegate(self))
        self.setFont(theme().font(Size.BODY, tabular=True))
        self.setIconSize(QSize(10, 10))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.horizontalHeader().hide()
        self.horizontalHeader().setMinimumSectionSize(1)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(1)
        self._add_actions()
        theme().changed.connect(self.viewport().update)

    def set_result(self, result: Measurement | None) -> None:
        """Shows a result, or what will stand here."""
        self.clearSpans()
        self._model.set_rows(result_rows(result) if result is not None else ())
        for row in range(self._model.rowCount()):
            if self._model.row(row).look in _ACROSS:
                self.setSpan(row, 0, 1, self._model.columnCount())
        self._fit()

    def csv_text(self) -> str:
        """The selected rows as CSV text, or all where none is selected."""
        rows = sorted({index.row() for index in self.selectionModel().selectedRows()})
        return self._model.csv_text(rows or None)

    def copy(self) -> None:
        """Puts the selected rows, or all, on the clipboard as CSV text."""
        QGuiApplication.clipboard().setText(self.csv_text())

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    @override
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if changes_text_sizes(event):
            self._fit()

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._model.rowCount():
            paint_invitation(self, self.tr("The figures of the run will stand here."))

    def _add_actions(self) -> None:
        copy = QAction(self.tr("Copy as CSV"), self)
        copy.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self.copy)
        everything = QAction(self.tr("Select all"), self)
        everything.setShortcut(QKeySequence(QKeySequence.StandardKey.SelectAll))
        everything.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        everything.triggered.connect(self.selectAll)
        self.addActions([copy, everything])
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def _fit(self) -> None:
        """Columns take the width of their figures, sentences the lines they need."""
        widths = [self._column_width(column) for column in range(COLUMNS)]
        # Where room is short, names end in an ellipsis rather than figures in a scroll bar.
        lacking = sum(widths) + 1 - self.viewport().width()
        if lacking > 0:
            widths[0] = max(widths[0] - lacking, min(widths[0], _LEAST_NAME))
        for column, width in enumerate(widths):
            self.setColumnWidth(column, width)
        whole = max(self.viewport().width(), sum(widths) + 1)
        self.setColumnWidth(COLUMNS, whole - sum(widths))
        for row in range(self._model.rowCount()):
            self.setRowHeight(row, self._row_height(row, self.viewport().width()))

    def _column_width(self, column: int) -> int:
        bold = QFontMetrics(theme().font(Size.BODY, bold=True))
        small = QFontMetrics(theme().font(Size.SMALL))
        widest = 0
        for number in range(self._model.rowCount()):
            row = self._model.row(number)
            if row.look in _ACROSS or column >= len(row.cells):
                continue
            cell = row.cells[column]
            metrics = self.fontMetrics()
            if row.look is Look.HEADING:
                metrics = small if column else bold
            mark = ICON_SIDE + 6 if cell.icon or cell.swatch else 0
            widest = max(widest, metrics.horizontalAdvance(cell.text) + mark)
        return widest + 2 * _INSET + _SLACK - (_OVERLAP if column else 0)

    def _row_height(self, number: int, width: int) -> int:
        row, line = self._model.row(number), self.fontMetrics().height() + 2 * _PADDING
        if row.look is Look.HEADING:
            return line + _GAP
        if row.look is Look.FIGURES:
            return line - 4
        if row.look is Look.BAR:
            return bar_height()
        room = QRect(0, 0, max(width - ICON_SIDE - 6 - 2 * _INSET, 1), 100_000)
        wrap = int(Qt.TextFlag.TextWordWrap)
        return self.fontMetrics().boundingRect(room, wrap, row.cells[0].text).height() + 8


def _bar_area(row: QRect) -> QRectF:
    return QRectF(row.adjusted(_INSET, 0, -_INSET, 0))


class _ResultDelegate(QStyledItemDelegate):
    @override
    def helpEvent(
        self,
        event: QHelpEvent,
        view: QAbstractItemView,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> bool:
        """Of a bar, the segment under the pointer says its name and figure."""
        if index.data(LOOK_ROLE) is not Look.BAR:
            return super().helpEvent(event, view, option, index)
        found = segment_at(index.data(SEGMENTS_ROLE), _bar_area(option.rect), event.pos().x())
        QToolTip.showText(event.globalPos(), found.label if found is not None else "", view)
        return True

    @override
    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        whole = QRect(option.rect)
        if index.data(LOOK_ROLE) is Look.BAR:
            paint_bar(painter, _bar_area(whole), index.data(SEGMENTS_ROLE))
            return
        if index.column():
            option.rect = whole.adjusted(-_OVERLAP, 0, 0, 0)
        is_heading = index.data(LOOK_ROLE) is Look.HEADING
        if is_heading:
            option.rect = option.rect.adjusted(0, _GAP, 0, -3)
        super().paint(painter, option, index)
        if is_heading:
            painter.setPen(QColor(theme().tokens.border))
            painter.drawLine(whole.bottomLeft(), whole.bottomRight())
