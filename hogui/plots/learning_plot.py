"""The learning curve: the loss after each outer step."""

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QVBoxLayout, QWidget

from hogui.plots.canvas import Mapping
from hogui.plots.columns import GrowingArray
from hogui.plots.painting import ReadOutRow, hairline, polyline
from hogui.plots.table_dialog import Rows
from hogui.plots.ticks import Ticks, count_ticks, plain_ticks
from hogui.plots.view import PlotView
from hogui.plots.x_axis import Span
from hogui.theme import GRID, theme

_DOTTED_UP_TO = 60


class LearningPlot(PlotView):
    """Loss against outer step. Hidden while there is none, since most workloads have no outer
    steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._steps = GrowingArray(np.int64)
        self._losses = GrowingArray(np.float64)
        super().__init__(
            self.tr("Learning curve"), parent, x_ticks=self._x_ticks, y_ticks=plain_ticks
        )
        self.setObjectName("learningPlot")
        self.setMinimumHeight(110)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(self.header())
        layout.addWidget(self.canvas, 1)
        self.hide()

    def clear(self) -> None:
        """Forgets the curve and hides the plot."""
        self._steps, self._losses = GrowingArray(np.int64), GrowingArray(np.float64)
        self.x_axis.clear()
        self.hide()

    def append(self, index: int, loss: float) -> None:
        """Adds the loss after one outer step, and shows the plot."""
        self._steps.extend([index])
        self._losses.extend([loss])
        self.show()
        self.request_redraw()

    def rows(self) -> tuple[list[str], Rows]:
        columns = (self._steps.values.tolist(), self._losses.values.tolist())
        return ["outer_step", "loss"], list(zip(*columns, strict=True))

    def empty_sentence(self) -> str | None:
        if len(self._losses):
            return None
        return self.tr("The loss after each outer step appears here.")

    def announce_extent(self) -> None:
        steps = self._steps.values
        if len(steps):
            self.x_axis.extend(Span.WHOLE_RUN, float(steps[0]), float(steps[-1]))

    def needed_y(self, low: float, high: float) -> tuple[float, float]:
        steps, losses = self._steps.values, self._losses.values
        shown = losses[(steps >= low) & (steps <= high) & np.isfinite(losses)]
        if not len(shown):
            return 0, 1
        least, most = float(shown.min()), float(shown.max())
        margin = 0.1 * (most - least) or 0.1 * abs(most) or 1.0
        return least - margin, most + margin

    def refresh(self) -> None:
        if len(self._losses):
            note = self.tr("outer loss {first:.4g} to {last:.4g}").format(
                first=self._losses.values[0], last=self._losses.values[-1]
            )
            self.note.setText(note)
            self.setAccessibleDescription(note)

    def read_out_at(self, x: float) -> tuple[str, list[ReadOutRow]] | None:
        position = int(np.abs(self._steps.values - x).argmin())
        title = self.tr("Outer step {step}").format(step=int(self._steps.values[position]))
        return title, [ReadOutRow(self.tr("Loss"), f"{self._losses.values[position]:.6g}")]

    def paint_data(self, painter: QPainter, mapping: Mapping) -> None:
        finite = np.isfinite(self._losses.values)
        x = mapping.x(self._steps.values[finite])
        y = mapping.y(self._losses.values[finite])
        accent = QColor(theme().tokens.accent)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(hairline(accent))
        polyline(painter, x, y)
        if len(x) <= _DOTTED_UP_TO:
            painter.setBrush(accent)
            for place in zip(x, y, strict=True):
                painter.drawEllipse(QPointF(*place), 2, 2)

    def _x_ticks(self, low: float, high: float, at_most: int) -> Ticks:
        return count_ticks(low, high, at_most, self.tr("outer step"))
