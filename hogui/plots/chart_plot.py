"""A chart of a workload: curves with their intervals, on a plain or a logarithmic axis."""

from collections.abc import Iterable, Iterator

import numpy as np
from pyqtgraph import functions
from pyqtgraph.graphicsItems.ScatterPlotItem import Symbols
from PySide6.QtCore import QCoreApplication, QLineF, QPointF, QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPolygonF
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.results.charts import ChartForm, Curve, Point
from hogui.plots.canvas import Mapping
from hogui.plots.chart_data import ChartCurve, runs_of, thinned
from hogui.plots.columns import Floats
from hogui.plots.legend import Legend
from hogui.plots.painting import ReadOutRow, hairline, polyline
from hogui.plots.table_dialog import Rows
from hogui.plots.ticks import Ticks, count_ticks, log_ticks, named_ticks, plain_ticks
from hogui.plots.view import PlotView
from hogui.plots.x_axis import Span
from hogui.theme import GRID, RunMark, theme

_MARKER = 5
_ROOM = 8
"""Pixels a point; where it has less, a curve is a line without markers."""
_LEAST_HEIGHT = 24 * GRID
_BAND_OPACITY = 0.16
_MARGIN = 0.1
_LEAST_DECADES = 0.1
_EXTREME = 1e30
"""Pixels beyond this are no place that could be painted."""
_LEAST_POSITIVE = 1e-300


