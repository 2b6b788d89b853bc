"""The pyqtgraph part that all plots share: a view box with our gestures, two axes, one layer to
paint on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QHelpEvent, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from hogui.plots.ticks import Ticker

LEFT = 64
"""Width of every plot's left gutter, so that plots under each other share their time axis."""
_BOTTOM = 22
_PIXELS_PER_X_TICK, _PIXELS_PER_Y_TICK = 90, 36
_WHEEL_STEP = 120
_ZOOM, _FINE_ZOOM, _FAST_ZOOM = 0.8, 0.95, 0.5


@dataclass(frozen=True)
class Mapping:
    """From data to the pixels of the plot's area, whose origin is its upper left corner."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: float
    height: float
    ratio: float
    """Device pixels per pixel."""

    def x(self, values: ArrayLike) -> NDArray[np.float64]:
        low, high = self.x_range
        return (np.asarray(values) - low) * (self.width / (high - low))

    def y(self, values: ArrayLike) -> NDArray[np.float64]:
        low, high = self.y_range
        return self.height - (np.asarray(values) - low) * (self.height / (high - low))

    def snap(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest borders between device pixels: what touches in the data touches on the
        screen."""
        return np.rint(pixels * self.ratio) / self.ratio

    @property
    def columns(self) -> int:
        """How many columns of device pixels there are."""
        return max(1, round(self.width * self.ratio))

    @property
    def area(self) -> QRectF:
        return QRectF(0, 0, self.width, self.height)


class PlotBox(pg.ViewBox):
    """pyqtgraph's view box with gestures that move along x only.

    Signals:
        zoomed: factor and place.
        dragged: distance.
        range_chosen: lowest and highest value of a finished range.
        range_drawn: the same while it is drawn, or None.
        clicked: the place in the box, whether twice, and whether Ctrl or Shift was held.
    """

    zoomed = Signal(float, float)
    dragged = Signal(float)
    range_chosen = Signal(float, float)
    range_drawn = Signal(object)
    clicked = Signal(QPointF, bool, bool)

    def __init__(self) -> None:
        super().__init__(enableMenu=False, defaultPadding=0)
        self.disableAutoRange()
        self._choosing = False

    def wheelEvent(self, ev, axis=None) -> None:
        keys = ev.modifiers()
        ev.accept()
        if ev.orientation() is Qt.Orientation.Horizontal or keys & Qt.KeyboardModifier.AltModifier:
            self.dragged.emit(-ev.delta() * self._per_pixel())
            return
        base = _ZOOM
        if keys & Qt.KeyboardModifier.ControlModifier:
            base = _FINE_ZOOM
        elif keys & Qt.KeyboardModifier.ShiftModifier:
            base = _FAST_ZOOM
        self.zoomed.emit(base ** (ev.delta() / _WHEEL_STEP), self.mapSceneToView(ev.scenePos()).x())

    def mouseDragEvent(self, ev, axis=None) -> None:
        ev.accept()
        if ev.isStart():
            shifted = ev.modifiers() & Qt.KeyboardModifier.ShiftModifier
            self._choosing = ev.button() is not Qt.MouseButton.LeftButton or bool(shifted)
        if not self._choosing:
            self.dragged.emit((ev.lastPos().x() - ev.pos().x()) * self._per_pixel())
            return
        first, last = self.mapToView(ev.buttonDownPos()).x(), self.mapToView(ev.pos()).x()
        low, high = min(first, last), max(first, last)
        self.range_drawn.emit(None if ev.isFinish() else (low, high))
        if ev.isFinish() and high > low:
            self.range_chosen.emit(low, high)

    def mouseClickEvent(self, ev) -> None:
        """Only says so: the context menu is the plot's."""
        if ev.button() is Qt.MouseButton.LeftButton:
            ev.accept()
            keys = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
            self.clicked.emit(QPointF(ev.pos()), ev.double(), bool(ev.modifiers() & keys))

    def _per_pixel(self) -> float:
        low, high = self.viewRange()[0]
        return (high - low) / max(self.width(), 1)


