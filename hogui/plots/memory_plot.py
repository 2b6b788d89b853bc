"""Memory over time: what is held, stacked by category, with its peak; and what the system says of
the process."""

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QToolButton, QVBoxLayout, QWidget

from core.results.categories import CATEGORIES
from hogui.category_labels import category_label
from hogui.icons import set_icon
from hogui.plots.canvas import Mapping
from hogui.plots.columns import StepStack
from hogui.plots.legend import Legend
from hogui.plots.memory_data import LINE_STYLES, ForecastMark, MemoryData, Shown
from hogui.plots.memory_marks import (
    forecast_words,
    paint_forecast,
    paint_peak,
    paint_sampled_line,
    paint_stem,
)
from hogui.plots.painting import ReadOutRow, Rectangles, crisp, hairline, horizontal
from hogui.plots.table_dialog import Rows
from hogui.plots.ticks import Ticks, bytes_ticks, position_label, seconds_ticks
from hogui.plots.view import PlotView
from hogui.plots.x_axis import Span
from hogui.theme import GRID, category_colour, theme
from hogui.units import MIB, bytes_form

_HEADROOM = 1.16
_FOOT = 0.04
"""Of what is shown above the baseline, the share that is shown below it."""
_ORDER = {name: position for position, name in enumerate(CATEGORIES)}
_AHEAD = 0.35
"""How strongly a curve is painted that is only expected."""


