"""Peak memory against time: a point for each configuration, what fits, and the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QVBoxLayout, QWidget
from typing_extensions import override

from hogui.plots.canvas import Mapping
from hogui.plots.columns import Floats
from hogui.plots.painting import ReadOutRow, chip, crisp, hairline, horizontal, polyline
from hogui.plots.point_marks import (
    Kind,
    PointLegend,
    paint_measured,
    paint_names,
    paint_point,
)
from hogui.plots.table_dialog import Rows
from hogui.plots.ticks import (
    Ticks,
    bytes_ticks,
    duration_ticks,
    log_bytes_ticks,
    log_duration_ticks,
)
from hogui.plots.view import PlotView
from hogui.plots.x_axis import Span
from hogui.theme import GRID, theme
from hogui.units import format_memory

_LOGARITHMIC = 8.0
"""An axis whose values span more than this factor is logarithmic."""
_MARGIN = 0.08
_LEAST_MARGIN = 0.04
_REACH = 20
"""Pixels from a point that still mean it."""
_FAR = 1.6
"""A budget that is this many times the range of the points away is not drawn but named."""
_DASHES = (8.0, 4.0)
_LEAST_HEIGHT, _LEAST_OF_ALL = 40 * GRID, 56 * GRID
"""Of the canvas, and with two lines of legend above it."""
_RING = 6.5


@dataclass(frozen=True)
class Dot:
    """One configuration.

    Attributes:
        label: what it does.
        seconds: of a repetition, above 0; the best that is known.
        total_bytes: baseline and peak, above 0; the best that is known.
        on_front: whether nothing with the same result needs both less memory and less time.
        name: what stands beside it in the picture, empty for most.
        details: makes the lines of its read-out.
        foretold: seconds and bytes of its forecast, where one of them was measured since.
    """

    label: str
    seconds: float
    total_bytes: int
    kind: Kind
    on_front: bool = False
    name: str = ""
    details: Callable[[], Sequence[tuple[str, str]]] = tuple
    foretold: tuple[float, int] | None = None


class TradeOffPlot(PlotView):
    """Points that can be pointed at, chosen and opened; which are chosen is said from outside too.

    Signals:
        chosen: the number of the point that was clicked, and whether it adds to the others.
        opened: the number of the point that was clicked twice.
    """

    chosen = Signal(int, bool)
    opened = Signal(int)

    def __init__(self, empty: str, parent: QWidget | None = None) -> None:
        """Starts without a point.

        Args:
            empty: what will appear here.
        """
        self._empty = empty
        self._dots: tuple[Dot, ...] = ()
        self._seconds: Floats = np.empty(0)
        self._bytes: Floats = np.empty(0)
        self._all_seconds: Floats = np.empty(0)
        self._all_bytes: Floats = np.empty(0)
        """With the forecasts of what was measured."""
        self._budget: int | None = None
        self._selected: frozenset[int] = frozenset()
        self._pointed: int | None = None
        self._is_log_x = self._is_log_y = False
        super().__init__(
            self.tr("Peak against time"), parent, x_ticks=self._x_ticks, y_ticks=self._y_ticks
        )
        self.setObjectName("advicePlot")
        self.canvas.setMinimumHeight(_LEAST_HEIGHT)
        self.setMinimumHeight(_LEAST_OF_ALL)
        self._legend = PointLegend()
        self.canvas.pointed.connect(self._point_at)
        self.canvas.box.clicked.connect(self._clicked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(self.header())
        layout.addWidget(self._legend)
        layout.addWidget(self.canvas, 1)

    # Data.

    def set_dots(self, dots: Sequence[Dot]) -> None:
        """Shows other points."""
        self._dots, self._pointed = tuple(dots), None
        self._seconds = np.array([dot.seconds for dot in dots], dtype=np.float64)
        self._bytes = np.array([dot.total_bytes for dot in dots], dtype=np.float64)
        ends = [dot.foretold for dot in dots if dot.foretold is not None]
        self._all_seconds = np.append(self._seconds, [seconds for seconds, _ in ends])
        self._all_bytes = np.append(self._bytes, [float(total) for _, total in ends])
        self.x_axis.set_cursor(None)
        self.request_redraw()

    def set_budget(self, budget_bytes: int | None) -> None:
        """What baseline and peak have to fit into."""
        self._budget = budget_bytes
        self.request_redraw()

    def select(self, numbers: frozenset[int]) -> None:
        """Marks some points."""
        if numbers != self._selected:
            self._selected = numbers
            self.request_redraw()

    @property
    def dots(self) -> tuple[Dot, ...]:
        return self._dots

    @property
    def selected(self) -> frozenset[int]:
        """The marked ones."""
        return self._selected

    @property
    def pointed(self) -> int | None:
        """The point that is read out."""
        return self._pointed

    @property
    def is_logarithmic(self) -> tuple[bool, bool]:
        """Whether the axes of time and of memory are."""
        return self._is_log_x, self._is_log_y

    @property
    def front(self) -> tuple[int, ...]:
        """The points of the Pareto front, the fastest first."""
        members = (number for number, dot in enumerate(self._dots) if dot.on_front)
        return tuple(sorted(members, key=lambda number: self._dots[number].seconds))

    def place_of(self, number: int) -> QPointF:
        """Where a point is, in the pixels of the plot's area."""
        dot = self._dots[number]
        return self._place(self.canvas.mapping(), dot.seconds, dot.total_bytes)

    def nearest(self, place: QPointF) -> int | None:
        """The point that lies nearest to a place of the plot's area, within reach."""
        if not self._dots:
            return None
        mapping = self.canvas.mapping()
        away = np.hypot(
            mapping.x(self._xs()) - place.x(),
            mapping.y(self._ys()) - place.y(),
        )
        number = int(away.argmin())
        return number if away[number] <= _REACH else None

    @override
    def rows(self) -> tuple[list[str], Rows]:
        headers = ["configuration", "standing", "total_bytes", "seconds", "on_front", "measured"]
        return headers, [
            (
                *(dot.label, dot.kind.title, dot.total_bytes, dot.seconds, dot.on_front),
                dot.foretold is not None,
            )
            for dot in self._dots
        ]

    # View.

    @override
    def empty_sentence(self) -> str | None:
        return None if self._dots else self._empty

    @override
    def announce_extent(self) -> None:
        # Scales change here, together with the ranges that belong to them.
        scales = _spans_much(self._all_seconds), _spans_much(self._all_bytes)
        if scales != (self._is_log_x, self._is_log_y):
            self._is_log_x, self._is_log_y = scales
            # A view that was chosen on the other scale shows nothing sensible on this one.
            self.x_axis.clear()
            self.canvas.redraw_axes()
        if self._dots:
            low, high = _with_margin(self._scaled_x(self._all_seconds))
            self.x_axis.forget(Span.WHOLE_RUN)
            self.x_axis.extend(Span.WHOLE_RUN, low, high)

    @override
    def needed_y(self, low: float, high: float) -> tuple[float, float]:
        places = self._scaled_x(self._all_seconds)
        values = self._scaled_y(self._all_bytes)[(places >= low) & (places <= high)]
        if not len(values):
            return 0, 1
        least, most = float(values.min()), float(values.max())
        if self._budget is not None:
            budget = self._y(self._budget)
            span = max(most - least, _LEAST_MARGIN * abs(most))
            if -_FAR * span <= budget - most and budget - least <= (1 + _FAR) * span:
                values = np.append(values, budget)
        return _with_margin(values)

    @override
    def refresh(self) -> None:
        kinds = [kind for kind in Kind if any(dot.kind is kind for dot in self._dots)]
        measured = any(dot.foretold is not None for dot in self._dots)
        self._legend.show_kinds(kinds, measured=measured, front=bool(self.front))
        self.note.setText(self.tr("baseline and peak of one repetition") if self._dots else "")
        self.setAccessibleDescription(
            self.tr("{count} configurations, {front} of them on the Pareto front").format(
                count=len(self._dots), front=len(self.front)
            )
        )

    @override
    def read_out_at(self, x: float) -> tuple[str, list[ReadOutRow]] | None:
        if self._pointed is None:
            return None
        dot = self._dots[self._pointed]
        return dot.label, [ReadOutRow(name, value) for name, value in dot.details()]

    # Painting.

    @override
    def paint_data(self, painter: QPainter, mapping: Mapping) -> None:
        self._paint_budget(painter, mapping)
        self._paint_front(painter, mapping)
        x, y = mapping.x(self._xs()), mapping.y(self._ys())
        # What matters most is painted last, so that nothing hides it.
        order = sorted(range(len(self._dots)), key=self._weight)
        for number in order:
            place = QPointF(float(x[number]), float(y[number]))
            if number in self._selected or number == self._pointed:
                self._paint_ring(painter, place, is_selected=number in self._selected)
            self._paint_dot(painter, mapping, place, self._dots[number])
        self._paint_names(painter, mapping)

    def _paint_dot(self, painter: QPainter, mapping: Mapping, place: QPointF, dot: Dot) -> None:
        if dot.foretold is None:
            paint_point(painter, place, dot.kind)
        else:
            paint_measured(painter, place, self._place(mapping, *dot.foretold), dot.kind)

    def _place(self, mapping: Mapping, seconds: float, total_bytes: float) -> QPointF:
        return QPointF(float(mapping.x(self._x(seconds))), float(mapping.y(self._y(total_bytes))))

    def _weight(self, number: int) -> tuple[bool, ...]:
        dot = self._dots[number]
        return (
            number == self._pointed,
            number in self._selected,
            bool(dot.name),
            dot.foretold is not None,
            dot.on_front,
            dot.kind is not Kind.TOO_LARGE,
        )

    def _paint_ring(self, painter: QPainter, place: QPointF, *, is_selected: bool) -> None:
        tokens = theme().tokens
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(hairline(tokens.accent if is_selected else tokens.text_secondary))
        painter.setBrush(QColor(tokens.selection) if is_selected else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(place, _RING, _RING)

    def _paint_budget(self, painter: QPainter, mapping: Mapping) -> None:
        """A dashed line, and what lies above it in another shade; an arrow where it is far away."""
        if self._budget is None:
            return
        tokens, y = theme().tokens, float(mapping.y(self._y(self._budget)))
        text = self.tr("budget {bytes}").format(bytes=format_memory(self._budget))
        if y > 0:
            shade = QColor(tokens.raised)
            shade.setAlphaF(0.55)
            painter.fillRect(QRectF(0, 0, mapping.width, min(y, mapping.height)), shade)
        if y < 0:
            text, y = f"{text} ↑", 0.0
        elif y > mapping.height:
            text, y = f"{text} ↓", mapping.height
        else:
            pen = hairline(tokens.text)
            pen.setDashPattern(_DASHES)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.setPen(pen)
            horizontal(painter, crisp(y, mapping.ratio), mapping.width)
        chip(painter, mapping.area, QPointF(mapping.width, y - 2), text)

    def _paint_front(self, painter: QPainter, mapping: Mapping) -> None:
        """Stairs, since between two points there is nothing that could be run."""
        front = self.front
        if not front:
            return
        x = mapping.x(self._xs()[list(front)])
        y = mapping.y(self._ys()[list(front)])
        # Down to each point at its own time, then on at its height to the next one's.
        corners_x = np.concatenate([np.repeat(x, 2), [mapping.width]])
        corners_y = np.concatenate([[0.0], np.repeat(y, 2)])
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(hairline(theme().tokens.accent))
        polyline(painter, corners_x, corners_y)

    def _paint_names(self, painter: QPainter, mapping: Mapping) -> None:
        """Beside each point with a name, where no other name is."""
        budget = float(mapping.y(self._y(self._budget))) if self._budget is not None else None
        x, y = mapping.x(self._xs()).tolist(), mapping.y(self._ys()).tolist()
        places = [QPointF(*place) for place in zip(x, y, strict=True)]
        names = [dot.name for dot in self._dots]
        paint_names(painter, mapping.area, places, names, budget)

    # Pointing.

    @override
    def _hover(self, x: float | None) -> None:
        """The cross-hair goes from point to point, see `_point_at`."""

    def _point_at(self, place: QPointF | None) -> None:
        number = None if place is None else self.nearest(place)
        if number != self._pointed:
            self._pointed = number
            at = None if number is None else float(self._xs()[number])
            self.x_axis.set_cursor(at)
            self.cursorMoved.emit(at)
            self.request_redraw()

    def _clicked(self, place: QPointF, twice: bool, adds: bool) -> None:
        number = self.nearest(place)
        if number is None:
            return
        if twice:
            self.opened.emit(number)
        else:
            self.chosen.emit(number, adds)

    # Scales.

    def _x(self, seconds: float) -> float:
        return log10(seconds) if self._is_log_x else seconds

    def _y(self, total_bytes: float) -> float:
        return log10(total_bytes) if self._is_log_y else total_bytes

    def _xs(self) -> Floats:
        return self._scaled_x(self._seconds)

    def _ys(self) -> Floats:
        return self._scaled_y(self._bytes)

    def _scaled_x(self, seconds: Floats) -> Floats:
        return np.log10(seconds) if self._is_log_x else seconds

    def _scaled_y(self, total_bytes: Floats) -> Floats:
        return np.log10(total_bytes) if self._is_log_y else total_bytes

    def _x_ticks(self, low: float, high: float, at_most: int) -> Ticks:
        return (log_duration_ticks if self._is_log_x else duration_ticks)(low, high, at_most)

    def _y_ticks(self, low: float, high: float, at_most: int) -> Ticks:
        return (log_bytes_ticks if self._is_log_y else bytes_ticks)(low, high, at_most)


def _with_margin(values: Floats) -> tuple[float, float]:
    least, most = float(values.min()), float(values.max())
    margin = _MARGIN * (most - least) or max(_LEAST_MARGIN * abs(most), 1e-9)
    return least - margin, most + 1.5 * margin


def _spans_much(values: Floats) -> bool:
    return (
        len(values) > 1
        and bool(values.min() > 0)
        and bool(values.max() > _LOGARITHMIC * values.min())
    )