class TickAxis(pg.AxisItem):
    """pyqtgraph's axis with our ticks."""

    def __init__(self, orientation: str, ticker: Ticker) -> None:
        super().__init__(orientation, maxTickLength=-4)
        self._ticker = ticker
        self._labels: list[str] = []
        self.enableAutoSIPrefix(False)
        self.setStyle(
            tickTextOffset=6, autoExpandTextSpace=False, autoReduceTextSpace=False, maxTickLevel=0
        )
        if orientation == "left":
            self.setWidth(LEFT)
        else:
            self.setHeight(_BOTTOM)

    def dress(self, line: str, text: str, font: QFont) -> None:
        self.setPen(QColor(line))
        self.setTextPen(QColor(text))
        self.setTickFont(font)
        self.picture = None

    def positions(self) -> list[float]:
        """Where ticks are now; the grid is drawn there too."""
        size = self.width() if self.orientation == "bottom" else self.height()
        return self.tickValues(*self.range, size)[0][1]

    def tickValues(
        self, minVal: float, maxVal: float, size: float
    ) -> list[tuple[float, list[float]]]:
        wanted = _PIXELS_PER_X_TICK if self.orientation == "bottom" else _PIXELS_PER_Y_TICK
        ticks = self._ticker(minVal, maxVal, max(4, int(size // wanted)))
        self._labels = ticks.labels
        return [(1.0, ticks.positions)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return self._labels


class _Layer(pg.GraphicsObject):
    """One item for all that a plot paints, in pixels."""

    def __init__(self, box: PlotBox, paint: Callable[[QPainter], None]) -> None:
        super().__init__(box)
        self._box, self._paint = box, paint
        box.sigResized.connect(self.prepareGeometryChange)
        box.sigRangeChanged.connect(self._range_changed)

    def boundingRect(self) -> QRectF:
        return self._box.boundingRect()

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        self._paint(painter)

    def _range_changed(self) -> None:
        self.update()


class Canvas(pg.GraphicsView):
    """The drawing area: the plot, an axis in the left gutter and one below, unless left out.

    Signals:
        hovered: the x under the pointer, or None when it leaves.
        pointed: where in the plot's area the pointer is, in pixels, or None.
        pressed: a mouse button went down.
        tip_asked: the pointer rests at this place of the plot's area; the area's origin on the
            canvas.
    """

    hovered = Signal(object)
    pointed = Signal(object)
    pressed = Signal()
    tip_asked = Signal(QPointF, QPointF)

    def __init__(
        self, paint: Callable[[QPainter], None], x_ticks: Ticker | None, y_ticks: Ticker | None
    ) -> None:
        super().__init__(useOpenGL=False, background=None)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.box = PlotBox()
        self.layer = _Layer(self.box, paint)
        self.centralLayout.setContentsMargins(0, 0, 8, 0)
        self.centralLayout.setSpacing(0)
        self.centralLayout.addItem(self.box, 0, 1)
        self.left = self._axis("left", y_ticks, 0, 0)
        self.bottom = self._axis("bottom", x_ticks, 1, 1)
        self.scene().sigMouseMoved.connect(self._hover)

    def mapping(self) -> Mapping:
        size = self.box.boundingRect()
        x_range, y_range = self.box.viewRange()
        return Mapping(
            tuple(x_range), tuple(y_range), size.width(), size.height(), self.devicePixelRatioF()
        )

    def redraw_axes(self) -> None:
        """Draws the ticks anew though the range may be the same."""
        for axis in (self.left, self.bottom):
            if axis is not None:
                axis.picture = None
                axis.update()

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Leave:
            self.hovered.emit(None)
            self.pointed.emit(None)
        elif event.type() is QEvent.Type.MouseButtonPress:
            self.pressed.emit()
        elif isinstance(event, QHelpEvent):
            origin = self.box.sceneBoundingRect().topLeft()
            self.tip_asked.emit(QPointF(event.pos()) - origin, origin)
            return True
        return super().viewportEvent(event)

    def _axis(
        self, orientation: str, ticker: Ticker | None, row: int, column: int
    ) -> TickAxis | None:
        if ticker is None:
            return None
        axis = TickAxis(orientation, ticker)
        axis.linkToView(self.box)
        self.centralLayout.addItem(axis, row, column)
        return axis

    def _hover(self, position: QPointF) -> None:
        inside = self.box.sceneBoundingRect().contains(position)
        self.hovered.emit(self.box.mapSceneToView(position).x() if inside else None)
        self.pointed.emit(self.box.mapFromScene(position) if inside else None)