def mark_of(number: int) -> RunMark:
    """How a curve is told apart: when colours begin again, each has another dash and marker."""
    marks = theme().tokens.runs
    shape = marks[(number + number // len(marks)) % len(marks)]
    return RunMark(marks[number % len(marks)].colour, shape.dash, shape.marker)


class ChartPlot(PlotView):
    """The curves of one chart. Hidden while there are none, since most workloads draw few."""

    def __init__(self, name: str, form: ChartForm, parent: QWidget | None = None) -> None:
        """Starts without a point.

        Args:
            name: what the program calls the chart; the object name is made from it.
            form: how it is labelled.
        """
        self.form = form
        self._curves: dict[str, ChartCurve] = {}
        super().__init__(_tr(form.title), parent, x_ticks=self._x_ticks, y_ticks=self._y_ticks)
        self.setObjectName(f"{name}Plot")
        self.canvas.setMinimumHeight(_LEAST_HEIGHT)
        self._legend = CurveLegend()
        self._legend.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(self.header())
        layout.addWidget(self._legend)
        layout.addWidget(self.canvas, 1)
        self.hide()

    # Data.

    def clear(self) -> None:
        """Forgets all curves and hides the plot."""
        self._curves.clear()
        self.x_axis.clear()
        self.hide()

    def append(self, point: Point) -> None:
        """Adds one point to its curve, and shows the plot."""
        self._curve(point.curve).append(point)
        self._changed()

    def extend(self, curve: Curve) -> None:
        """Adds a stored curve, and shows the plot."""
        if curve.x:
            self._curve(curve.name).extend(curve)
            self._changed()

    def rows(self) -> tuple[list[str], Rows]:
        rows = [
            (curve.name, *(None if np.isnan(value) else value for value in values))
            for curve in self._curves.values()
            for values in zip(
                *(column.tolist() for column in (curve.x, curve.y, curve.low, curve.high)),
                strict=True,
            )
        ]
        return ["curve", "x", "y", "low", "high"], rows

    # View.

    @property
    def is_logarithmic(self) -> bool:
        """Whether the vertical axis is: as its form says, if anything is above zero."""
        return self.form.log_y and any((curve.y > 0).any() for curve in self._curves.values())

    def empty_sentence(self) -> str | None:
        return None if self._curves else _tr(self.form.empty)

    def announce_extent(self) -> None:
        ends = [end for curve in self._curves.values() for end in (curve.x[0], curve.x[-1])]
        if ends:
            low, high = float(min(ends)), float(max(ends))
            # A first point alone lies in the middle.
            half = 0.0 if high > low else 0.5
            self.x_axis.forget(Span.WHOLE_RUN)
            self.x_axis.extend(Span.WHOLE_RUN, low - half, high + half)

    def needed_y(self, low: float, high: float) -> tuple[float, float]:
        parts = [curve.shown_values(low, high) for curve in self._curves.values()]
        values = np.concatenate(parts) if parts else np.empty(0)
        if self.is_logarithmic:
            values = np.log10(values[values > 0])
        if not len(values):
            return 0, 1
        least, most = float(values.min()), float(values.max())
        if self.is_logarithmic:
            margin = max(_MARGIN * (most - least), _LEAST_DECADES)
        else:
            margin = _MARGIN * (most - least) or _MARGIN * abs(most) or 1.0
        return least - margin, most + margin

    def refresh(self) -> None:
        entries = [(QColor(mark.colour), curve.name) for curve, mark in self._marked()]
        self._legend.set_entries(entries)
        self._legend.setVisible(len(entries) > 1)
        self.note.setText(self._note())
        ends = (f"{curve.name} {_first_to_last(curve)}" for curve in self._curves.values())
        self.setAccessibleDescription(f"{_tr(self.form.y_label)}: {', '.join(ends)}")

    def read_out_at(self, x: float) -> tuple[str, list[ReadOutRow]] | None:
        curves = [curve for curve in self._curves.values() if len(curve)]
        if not curves:
            return None
        places = [curve.x[curve.nearest(x)] for curve in curves]
        at = min(places, key=lambda place: abs(place - x))
        label = _tr(self.form.x_label)
        rows = []
        for curve, mark in self._marked():
            position = curve.nearest(at)
            if curve.x[position] == at:
                rows.append(ReadOutRow(curve.name, _value(curve, position), QColor(mark.colour)))
        return f"{label[:1].upper()}{label[1:]} {at:g}", rows

    # Painting.

    def paint_data(self, painter: QPainter, mapping: Mapping) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for curve, mark in self._marked():
            self._paint_band(painter, mapping, curve, QColor(mark.colour))
        for curve, mark in self._marked():
            self._paint_curve(painter, mapping, curve, mark)

    def _paint_band(
        self, painter: QPainter, mapping: Mapping, curve: ChartCurve, colour: QColor
    ) -> None:
        part = curve.part(*mapping.x_range)
        x = mapping.x(curve.x[part])
        top, bottom = (self._y(mapping, end[part]) for end in (curve.high, curve.low))
        colour.setAlphaF(_BAND_OPACITY)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        for run in runs_of(np.isfinite(top) & np.isfinite(bottom)):
            kept = [thinned(x[run], edge[run]) for edge in (top, bottom)]
            there, back = x[run][kept[0]], x[run][kept[1]][::-1]
            outline = np.concatenate([top[run][kept[0]], bottom[run][kept[1]][::-1]])
            painter.drawPolygon(functions.arrayToQPolygonF(np.concatenate([there, back]), outline))

    def _paint_curve(
        self, painter: QPainter, mapping: Mapping, curve: ChartCurve, mark: RunMark
    ) -> None:
        part = curve.part(*mapping.x_range)
        values = curve.y[part]
        x, y = mapping.x(curve.x[part]), self._y(mapping, values)
        inside, has_room = self._is_on_axis(values), len(x) * _ROOM <= mapping.width
        painter.setBrush(QColor(mark.colour))
        for run in runs_of(inside):
            kept = thinned(x[run], y[run])
            painter.setPen(hairline(mark.colour, mark.dash))
            polyline(painter, x[run][kept], y[run][kept])
            if has_room or len(kept) == 1:
                painter.setPen(hairline(mark.colour))
                for place in zip(x[run][kept], y[run][kept], strict=True):
                    paint_marker(painter, QPointF(*place), mark.marker)
        painter.setPen(hairline(mark.colour))
        for place in x[np.isfinite(values) & ~inside]:
            _paint_below(painter, float(place), mapping.height)

    def _is_on_axis(self, values: Floats) -> np.ndarray:
        """Which values have a place on the axis: a logarithmic one has none for zero and below."""
        return np.isfinite(values) & ((values > 0) | (not self.is_logarithmic))

    def _y(self, mapping: Mapping, values: Floats) -> Floats:
        """Pixels of values; far below the picture where a logarithmic axis has no place."""
        if self.is_logarithmic:
            values = np.log10(np.maximum(values, _LEAST_POSITIVE))
        return np.clip(mapping.y(values), -_EXTREME, _EXTREME)

    # Helpers.

    def _curve(self, name: str) -> ChartCurve:
        return self._curves.setdefault(name, ChartCurve(name))

    def _changed(self) -> None:
        self.show()
        self.request_redraw()

    def _marked(self) -> Iterator[tuple[ChartCurve, RunMark]]:
        for number, curve in enumerate(self._curves.values()):
            yield curve, mark_of(number)

    def _note(self) -> str:
        """What is measured, and of a single curve from where it came to where it went."""
        label = _tr(self.form.y_label)
        curves: Iterable[ChartCurve] = self._curves.values()
        return ", ".join([label, *map(_first_to_last, curves)]) if len(self._curves) == 1 else label

    def _x_ticks(self, low: float, high: float, at_most: int) -> Ticks:
        whole = all((curve.x % 1 == 0).all() for curve in self._curves.values())
        ticker = count_ticks if whole else named_ticks
        return ticker(low, high, at_most, _tr(self.form.x_label))

    def _y_ticks(self, low: float, high: float, at_most: int) -> Ticks:
        return (log_ticks if self.is_logarithmic else plain_ticks)(low, high, at_most)


class CurveLegend(Legend):
    """Names of curves, each behind a piece of its line with its marker."""

    swatch_width = 6 * GRID

    def paint_swatch(self, painter: QPainter, box: QRect, number: int, colour: QColor) -> None:
        mark = mark_of(number)
        middle = QPointF(box.center())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(hairline(colour, mark.dash))
        painter.drawLine(QLineF(box.left(), middle.y(), box.right(), middle.y()))
        painter.setPen(hairline(colour))
        painter.setBrush(colour)
        paint_marker(painter, middle, mark.marker)


def paint_marker(painter: QPainter, place: QPointF, symbol: str) -> None:
    """One of pyqtgraph's symbols in the painter's colours."""
    painter.save()
    painter.translate(place)
    painter.scale(_MARKER, _MARKER)
    painter.drawPath(Symbols[symbol])
    painter.restore()


def _paint_below(painter: QPainter, x: float, height: float) -> None:
    """A value that lies below whatever the axis shows."""
    points = ((0, -2), (-4, -9), (4, -9))
    painter.drawPolygon(QPolygonF([QPointF(x + dx, height + dy) for dx, dy in points]))


def _first_to_last(curve: ChartCurve) -> str:
    return _tr("{first} to {last}").format(first=_text(curve.y[0]), last=_text(curve.y[-1]))


def _value(curve: ChartCurve, position: int) -> str:
    low, high = float(curve.low[position]), float(curve.high[position])
    if np.isnan(low + high):
        return _text(curve.y[position], 6)
    return f"{_text(curve.y[position])} [{_text(low)}, {_text(high)}]"


def _text(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if np.isfinite(value) else _tr("not finite")


def _tr(text: str) -> str:
    return QCoreApplication.translate("Charts", text)