class MemoryPlot(PlotView):
    """Stacked memory by category over the memory pass, and sampled lines over the whole run.

    Bytes everywhere; seconds since the run started. Values hold until the next sample.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        self._data = MemoryData()
        self._frozen: Shown | None = None
        self._rectangles = Rectangles()
        super().__init__(self.tr("Memory"), parent, x_ticks=self._x_ticks, y_ticks=bytes_ticks)
        self.setObjectName("memoryPlot")
        self.setMinimumHeight(160)
        self._legend = Legend()
        self._pass_button = self._span_button(
            "memoryPassButton", self.tr("Memory pass"), Span.MEMORY_PASS
        )
        self._run_button = self._span_button("wholeRunButton", self.tr("Whole run"), Span.WHOLE_RUN)
        self._follow_button = QToolButton()
        self._follow_button.setObjectName("followButton")
        self._follow_button.setText(self.tr("Follow"))
        self._follow_button.setToolTip(
            self.tr("Show everything again and follow what arrives (Home)")
        )
        self._follow_button.setProperty("role", "quiet")
        self._follow_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        set_icon(self._follow_button, "follow", "accent")
        self._follow_button.clicked.connect(self.reset_view)
        self._growth_button = self._toggle("growthButton", self.tr("Above baseline"))
        self._growth_button.setToolTip(
            self.tr("Start the axis at what existed before the workload, to see what it adds")
        )
        self._growth_button.clicked.connect(self._choose_foot)
        self._foot_is_chosen = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(self.header(*self.controls()))
        layout.addWidget(self._legend)
        layout.addWidget(self.canvas, 1)
        self._axis_moved()

    # Data.

    def clear(self) -> None:
        """Forgets all but the height of the forecast; a paused view shows the new run."""
        self._data = MemoryData(forecast=self._data.forecast)
        self._frozen = None
        self.x_axis.clear()
        self.request_redraw()

    def append(self, t_s: Sequence[float], columns: MappingABC[str, Sequence[int]]) -> None:
        """Adds live samples: bytes by category, each column as long as `t_s`.

        Raises:
            ValueError: lengths differ, or time runs backwards.
        """
        self._data.stack.append(t_s, columns)
        self.request_redraw()

    def replace(self, t_s: Sequence[float], columns: MappingABC[str, Sequence[int]]) -> None:
        """Puts the final curve, relabelled by what each tensor turned out to be, in place of the
        live one.

        Raises:
            ValueError: lengths differ, or time runs backwards.
        """
        stack = StepStack()
        stack.append(t_s, columns)
        self._data.stack = stack
        self._data.final = True
        self.x_axis.forget(Span.MEMORY_PASS)
        self.request_redraw()

    def append_resident(self, t_s: float, total_bytes: int, source: str = "resident") -> None:
        """Adds a sample of what the system (`resident`) or the device's driver (`driver`)
        counts."""
        self._data.lines[source].append(t_s, total_bytes)
        self.request_redraw()

    def set_baseline(self, total_bytes: int | None) -> None:
        """Marks what existed before the workload."""
        self._data.baseline = total_bytes
        self.request_redraw()

    def set_peak(self, total_bytes: int | None) -> None:
        """States the highest total, baseline included, where a better source than the curve knows
        it."""
        self._data.stated_peak = total_bytes
        self.request_redraw()

    def set_forecast(self, mark: ForecastMark | None) -> None:
        """Marks what a run is expected to hold at most."""
        self._data.forecast = mark
        self.request_redraw()

    def set_expected(
        self,
        t_s: Sequence[float] = (),
        columns: MappingABC[str, Sequence[int]] | None = None,
        baseline: int | None = None,
    ) -> None:
        """Shows a forecast curve, faintly, until there is a measured one; no times take it away.

        Raises:
            ValueError: lengths differ, or time runs backwards.
        """
        had = len(self._data.ahead)
        self._data.expect(t_s, columns or {}, baseline)
        if had and not self._data.is_measured:
            self.x_axis.clear()
        self.request_redraw()

    def peak(self) -> tuple[float, int] | None:
        """When the total was highest and what it was, of all that was collected; None without
        data."""
        return self._data.view().peak()

    def rows(self) -> tuple[list[str], Rows]:
        stack = self._data.stack
        names = self._ordered(stack.present)
        columns = [stack.times, stack.totals, *(stack.category(name) for name in names)]
        headers = ["t_s", "total_bytes", *names]
        return headers, list(zip(*(column.tolist() for column in columns), strict=True))

    # View.

    def set_paused(self, paused: bool) -> None:
        """Freezes the view, not the run: data are still collected and shown when the pause ends."""
        if paused and self._frozen is None:
            self._frozen = self._data.view()
        elif not paused:
            self._frozen = None
        self.request_redraw()

    def show_memory_pass(self) -> None:
        """Shows the attributed pass, and follows it."""
        self.x_axis.follow(Span.MEMORY_PASS)

    def show_whole_run(self) -> None:
        """Shows the whole run with resident memory, and follows it."""
        self.x_axis.follow(Span.WHOLE_RUN)

    def link_x(self, other: PlotView) -> None:
        super().link_x(other)
        self._axis_moved()

    def controls(self) -> list[QWidget]:
        return [self._follow_button, self._growth_button, self._pass_button, self._run_button]

    def empty_sentence(self) -> str | None:
        if not self._shown().is_empty:
            return None
        return self.tr("Memory by category appears here while a run measures.")

    def needs_room(self) -> bool:
        return self._shown().forecast is not None or super().needs_room()

    @property
    def is_ahead(self) -> bool:
        """Whether the curve is only expected; its seconds are none that anybody has measured."""
        return self._data.view().is_ahead

    def needed_y(self, low: float, high: float) -> tuple[float, float]:
        shown = self._shown()
        top = shown.stack.highest(low, high, shown.length)
        peak = shown.peak()
        if peak is not None and low <= peak[0] <= high:
            top = max(top, peak[1])
        top = int(shown.with_forecast(top))
        if self.x_axis.span is Span.WHOLE_RUN or not shown.length:
            top = max(top, *(line.highest(low, high, n) for line, n in shown.lines.values()))
        elif self._growth_button.isChecked() and shown.baseline and top > shown.baseline:
            growth = top - shown.baseline
            return shown.baseline - _FOOT * growth, shown.baseline + _HEADROOM * growth
        return 0, _HEADROOM * (top or MIB)

    def refresh(self) -> None:
        shown = self._shown()
        following, span = self.x_axis.following, self.x_axis.span
        self._follow_button.setVisible(not following and self.empty_sentence() is None)
        self._pass_button.setChecked(span is Span.MEMORY_PASS)
        self._run_button.setChecked(span is Span.WHOLE_RUN)
        self._growth_button.setVisible(bool(shown.baseline) and span is Span.MEMORY_PASS)
        if not self._foot_is_chosen:
            self._growth_button.setChecked(shown.is_hidden_by_baseline())
        self.note.setText(self._note(shown))
        if self._frozen is None:
            self._legend.set_entries(self._legend_entries(shown))
            self.setAccessibleDescription(self._description(shown))

    def read_out_at(self, x: float) -> tuple[str, list[ReadOutRow]] | None:
        shown = self._shown()
        found: list[tuple[str, int, QColor | None]] = []
        at = shown.stack.at(x, shown.length)
        if at is not None:
            found.append((self.tr("Total"), int(shown.stack.totals[at]), None))
            for name in reversed(self._ordered(shown.stack.present)):
                value = int(shown.stack.category(name)[at])
                if value:
                    found.append((category_label(name), value, category_colour(name)))
        for source, (line, length) in shown.lines.items():
            sampled = line.at(x, length)
            if sampled is not None:
                found.append((self._source_name(source), sampled, None))
        size = bytes_form(shown.seen_peak())
        rows = [ReadOutRow(name, size(value), colour) for name, value, colour in found]
        return (self._time(x), rows) if rows else None

    # Painting.

    def paint_data(self, painter: QPainter, mapping: Mapping) -> None:
        shown = self._shown()
        self._paint_stack(painter, mapping, shown)
        self._paint_lines(painter, mapping, shown)
        if shown.baseline:
            painter.setPen(hairline(theme().tokens.text, Qt.PenStyle.DotLine))
            y = crisp(float(mapping.y(shown.baseline)), mapping.ratio)
            horizontal(painter, y, mapping.width)
        self.paint_empty(painter, mapping)
        peak = shown.peak()
        if peak is not None and mapping.x_range[0] <= peak[0] <= mapping.x_range[1]:
            self._paint_peak(painter, mapping, *peak, shown.seen_peak())

    def paint_empty(self, painter: QPainter, mapping: Mapping) -> None:
        """The forecast, which needs no run."""
        shown = self._shown()
        if shown.forecast is not None:
            paint_forecast(painter, mapping, shown.forecast, shown.peak())

    def _paint_stack(self, painter: QPainter, mapping: Mapping, shown: Shown) -> None:
        columns = shown.stack.reduce(*mapping.x_range, mapping.columns, shown.length)
        if not len(columns.index):
            return
        painter.setOpacity(_AHEAD if shown.is_ahead else 1.0)
        left, right = mapping.snap(mapping.x(columns.left)), mapping.snap(mapping.x(columns.right))
        base = np.zeros(len(columns.index), dtype=np.int64)
        bottom = mapping.snap(mapping.y(base))
        for name in self._ordered(shown.stack.present):
            base = base + shown.stack.category(name)[columns.index]
            top = mapping.snap(mapping.y(base))
            self._rectangles.fill(painter, category_colour(name), left, top, right, bottom)
            bottom = top
        painter.setOpacity(1.0)

    def _paint_lines(self, painter: QPainter, mapping: Mapping, shown: Shown) -> None:
        for source, (line, length) in shown.lines.items():
            times, values = line.reduce(*mapping.x_range, mapping.columns, length)
            if len(times):
                paint_sampled_line(painter, mapping, times, values, LINE_STYLES[source])

    def _paint_peak(
        self, painter: QPainter, mapping: Mapping, time: float, total: int, seen: int
    ) -> None:
        if total > seen:
            paint_stem(painter, mapping, time, seen, total)
        size = bytes_form(total)(total)
        text = self.tr("peak {bytes} at {time}").format(bytes=size, time=self._time(time))
        brief = self.tr("peak {bytes}").format(bytes=size)
        paint_peak(painter, mapping, time, total, text, brief, size)

    # Helpers.

    def _shown(self) -> Shown:
        return self._frozen or self._data.view()

    def announce_extent(self) -> None:
        if self._frozen is not None:
            return
        shown = self._data.view()
        times = shown.stack.times
        if len(times):
            self.x_axis.set_origin(float(times[0]))
            self.x_axis.extend(Span.MEMORY_PASS, float(times[0]), float(times[-1]))
        for line in self._data.lines.values():
            if len(line):
                self.x_axis.extend(Span.WHOLE_RUN, float(line.times[0]), float(line.times[-1]))

    def _ordered(self, names: frozenset[str]) -> list[str]:
        return sorted(names, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))

    def _legend_entries(self, shown: Shown) -> list[tuple[QColor, str]]:
        entries = [
            (category_colour(name), category_label(name))
            for name in self._ordered(shown.categories)
        ]
        line_colour = QColor(theme().tokens.text)
        top = self.canvas.box.viewRange()[1][1]
        for source, (line, length) in shown.lines.items():
            if length:
                name = self._source_name(source)
                value = int(line.values[length - 1])
                if value > top:  # The arrow says that the line lies above what is shown.
                    name = self.tr("{source}: {bytes} ↑").format(
                        source=name, bytes=bytes_form(value)(value)
                    )
                entries.append((line_colour, name))
        return entries

    def _note(self, shown: Shown) -> str:
        if self._frozen is not None:
            return self.tr("view paused, the run goes on")
        if shown.is_ahead:
            return self.tr("forecast; a run takes its place")
        if shown.final:
            return self.tr("by what each tensor turned out to be")
        return self.tr("live, by phase of birth") if shown.length else ""

    def _description(self, shown: Shown) -> str:
        peak, sentences = shown.peak(), [self.empty_sentence() or ""]
        if shown.forecast is not None:
            sentences.append(f"{forecast_words(shown.forecast)}.")
        if peak is not None:
            form = self.tr("Peak {bytes} at {time}.")
            time = self._time(peak[0])
            sentences.append(form.format(bytes=bytes_form(peak[1])(peak[1]), time=time))
        return " ".join(sentence for sentence in sentences if sentence)

    def _source_name(self, source: str) -> str:
        if source == "driver":
            return self.tr("Driver, sampled")
        return self.tr("Resident, sampled")

    def _time(self, seconds: float) -> str:
        low, high = self.x_axis.range
        columns = self.canvas.mapping().columns
        return position_label(seconds - self.x_axis.shown_origin, high - low, columns)

    def _x_ticks(self, low: float, high: float, at_most: int) -> Ticks:
        return seconds_ticks(low, high, at_most, self.x_axis.shown_origin)

    def _span_button(self, name: str, text: str, span: Span) -> QToolButton:
        button = self._toggle(name, text)
        button.clicked.connect(lambda: self.x_axis.follow(span))
        return button

    def _toggle(self, name: str, text: str) -> QToolButton:
        button = QToolButton()
        button.setObjectName(name)
        button.setText(text)
        button.setCheckable(True)
        button.setProperty("role", "quiet")
        return button

    def _choose_foot(self) -> None:
        self._foot_is_chosen = True
        self.request_redraw()

    def _axis_moved(self) -> None:
        self.x_axis.following_changed.connect(self.request_redraw)
        self.x_axis.span_changed.connect(self.request_redraw)
        self.request_redraw()
