"""The figures of one tab's run: live while it measures, complete afterwards, linked by time."""

from collections.abc import Iterable, Sequence
from time import monotonic

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.results.events import (
    ChartPoint,
    Event,
    Forecasted,
    MemoryMeasured,
    MemorySamples,
    PhaseStarted,
    Repetition,
    ResidentSample,
    StageStarted,
    point_of,
)
from core.results.forecast import Forecast, ForecastPhase
from core.results.measurement import Measurement, Memory, Phase, Timing
from core.results.memory_timeline import MemoryTimeline, PhaseSpan
from core.results.outcome import Outcome
from core.results.statistics import timing
from core.spec.notices import notices
from hogui.icons import set_icon
from hogui.open_tab import OpenTab, RunState
from hogui.pages.chart_column import ChartColumn
from hogui.pages.findings_strip import FindingsStrip
from hogui.pages.message_strip import MessageStrip
from hogui.pages.outcome_line import describe_outcome
from hogui.plots.memory_data import ForecastMark
from hogui.plots.memory_plot import MemoryPlot
from hogui.plots.phase_plot import PhasePlot, PhaseRow
from hogui.splitter import Splitter
from hogui.tables.result_rows import failed_check
from hogui.tables.result_table import ResultTable
from hogui.theme import GRID
from hogui.tool_bar import ElidedLabel

NARROWEST = 52 * GRID
QWIDGETSIZE_MAX = 16_777_215
"""Qt's own word for "no limit", which PySide6 does not export."""
ROOMY_COLUMNS = 2
"""So many tabs side by side leave room for every plot's buttons."""
SUMMARY_S = 0.2
"""While a run measures, median and interval are computed anew this often at most."""


