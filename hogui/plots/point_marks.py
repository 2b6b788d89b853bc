"""How points of a trade-off are told apart: by colour and by shape, the same in plot and table."""

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import partial
from math import inf

from pyqtgraph.graphicsItems.ScatterPlotItem import Symbols
from PySide6.QtCore import QCoreApplication, QPointF, QRect, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QGuiApplication, QIcon, QPainter, QPixmap
from typing_extensions import override

from hogui.plots.legend import Legend
from hogui.plots.painting import chip, hairline
from hogui.theme import GRID, Size, Tokens, theme


class Kind(Enum):
    """What a point is."""

    FITS = "fits"
    MAY_FIT = "may_fit"
    """Its lower bound does."""
    TOO_LARGE = "too_large"
    APPROXIMATES = "approximates"
    """It fits, but does not compute the exact result."""
    TOO_LARGE_APPROXIMATION = "too_large_approximation"

    @property
    def title(self) -> str:
        """A legend's words."""
        return {
            Kind.FITS: _tr("fits"),
            Kind.MAY_FIT: _tr("fits by its lower bound"),
            Kind.TOO_LARGE: _tr("does not fit"),
            Kind.APPROXIMATES: _tr("approximates, fits"),
            Kind.TOO_LARGE_APPROXIMATION: _tr("approximates, does not fit"),
        }[self]

    @property
    def symbol(self) -> str:
        """pyqtgraph's name of the shape."""
        return _SHAPES[self][0]

    @property
    def is_hollow(self) -> bool:
        """Whether only its outline is painted."""
        return _SHAPES[self][1]

    def colour(self, tokens: Tokens) -> QColor:
        """In one of the themes."""
        if self in (Kind.FITS, Kind.MAY_FIT):
            return QColor(tokens.success)
        if self is Kind.TOO_LARGE:
            return QColor(tokens.text_secondary)
        return QColor(tokens.runs[3].colour)


_SHAPES = {
    Kind.FITS: ("o", False),
    Kind.MAY_FIT: ("o", True),
    Kind.TOO_LARGE: ("x", False),
    Kind.APPROXIMATES: ("t1", False),
    Kind.TOO_LARGE_APPROXIMATION: ("t1", True),
}
_NEAR = 3 * GRID
SIDE = 9
"""Pixels of a point."""
SMALL_SIDE, LARGE_SIDE = 6, 11
"""Of a forecast that is outdated, and of what was measured."""
_FAINT = 0.6


def paint_point(
    painter: QPainter,
    place: QPointF,
    kind: Kind,
    side: float = SIDE,
    *,
    is_measured: bool = False,
) -> None:
    """A point in the colours of the present theme; a measured one has an outline."""
    tokens = theme().tokens
    colour = kind.colour(tokens)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.translate(place)
    # A pen that would be scaled along is none; the cosmetic one stays fine.
    is_hollow = kind.is_hollow and not is_measured
    outline = QColor(tokens.text) if is_measured else QColor(tokens.surface)
    painter.setPen(hairline(colour if is_hollow else outline))
    painter.setBrush(QColor(tokens.surface) if is_hollow else colour)
    painter.scale(side, side)
    painter.drawPath(Symbols[kind.symbol])
    painter.restore()


