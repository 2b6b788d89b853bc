"""How points of a trade-off are told apart: by colour and by shape, the same in plot and table."""

from enum import Enum

from pyqtgraph.graphicsItems.ScatterPlotItem import Symbols
from PySide6.QtCore import QCoreApplication, QPointF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPixmap

from hogui.plots.painting import hairline
from hogui.theme import Tokens, theme


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
SIDE = 9
"""Pixels of a point."""


def paint_point(painter: QPainter, place: QPointF, kind: Kind, side: float = SIDE) -> None:
    """A point in the colours of the present theme."""
    tokens = theme().tokens
    colour = kind.colour(tokens)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.translate(place)
    # A pen that would be scaled along is none; the cosmetic one stays fine.
    painter.setPen(hairline(colour if kind.is_hollow else tokens.surface))
    painter.setBrush(QColor(tokens.surface) if kind.is_hollow else colour)
    painter.scale(side, side)
    painter.drawPath(Symbols[kind.symbol])
    painter.restore()


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


def _tr(text: str) -> str:
    return QCoreApplication.translate("TradeOff", text)
