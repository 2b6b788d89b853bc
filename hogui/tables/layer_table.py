"""The view of a stack of layers."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QAction,
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableView
from typing_extensions import override

from core.spec.declaration import InvalidSpec
from hogui.tables.fitting import changes_text_sizes
from hogui.tables.invitation import paint_invitation
from hogui.tables.layer_columns import Column
from hogui.tables.layer_delegate import CELL_MARGINS, INSET, OVERLAP, STEP, LayerDelegate
from hogui.tables.layer_entries import Spot
from hogui.tables.layer_model import DEPTH_ROLE, LayerModel
from hogui.tables.layer_text import layers_from_text
from hogui.tables.row_notes import NOTES_ROLE, RowNote, notes_height, paint_notes
from hogui.theme import Size, theme

_ROWS_SHOWN = 10
"""Rows in view before the table scrolls by itself."""
_TITLE_INSET = 6
"""Left and right of a column's title, as the style sheet has it."""
_EDIT_KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2)


class LayerTable(QTableView):
    """Layers one a row, edited in place, moved by dragging or by Alt and an arrow key.

    A row says below itself what is wrong with it, and what is to be known about its layer.

    Signals:
        refused: what could not be pasted, and why, in one sentence.
    """

    refused = Signal(str)

    def __init__(self, model: LayerModel) -> None:
        super().__init__()
        self._model = model
        self._delegate = LayerDelegate(self)
        self._target: Spot | None = None
        self.setObjectName("layerTable")
        self.setAccessibleName(self.tr("Layers"))
        self.setModel(model)
        self.setItemDelegate(self._delegate)
        self.setFont(theme().font(Size.BODY, tabular=True))
        self._behave()
        self._add_actions()
        self._watch(model)
        self._fit()

    def selected_rows(self) -> list[int]:
        """The selected rows from the top down."""
        return sorted({index.row() for index in self.selectionModel().selectedRows()})

    def select_rows(self, rows: list[int]) -> None:
        """Selects rows and shows the last of them."""
        if not rows:
            return
        selection = QItemSelection()
        for row in rows:
            selection.select(self._model.index(row, 0), self._model.index(row, len(Column) - 1))
        current = self._model.index(rows[-1], Column.SETTINGS)
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().setCurrentIndex(current, flags.NoUpdate)
        self.selectionModel().select(selection, flags.ClearAndSelect)
        self.scrollTo(current)

    def delete_selected(self) -> None:
        """Removes the selected rows and selects what takes their place."""
        rows = self.selected_rows()
        self._model.remove(rows)
        if rows and self._model.rowCount():
            self.select_rows([min(rows[0], self._model.rowCount() - 1)])

    def duplicate_selected(self) -> None:
        """Copies the selected rows below themselves and selects the copies."""
        self.select_rows(self._model.duplicate(self.selected_rows()))

    def move_up(self) -> None:
        """Moves the selected rows up by one."""
        self._model.shift(self.selected_rows(), -1)
        self.scrollTo(self.currentIndex())

    def move_down(self) -> None:
        """Moves the selected rows down by one."""
        self._model.shift(self.selected_rows(), 1)
        self.scrollTo(self.currentIndex())

    def move_in(self) -> None:
        """Moves the selected rows into the layer above them."""
        self._model.nest(self.selected_rows(), 1)
        self.scrollTo(self.currentIndex())

    def move_out(self) -> None:
        """Moves the selected rows out of the layer that they lie in."""
        self._model.nest(self.selected_rows(), -1)
        self.scrollTo(self.currentIndex())

    def copy_selected(self) -> None:
        """Puts the selected layers on the clipboard, as JSON text."""
        rows = self.selected_rows()
        if rows:
            QGuiApplication.clipboard().setText(self._model.to_text(rows))

    def paste(self) -> None:
        """Inserts the clipboard's layers after the selection."""
        try:
            layers = layers_from_text(QGuiApplication.clipboard().text())
        except InvalidSpec as error:
            self.refused.emit(str(error))
            return
        self.select_rows(self._model.insert(self.spot_after_selection(), layers))

    def spot_after_selection(self) -> Spot:
        """Where a new layer goes: after the last selected one, else at the end."""
        rows = self.selected_rows()
        if not rows:
            return self._model.spot_before(self._model.rowCount())
        return self._model.spot_after(max(rows))

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.currentIndex().row()
        idle = self.state() is QAbstractItemView.State.NoState
        if event.key() in _EDIT_KEYS and not event.modifiers() and idle and row >= 0:
            on_kind = self.currentIndex().column() == Column.KIND
            self.edit(self._model.index(row, Column.KIND if on_kind else Column.SETTINGS))
            return
        super().keyPressEvent(event)

    @override
    def sizeHint(self) -> QSize:
        heights = [self.rowHeight(row) for row in range(self._model.rowCount())]
        shown = sum(heights[:_ROWS_SHOWN]) if heights else 2 * self._line_height()
        frame = 2 * self.frameWidth()
        return QSize(10 * self._line_height(), shown + self.horizontalHeader().height() + frame)

    @override
    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
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
            paint_invitation(self, self.tr("No layers yet. Add the first one below."))
        painter = QPainter(self.viewport())
        for row in range(self._model.rowCount()):
            self._paint_below(painter, row)
        if self._target is not None:
            self._paint_target(painter, self._target)

    @override
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self._accepts(event):
            event.acceptProposedAction()

    @override
    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if self._accepts(event):
            self._set_target(self._spot_at(event.position().toPoint()))
            event.acceptProposedAction()
        else:
            event.ignore()

    @override
    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._set_target(None)

    @override
    def dropEvent(self, event: QDropEvent) -> None:
        """The model moves the rows itself; a plain move would have the view delete them too."""
        self._set_target(None)
        if self._model.drop(event.mimeData(), self._spot_at(event.position().toPoint())):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()
        else:
            self.refused.emit(self.tr("What was dropped holds no layers as JSON text."))
            event.ignore()

    def _behave(self) -> None:
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(
            triggers.DoubleClicked | triggers.SelectedClicked | triggers.AnyKeyPressed
        )
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragEnabled(True)
        self.setAcceptDrops(True)
        self.setDropIndicatorShown(False)  # Qt's marks one cell; `_paint_target` the whole row.
        self.setDragDropOverwriteMode(False)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(1)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(1)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setHighlightSections(False)

    def _add_actions(self) -> None:
        self._action(self.tr("Move up"), "Alt+Up", self.move_up)
        self._action(self.tr("Move down"), "Alt+Down", self.move_down)
        self._action(self.tr("Move into the layer above"), "Alt+Right", self.move_in)
        self._action(self.tr("Move out of its layer"), "Alt+Left", self.move_out)
        self._action(self.tr("Duplicate"), "Ctrl+D", self.duplicate_selected)
        self._action(self.tr("Copy"), QKeySequence.StandardKey.Copy, self.copy_selected)
        self._action(self.tr("Cut"), QKeySequence.StandardKey.Cut, self._cut)
        self._action(self.tr("Paste"), QKeySequence.StandardKey.Paste, self.paste)
        self._action(self.tr("Delete"), QKeySequence.StandardKey.Delete, self.delete_selected)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def _action(
        self, text: str, keys: str | QKeySequence.StandardKey, slot: Callable[[], None]
    ) -> None:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(keys))
        action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(lambda: slot())
        self.addAction(action)

    def _cut(self) -> None:
        self.copy_selected()
        self.delete_selected()

    def _watch(self, model: LayerModel) -> None:
        for signal in (model.dataChanged, model.rowsInserted, model.rowsRemoved):
            signal.connect(self._fit)
        model.layoutChanged.connect(self._fit)
        theme().changed.connect(self.viewport().update)

    def _fit(self) -> None:
        """Gives rows and columns the room of their texts, and the table that of its rows."""
        # A bar that came and went with the height would change the width, so the height again.
        bars = Qt.ScrollBarPolicy
        scrolls = self._model.rowCount() > _ROWS_SHOWN
        self.setVerticalScrollBarPolicy(
            bars.ScrollBarAlwaysOn if scrolls else bars.ScrollBarAlwaysOff
        )
        widths = {
            column: max(self._texts_width(column) - OVERLAP, self._title_width(column))
            for column in (Column.NUMBER, Column.OUTPUT, Column.PARAMETERS)
        }
        room = self.viewport().width() - sum(widths.values())
        # Settings that lose their room get a line below; a kind that does is cut.
        kind = self._texts_width(Column.KIND)
        if kind > room - self._least_settings_width():
            kind = room - self._title_width(Column.SETTINGS)
        widths[Column.KIND] = max(kind, self._title_width(Column.KIND))
        widths[Column.SETTINGS] = max(room - widths[Column.KIND], 1)
        for column, width in widths.items():
            self.setColumnWidth(column, width)
        for row in range(self._model.rowCount()):
            self.setRowHeight(row, self._notes_top(row) + self._notes_height(row))
        self.updateGeometry()
        self.updateEditorGeometries()

    def _texts_width(self, column: Column) -> int:
        cells = [self._model.index(row, column) for row in range(self._model.rowCount())]
        step = STEP if column is Column.KIND else 0
        texts = {(cell.data(), step * cell.data(DEPTH_ROLE)) for cell in cells}
        widths = (self.fontMetrics().horizontalAdvance(text) + left for text, left in texts)
        return max(widths, default=0) + CELL_MARGINS

    def _least_settings_width(self) -> int:
        return self.fontMetrics().horizontalAdvance("00") + CELL_MARGINS

    def _title_width(self, column: Column) -> int:
        metrics = self.horizontalHeader().fontMetrics()
        return metrics.horizontalAdvance(column.title) + 2 * _TITLE_INSET

    def _line_height(self) -> int:
        return self._delegate.line_height(self.fontMetrics().height())

    def _notes(self, row: int) -> tuple[RowNote, ...]:
        notes: tuple[RowNote, ...] = self._model.index(row, 0).data(NOTES_ROLE)
        return notes

    def _long_settings(self, row: int) -> str:
        """Settings that have no room in their column and so get a line below it."""
        text = str(self._model.index(row, Column.SETTINGS).data())
        room = self.columnWidth(Column.SETTINGS) - CELL_MARGINS
        return text if self.fontMetrics().horizontalAdvance(text) > room else ""

    def _notes_top(self, row: int) -> int:
        """Height of what stands above the notes of a row."""
        second = self.fontMetrics().height() if self._long_settings(row) else 0
        return self._line_height() + second

    def _notes_height(self, row: int) -> int:
        return notes_height(self._notes(row), self.fontMetrics(), self.viewport().width())

    def _paint_below(self, painter: QPainter, row: int) -> None:
        """What a row says below its cells: long settings, and what one should know."""
        top, width = self.rowViewportPosition(row), self.viewport().width()
        if not QRect(0, top, width, self.rowHeight(row)).intersects(self.viewport().rect()):
            return
        tokens, metrics = theme().tokens, self.fontMetrics()
        settings = self._long_settings(row)
        current = self.currentIndex()
        is_current = (current.row(), current.column()) == (row, Column.SETTINGS)
        is_edited = is_current and self.state() is QAbstractItemView.State.EditingState
        if settings and not is_edited:
            depth = self._model.index(row, Column.KIND).data(DEPTH_ROLE)
            left = self.columnViewportPosition(Column.KIND) + INSET + STEP * depth
            line = QRect(left, top + self._line_height() - 4, width - left, metrics.height())
            text = metrics.elidedText(settings, Qt.TextElideMode.ElideRight, line.width() - INSET)
            painter.setPen(QColor(tokens.text_secondary))
            painter.drawText(line, Qt.AlignmentFlag.AlignLeft, text)
            if is_current and self.hasFocus():
                painter.setPen(QColor(tokens.accent))
                painter.drawRect(line.adjusted(-4, -1, -5, 0))
        painter.setFont(self.font())
        paint_notes(painter, self._notes(row), top + self._notes_top(row), width)

    def _paint_target(self, painter: QPainter, spot: Spot) -> None:
        row, last = spot.row, self._model.rowCount() - 1
        left = self.columnViewportPosition(Column.KIND) + STEP * spot.depth if spot.depth else 0
        y = self.rowViewportPosition(row) if row <= last else self._bottom()
        painter.setPen(QPen(QColor(theme().tokens.accent), 2))
        painter.drawLine(left, max(y, 1), self.viewport().width(), max(y, 1))

    def _bottom(self) -> int:
        last = self._model.rowCount() - 1
        return self.rowViewportPosition(last) + self.rowHeight(last) - 1 if last >= 0 else 0

    def _accepts(self, event: QDropEvent) -> bool:
        action = event.proposedAction()
        return self._model.canDropMimeData(event.mimeData(), action, 0, 0, self.rootIndex())

    def _spot_at(self, position: QPoint) -> Spot:
        """Where something dropped here goes: before a row, or below it, within the same layers."""
        row = self.rowAt(position.y())
        if row < 0:
            return self._model.spot_before(self._model.rowCount())
        middle = self.rowViewportPosition(row) + self.rowHeight(row) / 2
        is_lower = position.y() > middle
        return self._model.spot_below(row) if is_lower else self._model.spot_before(row)

    def _set_target(self, spot: Spot | None) -> None:
        self._target = spot
        self.viewport().update()
