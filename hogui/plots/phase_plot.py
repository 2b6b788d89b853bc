"""The phases of the memory pass as a strip of labelled spans, on the same time axis as the
memory."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from hogui.plots.canvas import LEFT, Mapping
from hogui.plots.table_dialog import Rows
from hogui.plots.view import PlotView
from hogui.plots.x_axis import Span
from hogui.theme import GRID, Size, category_colour, theme
from hogui.units import bytes_form, format_seconds

_LANE_HEIGHT, _MOST_LANES = 28, 3
_MARK = 3
_NARROWEST_LABEL = 40
_AHEAD = 0.6
"""How strongly phases are painted that are only expected."""
_GROUP = ": "
_COLOURS = {
    "forward": "activations",
    "query": "activations",
    "inner": "fast_weights",
    "outer": "gradients",
    "meta": "gradients",
    "optimizer": "optimizer_state",
    "prepare": "parameters",
}


class PhaseRow(NamedTuple):
    """A finished phase. Seconds since the run started; what is not known is None."""

    name: str
    start_s: float
    end_s: float
    clean_duration_s: float | None = None
    peak_bytes: int | None = None
    retained_bytes: int | None = None
    result_norm: float | None = None


@dataclass(frozen=True)
class _Span:
    row: PhaseRow
    lane: int
    even: bool
    label: str


class PhasePlot(PlotView):
    """A strip of spans; phases within phases lie in lanes below them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._rows: list[PhaseRow] = []
        self._open: tuple[str, float] | None = None
        self._frozen: list[PhaseRow] | None = None
        self._is_ahead = False
        super().__init__(self.tr("Phases"), parent, x_ticks=None, y_ticks=None)
        self.setObjectName("phasePlot")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        label = QLabel(self.title)
        label.setProperty("role", "heading")
        label.setFixedWidth(LEFT)
        layout.addWidget(label)
        layout.addWidget(self.canvas)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(_LANE_HEIGHT)

    # Data.

    def clear(self) -> None:
        """Forgets all phases."""
        self._rows, self._open, self._frozen = [], None, None
        self._is_ahead = False
        self.request_redraw()

    def start_phase(self, name: str, t_s: float) -> None:
        """Ends the present phase and starts another, which grows with the time axis."""
        self.finish(t_s)
        self._open = (name, t_s)
        self.request_redraw()

    def finish(self, t_s: float) -> None:
        """Ends the present phase, if there is one."""
        if self._open is not None:
            name, start_s = self._open
            self._rows.append(PhaseRow(name, start_s, t_s))
            self._open = None
        self.request_redraw()

    def set_phases(
        self, rows: Sequence[PhaseRow | tuple[str | float | None, ...]], *, ahead: bool = False
    ) -> None:
        """Puts the finished phases with their figures in place of the live ones.

        Args:
            rows: the phases.
            ahead: whether they are a forecast, painted faintly.
        """
        self._rows, self._is_ahead = [PhaseRow(*row) for row in rows], ahead
        self._open = None
        self.request_redraw()

    @property
    def is_ahead(self) -> bool:
        """Whether the phases are a forecast."""
        return self._is_ahead

    def set_paused(self, paused: bool) -> None:
        """Freezes the view, not the run."""
        if paused and self._frozen is None:
            self._frozen = self._present()
        elif not paused:
            self._frozen = None
        self.request_redraw()

    def rows(self) -> tuple[list[str], Rows]:
        return list(PhaseRow._fields), self._present()

    # View.

    def empty_sentence(self) -> str | None:
        return None if self._shown() else self.tr("Phases appear here.")

    def announce_extent(self) -> None:
        if self._rows and self._frozen is None:
            first = min(row.start_s for row in self._rows)
            last = max(row.end_s for row in self._rows)
            self.x_axis.extend(Span.MEMORY_PASS, first, last)

    def needed_y(self, low: float, high: float) -> tuple[float, float]:
        return 0, self._lanes()

    def refresh(self) -> None:
        self.setFixedHeight(_LANE_HEIGHT * min(self._lanes(), _MOST_LANES))
        names = ", ".join(row.name for row in self._shown())
        self.setAccessibleDescription(names or self.empty_sentence() or "")

    def tip_at(self, place: QPointF) -> tuple[str, QRectF] | None:
        mapping = self.canvas.mapping()
        spans = _spans(self._shown())
        for span in reversed(spans):
            box = _box(span, _lanes(spans), mapping)
            if box.contains(place):
                return self._sentence(span.row), box
        return None

    # Painting.

    def paint_data(self, painter: QPainter, mapping: Mapping) -> None:
        tokens = theme().tokens
        font = theme().font(Size.SMALL)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        spans = _spans(self._shown())
        lanes = _lanes(spans)
        painter.setOpacity(_AHEAD if self._is_ahead else 1.0)
        for span in spans:
            box = _box(span, lanes, mapping)
            if box.right() < 0 or box.left() > mapping.width:
                continue
            painter.fillRect(box, QColor(tokens.raised if span.even else tokens.hover))
            mark = QRectF(box.left(), box.top(), box.width(), _MARK)
            category = phase_category(span.row.name)
            colour = QColor(tokens.border_strong) if category is None else category_colour(category)
            painter.fillRect(mark, colour)
            border = QRectF(box.left(), box.top(), 1 / mapping.ratio, box.height())
            painter.fillRect(border, QColor(tokens.surface))
            self._paint_label(painter, metrics, box.intersected(mapping.area), span.label)

    def _paint_label(
        self, painter: QPainter, metrics: QFontMetricsF, box: QRectF, name: str
    ) -> None:
        inner = box.adjusted(GRID, _MARK, -GRID, 0)
        number = re.search(r"\d+$", name)
        if metrics.horizontalAdvance(name) > inner.width():
            if number is not None:
                name = number[0]
            elif inner.width() >= _NARROWEST_LABEL:
                name = metrics.elidedText(name, Qt.TextElideMode.ElideRight, inner.width())
            if metrics.horizontalAdvance(name) > inner.width():
                return
        painter.setPen(QColor(theme().tokens.text))
        painter.drawText(inner, Qt.AlignmentFlag.AlignCenter, name)

    # Helpers.

    def _present(self) -> list[PhaseRow]:
        if self._open is None:
            return list(self._rows)
        name, start_s = self._open
        extent = self.x_axis.extent(Span.MEMORY_PASS) or (start_s, start_s)
        return [*self._rows, PhaseRow(name, start_s, max(start_s, extent[1]))]

    def _shown(self) -> list[PhaseRow]:
        return self._present() if self._frozen is None else self._frozen

    def _lanes(self) -> int:
        return _lanes(_spans(self._shown()))

    def _sentence(self, row: PhaseRow) -> str:
        form = self.tr("{seconds} in the memory pass")
        if self._is_ahead:
            form = self.tr("forecast: {seconds}")
        lines = [row.name, form.format(seconds=format_seconds(row.end_s - row.start_s))]
        if row.clean_duration_s is not None:
            lines.append(
                self.tr("{seconds} in a timed repetition").format(
                    seconds=format_seconds(row.clean_duration_s)
                )
            )
        size = bytes_form(max(row.peak_bytes or 0, abs(row.retained_bytes or 0)))
        if row.peak_bytes is not None:
            lines.append(self.tr("peak {bytes}").format(bytes=size(row.peak_bytes)))
        if row.retained_bytes is not None:
            lines.append(
                self.tr("{bytes} more alive at its end").format(bytes=size(row.retained_bytes))
            )
        if row.result_norm is not None:
            lines.append(self.tr("norm of its result {norm:.4g}").format(norm=row.result_norm))
        return "\n".join(lines)


