"""Rows of figures as a read-only table that can be sorted and copied."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf, isfinite
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor
from typing_extensions import override

from hogui.icons import pixmap
from hogui.theme import Size, theme
from hogui.units import MISSING

Index = QModelIndex | QPersistentModelIndex
Value = str | int | float | None

SORT_ROLE = int(Qt.ItemDataRole.UserRole)
"""What a proxy sorts by: numbers as numbers, absent ones below all others."""
LOOK_ROLE = int(Qt.ItemDataRole.UserRole) + 1
"""The row's `Look`."""
SEGMENTS_ROLE = int(Qt.ItemDataRole.UserRole) + 2
"""The segments of a bar."""
ICON_SIDE = 14
_ROOT = QModelIndex()


class Look(Enum):
    """What a row is."""

    FIGURES = "figures"
    HEADING = "heading"
    """Names a group of rows and the columns that these use."""
    SENTENCE = "sentence"
    """One sentence across all columns."""
    BAR = "bar"
    """The shares of a whole as a stacked bar across all columns."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: as people read it.
        value: as programs read it: in the unit of the heading, None where it is absent.
        icon: name of an icon before the text.
        token: name of the theme's colour for the icon; a warning's or error's is the text's too.
        swatch: a colour of its own before the text, as `#RRGGBB`.
        tip: what is to say about it.
        at_right: true for a word that stands in a column of numbers.
    """

    text: str
    value: Value = None
    icon: str = ""
    token: str = "text_secondary"
    swatch: str = ""
    tip: str = ""
    at_right: bool = False


@dataclass(frozen=True)
class Segment:
    """A part of a bar.

    Attributes:
        share: of the whole, from 0 to 1.
        figure: the share as people read it.
        swatch: its colour as `#RRGGBB`, empty where the theme has it.
        token: name of the theme's colour.
    """

    name: str
    share: float
    figure: str
    swatch: str = ""
    token: str = "accent"

    @property
    def label(self) -> str:
        """Name and figure."""
        return f"{self.name} {self.figure}"


@dataclass(frozen=True)
class Row:
    """One row; columns beyond its cells are empty."""

    cells: tuple[Cell, ...]
    look: Look = Look.FIGURES
    segments: tuple[Segment, ...] = ()
    """Of a bar, from left to right."""


class RowsModel(QAbstractTableModel):
    """A read-only table. Numbers are right-aligned, absent and undefined ones are a dash."""

    def __init__(
        self, headers: Sequence[str], rows: Iterable[Row | Sequence[Cell | Value]] = ()
    ) -> None:
        """Shows rows.

        Args:
            headers: titles of the columns; empty ones for a table that has heading rows.
            rows: of plain values, or of cells that say how they look.
        """
        super().__init__()
        self._headers = tuple(headers)
        self._rows = tuple(_row(row) for row in rows)

    def set_rows(self, rows: Iterable[Row | Sequence[Cell | Value]]) -> None:
        """Shows other rows."""
        self.beginResetModel()
        self._rows = tuple(_row(row) for row in rows)
        self.endResetModel()

    def set_headers(self, headers: Sequence[str]) -> None:
        """Gives the columns, as many as before, other titles."""
        if tuple(headers) != self._headers:
            self._headers = tuple(headers)
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(headers) - 1)

    def change_rows(self, rows: Iterable[Row | Sequence[Cell | Value]]) -> None:
        """Shows other rows in place of those there are, and more behind them; what is selected
        stays selected."""
        made = tuple(_row(row) for row in rows)
        kept, added = len(self._rows), len(made) - len(self._rows)
        if added < 0:
            self.set_rows(made)
            return
        if made[:kept] != self._rows:
            self._rows = made[:kept]
            self.dataChanged.emit(self.index(0, 0), self.index(kept - 1, self.columnCount() - 1))
        if added:
            self.beginInsertRows(_ROOT, kept, len(made) - 1)
            self._rows = made
            self.endInsertRows()

    def row(self, number: int) -> Row:
        """One row."""
        return self._rows[number]

    def csv_text(self, rows: Iterable[int] | None = None) -> str:
        """Some or all rows as CSV: plain numbers, nothing for what is absent."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if any(self._headers):
            writer.writerow(self._headers)
        for number in range(len(self._rows)) if rows is None else rows:
            row = self._rows[number]
            if row.look is Look.BAR:  # The rows below it have its figures.
                continue
            writer.writerow([_plain(cell) for cell in row.cells])
        return text.getvalue()

    @override
    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    @override
    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._headers)

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(at_right=self._is_numeric(section), look=Look.FIGURES)
        return self._headers[section] if role == Qt.ItemDataRole.DisplayRole else None

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == LOOK_ROLE:
            return row.look
        if role == SEGMENTS_ROLE:
            return row.segments
        if index.column() >= len(row.cells):
            return None
        cell = row.cells[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.text
        if role == SORT_ROLE:
            return _sort_key(cell)
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell.tip or None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            is_heading_of_numbers = row.look is Look.HEADING and index.column() > 0
            at_right = is_heading_of_numbers or cell.at_right or _is_number(cell)
            return _alignment(at_right=at_right, look=row.look)
        if role == Qt.ItemDataRole.AccessibleDescriptionRole:
            return cell.tip or None
        if role == Qt.ItemDataRole.AccessibleTextRole and row.segments:
            return ", ".join(segment.label for segment in row.segments)
        return self._look(row.look, cell, index.column(), role)

    def _look(self, look: Look, cell: Cell, column: int, role: int) -> Any:
        tokens = theme().tokens
        if role == Qt.ItemDataRole.DecorationRole:
            if cell.icon:
                return pixmap(cell.icon, getattr(tokens, cell.token), ICON_SIDE)
            return QColor(cell.swatch) if cell.swatch else None
        if role == Qt.ItemDataRole.FontRole and look is Look.HEADING:
            if column == 0:
                return theme().font(bold=True)
            return theme().font(Size.SMALL)
        if role == Qt.ItemDataRole.ForegroundRole:
            if look is Look.HEADING and column:
                return QColor(tokens.text_secondary)
            if cell.token in ("error", "warning"):
                return QColor(getattr(tokens, cell.token))
        return None

    def _is_numeric(self, column: int) -> bool:
        cells = [row.cells[column] for row in self._rows if column < len(row.cells)]
        return bool(cells) and all(_is_number(cell) for cell in cells)


def _row(row: Row | Sequence[Cell | Value]) -> Row:
    if isinstance(row, Row):
        return row
    return Row(tuple(cell if isinstance(cell, Cell) else plain_cell(cell) for cell in row))


def plain_cell(value: Value) -> Cell:
    """A value as it is; what is absent or undefined is a dash, never a zero."""
    if isinstance(value, str):
        return Cell(value, value)
    if value is None or not isfinite(value):
        return Cell(MISSING)
    return Cell(f"{value:.6g}" if isinstance(value, float) else str(value), value)


def _is_number(cell: Cell) -> bool:
    return isinstance(cell.value, int | float) or cell.text == MISSING


def _plain(cell: Cell) -> Value:
    if cell.value is None:
        return "" if cell.text == MISSING else cell.text
    return cell.value


def _sort_key(cell: Cell) -> str | float:
    if isinstance(cell.value, int | float):
        return float(cell.value)
    return -inf if cell.text == MISSING else cell.text


def _alignment(*, at_right: bool, look: Look) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if at_right else Qt.AlignmentFlag.AlignLeft
    upright = {Look.HEADING: Qt.AlignmentFlag.AlignBottom}
    return side | upright.get(look, Qt.AlignmentFlag.AlignVCenter)
