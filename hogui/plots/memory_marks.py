"""What lies on top of the memory stack: sampled lines and the peak."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, Qt
from PySide6.QtGui import QColor, QPainter

from hogui.plots.canvas import Mapping
from hogui.plots.painting import chip, crisp, hairline, polyline
from hogui.theme import GRID, category_colour, theme


def paint_sampled_line(
    painter: QPainter,
    mapping: Mapping,
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    style: Qt.PenStyle,
) -> None:
    """A line through the samples that are on scale; where it leaves the scale there is none."""
    x, y = mapping.x(times), mapping.y(values)
    on_scale = (y >= 0) & (y <= mapping.height)
    painter.setPen(hairline(theme().tokens.text, style))
    for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(on_scale)) + 1):
        if on_scale[run].all():
            polyline(painter, x[run], y[run])


def paint_stem(painter: QPainter, mapping: Mapping, time: float, low: int, high: int) -> None:
    """From the top of the stack, in bytes, to a peak that only the allocator saw."""
    x = crisp(float(mapping.x(time)), mapping.ratio)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.setPen(hairline(category_colour("kernel_temporaries")))
    painter.drawLine(QLineF(x, float(mapping.y(low)), x, float(mapping.y(high))))


def paint_peak(painter: QPainter, mapping: Mapping, time: float, total: int, *texts: str) -> None:
    """A dot at the peak, and over it the first of the texts that fits."""
    tokens = theme().tokens
    x, y = float(mapping.x(time)), float(mapping.y(total))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(hairline(tokens.surface))
    painter.setBrush(QColor(tokens.text))
    painter.drawEllipse(QPointF(x, y), 3, 3)
    chip(painter, mapping.area, QPointF(x, y - 2 * GRID + 2), *texts, bold=True)