def _spans(phases: Sequence[PhaseRow]) -> list[_Span]:
    """Each phase in the lane below all that contain it, neighbours in two shades.

    Phases in a row whose names begin with the same group ("task 1: ...") lie in a lane below it.
    """
    groups: list[PhaseRow] = []
    for row in phases:
        group = row.name.rpartition(_GROUP)[0]
        if groups and groups[-1].name == group:
            groups[-1] = groups[-1]._replace(end_s=row.end_s)
        else:
            groups.append(PhaseRow(group, row.start_s, row.end_s))
    rows = [row for row in groups if row.name] + list(phases)
    spans: list[_Span] = []
    containing: list[PhaseRow] = []
    seen: dict[int, int] = {}
    for row in sorted(rows, key=lambda row: (row.start_s, -row.end_s)):
        while containing and row.start_s >= containing[-1].end_s:
            containing.pop()
        lane = len(containing)
        containing.append(row)
        seen[lane] = seen.get(lane, 0) + 1
        spans.append(_Span(row, lane, seen[lane] % 2 == 0, row.name.rpartition(_GROUP)[2]))
    return spans


def _lanes(spans: Sequence[_Span]) -> int:
    return 1 + max((span.lane for span in spans), default=0)


def _box(span: _Span, lanes: int, mapping: Mapping) -> QRectF:
    height = mapping.height / lanes
    left, right = mapping.snap(mapping.x([span.row.start_s, span.row.end_s]))
    return QRectF(left, span.lane * height, max(right - left, 1), height)


def phase_category(name: str) -> str | None:
    """The category of memory whose colour marks a phase: what it mainly makes; None if unknown."""
    order = re.search(r"\bgradient (\d+)$", name)
    if order:
        return f"graph_{order[1]}"
    return next((c for word, c in _COLOURS.items() if word in name), None)
