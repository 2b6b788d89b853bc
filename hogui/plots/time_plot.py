"""Time per repetition: a dot each, the median with its interval, and what does not count greyed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QVBoxLayout, QWidget

from hogui.plots.canvas import Mapping
from hogui.plots.columns import GrowingArray
from hogui.plots.painting import ReadOutRow, Rectangles, crisp, hairline, horizontal
from hogui.plots.table_dialog import Rows
from hogui.plots.ticks import Ticks, count_ticks, duration_ticks
from hogui.plots.view import PlotView
from hogui.plots.x_axis import Span
from hogui.theme import GRID, theme
from hogui.units import format_interval, format_seconds

_DOT = 5
_MANY = 500
"""Dots of one kind; more are drawn as small squares, which are far cheaper."""
_LEAST_SPAN = 0.2
_FAR, _NEAR = 4.0, 1.5
"""Times the median: repetitions beyond the one, warm-ups beyond the other, are marked at the
edge."""


@dataclass(frozen=True)
class _Summary:
    median_s: float
    low_s: float
    high_s: float
    verdict: str


class TimePlot(PlotView):
    """One dot a repetition. Slow first calls do not press the others together: they are marked at
    the edge."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._index = GrowingArray(np.int64)
        self._seconds = GrowingArray(np.float64)
        self._warm_up = GrowingArray(np.int64)
        self._summary: _Summary | None = None
        self._squares = Rectangles()
        super().__init__(self.tr("Time"), parent, x_ticks=self._x_ticks, y_ticks=duration_ticks)
        self.setObjectName("timePlot")
        self.setMinimumHeight(120)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(self.header())
        layout.addWidget(self.canvas, 1)

    # Data.

    def clear(self) -> None:
        """Forgets all repetitions."""
        self._index = GrowingArray(np.int64)
        self._seconds = GrowingArray(np.float64)
        self._warm_up = GrowingArray(np.int64)
        self._summary = None
        self.x_axis.clear()
        self.request_redraw()

    def append(self, index: int, seconds: float, warm_up: bool) -> None:
        """Adds one repetition; dots lie in the order in which they arrive."""
        self._index.extend([index])
        self._seconds.extend([seconds])
        self._warm_up.extend([warm_up])
        self.request_redraw()

    def set_summary(self, median_s: float, low_s: float, high_s: float, verdict: str) -> None:
        """Marks the median and its interval; `verdict` is a word such as stable or noisy."""
        self._summary = _Summary(median_s, low_s, high_s, verdict)
        self.request_redraw()

    def rows(self) -> tuple[list[str], Rows]:
        headers = ["repetition", "seconds", "warm_up"]
        columns = (self._index, self._seconds, self._warm_up)
        return headers, list(zip(*(column.values.tolist() for column in columns), strict=True))

    # View.

    def empty_sentence(self) -> str | None:
        if len(self._seconds):
            return None
        return self.tr("One dot for each timed repetition appears here.")

    def announce_extent(self) -> None:
        if len(self._seconds):
            self.x_axis.extend(Span.WHOLE_RUN, 0.5, len(self._seconds) + 0.5)

    def needed_y(self, low: float, high: float) -> tuple[float, float]:
        counted = self._counted()
        if not len(counted):
            return 0, 1
        # numpy's own median loads another part of numpy at its first call.
        middle = float(np.partition(counted, len(counted) // 2)[len(counted) // 2])
        warm_up = self._seconds.values[1:][self._warm_up.values[1:] > 0]
        near = np.concatenate(
            [counted[counted <= _FAR * middle], warm_up[warm_up <= _NEAR * middle]]
        )
        least, most = float(near.min()), float(near.max())
        if self._summary is not None:
            least, most = min(least, self._summary.low_s), max(most, self._summary.high_s)
        # Noise of a percent shall not look like chaos.
        missing = max(0.0, _LEAST_SPAN * middle - (most - least)) / 2
        margin = 0.12 * (most - least + 2 * missing)
        return max(0.0, least - missing - margin), most + missing + 2 * margin

    def refresh(self) -> None:
        note, details = self._note(), self._details()
        self.note.setText(note)
        self.note.set_details(details)
        self.setAccessibleDescription(details or self.empty_sentence() or "")

    def read_out_at(self, x: float) -> tuple[str, list[ReadOutRow]] | None:
        position = round(x) - 1
        if not 0 <= position < len(self._seconds):
            return None
        kind = self.tr("Repetition")
        if position == 0:
            kind = self.tr("First call")
        elif self._warm_up.values[position]:
            kind = self.tr("Warm-up")
        title = f"{kind} {int(self._index.values[position])}"
        seconds = format_seconds(float(self._seconds.values[position]))
        return title, [ReadOutRow(self.tr("Time"), seconds)]

    # Painting.

    def paint_data(self, painter: QPainter, mapping: Mapping) -> None:
        tokens = theme().tokens
        if self._summary is not None:
            self._paint_summary(painter, mapping, self._summary)
        seconds, warm_up = self._seconds.values, self._warm_up.values.astype(bool)
        x, y = mapping.x(np.arange(1, len(seconds) + 1)), mapping.y(seconds)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        inside = (y >= 0) & (x > -_DOT) & (x < mapping.width + _DOT)
        grey, counted = QColor(tokens.border_strong), QColor(tokens.accent)
        self._dots(painter, x, y, inside & warm_up, grey)
        self._dots(painter, x, y, inside & ~warm_up, counted)
        for position in np.flatnonzero((y < 0) & (x >= 0) & (x <= mapping.width)):
            self._paint_beyond(painter, float(x[position]), grey if warm_up[position] else counted)
        if inside[0]:  # The first call is told apart by a ring; beyond the edge the tip names it.
            painter.setPen(hairline(tokens.text))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(x[0], y[0]), _DOT, _DOT)

    def _dots(
        self,
        painter: QPainter,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        chosen: NDArray[np.bool_],
        colour: QColor,
    ) -> None:
        x, y = x[chosen], y[chosen]
        if len(x) > _MANY:
            half = _DOT / 2 - 1
            self._squares.fill(painter, colour, x - half, y - half, x + half, y + half)
            return
        painter.setPen(QPen(colour, _DOT, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawPoints([QPointF(*place) for place in zip(x, y, strict=True)])

    def _paint_beyond(self, painter: QPainter, x: float, colour: QColor) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        triangle = [QPointF(x, 2), QPointF(x - 4, 9), QPointF(x + 4, 9)]
        painter.drawPolygon(QPolygonF(triangle))

    def _paint_summary(self, painter: QPainter, mapping: Mapping, summary: _Summary) -> None:
        colour = QColor(theme().tokens.accent)
        high, median, low = (
            float(mapping.y(value)) for value in (summary.high_s, summary.median_s, summary.low_s)
        )
        painter.setPen(hairline(colour))
        horizontal(painter, crisp(median, mapping.ratio), mapping.width)
        colour.setAlphaF(0.18)
        painter.fillRect(QRectF(0, high, mapping.width, max(low - high, 1)), colour)

    # Helpers.

    def _x_ticks(self, low: float, high: float, at_most: int) -> Ticks:
        return count_ticks(low, high, at_most, self.tr("repetition"))

    def _counted(self) -> NDArray[np.float64]:
        """The repetitions that count; before there are any, the warm-up without the first call."""
        seconds, warm_up = self._seconds.values, self._warm_up.values.astype(bool)
        counted = seconds[~warm_up]
        return counted if len(counted) else seconds[1:] if len(seconds) > 1 else seconds

    def _note(self) -> str:
        """What has to fit beside the title."""
        if self._summary is None or not len(self._seconds):
            return self._first_call()
        return self.tr("median {interval} · {verdict}").format(
            interval=format_interval(
                self._summary.median_s, self._summary.low_s, self._summary.high_s
            ),
            verdict=self._summary.verdict,
        )

    def _details(self) -> str:
        """The same in full, with the first call."""
        summary = self._summary
        if summary is None or not len(self._seconds):
            return self._first_call()
        figures = self.tr("median {median} · 95 % interval {low} to {high} · {verdict}").format(
            median=format_seconds(summary.median_s),
            low=format_seconds(summary.low_s),
            high=format_seconds(summary.high_s),
            verdict=summary.verdict,
        )
        return f"{figures} · {self._first_call()}"

    def _first_call(self) -> str:
        if not len(self._seconds):
            return ""
        seconds = format_seconds(float(self._seconds.values[0]))
        return self.tr("first call {seconds}").format(seconds=seconds)
