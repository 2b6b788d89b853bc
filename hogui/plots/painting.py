"""Small things that every plot paints with the theme's tokens: lines, labels, the read-out, the
empty text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from pyqtgraph.Qt import internals
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen

from hogui.theme import GRID, Size, theme

_SWATCH = 8


@dataclass(frozen=True)
class ReadOutRow:
    """One line of a read-out: an optional colour, a name and a value."""

    name: str
    value: str
    colour: QColor | None = None


def hairline(colour: str | QColor, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
    """A pen one pixel wide at any scale; wider ones are slow."""
    pen = QPen(QColor(colour), 1, style)
    pen.setCosmetic(True)
    return pen


def crisp(pixel: float, ratio: float) -> float:
    """The middle of a device pixel, where a hairline is sharp."""
    return (np.floor(pixel * ratio) + 0.5) / ratio


class Rectangles:
    """Many rectangles of one colour in one call."""

    def __init__(self) -> None:
        # Not public, but pyqtgraph's own bar graphs stand on it: Qt reads numpy's memory, where a
        # list would need a Python object for each rectangle of each frame.
        self._array = internals.PrimitiveArray(QRectF, 4)

    def fill(
        self,
        painter: QPainter,
        colour: QColor,
        left: NDArray[np.float64],
        top: NDArray[np.float64],
        right: NDArray[np.float64],
        bottom: NDArray[np.float64],
    ) -> None:
        visible = bottom > top
        self._array.resize(int(np.count_nonzero(visible)))
        if not len(self._array):
            return
        table = self._array.ndarray()
        table[:, 0] = left[visible]
        table[:, 1] = top[visible]
        table[:, 2] = (right - left)[visible]
        table[:, 3] = (bottom - top)[visible]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QBrush(colour))
        painter.drawRects(*self._array.drawargs())


def polyline(painter: QPainter, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """A line through the points, in pixels."""
    if len(x) < 2:
        return
    painter.drawPolyline(pg.functions.arrayToQPolygonF(x, y))


def vertical(painter: QPainter, x: float, height: float) -> None:
    painter.drawLine(QLineF(x, 0, x, height))


def horizontal(painter: QPainter, y: float, width: float) -> None:
    painter.drawLine(QLineF(0, y, width, y))


def chip(
    painter: QPainter, area: QRectF, place: QPointF, *texts: str, bold: bool = False
) -> QRectF:
    """A small label on the plot's surface, moved so that it stays in the area.

    It says the first of the texts that fits the area's width; the last is elided where none does.
    `place` is the middle of its lower edge. Returns what it covers.
    """
    tokens = theme().tokens
    font = theme().font(Size.SMALL, bold=bold, tabular=True)
    text = fitting_text(QFontMetricsF(font), area.width() - 4 - 2 * GRID, *texts)
    size = QFontMetricsF(font).size(Qt.TextFlag.TextSingleLine, text)
    width, height = size.width() + 2 * GRID, size.height() + 2
    left = min(max(place.x() - width / 2, area.left() + 2), area.right() - width - 2)
    top = min(max(place.y() - height, area.top() + 2), area.bottom() - height)
    box = QRectF(round(left), round(top), width, height)
    background = QColor(tokens.surface)
    background.setAlphaF(0.86)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(background)
    painter.drawRoundedRect(box, 3, 3)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.setFont(font)
    painter.setPen(QColor(tokens.text))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
    return box


def fitting_text(metrics: QFontMetricsF, width: float, *texts: str) -> str:
    """The first of the texts that is no wider than `width` pixels, else the last one elided."""
    fitting = (text for text in texts if metrics.horizontalAdvance(text) <= width)
    return next(fitting, metrics.elidedText(texts[-1], Qt.TextElideMode.ElideRight, width))


def spread(middles: Sequence[float], step: float, low: float, high: float) -> list[float | None]:
    """Places near rising ones that keep a distance from each other, within two bounds.

    Returns:
        None for those that there is no room for: the last ones of too many.
    """
    room = max(int((high - low) / step + 1e-9), 1)
    kept = list(middles[:room])
    place = low - step / 2
    for number, middle in enumerate(kept):
        place = kept[number] = max(middle, place + step)
    place = high + step / 2
    for number in range(len(kept) - 1, -1, -1):
        place = kept[number] = min(kept[number], place - step)
    return [*kept, *[None] * (len(middles) - len(kept))]


def empty_text(painter: QPainter, area: QRectF, text: str) -> None:
    """What will appear here, in the middle of an empty plot."""
    painter.setFont(theme().font(Size.BODY))
    painter.setPen(QColor(theme().tokens.text_secondary))
    inner = area.adjusted(4 * GRID, 0, -4 * GRID, 0)
    painter.drawText(inner, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, text)


def read_out(
    painter: QPainter, area: QRectF, x: float, title: str, rows: Sequence[ReadOutRow]
) -> None:
    """A table beside the cursor, on the side where there is room."""
    tokens = theme().tokens
    font, bold = (
        theme().font(Size.SMALL, tabular=True),
        theme().font(Size.SMALL, bold=True, tabular=True),
    )
    metrics = QFontMetricsF(font)
    line = round(metrics.height() + 2)
    fitting = max(1, int((area.height() - 4 * GRID) // line) - 1)
    rows = rows[:fitting]
    names = max((metrics.horizontalAdvance(row.name) for row in rows), default=0)
    values = max((metrics.horizontalAdvance(row.value) for row in rows), default=0)
    gutter = _SWATCH + 2 * GRID
    title_width = QFontMetricsF(bold).horizontalAdvance(title)
    width = 4 * GRID + max(title_width, gutter + names + 4 * GRID + values)
    height = 3 * GRID + line * (1 + len(rows))
    after, before = x + 2 * GRID, x - 2 * GRID - width
    fits_after, more_after = after + width <= area.right(), x < area.center().x()
    left = after if fits_after or (before < area.left() and more_after) else before
    left = max(min(left, area.right() - width - 1), area.left())
    box = QRectF(round(left) + 0.5, area.top() + GRID + 0.5, round(width), height)

    background = QColor(tokens.raised)
    background.setAlphaF(0.95)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(hairline(tokens.border_strong))
    painter.setBrush(background)
    painter.drawRoundedRect(box, 4, 4)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    inner = box.adjusted(2 * GRID, GRID, -2 * GRID, 0)
    _text(painter, bold, tokens.text, QRectF(inner.left(), inner.top(), inner.width(), line), title)
    for number, row in enumerate(rows, start=1):
        top = inner.top() + number * line + GRID / 2
        if row.colour is not None:
            swatch = QRectF(inner.left(), top + (line - _SWATCH) / 2, _SWATCH, _SWATCH).toRect()
            painter.fillRect(swatch, row.colour)
        rest = QRectF(inner.left() + gutter, top, inner.width() - gutter, line)
        _text(painter, font, tokens.text_secondary, rest, row.name)
        _text(painter, font, tokens.text, rest, row.value, Qt.AlignmentFlag.AlignRight)


def _text(
    painter: QPainter,
    font: QFont,
    colour: str,
    box: QRectF,
    text: str,
    side: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
) -> None:
    painter.setFont(font)
    painter.setPen(QColor(colour))
    painter.drawText(box, side | Qt.AlignmentFlag.AlignVCenter, text)