class Figures(QWidget):
    """Plots and result of one tab. It observes the tab and draws what the tab's run says.

    Signals:
        forceWanted: the user wants to run what was refused as too large.
    """

    forceWanted = Signal()

    def __init__(self, tab: OpenTab, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tab = tab
        self._samples: list[float] = []
        self._summarized_s = 0.0
        self._lay_out()
        self.phases.link_x(self.memory)

        tab.runStarted.connect(self._started)
        tab.eventsArrived.connect(self.draw)
        tab.resultChanged.connect(self.show_result)
        tab.outlookChanged.connect(self.show_outlook)
        tab.specChanged.connect(self._describe)
        tab.runChanged.connect(self._describe)
        tab.noted.connect(self._note)
        self.catch_up()

    @property
    def in_focus_order(self) -> tuple[QWidget, ...]:
        """What the tab key reaches, from the top down."""
        memory = (self.memory, *self.memory.controls())
        return (self.pause_button, *memory, self.phases, self.time, self.result_table)

    def catch_up(self) -> None:
        """Shows what the tab knows already: its last result, or its run so far."""
        if self.tab.live:
            self.draw(self.tab.live)
        self.show_result()

    # What a run says.

    def draw(self, events: Iterable[Event]) -> None:
        """Draws some events of the present run."""
        times: list[float] = []
        columns: dict[str, list[int]] = {}
        for event in events:
            match event:
                case MemorySamples():
                    _extend(times, columns, event)
                case Forecasted():
                    self._mark_forecast(event.forecast)
                case ResidentSample():
                    self.memory.append_resident(event.t_s, event.total_bytes, event.source)
                case MemoryMeasured():
                    if times:
                        self.memory.append(times, columns)
                        times, columns = [], {}
                    self._show_memory(event.memory, event.phases, event.timeline)
                case PhaseStarted():
                    self.phases.start_phase(event.name, event.t_s)
                case StageStarted(stage="allocator"):
                    self.phases.finish(event.t_s)
                case Repetition():
                    self._repeated(event)
                case ChartPoint():
                    self.charts.append(point_of(event))
        if times:
            self.memory.append(times, columns)

    def _repeated(self, event: Repetition) -> None:
        self.time.append(event.index, event.seconds, event.warm_up)
        if event.warm_up:
            return
        self._samples.append(event.seconds)
        if monotonic() - self._summarized_s > SUMMARY_S:
            self._summarized_s = monotonic()
            self._summarize(timing(self._samples, None))

    def _summarize(self, figures: Timing | None) -> None:
        if figures is not None:
            self.time.set_summary(figures.median_s, *figures.interval_s, figures.verdict)

    def show_result(self) -> None:
        """Shows the tab's last result in place of what was drawn live."""
        result, timeline = self.tab.result, self.tab.timeline
        self.result_table.set_result(result)
        if result is not None:
            timeline = timeline or MemoryTimeline()
            self._show_memory(result.memory, result.phases, timeline)
            if not self.tab.live:
                self._show_sampled(timeline)
            self._show_time(result)
            self.charts.show_matrix(result.heat_map)
            self._show_outcome(result)
        self.show_outlook()
        self._describe()

    def show_outlook(self) -> None:
        """Shows what a run is expected to hold, and until there is one, how it is expected to
        go."""
        tab, outlook = self.tab, self.tab.outlook
        # The panel says what the configuration alone tells; it need not be said twice.
        known = notices(tab.spec) if tab.findings else ()
        self.findings.show_findings(each for each in tab.findings if each.sentence not in known)
        forecast = outlook.forecast if outlook is not None and tab.wanted is not None else None
        if outlook is None or forecast is None:
            self._mark_forecast(tab.result.forecast if tab.result is not None else None)
            self._expect(MemoryTimeline(), None)
            return
        self._mark_forecast(forecast, of_now=not tab.figures_are_of_another_spec)
        begun = tab.result is not None or tab.state in (RunState.RUNNING, RunState.CANCELLING)
        self._expect(MemoryTimeline() if begun else outlook.timeline, forecast)

    def _mark_forecast(self, forecast: Forecast | None, *, of_now: bool = True) -> None:
        mark = None
        if forecast is not None:
            mark = ForecastMark(forecast.total_bytes, forecast.exact, of_now)
        self.memory.set_forecast(mark)

    def _expect(self, timeline: MemoryTimeline, forecast: Forecast | None) -> None:
        baseline = forecast.baseline_bytes if forecast is not None else None
        self.memory.set_expected(timeline.t_s, timeline.columns, baseline)
        if timeline.phases or self.phases.is_ahead:
            figures = {phase.name: phase for phase in forecast.phases} if forecast else {}
            self.phases.set_phases(
                [_expected_phase(span, figures.get(span.name)) for span in timeline.phases],
                ahead=True,
            )

    def _show_memory(
        self, memory: Memory | None, phases: Sequence[Phase], timeline: MemoryTimeline
    ) -> None:
        if timeline.t_s:
            self.memory.replace(timeline.t_s, timeline.columns)
        self.memory.set_baseline(memory.baseline_bytes if memory is not None else None)
        self.memory.set_peak(memory.total_bytes if memory is not None else None)
        figures = {phase.name: phase for phase in phases}
        rows = []
        for span in timeline.phases:
            phase = figures.get(span.name)
            rows.append(
                (
                    span.name,
                    span.start_s,
                    span.end_s,
                    phase.duration_s if phase else None,
                    phase.peak_bytes if phase else None,
                    phase.retained_bytes if phase else None,
                    phase.result_norm if phase else None,
                )
            )
        self.phases.set_phases(rows)

    def _show_sampled(self, timeline: MemoryTimeline) -> None:
        for source, curve in (("resident", timeline.resident), ("driver", timeline.driver)):
            for t_s, total in zip(curve.t_s, curve.total_bytes, strict=True):
                self.memory.append_resident(t_s, total, source)

    def _show_time(self, result: Measurement) -> None:
        if not self.tab.live and result.time is not None:
            for index, seconds in enumerate(result.time.samples_s):
                self.time.append(index, seconds, False)
        if not self.tab.live:
            self.charts.extend(result.curves)
        self._summarize(result.time)

    def _show_outcome(self, result: Measurement) -> None:
        if result.outcome is Outcome.FINISHED:
            if result.check is not None and not result.check.passed:
                self.strip.show_message(failed_check(result.check), "error")
            return
        level = "info" if result.outcome is Outcome.CANCELLED else "error"
        refused = result.outcome is Outcome.OUT_OF_MEMORY and result.memory is None
        self.strip.show_message(
            result.sentence,
            level,
            button=self.tr("Run anyway") if refused else "",
            act=self.forceWanted.emit if refused else None,
        )

    # What the tab says.

    def _started(self) -> None:
        for plots in (self.memory, self.phases, self.charts):
            plots.clear()
        self._samples = []
        self.strip.clear()
        self.result_table.set_result(None)
        self._describe()

    def _note(self, sentence: str, is_error: bool) -> None:
        self.strip.show_message(sentence, "error" if is_error else "info")

    def _describe(self) -> None:
        self.title_label.set_text(self.tab.name)
        self.outcome_label.set_text(describe_outcome(self.tab))

    # Layout.

    def _lay_out(self) -> None:
        """Each widget is made in its place: moving one there later would style all of it again."""
        self.strip = MessageStrip(self)
        self.findings = FindingsStrip(self)
        self.title_label = ElidedLabel(self)
        self.title_label.setProperty("role", "title")
        self.title_label.hide()
        self.outcome_label = ElidedLabel(self)
        self.outcome_label.setObjectName("outcomeLabel")
        self.outcome_label.setProperty("role", "secondary")
        self.pause_button = self._pause_button()
        self.splitter = Splitter(Qt.Orientation.Vertical, self)
        over_time = QWidget(self.splitter)
        self.memory, self.phases = MemoryPlot(over_time), PhasePlot(over_time)
        self.lower = Splitter(Qt.Orientation.Horizontal, self.splitter)
        self.charts = ChartColumn(self.lower)
        self.time = self.charts.time
        self.result_table = ResultTable()
        self.lower.addWidget(self.result_table)
        self.lower.setStretchFactor(0, 4)
        self.lower.setStretchFactor(1, 7)
        self.lower.setSizes([4000, 7000])
        self.splitter.setStretchFactor(0, 5)
        self.splitter.setStretchFactor(1, 4)
        self.splitter.setCollapsible(0, False)

        header = QHBoxLayout()
        header.setSpacing(2 * GRID)
        header.addWidget(self.title_label, 1)
        header.addWidget(self.outcome_label, 1)
        header.addWidget(self.pause_button)
        stack = QVBoxLayout(over_time)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(GRID)
        stack.addWidget(self.memory, 1)
        stack.addWidget(self.phases)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 2 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addLayout(header)
        layout.addWidget(self.strip)
        layout.addWidget(self.findings)
        layout.addWidget(self.splitter, 1)

    def stand_beside(self, columns: int) -> None:
        """Beside other tabs: narrow, with the name above, and without the table, for which one of
        all of them stands in."""
        self._be_narrow(True)
        roomy = columns <= ROOMY_COLUMNS
        self.outcome_label.setVisible(roomy)
        if not roomy:
            # Keys and the context menu still do what the buttons do.
            for control in self.memory.controls():
                control.setMaximumWidth(0)

    def stand_alone(self) -> None:
        """The only one again."""
        self._be_narrow(False)
        self.outcome_label.show()
        for control in self.memory.controls():
            control.setMaximumWidth(QWIDGETSIZE_MAX)

    def _be_narrow(self, narrow: bool) -> None:
        self.title_label.setVisible(narrow)
        self.result_table.setHidden(narrow)
        self.charts.set_scarce(narrow)
        self.splitter.setSizes([6000, 4000] if narrow else [5500, 4500])
        self.setMinimumWidth(NARROWEST if narrow else 0)
        text = Qt.ToolButtonStyle.ToolButtonTextBesideIcon
        icon = Qt.ToolButtonStyle.ToolButtonIconOnly
        self.pause_button.setToolButtonStyle(icon if narrow else text)
        follow = self.memory.controls()[0]
        policy = follow.sizePolicy()
        policy.setRetainSizeWhenHidden(not narrow)
        follow.setSizePolicy(policy)

    def _pause_button(self) -> QToolButton:
        button = QToolButton(self)
        button.setObjectName("pauseButton")
        button.setProperty("role", "quiet")
        button.setCheckable(True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.toggled.connect(self.set_paused)
        self._name_pause_button(button, False)
        return button

    def set_paused(self, paused: bool) -> None:
        """Holds the picture of memory still, or lets it follow again; the run goes on."""
        self.memory.set_paused(paused)
        self.phases.set_paused(paused)
        self.pause_button.setChecked(paused)
        self._name_pause_button(self.pause_button, paused)

    def _name_pause_button(self, button: QToolButton, paused: bool) -> None:
        button.setText(self.tr("Resume view") if paused else self.tr("Pause view"))
        set_icon(button, "resume" if paused else "pause")
        button.setToolTip(self.tr("Hold the picture still; the run goes on"))


def _expected_phase(span: PhaseSpan, figures: ForecastPhase | None) -> PhaseRow:
    return PhaseRow(
        span.name,
        span.start_s,
        span.end_s,
        peak_bytes=figures.peak_bytes if figures else None,
        retained_bytes=figures.retained_bytes if figures else None,
    )


def _extend(times: list[float], columns: dict[str, list[int]], event: MemorySamples) -> None:
    """Joins batches; a category that a batch does not name holds nothing in it."""
    before, count = len(times), len(event.t_s)
    times += event.t_s
    for name in {*columns, *event.columns}:
        column = columns.setdefault(name, [0] * before)
        column += event.columns.get(name, (0,) * count)
