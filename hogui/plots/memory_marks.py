"""What lies on top of the memory stack: sampled lines, the peak and the forecast."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QCoreApplication, QLineF, QPointF, Qt
from PySide6.QtGui import QColor, QPainter

from hogui.plots.canvas import Mapping
from hogui.plots.memory_data import ForecastMark
from hogui.plots.painting import chip, crisp, hairline, horizontal, polyline
from hogui.theme import GRID, category_colour, theme
from hogui.units import bytes_form

_DASHES = (8.0, 4.0)


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


def paint_forecast(
    painter: QPainter, mapping: Mapping, mark: ForecastMark, peak: tuple[float, int] | None
) -> None:
    """A dashed line at what a run is expected to hold, named at the end that is free of the peak.

    Where the line lies above what is shown, an arrow says so.
    """
    text, y = forecast_words(mark), float(mapping.y(mark.total_bytes))
    if y < 0:
        text, y = f"{text} ↑", 0.0
    else:
        pen = hairline(theme().tokens.text)
        pen.setDashPattern(_DASHES)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(pen)
        horizontal(painter, crisp(y, mapping.ratio), mapping.width)
    peak_is_left = peak is not None and float(mapping.x(peak[0])) < mapping.width / 2
    x = mapping.width if peak_is_left else 0.0
    chip(painter, mapping.area, QPointF(x, y - 2), text)


def forecast_words(mark: ForecastMark) -> str:
    """What the line says."""
    size = bytes_form(mark.total_bytes)(mark.total_bytes)
    if mark.of_now:
        form = _tr("forecast {bytes}") if mark.exact else _tr("forecast at least {bytes}")
    elif mark.exact:
        form = _tr("forecast for the settings now {bytes}")
    else:
        form = _tr("forecast for the settings now at least {bytes}")
    return form.format(bytes=size)


def _tr(text: str) -> str:
    return QCoreApplication.translate("MemoryPlot", text)
