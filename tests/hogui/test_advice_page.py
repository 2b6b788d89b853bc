"""The advisor's page: what it asks, what it shows while it waits, and what can be done from it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from core.spec.declaration import InvalidSpec, Problem
from core.spec.presets import preset
from hogui.commands.advice import AdviceControls
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab, RunState
from hogui.pages.advice_page import AdvicePage
from hogui.plots.point_marks import Kind
from hogui.tab_advice import AdviceState, nameless
from hogui.tables.advice_rows import FORETOLD_PEAK, FORETOLD_TIME, LABEL, PEAK, TIME
from hogui.theme import Preference, theme
from tests.fake_advisor import COSTS, IMPOSSIBLE, MIB, FakeAdvisor
from tests.fake_core import DEVICES, FakeCore

Finish = Callable[[OpenTab], None]
OpenWindow = Callable[..., MainWindow]
ROOMY, TIGHT = "1 GiB", "70 MiB"
TORCH = {"mitigation.checkpointing.kind": "torch"}


@pytest.fixture
def open_window(open_window: OpenWindow) -> OpenWindow:
    """Opens windows with one tab, of a net that has layers enough to be divided."""

    def open_(*args: object, **kwargs: object) -> MainWindow:
        window = open_window(*args, **kwargs)
        (first,) = window.session.tabs
        window.workbench.open_copy_of(preset("deep-mlp").spec)
        window.session.close(first)
        return window

    return open_


def _current(window: MainWindow) -> OpenTab:
    assert window.session.current is not None
    return window.session.current


def _controls(window: MainWindow) -> AdviceControls:
    return window.advice


def _page(window: MainWindow) -> AdvicePage:
    return _controls(window).page_of(_current(window))


def _advise(window: MainWindow, budget: str, qtbot: object) -> AdvicePage:
    """Opens the page, asks with this budget, and waits for the answer."""
    page = _open_page(window)
    _type(page, budget)
    QTest.keyClick(page.head.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE and bool(page.plot.dots))
    return page


def _open_page(window: MainWindow) -> AdvicePage:
    window.commands["advise"].setChecked(True)
    return _page(window)


def _type(page: AdvicePage, budget: str) -> None:
    page.head.field.selectAll()
    QTest.keyClicks(page.head.field, budget)


def _row(page: AdvicePage, number: int) -> list[str]:
    model = page.table.model().sourceModel()
    return [model.index(number, column).data() for column in range(model.columnCount())]


def _shown_labels(page: AdvicePage) -> list[str]:
    model = page.table.model()
    return [model.index(row, LABEL).data() for row in range(model.rowCount())]


# What it asks.


def test_that_the_action_puts_advice_in_the_place_of_the_figures_and_asks(
    open_window: OpenWindow, qtbot: object
) -> None:
    advisor = FakeAdvisor()
    window = open_window(advisor=advisor)
    tab = _current(window)
    qtbot.waitUntil(lambda: tab.own_forecast is not None)
    page = _open_page(window)
    figures = window.workbench.page_of(tab).figures
    assert page.isVisible()
    assert not figures.isVisible()
    assert page.head.field.text() == "8 GiB", "what the forecast is compared with"
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    assert advisor.asked == [(tab.spec, 8 << 30, None)]
    window.commands["advise"].setChecked(False)
    assert figures.isVisible()
    assert not page.isVisible()


def test_that_it_asks_as_soon_as_it_knows_what_there_is_to_fit_into(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    page = _open_page(window)
    assert page.head.field.text() == ""
    assert page.advice.state is AdviceState.IDLE
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)


def test_that_a_chosen_device_gives_the_budget_and_goes_along(
    open_window: OpenWindow, qtbot: object
) -> None:
    advisor = FakeAdvisor()
    window = open_window(advisor=advisor)
    window.preferences.change(memory="RTX 4090, 24 GiB")
    page = _open_page(window)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    ((_, budget, memory),) = advisor.asked
    assert page.head.field.text() == "24 GiB"
    assert budget == 24 << 30
    assert memory is not None
    assert memory.name == "RTX 4090"


@pytest.mark.parametrize("text", ["", "512", "-5 MiB", "0 GiB", "a lot"])
def test_that_a_budget_that_is_none_is_said_in_place_and_nothing_is_asked(
    open_window: OpenWindow, text: str
) -> None:
    advisor = FakeAdvisor()
    window = open_window(advisor=advisor)
    page = _open_page(window)
    page.head.field.clear()
    _type(page, text)
    page.head.button.click()
    assert page.head.trouble.startswith(f"{text or 'Nothing'} is no budget; allowed is a number")
    assert page.head.trouble.count(". ") == 0, "one sentence"
    assert page.head.field.property("invalid")
    assert not advisor.asked
    _type(page, "1 GiB")
    assert not page.head.trouble
    assert not page.head.field.property("invalid")


def test_that_a_typed_budget_is_not_replaced_by_a_proposed_one(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    page = _advise(window, TIGHT, qtbot)
    window.preferences.change(memory="RTX 4090, 24 GiB")
    assert page.head.field.text() == TIGHT


def test_that_a_configuration_that_cannot_run_is_not_advised_on(open_window: OpenWindow) -> None:
    window = open_window()
    tab, action = _current(window), window.commands["advise"]
    assert action.isEnabled()
    tab.edit(
        tab.spec.with_changes(
            {"mitigation.checkpointing.kind": "torch", "mitigation.checkpointing.segments": 999}
        )
    )
    assert tab.problems
    assert not action.isEnabled()


def test_that_settings_that_went_wrong_meanwhile_are_named_in_place(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    tab, page = _current(window), _advise(window, TIGHT, qtbot)
    tab.edit(tab.spec.with_changes({"mitigation.checkpointing.segments": 999} | TORCH))
    page.head.button.click()
    assert page.head.trouble == tab.problems[0].sentence
    assert page.head.button.text() == "Advise"
    tab.undo()
    page.head.button.click()
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    assert not page.head.trouble


# While it waits.


def test_that_progress_is_counted_and_points_appear_as_they_come(
    open_window: OpenWindow, qtbot: object
) -> None:
    advisor = FakeAdvisor(hold_at=2)
    advisor.held.clear()
    window = open_window(advisor=advisor)
    page = _open_page(window)
    qtbot.waitUntil(lambda: len(page.plot.dots) == 2)
    assert page.head.progress_label.text() == "2 of 5 combinations"
    assert (page.head.bar.value(), page.head.bar.maximum()) == (2, 5)
    assert page.head.bar.isVisible()
    assert page.head.button.text() == "Stop"
    assert _shown_labels(page) == ["As it is", "Rematerialize, 2 segments"]
    advisor.held.set()
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    assert page.head.progress_label.text() == "5 of 5 combinations fit · 1 cannot work"
    assert not page.head.bar.isVisible()
    assert page.head.button.text() == "Advise"


def test_that_stopping_takes_effect_at_once_and_keeps_what_there_is(
    open_window: OpenWindow, qtbot: object
) -> None:
    advisor = FakeAdvisor(hold_at=3)
    advisor.held.clear()
    window = open_window(advisor=advisor)
    page = _open_page(window)
    qtbot.waitUntil(lambda: len(page.plot.dots) == 3)
    page.head.button.click()
    assert page.advice.state is AdviceState.STOPPED
    assert page.head.progress_label.text() == "Stopped at 3 of 5 combinations"
    assert page.head.button.text() == "Advise"
    # The combination that is under way would take forever: what answers is ended.
    qtbot.waitUntil(lambda: advisor.is_closed)
    QTest.qWait(50)
    assert len(page.plot.dots) == 3
    assert page.advice.state is AdviceState.STOPPED


def test_that_escape_stops_too(open_window: OpenWindow, qtbot: object) -> None:
    advisor = FakeAdvisor(hold_at=1)
    advisor.held.clear()
    window = open_window(advisor=advisor)
    page = _open_page(window)
    qtbot.waitUntil(lambda: len(page.plot.dots) == 1)
    QTest.keyClick(page.head.field, Qt.Key.Key_Escape)
    assert page.advice.state is AdviceState.STOPPED


def test_that_another_budget_drops_what_was_asked_before(
    open_window: OpenWindow, qtbot: object
) -> None:
    advisor = FakeAdvisor(hold_at=1)
    advisor.held.clear()
    window = open_window(advisor=advisor)
    page = _open_page(window)
    qtbot.waitUntil(lambda: len(page.plot.dots) == 1)
    _type(page, TIGHT)
    QTest.keyClick(page.head.field, Qt.Key.Key_Return)
    advisor.held.set()
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    assert page.advice.answer is not None
    assert page.advice.answer.budget_bytes == 70 * MIB
    assert len(page.advice.points) == len(COSTS)


def test_that_the_window_closes_while_a_forecast_hangs(
    open_window: OpenWindow, qtbot: object
) -> None:
    advisor = FakeAdvisor()
    advisor.held.clear()
    window = open_window(advisor=advisor)
    page = _open_page(window)
    qtbot.waitUntil(lambda: bool(advisor.asked))
    window.close()
    assert advisor.is_closed
    assert page.advice.state is AdviceState.STOPPED


def test_that_nothing_is_foretold_while_a_run_measures(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    core, advisor = FakeCore(stall_after=2), FakeAdvisor()
    window = open_window(core.run, advisor=advisor)
    window.session.set_devices(DEVICES)
    tab = _current(window)
    window.session.run(tab)
    page = _open_page(window)
    assert page.head.field.text() == "8 GiB", "what is available there"
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.WAITING)
    QTest.qWait(50)
    assert not advisor.asked
    assert page.head.progress_label.text().startswith("Waits until the run is over")
    core.released.set()
    finish(tab)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)


def test_that_a_run_that_begins_meanwhile_comes_first(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    core, advisor = FakeCore(stall_after=2), FakeAdvisor(hold_at=2)
    advisor.held.clear()
    window = open_window(core.run, advisor=advisor)
    tab, page = _current(window), _open_page(window)
    qtbot.waitUntil(lambda: len(page.plot.dots) == 2)
    window.session.run(tab)
    advisor.held.set()
    qtbot.waitUntil(lambda: advisor.rested == 1)
    QTest.qWait(50)
    assert len(page.advice.points) < len(COSTS)
    assert "waits until the run is over" in page.head.progress_label.text()
    core.released.set()
    finish(tab)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("The processes died."), "The processes died."),
        (InvalidSpec([Problem((), "There is no cuda:7.")]), "There is no cuda:7."),
        (KeyError("odd"), "KeyError: 'odd'"),
    ],
)
def test_that_what_goes_wrong_is_said_in_place(
    open_window: OpenWindow, qtbot: object, error: Exception, sentence: str
) -> None:
    window = open_window(advisor=FakeAdvisor(trouble=error))
    page = _open_page(window)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.FAILED)
    assert page.head.trouble == sentence
    assert page.head.button.text() == "Advise"


# The answer.


def test_that_the_recommendation_stands_on_top_with_reason_and_figures(
    open_window: OpenWindow, qtbot: object
) -> None:
    page = _advise(open_window(), TIGHT, qtbot)
    assert page.card.headline_label.text() == "Recommended: rematerialize, 2 segments"
    assert page.card.reason_label.text() == "61 MiB, the fastest that fits."
    assert page.card.open_button.isVisible()


def test_that_nothing_to_change_is_not_offered_as_a_change(
    open_window: OpenWindow, qtbot: object
) -> None:
    page = _advise(open_window(), ROOMY, qtbot)
    assert page.card.headline_label.text() == "Recommended: as it is"
    assert not page.card.open_button.isVisible()
    assert page.card.measure_button.isVisible()


def test_that_where_nothing_fits_the_nearest_and_what_is_missing_are_named(
    open_window: OpenWindow, qtbot: object
) -> None:
    page = _advise(open_window(), "5 MiB", qtbot)
    assert page.card.headline_label.text() == "Nothing exact fits the budget"
    assert page.card.reason_label.text() == "The nearest needs 31 MiB more."
    assert not page.card.open_button.isVisible()
    assert not page.card.measure_button.isVisible()


def test_that_where_nothing_can_be_foretold_the_reason_stands_in_the_card(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window(advisor=FakeAdvisor(can_foretell=False))
    page = _open_page(window)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    assert page.card.headline_label.text() == "Nothing could be foretold"
    assert page.card.reason_label.text() == IMPOSSIBLE.reason
    assert page.head.progress_label.text() == "1 cannot work"
    assert page.plot.empty_sentence() is not None


def test_that_an_approximation_that_fits_is_told_apart(
    open_window: OpenWindow, qtbot: object
) -> None:
    page = _advise(open_window(), TIGHT, qtbot)
    kinds = [dot.kind for dot in page.plot.dots]
    assert kinds == [Kind.TOO_LARGE, Kind.FITS, Kind.FITS, Kind.TOO_LARGE, Kind.APPROXIMATES]
    assert _row(page, 4)[6] == "a half of it"
    assert page.plot.front == (0, 1, 2)


def test_that_a_row_tells_the_price_and_the_gain(open_window: OpenWindow, qtbot: object) -> None:
    page = _advise(open_window(), TIGHT, qtbot)
    # 101 MiB and 10 ms as it is; 41 MiB and 18 ms for the third.
    assert _row(page, 2)[:7] == [
        "Rematerialize, 3 segments",
        "41.0",
        "2.46",
        "18.00",
        "1.80",
        "yes",
        "exact",
    ]
    assert _row(page, 0)[5] == "31.0\N{NO-BREAK SPACE}MiB over"
    assert _row(page, 1)[0] == "Rematerialize, 2 segments · recommended"


def test_that_what_cannot_work_is_listed_with_why(open_window: OpenWindow, qtbot: object) -> None:
    page = _advise(open_window(), TIGHT, qtbot)
    assert page.impossible.isVisible()
    assert page.impossible.title == "1 combination cannot work"
    assert not page.impossible.expanded
    model = page.findChild(type(page.table).__mro__[1], "impossibleTable").model()
    assert model.index(0, 0).data() == "Compiled"
    assert model.index(0, 1).data() == IMPOSSIBLE.reason


def test_that_limits_can_be_opened(open_window: OpenWindow, qtbot: object) -> None:
    window = open_window()
    asked, page = _current(window), _advise(window, TIGHT, qtbot)
    texts = [label.text() for label in page.card.findChildren(QLabel)]
    assert "Largest batch: 4\N{NO-BREAK SPACE}096" in texts
    assert "Highest order: none fits" in texts
    page.findChild(QPushButton, "openLimitButton0").click()
    opened = _current(window)
    assert opened is not asked
    assert opened.spec.data.batch_size == 4096
    assert opened.name == f"{asked.name}, largest batch 4096"
    assert page.findChild(QPushButton, "openLimitButton1") is None


def test_that_changed_settings_are_said_to_be_newer_than_the_answer(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    tab, page = _current(window), _advise(window, TIGHT, qtbot)
    assert not page.head.stale_label.isVisible()
    tab.rename("Another name")
    assert not page.head.stale_label.isVisible()
    tab.edit(tab.spec.with_changes({"data.batch_size": 3}))
    assert page.head.stale_label.isVisible()
    tab.undo()
    assert not page.head.stale_label.isVisible()


# Plot and table.


def test_that_a_click_in_the_plot_selects_the_row_and_the_other_way_round(
    open_window: OpenWindow, qtbot: object
) -> None:
    page = _advise(open_window(), TIGHT, qtbot)
    page.plot.redraw()
    page.plot.canvas.box.clicked.emit(page.plot.place_of(2) + QPointF(3, 2), False, False)
    assert page.table.selected() == {2}
    assert page.plot.selected == {2}
    page.plot.canvas.box.clicked.emit(page.plot.place_of(0), False, True)
    assert page.table.selected() == {0, 2}
    page.table.select({0, 3})
    assert page.plot.selected == {0, 3}
    page.plot.canvas.box.clicked.emit(QPointF(-500, -500), False, False)
    assert page.plot.selected == {0, 3}


def test_that_the_point_under_the_pointer_is_read_out(
    open_window: OpenWindow, qtbot: object
) -> None:
    page = _advise(open_window(), TIGHT, qtbot)
    page.plot.redraw()
    page.plot.canvas.pointed.emit(page.plot.place_of(2))
    shown = page.plot.read_out_at(0.0)
    assert shown is not None
    title, rows = shown
    assert title == "Rematerialize, 3 segments"
    figures = {row.name: row.value.replace("\N{NO-BREAK SPACE}", " ") for row in rows}
    assert figures["Peak and baseline"] == "41.0 MiB"
    assert figures["Time"] == "18.0 ms"
    assert figures["÷ as it is"] == "2.46×"
    page.plot.canvas.pointed.emit(None)
    assert page.plot.read_out_at(0.0) is None


def test_that_selection_survives_sorting_and_new_answers(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    page = _advise(window, TIGHT, qtbot)
    page.table.select({2})
    page.table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert _shown_labels(page)[0] == "First order only"
    assert page.table.selected() == {2}
    _advise(window, ROOMY, qtbot)
    assert page.table.selected() == {2}


def test_that_the_table_is_copied_as_csv(open_window: OpenWindow, qtbot: object) -> None:
    page = _advise(open_window(), TIGHT, qtbot)
    page.table.copy()
    rows = list(csv.DictReader(io.StringIO(QGuiApplication.clipboard().text())))
    assert [float(row["Peak, MiB"]) for row in rows] == [11, 101, 61, 41, 121]
    page.table.select({4})
    page.table.copy()
    (row,) = csv.DictReader(io.StringIO(QGuiApplication.clipboard().text()))
    assert row["Result"] == "a half of it"


def test_that_another_theme_recolours_marks_and_legend(
    open_window: OpenWindow, qtbot: object
) -> None:
    theme().set_preference(Preference.LIGHT)
    page = _advise(open_window(), TIGHT, qtbot)
    page.plot.redraw()
    before = page.plot.grab().toImage(), page.table.grab().toImage()
    colours = [colour.name() for colour, _ in page.plot._legend.entries]
    theme().set_preference(Preference.DARK)
    page.plot.redraw()
    after = page.plot.grab().toImage(), page.table.grab().toImage()
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert [colour.name() for colour, _ in page.plot._legend.entries] != colours


# Opening, measuring, comparing.


def test_that_a_point_opens_as_a_tab_whose_undo_takes_the_advice_back(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    asked, page = _current(window), _advise(window, TIGHT, qtbot)
    spec = asked.spec
    page.table.select({2})
    page.open_button.click()
    opened = _current(window)
    assert opened is not asked
    assert opened.name == f"{asked.name}, rematerialize, 3 segments"
    assert opened.spec.mitigation.checkpointing.segments == 3
    opened.undo()
    assert nameless(opened.spec) == nameless(spec)
    assert asked.spec == spec
    assert not asked.can_undo
    window.session.set_current(asked)
    assert page.isVisible(), "advice stays where it was"


def test_that_enter_and_a_double_click_open_too_but_nothing_twice(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    asked, page = _current(window), _advise(window, TIGHT, qtbot)
    page.table.select({1})
    page.table.setFocus()
    QTest.keyClick(page.table, Qt.Key.Key_Return)
    opened = _current(window)
    window.session.set_current(asked)
    page.plot.redraw()
    page.plot.canvas.box.clicked.emit(page.plot.place_of(1), True, False)
    assert _current(window) is opened
    assert len(window.session.tabs) == 2


def test_that_points_are_measured_one_after_the_other_and_stand_beside_the_forecast(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    core = FakeCore()
    window = open_window(core.run)
    asked, page = _current(window), _advise(window, TIGHT, qtbot)
    assert page.table.isColumnHidden(FORETOLD_PEAK)
    page.table.select({1, 2})
    page.measure_button.click()
    tabs = [tab for tab in window.session.tabs if tab is not asked]
    assert [tab.state for tab in tabs] == [RunState.RUNNING, RunState.QUEUED]
    assert _current(window) is asked
    assert page.isVisible()
    for tab in tabs:
        finish(tab)
    qtbot.waitUntil(lambda: _row(page, 2)[FORETOLD_PEAK] != "–")
    foretold = {1: ("61.0", "15.00"), 2: ("41.0", "18.00")}
    for row, tab in zip((1, 2), tabs, strict=True):
        assert tab.result is not None
        shown = float(_row(page, row)[PEAK])
        assert shown == pytest.approx(tab.result.memory.total_bytes / MIB, abs=0.05)
        assert float(_row(page, row)[TIME]) == pytest.approx(
            1000 * tab.result.time.median_s, abs=0.01
        )
        assert (
            tuple(_row(page, row)[column] for column in (FORETOLD_PEAK, FORETOLD_TIME))
            == (foretold[row])
        )
    assert _row(page, 0)[FORETOLD_PEAK] == "–"
    page.table.select({0, 1})
    page.measure_button.click()
    assert asked.busy
    assert not any(tab.busy for tab in tabs), "what is known is not measured again"
    finish(asked)


def test_that_the_recommendation_is_measured_from_its_card(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    window = open_window()
    page = _advise(window, TIGHT, qtbot)
    page.card.measure_button.click()
    tab = window.session.tabs[1]
    assert tab.busy
    finish(tab)
    assert tab.result is not None
    assert tab.result.spec.mitigation.checkpointing.segments == 2


def test_that_the_configuration_as_it_is_is_measured_in_its_own_tab(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    window = open_window()
    asked, page = _current(window), _advise(window, TIGHT, qtbot)
    page.table.select({0})
    page.measure_button.click()
    finish(asked)
    assert asked.result is not None
    assert window.session.tabs == (asked,)


def test_that_points_are_compared_side_by_side(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    window = open_window()
    asked, page = _current(window), _advise(window, TIGHT, qtbot)
    page.table.select({0})
    assert not page.compare_button.isEnabled(), "one alone compares with nothing"
    page.table.select({0, 1})
    page.compare_button.click()
    shown = window.workbench.side_by_side.shown
    assert shown == (asked, window.session.tabs[1])
    assert not page.isVisible()
    for tab in shown:
        finish(tab)
        assert tab.result is not None
        assert window.workbench.page_of(tab).figures.isVisible()
    # The other way round: advice takes the tab out of the comparison.
    window.commands["advise"].setChecked(True)
    assert not window.workbench.side_by_side.shown
    assert page.isVisible()


def test_that_each_tab_has_its_own_page(open_window: OpenWindow, qtbot: object) -> None:
    window = open_window()
    first, page = _current(window), _advise(window, TIGHT, qtbot)
    window.commands["newTab"].trigger()
    assert not window.commands["advise"].isChecked()
    other = _open_page(window)
    assert other is not page
    qtbot.waitUntil(lambda: other.advice.state is AdviceState.DONE)
    window.session.set_current(first)
    assert window.commands["advise"].isChecked()
    window.session.close(first)
    assert _current(window) is not first


def test_that_a_tab_can_be_closed_while_its_advice_is_on_its_way(
    open_window: OpenWindow, qtbot: object
) -> None:
    advisor = FakeAdvisor(hold_at=1)
    advisor.held.clear()
    window = open_window(advisor=advisor)
    tab, page = _current(window), _open_page(window)
    qtbot.waitUntil(lambda: len(page.plot.dots) == 1)
    window.session.close(tab)
    advisor.held.set()
    QTest.qWait(50)
    assert tab not in window.session.tabs
