"""A matrix as a picture: each entry a cell whose colour tells its sign and size."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Protocol

import numpy as np
from PySide6.QtCore import QCoreApplication, QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QSizePolicy, QVBoxLayout, QWidget
from typing_extensions import override

from hogui.icons import icon
from hogui.plots.columns import Floats
from hogui.plots.elided_label import ElidedLabel
from hogui.plots.heat_map_colours import image_of
from hogui.plots.painting import crisp, fitting_text, hairline, spread
from hogui.plots.picture import copy_picture, picture_of, save_picture
from hogui.plots.table_dialog import Rows, TableDialog
from hogui.plots.view_menu import ask_for_png
from hogui.theme import GRID, Size, theme

_LEAST = 44 * GRID
_NAMES = 20 * GRID
"""Width of the names of rows."""
_BAR, _BAR_GAP, _BAR_LABELS = 3 * GRID, 3 * GRID, 15 * GRID
_BAR_STEPS = 128
_LEAST_LABEL = 5 * GRID
"""Pixels that a block needs to be named."""
_ARROWS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


class Block(Protocol):
    """Rows, and as many columns, that belong together: what they are called, and the first."""

    @property
    def name(self) -> str: ...
    @property
    def start(self) -> int: ...


class Matrix(Protocol):
    """A square matrix that is shown by fewer cells.

    Attributes:
        title: two or three words.
        size: rows of the matrix.
        cells: rows of cells that stand for even parts of the matrix; None where one is not finite.
        blocks: in order, by entries of the matrix; the first begins at 0.
    """

    @property
    def title(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def cells(self) -> Sequence[Sequence[float | None]]: ...
    @property
    def blocks(self) -> Sequence[Block]: ...


class HeatMapPlot(QWidget):
    """A square of cells between their names and a colour bar; hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("heatMapPlot")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._title = QLabel()
        self._title.setProperty("role", "heading")
        self.note = ElidedLabel()
        self.note.setProperty("role", "small")
        self._square = _Square(self)
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self._title)
        line.addWidget(self.note, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(line)
        layout.addWidget(self._square, 1)
        theme().changed.connect(self._square.update)
        self.set_matrix(None)

    @property
    def title(self) -> str:
        """What is shown, in words."""
        return self._title.text()

    @property
    def cursor_cell(self) -> tuple[int, int] | None:
        """Row and column of the cell that is read out."""
        return self._square.cursor_cell

    def set_matrix(self, matrix: Matrix | None) -> None:
        """Shows another matrix, or none."""
        self._square.show_matrix(matrix)
        self._title.setText(_tr(matrix.title) if matrix is not None else "")
        self.setAccessibleName(self.title)
        self.setVisible(matrix is not None)
        self._say()

    def set_cursor(self, cell: tuple[int, int] | None) -> None:
        """Reads out one cell, by row and column."""
        self._square.cursor_cell = cell
        self._square.update()
        self._say()

    def cell_at(self, place: QPointF) -> tuple[int, int] | None:
        """Row and column of the cell at a place of the plot."""
        return self._square.cell_at(self._square.mapFrom(self, place))

    def place_of(self, row: int, column: int) -> QPointF:
        """The middle of a cell, in the plot."""
        return self._square.mapTo(self, self._square.box_of(row, column).center())

    def rows(self) -> tuple[list[str], Rows]:
        """The headers and rows of the table behind the plot: the cells as they lie."""
        names = self._square.names()
        values = self._square.values
        cells = ([None if np.isnan(cell) else cell for cell in row] for row in values.tolist())
        return ["", *names], [[name, *row] for name, row in zip(names, cells, strict=True)]

    def show_table(self) -> TableDialog:
        """Opens the table behind the plot."""
        dialog = TableDialog(self.title, *self.rows(), self)
        dialog.open()
        return dialog

    def picture(self) -> QImage:
        """The plot with two pixels per pixel of the screen, without a read-out."""
        cell = self.cursor_cell
        self.set_cursor(None)
        image = picture_of(self)
        self.set_cursor(cell)
        return image

    def save_png(self, path: str | Path) -> None:
        """Writes the plot as a picture.

        Raises:
            OSError: the file cannot be written.
        """
        save_picture(self.picture(), path)

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier and key == Qt.Key.Key_C:
            copy_picture(self.picture())
        elif key == Qt.Key.Key_T:
            self.show_table()
        elif key in _ARROWS:
            self.set_cursor(self._square.neighbour(*_ARROWS[key]))
        elif key == Qt.Key.Key_Escape:
            self.set_cursor(None)
        else:
            super().keyPressEvent(event)

    @override
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        for name, text, act in (
            ("image", _tr("Save picture…"), lambda: ask_for_png(self, self)),
            ("copy", _tr("Copy picture") + "\tCtrl+C", lambda: copy_picture(self.picture())),
            ("table", _tr("Show as table…") + "\tT", self.show_table),
        ):
            menu.addAction(icon(name), text).triggered.connect(act)
        menu.popup(event.globalPos())

    def _say(self) -> None:
        cell = self.cursor_cell
        text = self._square.describe(cell) if cell is not None else self._square.summary()
        self.note.setText(text)
        self.setAccessibleDescription(text)


class _Square(QWidget):
    """Paints the cells, what they are called, and the colour bar."""

    def __init__(self, plot: HeatMapPlot) -> None:
        super().__init__(plot)
        self._plot = plot
        self.values: Floats = np.empty((0, 0))
        self.cursor_cell: tuple[int, int] | None = None
        self._size = 0
        self._blocks: Sequence[Block] = ()
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @override
    def minimumSizeHint(self) -> QSize:
        return QSize(self._names_width() + _LEAST + _BAR_GAP + _BAR + _BAR_LABELS, _LEAST)

    def show_matrix(self, matrix: Matrix | None) -> None:
        self.cursor_cell = None
        self.values = np.empty((0, 0))
        if matrix is not None:
            self.values = np.array(matrix.cells, dtype=np.float64)
            self._size, self._blocks = matrix.size, matrix.blocks
        self.updateGeometry()
        self.update()

    # Where things are.

    def area(self) -> QRectF:
        """The square of cells, below the names of columns and right of those of rows."""
        rows, columns = self.values.shape
        top = QFontMetricsF(theme().font(Size.SMALL)).height() + GRID
        names = self._names_width()
        width = self.width() - names - _BAR_GAP - _BAR - _BAR_LABELS
        side = max(min(width / columns, (self.height() - top - 1) / rows), 1.0)
        return QRectF(names, top, side * columns, side * rows)

    def _names_width(self) -> int:
        """What the names of rows take."""
        metrics = QFontMetricsF(theme().font(Size.SMALL))
        widest = max((metrics.horizontalAdvance(block.name) for block in self._blocks), default=0)
        return min(ceil(widest) + 2 * GRID, _NAMES)

    def box_of(self, row: int, column: int) -> QRectF:
        area, side = self.area(), self.area().height() / len(self.values)
        return QRectF(area.left() + column * side, area.top() + row * side, side, side)

    def cell_at(self, place: QPointF) -> tuple[int, int] | None:
        area = self.area() if self.values.size else QRectF()
        if not area.contains(place):
            return None
        side = area.height() / len(self.values)
        rows, columns = self.values.shape
        row, column = ((place - area.topLeft()) / side).y(), ((place - area.topLeft()) / side).x()
        return min(int(row), rows - 1), min(int(column), columns - 1)

    def neighbour(self, down: int, right: int) -> tuple[int, int]:
        """The cell beside the one that is read out; the first where there is none."""
        if self.cursor_cell is None:
            return 0, 0
        rows, columns = self.values.shape
        row, column = self.cursor_cell
        return min(max(row + down, 0), rows - 1), min(max(column + right, 0), columns - 1)

    # What is said.

    def names(self) -> list[str]:
        """What each row and column is called: its block, and which of the block's entries."""
        return [self._name(cell) for cell in range(len(self.values))]

    def describe(self, cell: tuple[int, int]) -> str:
        row, column = cell
        return _tr("{row} × {column}: {value}").format(
            row=self._name(row), column=self._name(column), value=_text(self.values[cell])
        )

    def summary(self) -> str:
        finite = self.values[np.isfinite(self.values)]
        if not len(finite):
            return _tr("no cell is finite") if self.values.size else ""
        form = _tr("from {low} to {high}")
        return form.format(low=_text(float(finite.min())), high=_text(float(finite.max())))

    def _name(self, cell: int) -> str:
        count = len(self.values)
        first, end = (self._size * place // count for place in (cell, cell + 1))
        (name, start), (last_name, last) = self._entry(first), self._entry(end - 1)
        if last_name != name:
            return f"{name} {start}…{last_name} {last}"
        return f"{name} {start}…{last}" if end - first > 1 else f"{name} {start}"

    def _entry(self, position: int) -> tuple[str, int]:
        """The block of an entry, and its place there."""
        block = next((block for block in reversed(self._blocks) if block.start <= position), None)
        return (block.name, position - block.start) if block is not None else ("", position)

    def _largest(self) -> float:
        finite = np.abs(self.values[np.isfinite(self.values)])
        return float(finite.max()) if len(finite) else 0.0

    # Painting.

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.values.size:
            return
        painter = QPainter(self)
        area = self.area()
        painter.drawImage(area, image_of(self.values, self._largest()))
        self._paint_borders(painter, area)
        self._paint_bar(painter, area)
        if self.cursor_cell is not None:
            painter.setPen(hairline(theme().tokens.text))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.box_of(*self.cursor_cell))
        painter.end()

    def _paint_borders(self, painter: QPainter, area: QRectF) -> None:
        tokens, font = theme().tokens, theme().font(Size.SMALL)
        metrics, entry = QFontMetricsF(font), area.height() / self._size
        ratio = self.devicePixelRatioF()
        ends = [*(block.start for block in self._blocks), self._size][1:]
        painter.setFont(font)
        for block, end in zip(self._blocks, ends, strict=True):
            offset, length = block.start * entry, (end - block.start) * entry
            if block.start:
                painter.setPen(hairline(tokens.text_secondary))
                x, y = crisp(area.left() + offset, ratio), crisp(area.top() + offset, ratio)
                painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
                painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(tokens.text_secondary))
            if length >= _LEAST_LABEL:
                box = QRectF(area.left() + offset, 0, length, area.top() - GRID)
                text = fitting_text(metrics, length - 2, block.name)
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        self._paint_row_names(painter, area, ends, metrics)
        painter.setPen(hairline(tokens.border_strong))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(area)

    def _paint_row_names(
        self, painter: QPainter, area: QRectF, ends: Sequence[int], metrics: QFontMetricsF
    ) -> None:
        """Every block has its name; those of low ones give way to their neighbours'."""
        entry, height = area.height() / self._size, metrics.height()
        middles = [
            area.top() + entry * (block.start + end) / 2
            for block, end in zip(self._blocks, ends, strict=True)
        ]
        painter.setPen(QColor(theme().tokens.text_secondary))
        side_of = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for block, middle in zip(
            self._blocks, spread(middles, height, area.top(), area.bottom()), strict=True
        ):
            if middle is not None:
                box = QRectF(0, middle - height / 2, area.left() - GRID, height)
                painter.drawText(box, side_of, fitting_text(metrics, box.width(), block.name))

    def _paint_bar(self, painter: QPainter, area: QRectF) -> None:
        tokens, largest = theme().tokens, self._largest()
        bar = QRectF(area.right() + _BAR_GAP, area.top(), _BAR, area.height())
        painter.drawImage(bar, image_of(np.linspace(1, -1, _BAR_STEPS)[:, None], 1.0))
        painter.setPen(hairline(tokens.border_strong))
        painter.drawRect(bar)
        painter.setPen(QColor(tokens.text_secondary))
        height = QFontMetricsF(painter.font()).height()
        for value, y in (
            (largest, bar.top() + height / 2),
            (0.0, bar.center().y()),
            (-largest, bar.bottom() - height / 2),
        ):
            box = QRectF(bar.right() + GRID, y - height / 2, _BAR_LABELS, height)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, _text(value, 3))

    # Events.

    @override
    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._plot.set_cursor(self.cell_at(event.position()))

    @override
    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._plot.setFocus()
        super().mousePressEvent(event)

    @override
    def leaveEvent(self, event: QEvent) -> None:
        self._plot.set_cursor(None)
        super().leaveEvent(event)


def _text(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if np.isfinite(value) else _tr("not finite")


def _tr(text: str) -> str:
    return QCoreApplication.translate("HeatMap", text)