def paint_measured(painter: QPainter, place: QPointF, foretold: QPointF, kind: Kind) -> None:
    """A measured point, and a line to where its forecast was."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(hairline(theme().tokens.text_secondary))
    painter.drawLine(place, foretold)
    painter.setOpacity(_FAINT)
    paint_point(painter, foretold, kind, SMALL_SIDE)
    painter.setOpacity(1.0)
    paint_point(painter, place, kind, LARGE_SIDE, is_measured=True)


def point_icon(kind: Kind, side: int) -> QIcon:
    """A point in the middle of a small picture, for a table; the same in a selected row."""
    icon, picture = QIcon(), _picture(kind, side)
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(picture, mode)
    return icon


def _picture(kind: Kind, side: int) -> QPixmap:
    application = QGuiApplication.instance()
    assert isinstance(application, QGuiApplication)
    ratio = application.devicePixelRatio()
    picture = QPixmap(round(side * ratio), round(side * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    paint_point(painter, QPointF(side / 2, side / 2), kind)
    painter.end()
    return picture


def paint_names(
    painter: QPainter,
    area: QRectF,
    places: Sequence[QPointF],
    names: Sequence[str],
    line: float | None,
) -> None:
    """Writes names beside their points, where they cover least.

    Args:
        painter: whose origin is the area's.
        area: of the plot.
        places: of all points.
        names: of all points, empty for most.
        line: the height of a line that should not be crossed, if there is one.
    """
    metrics = QFontMetricsF(theme().font(Size.SMALL, bold=True, tabular=True))
    taken: list[QRectF] = []

    def hides(box: QRectF, own: QPointF) -> float:
        """What a name at this place would cover; less is better."""
        if not area.contains(box):
            return inf
        crosses = line is not None and box.top() < line < box.bottom()
        others = sum(box.intersects(other) for other in taken)
        # Beside another point it would be read as that one's name.
        near = box.adjusted(-_NEAR, -GRID, _NEAR, GRID)
        return (
            8 * others + 2 * crosses + sum(near.contains(place) for place in places if place != own)
        )

    for name, place in zip(names, places, strict=True):
        if name and area.contains(place):
            size = QSizeF(metrics.horizontalAdvance(name) + 2 * GRID, metrics.height() + 2)
            box = min(
                (QRectF(corner, size) for corner in _corners(place, size)),
                key=partial(hides, own=place),
            )
            foot = QPointF(box.center().x(), box.bottom())
            taken.append(chip(painter, area, foot, name, bold=True))


def _corners(place: QPointF, size: QSizeF) -> Iterator[QPointF]:
    """Upper left corners of boxes around a place: above, below, at the right, at the left, and
    the four between."""
    middle_x, middle_y = place.x() - size.width() / 2, place.y() - size.height() / 2
    left, right = place.x() - SIDE - size.width(), place.x() + SIDE
    above, below = place.y() - SIDE - size.height(), place.y() + SIDE
    yield from (QPointF(middle_x, above), QPointF(middle_x, below))
    yield from (QPointF(right, middle_y), QPointF(left, middle_y))
    yield from (QPointF(x, y) for x in (right, left) for y in (above, below))


class PointLegend(Legend):
    """What each shape means, and the line of the front."""

    swatch_width = 3 * GRID

    def __init__(self) -> None:
        super().__init__()
        self._kinds: tuple[Kind, ...] = ()
        self._has_front = False

    def show_kinds(self, kinds: Sequence[Kind], *, measured: bool, front: bool) -> None:
        """Explains these, and where there are some, measured points and the front."""
        self._kinds, self._has_front = tuple(kinds), front
        tokens = theme().tokens
        entries = [(kind.colour(tokens), kind.title) for kind in kinds]
        if measured:
            entries.append((QColor(tokens.text), self.tr("measured, with a line to its forecast")))
        if front:
            entries.append((QColor(tokens.accent), self.tr("Pareto front of the exact ones")))
        self.set_entries(entries)

    @override
    def paint_swatch(self, painter: QPainter, box: QRect, number: int, colour: QColor) -> None:
        whole = QRectF(box)
        middle = whole.center()
        left, right = QPointF(whole.left(), middle.y()), QPointF(whole.right(), middle.y())
        if number < len(self._kinds):
            paint_point(painter, middle, self._kinds[number])
        elif self._has_front and number == len(self.entries) - 1:
            painter.setPen(hairline(colour))
            painter.drawLine(left, right)
        else:
            painter.setPen(hairline(theme().tokens.text_secondary))
            painter.drawLine(left, right)
            paint_point(painter, left + QPointF(GRID, 0), Kind.FITS, is_measured=True)


def _tr(text: str) -> str:
    return QCoreApplication.translate("TradeOff", text)
