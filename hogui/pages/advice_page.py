"""What would make a tab's configuration cheaper: every combination, foretold and ranked.

It stands in the place of the tab's figures, shows what `TabAdvice` knows, and asks for the rest.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid
from typing_extensions import override

from core.advisor import known_bytes, known_seconds
from core.results.advice import AdvicePoint
from hogui.advice_text import capitalized, details_of, stale_text
from hogui.forecaster import DEBOUNCE_MS
from hogui.icons import set_icon
from hogui.judged_advice import JudgedAdvice
from hogui.open_tab import OpenTab
from hogui.pages.advice_card import AdviceCard
from hogui.pages.advice_head import AdviceHead
from hogui.pages.impossible_group import ImpossibleGroup
from hogui.plots.elided_label import ElidedLabel
from hogui.plots.frame import frame_clock
from hogui.plots.trade_off_plot import Dot, TradeOffPlot
from hogui.session import MOST_TABS_AT_ONCE
from hogui.splitter import Splitter
from hogui.tab_advice import AdviceState, Measured, Proposal, TabAdvice
from hogui.tables.advice_rows import advice_rows, kind_of
from hogui.tables.advice_table import AdviceTable
from hogui.theme import GRID, theme

PAUSE_MS = 100
_WIDE = 325 * GRID
"""From this width on the table stands beside the plot."""
_SHARES = {False: [5300, 4700], True: [3800, 6200]}
"""Of plot and table: under each other, and side by side."""


class AdvicePage(QWidget):
    """Budget, recommendation, plot and table of one tab's advice.

    Signals:
        adviceWanted: a budget in bytes.
        stopWanted: the answer is no longer wanted.
        openWanted: proposals, each for a tab of its own.
        measureWanted: proposals, which are measured one after the other.
        compareWanted: two to four proposals, to be measured and shown side by side.
        closed: the figures shall be seen again.
    """

    adviceWanted = Signal(object)
    stopWanted = Signal()
    openWanted = Signal(object)
    measureWanted = Signal(object)
    compareWanted = Signal(object)
    closed = Signal()

    def __init__(self, tab: OpenTab, advice: TabAdvice, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("advicePage")
        self.tab, self.advice = tab, advice
        self._judged = JudgedAdvice(advice)
        self._is_held = self._is_laid_out = self._is_redrawing = False
        self._is_stale_picture = self._is_new_picture = True
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._request_redraw)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(DEBOUNCE_MS)
        self._typing.timeout.connect(self._follow_budget)
        self._points: tuple[AdvicePoint, ...] = ()
        self._chosen: set[str] = set()
        """The labels of the combinations that are selected."""
        self._dot_rows: tuple[int, ...] = ()
        """The row of each point of the plot; a point without a time has a row only."""
        self._lay_out()
        self._wire()
        self._changed()
        self.redraw()

    # What is known.

    def propose_budget(self, budget_bytes: int | None) -> None:
        """A budget for who has not typed one."""
        self.head.propose(budget_bytes)

    def ask(self) -> None:
        """Asks with the budget that is in the field."""
        self.head.ask()

    def set_held(self, held: bool) -> None:
        """Whether the answer waits for a run."""
        self._is_held = held
        self._changed()

    def set_measured(self, measured: Measured) -> None:
        """What runs have shown, by the configuration without its name."""
        if self._judged.set_measured(measured):
            self._changed()
            self._request_redraw()

    def selected(self) -> list[Proposal]:
        """The selected combinations."""
        rows = sorted(self.table.selected())
        return [_proposal(self._points[row]) for row in rows if row < len(self._points)]

    # Drawing.

    def _changed(self) -> None:
        """The state is another one."""
        advice, answer = self.advice, self._judged.answer
        stale = stale_text(answer, self.head.budget)
        if advice.question is not None and not advice.is_of(self.tab.spec):
            stale = self.tr("The settings were changed since.")
        self.head.show_advice(advice, answer, is_held=self._is_held, stale=stale)
        self.card.show_answer(answer, self._judged.measured)
        self.card.set_stale(bool(stale))
        self.impossible.show_impossible(answer.impossible if answer is not None else ())
        self._follow_budget()

    def _budget_edited(self) -> None:
        self._typing.start()
        self._changed()

    def _follow_budget(self) -> None:
        """Asks about the budget that is typed, as soon as that needs no further forecasts."""
        question, budget = self.advice.question, self.head.budget
        if question is None or budget in (None, question.budget_bytes):
            return
        state = self.advice.state
        is_foretold = state is AdviceState.DONE or bool(
            state is AdviceState.ASKING and self.advice.doing
        )
        is_same = self.head.is_own and self.advice.is_of(self.tab.spec)
        if is_same and is_foretold and not self._is_held and not self._typing.isActive():
            self.adviceWanted.emit(budget)

    def _wanted(self, budget_bytes: int) -> None:
        """The button or Enter; what was typed may be on its way already."""
        self._typing.stop()
        question = self.advice.question
        is_on_its_way = (
            self.advice.is_under_way
            and question is not None
            and question.budget_bytes == budget_bytes
            and self.advice.is_of(self.tab.spec)
        )
        if not is_on_its_way:
            self.adviceWanted.emit(budget_bytes)

    def _points_changed(self, only_more: bool) -> None:
        self._is_new_picture |= not only_more
        if not only_more:
            self._request_redraw()
        elif not self._pause.isActive():
            # Points come faster than hundreds of them can be drawn.
            self._pause.start()

    def _request_redraw(self) -> None:
        self._is_stale_picture = True
        frame_clock().request(self)

    def redraw(self) -> None:
        """Brings plot and table up to date, once a frame at most."""
        if not self._is_stale_picture or not isValid(self):
            return
        self._is_redrawing = True
        self._points, question = self._judged.points, self.advice.question
        answer = self._judged.answer if self.advice.answer is not None else None
        budget = question.budget_bytes if question is not None else 0
        chosen = answer.recommended if answer is not None else None
        taken = None if chosen is None else chosen.spec
        best = next((point for point in self._points if point.spec == taken), None)
        rows = advice_rows(self._points, budget, taken)
        kinds = [kind_of(point) for point in self._points]
        self.table.show_rows(rows, kinds, anew=self._is_new_picture)
        timed = [(row, point) for row, point in enumerate(self._points) if known_seconds(point)]
        self._dot_rows = tuple(row for row, _ in timed)
        first = next((point for point in self._points if not point.changes), None)
        self.plot.set_dots([self._dot(point, first, best) for _, point in timed])
        self.plot.set_budget(question.budget_bytes if question is not None else None)
        self._select_again()
        self._is_stale_picture = self._is_new_picture = self._is_redrawing = False
        self._show_selection()

    def _dot(self, point: AdvicePoint, first: AdvicePoint | None, best: AdvicePoint | None) -> Dot:
        names = []
        if point is first:
            names.append(self.tr("as it is"))
        if point is best:
            names.append(self.tr("recommended"))
        seconds, foretold = known_seconds(point) or 0.0, None
        if point.measured_s is not None or point.measured_bytes is not None:
            foretold = point.forecast.seconds or seconds, point.forecast.total_bytes
        return Dot(
            label=capitalized(point.label),
            seconds=seconds,
            total_bytes=known_bytes(point),
            kind=kind_of(point),
            on_front=point.on_front and not point.approximates,
            name=" · ".join(names),
            details=partial(details_of, point, first),
            foretold=foretold,
        )

    def _select_again(self) -> None:
        """What was chosen stays chosen, as soon as it is there again."""
        rows = {row for row, point in enumerate(self._points) if point.label in self._chosen}
        if rows != self.table.selected():
            self.table.select(rows)

    # What the user does.

    def _selection_changed(self) -> None:
        if not self._is_redrawing:
            self._chosen = {self._points[row].label for row in self.table.selected()}
            self._show_selection()

    def _show_selection(self) -> None:
        rows = self.table.selected()
        self.plot.select(frozenset(n for n, row in enumerate(self._dot_rows) if row in rows))
        count = len(rows)
        for button in (self.open_button, self.measure_button):
            button.setEnabled(count > 0)
        self.compare_button.setEnabled(2 <= count <= MOST_TABS_AT_ONCE)
        if count:
            text = self.tr("1 selected") if count == 1 else self.tr("{n} selected").format(n=count)
        else:
            text = self.tr("Select a combination in the plot or in the table.")
        self.selection_label.setText(text if self._points else "")

    def _chosen_in_plot(self, number: int, adds: bool) -> None:
        row = self._dot_rows[number]
        others = self.table.selected() if adds else frozenset()
        self.table.select(others ^ {row} if adds else {row})

    def _open_row(self, row: int) -> None:
        self.openWanted.emit([_proposal(self._points[row])])

    # Layout.

    def _lay_out(self) -> None:
        self.head = AdviceHead()
        self.card = AdviceCard(
            self.tr(
                "Every combination of mitigations is foretold and held against the budget; what to "
                "take, and why, will stand here."
            )
        )
        self.plot = TradeOffPlot(
            self.tr("Each combination will appear here as a point: its peak against its time.")
        )
        self.table = AdviceTable(self.tr("Each combination and its cost will stand here."))
        self.splitter = Splitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        lower = QWidget()
        below = QVBoxLayout(lower)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(2 * GRID)
        below.addWidget(self.table, 1)
        below.addLayout(self._buttons())
        self.impossible = ImpossibleGroup()
        below.addWidget(self.impossible)
        self.splitter.addWidget(self.plot)
        self.splitter.addWidget(lower)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 1)
        answer = _Answer()
        column = QVBoxLayout(answer)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2 * GRID)
        column.addWidget(self.card)
        column.addWidget(self.splitter, 1)
        # In a small window the parts keep their height, and scroll.
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setWidget(answer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 2 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(self.head)
        layout.addWidget(self.scroll, 1)

    def _buttons(self) -> QHBoxLayout:
        self.selection_label = ElidedLabel()
        self.selection_label.setProperty("role", "secondary")
        self.open_button = _button("openPointButton", self.tr("Open as tab"), "new-tab")
        self.open_button.setToolTip(self.tr("Open each selected combination in a tab (Enter)"))
        self.measure_button = _button("measurePointButton", self.tr("Measure"), "run")
        self.measure_button.setToolTip(
            self.tr("Measure the selected combinations one after the other, in tabs of their own")
        )
        self.compare_button = _button("comparePointsButton", self.tr("Compare"), "split")
        self.compare_button.setToolTip(
            self.tr("Measure two to four combinations and show them side by side")
        )
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.selection_label, 1)
        for button in (self.open_button, self.measure_button, self.compare_button):
            line.addWidget(button)
        return line

    def _wire(self) -> None:
        self.head.wanted.connect(self._wanted)
        self.head.edited.connect(self._budget_edited)
        self.head.stopWanted.connect(self.stopWanted)
        self.head.closed.connect(self.closed)
        self.card.openWanted.connect(lambda proposal: self.openWanted.emit([proposal]))
        self.card.measureWanted.connect(lambda proposal: self.measureWanted.emit([proposal]))
        self.plot.chosen.connect(self._chosen_in_plot)
        self.plot.opened.connect(lambda number: self._open_row(self._dot_rows[number]))
        self.table.opened.connect(self._open_row)
        self.table.selectionChangedTo.connect(lambda _: self._selection_changed())
        self.open_button.clicked.connect(lambda: self.openWanted.emit(self.selected()))
        self.measure_button.clicked.connect(lambda: self.measureWanted.emit(self.selected()))
        self.compare_button.clicked.connect(lambda: self.compareWanted.emit(self.selected()))
        self.advice.changed.connect(self._changed)
        self.advice.pointsChanged.connect(self._points_changed)
        self.tab.specChanged.connect(self._changed)
        theme().changed.connect(self._request_redraw)

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        wide = self.width() >= _WIDE
        orientation = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if self.splitter.orientation() is not orientation or not self._is_laid_out:
            self._is_laid_out = True
            self.splitter.setOrientation(orientation)
            self.splitter.setSizes(_SHARES[wide])

    @override
    def minimumSizeHint(self) -> QSize:
        return QSize(100 * GRID, 100 * GRID)


class _Answer(QWidget):
    """What scrolls only where there is no room for the least height of its parts."""

    @override
    def heightForWidth(self, width: int) -> int:
        return self.layout().minimumHeightForWidth(width)


def _proposal(point: AdvicePoint) -> Proposal:
    return Proposal(point.spec, point.label if point.changes else "")


def _button(name: str, text: str, icon: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    set_icon(button, icon)
    return button
