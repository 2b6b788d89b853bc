"""The advisor's page once figures are measured, while a budget is typed, and how its rows stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest

from core import isolation
from core.results.forecast import DeviceMemory
from core.results.measurement import Measurement
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.forecaster import DEBOUNCE_MS
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
from hogui.own_advisor import settled_before
from hogui.pages.advice_page import AdvicePage
from hogui.plots.frame import frame_clock
from hogui.tab_advice import AdviceState, nameless
from hogui.tables.advice_rows import FITS, FORETOLD_PEAK, FORETOLD_TIME, LABEL, PEAK, TIME
from hogui.theme import DARK, LIGHT, Preference, theme
from tests.fake_advisor import COSTS, MIB, FakeAdvisor
from tests.fake_core import FakeCore

Finish = Callable[[OpenTab], None]
OpenWindow = Callable[..., MainWindow]
Advised = Callable[..., AdvicePage]
LEAST_CONTRAST = 4.5
"""What text needs to be readable, by WCAG 2.2 AA."""


@pytest.fixture
def advised(open_window: OpenWindow, qtbot: object) -> Advised:
    """A page that is open on a net with layers enough, and its answer for a budget."""

    def open_(budget: str, advisor: FakeAdvisor | None = None, **kwargs: object) -> AdvicePage:
        window = open_window(advisor=advisor or FakeAdvisor(), **kwargs)
        (first,) = window.session.tabs
        tab = window.workbench.open_copy_of(preset("deep-mlp").spec)
        window.session.close(first)
        page = window.advice.page_of(tab)
        page.head.set_budget(budget)
        window.commands["advise"].setChecked(True)
        qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE and bool(page.plot.dots))
        _settle(qtbot)
        return page

    return open_


def _settle(qtbot: object) -> None:
    qtbot.waitUntil(lambda: not frame_clock().running)
    QTest.qWait(1)


def _type(page: AdvicePage, budget: str) -> None:
    page.head.field.selectAll()
    QTest.keyClicks(page.head.field, budget)


def _run(page: AdvicePage, results: dict[int, tuple[float, float]], made: Measurement) -> None:
    """As if points had been measured.

    Args:
        page: whose points.
        results: MiB and seconds of each, by its number.
        made: any run.
    """
    assert made.memory is not None
    assert made.time is not None
    runs = {}
    for number, (mib, seconds) in results.items():
        spec = nameless(page.advice.points[number].spec)
        peak = round(mib * MIB) - made.memory.baseline_bytes
        runs[spec] = made.model_copy(
            update={
                "spec": spec,
                "memory": made.memory.model_copy(update={"peak_bytes": peak}),
                "time": made.time.model_copy(update={"median_s": seconds}),
            }
        )
    page.set_measured(runs)


@pytest.fixture
def made(open_window: OpenWindow, finish: Finish) -> Measurement:
    """A run that went well."""
    window = open_window(FakeCore().run)
    (tab,) = window.session.tabs
    window.session.run(tab)
    finish(tab)
    window.close()
    assert tab.result is not None
    return tab.result


def _cells(page: AdvicePage, number: int) -> list[str]:
    model = page.table.model().sourceModel()
    return [model.index(number, column).data() for column in range(model.columnCount())]


def _labels(page: AdvicePage) -> list[str]:
    model = page.table.model()
    return [model.index(row, LABEL).data() for row in range(model.rowCount())]


# Measured figures.


@pytest.mark.parametrize("is_of_here", [True, False])
def test_that_a_run_of_another_machine_is_not_taken_for_one_here(
    open_window: OpenWindow, finish: Finish, monkeypatch: pytest.MonkeyPatch, is_of_here: bool
) -> None:
    monkeypatch.setattr(isolation, "is_of_here", lambda *_: is_of_here)
    window = open_window(FakeCore().run)
    (tab,) = window.session.tabs
    window.session.run(tab)
    finish(tab)
    assert tab.result is not None
    window.commands["advise"].setChecked(True)
    known = {nameless(tab.spec): tab.result} if is_of_here else {}
    assert window.advice.page_of(tab)._judged.measured == known


def test_that_a_run_here_says_nothing_of_a_device_that_is_not_here(
    advised: Advised, made: Measurement
) -> None:
    page = advised("70 MiB")
    question, answer = page.advice.question, page.advice.answer
    assert question is not None
    assert answer is not None
    elsewhere = DeviceMemory(name="RTX 4090", total_bytes=24 * 2**30)
    page.advice.ask(replace(question, memory=elsewhere))
    page.advice.set_state(AdviceState.ASKING)
    page.advice.hear(page.advice.question, answer)
    _run(page, {1: (63, 0.030)}, made)
    assert [point.measured_bytes for point in page._judged.points] == [None] * len(answer.points)
    page.advice.ask(question)
    page.advice.set_state(AdviceState.ASKING)
    page.advice.hear(question, answer)
    assert page._judged.points[1].measured_bytes == 63 * MIB


def test_that_the_plot_shows_what_was_measured_and_where_its_forecast_was(
    advised: Advised, made: Measurement, qtbot: object
) -> None:
    page = advised("70 MiB")
    assert all(dot.foretold is None for dot in page.plot.dots)
    _run(page, {1: (63, 0.030)}, made)
    _settle(qtbot)
    dot = page.plot.dots[1]
    assert (dot.total_bytes, dot.seconds) == (63 * MIB, 0.030)
    assert dot.foretold == (0.015, 61 * MIB)
    assert [each.foretold for n, each in enumerate(page.plot.dots) if n != 1] == [None] * 4
    assert dict(dot.details())["Time"].replace("\N{NO-BREAK SPACE}", " ") == (
        "30.0 ms measured, 15.0 ms foretold"
    )
    titles = [title for _, title in page.plot._legend.entries]
    assert "measured, with a line to its forecast" in titles
    # Both ends of its line are in the picture, and the line is drawn.
    mapping = page.plot.canvas.mapping()
    ends = [page.plot.place_of(1), page.plot._place(mapping, *dot.foretold)]
    assert all(mapping.area.contains(end) for end in ends)
    middle = (ends[0] + ends[1]) / 2 + page.plot.canvas.box.sceneBoundingRect().topLeft()
    image = page.plot.canvas.grab().toImage()
    seen = {
        image.pixelColor(round(middle.x()), round(middle.y()) + shift).lightness()
        for shift in (-1, 0, 1)
    }
    assert min(seen) < QColor(theme().tokens.surface).lightness() - 40


def test_that_the_front_goes_through_the_best_known_figures(
    advised: Advised, made: Measurement, qtbot: object
) -> None:
    page = advised("70 MiB")
    assert page.plot.front == (0, 1, 2)
    # 61 MiB in 15 ms was foretold; measured, it is beaten by the 41 MiB in 18 ms of another.
    _run(page, {1: (61, 0.019)}, made)
    _settle(qtbot)
    assert page.plot.front == (0, 2)


def test_that_recommendation_and_table_say_what_was_measured(
    advised: Advised, made: Measurement, qtbot: object
) -> None:
    page = advised("70 MiB")
    _run(page, {0: (101, 0.012), 1: (63, 0.018)}, made)
    _settle(qtbot)
    assert page.card.reason_label.text() == (
        "63.0 MiB instead of 101, 1.5× time, as measured; the fastest exact one that fits."
    )
    cells = _cells(page, 1)
    assert (cells[PEAK], cells[TIME]) == ("63.0", "18.00")
    assert (cells[FORETOLD_PEAK], cells[FORETOLD_TIME]) == ("61.0", "15.00")
    model = page.table.model().sourceModel()
    for column in (PEAK, TIME):
        cell = model.row(1).cells[column]
        assert cell.icon == "run", "the mark of a run"
        assert cell.tip.startswith("Measured; ")
        assert not model.row(2).cells[column].icon
    assert "3.28 %" in model.row(1).cells[PEAK].tip


def test_that_what_is_measured_not_to_fit_is_no_longer_recommended(
    advised: Advised, made: Measurement, qtbot: object
) -> None:
    page = advised("70 MiB")
    assert page.card.headline_label.text() == "Recommended: rematerialize, 2 segments"
    _run(page, {1: (75, 0.015)}, made)
    _settle(qtbot)
    assert page.card.headline_label.text() == "Recommended: rematerialize, 3 segments"
    assert page.card.more_labels[0].text() == (
        "Before the runs, rematerialize, 2 segments was recommended."
    )
    assert _cells(page, 1)[FITS] == "5.00\N{NO-BREAK SPACE}MiB over"
    assert page.head.progress_label.text().startswith("2 of 5 combinations fit")
    assert page.plot.dots[2].name == "recommended"


# The budget.


def test_that_an_answer_is_marked_as_stale_with_the_first_key_of_another_budget(
    advised: Advised,
) -> None:
    page = advised("70 MiB")
    assert not page.head.stale_label.isVisible()
    assert not page.card.property("stale")
    _type(page, "6")
    assert page.head.stale_label.isVisible()
    assert page.head.stale_label.text() == "This is for 70 MiB."
    assert page.card.property("stale")
    _type(page, "70 MiB")
    assert not page.head.stale_label.isVisible()
    assert not page.card.property("stale")


def test_that_another_budget_is_answered_while_it_is_typed(advised: Advised, qtbot: object) -> None:
    advisor = FakeAdvisor()
    page = advised("70 MiB", advisor)
    _type(page, "50 MiB")
    assert len(advisor.asked) == 1, "not with every key"
    qtbot.waitUntil(lambda: page.advice.answer is not None and len(advisor.asked) == 2)
    assert [budget for _, budget, _ in advisor.asked] == [70 * MIB, 50 * MIB]
    assert page.card.headline_label.text() == "Recommended: rematerialize, 3 segments"
    assert not page.head.stale_label.isVisible()
    QTest.keyClick(page.head.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: len(advisor.asked) == 3)


def test_that_the_answer_before_stays_marked_until_the_new_one_is_there(
    advised: Advised, qtbot: object
) -> None:
    advisor = FakeAdvisor(hold_at=1)
    page = advised("70 MiB", advisor)
    advisor.held.clear()
    _type(page, "50 MiB")
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.ASKING)
    _settle(qtbot)
    assert page.card.headline_label.text() == "Recommended: rematerialize, 2 segments"
    assert page.card.property("stale")
    assert page.head.stale_label.text() == "This is for 70 MiB."
    # The points are known, and held against the budget of now.
    assert len(page.plot.dots) == len(COSTS)
    assert [_cells(page, number)[FITS] for number in range(5)].count("yes") == 2
    # What is on its way is not asked for twice.
    QTest.keyClick(page.head.field, Qt.Key.Key_Return)
    assert len(advisor.asked) == 2
    advisor.held.set()
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    assert page.card.headline_label.text() == "Recommended: rematerialize, 3 segments"
    assert not page.card.property("stale")
    assert not page.head.stale_label.isVisible()


def test_that_a_budget_which_needs_further_forecasts_waits_for_the_key(
    advised: Advised, qtbot: object
) -> None:
    advisor = FakeAdvisor()
    page = advised("70 MiB", advisor)
    page.tab.edit(page.tab.spec.with_changes({"data.batch_size": 3}))
    _type(page, "50 MiB")
    QTest.qWait(3 * DEBOUNCE_MS)
    assert len(advisor.asked) == 1
    assert page.head.stale_label.text() == "The settings were changed since."
    QTest.keyClick(page.head.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    assert not page.head.stale_label.isVisible()


def test_that_a_run_keeps_the_answer_of_now_and_the_typed_budget_comes_after_it(
    advised: Advised, finish: Finish, qtbot: object
) -> None:
    core, advisor = FakeCore(stall_after=2), FakeAdvisor()
    page = advised("70 MiB", advisor, source=core.run)
    window = page.window()
    assert isinstance(window, MainWindow)
    window.session.run(page.tab)
    _type(page, "50 MiB")
    QTest.qWait(3 * DEBOUNCE_MS)
    assert len(advisor.asked) == 1
    assert page.advice.state is AdviceState.DONE
    assert page.head.stale_label.text() == "This is for 70 MiB."
    core.released.set()
    finish(page.tab)
    qtbot.waitUntil(lambda: len(advisor.asked) == 2 and page.advice.state is AdviceState.DONE)
    assert not page.head.stale_label.isVisible()


def test_that_rivals_which_took_turns_do_not_again_for_another_budget() -> None:
    specs = [preset("deep-mlp").spec.with_value("data.batch_size", str(n)) for n in (1, 2, 3)]
    asked: list[int] = []

    def settle(rivals: list[RunSpec]) -> list[float | None]:
        asked.append(len(rivals))
        return [spec.data.batch_size / 10 if spec.data.batch_size < 3 else None for spec in rivals]

    known: list[dict[RunSpec, float]] = []
    assert list(settled_before(specs[:2], known, settle)) == [0.1, 0.2]
    assert list(settled_before(specs[1::-1], known, settle)) == [0.2, 0.1]
    assert asked == [2]
    # Who was not among them has to take turns with all; what could not be measured is not kept.
    assert list(settled_before(specs, known, settle)) == [0.1, 0.2, None]
    assert list(settled_before(specs, known, settle)) == [0.1, 0.2, None]
    assert asked == [2, 3, 3]


# The rows.


def test_that_the_fastest_stands_first_until_somebody_sorts_otherwise(advised: Advised) -> None:
    page = advised("70 MiB")
    by_time = [
        "First order only",
        "As it is",
        "Rematerialize, 2 segments · recommended",
        "Rematerialize, 3 segments",
        "Torch's checkpointing",
    ]
    assert _labels(page) == by_time
    assert page.table.horizontalHeader().sortIndicatorSection() == TIME
    page.table.sortByColumn(PEAK, Qt.SortOrder.DescendingOrder)
    assert _labels(page)[0] == "Torch's checkpointing"
    _type(page, "1 GiB")
    QTest.keyClick(page.head.field, Qt.Key.Key_Return)
    assert _labels(page)[0] == "Torch's checkpointing", "as it was sorted"


@pytest.mark.parametrize("order", list(Qt.SortOrder))
def test_that_what_is_absent_stands_last_in_both_directions(
    advised: Advised, made: Measurement, qtbot: object, order: Qt.SortOrder
) -> None:
    page = advised("70 MiB")
    _run(page, {1: (61, 0.015), 3: (121, 0.020)}, made)
    _settle(qtbot)
    page.table.sortByColumn(FORETOLD_TIME, order)
    model = page.table.model()
    shown = [model.index(row, FORETOLD_TIME).data() for row in range(model.rowCount())]
    expected = ["15.00", "20.00"]
    if order is Qt.SortOrder.DescendingOrder:
        expected.reverse()
    assert shown == [*expected, "–", "–", "–"]


def test_that_the_recommended_row_is_in_sight_and_stands_out(
    advised: Advised, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = [
        (f"too large {n}", {"kind": "rematerialize", "segments": 5 + n}, 500, 0.001, "")
        for n in range(30)
    ]
    monkeypatch.setattr("tests.fake_advisor.COSTS", (*COSTS, *faster))
    page = advised("70 MiB")
    table, model = page.table, page.table.model()
    row = _labels(page).index("Rematerialize, 2 segments · recommended")
    assert row > 20
    box = table.visualRect(model.index(row, LABEL))
    assert table.viewport().rect().contains(box.center())
    assert model.index(row, LABEL).data(Qt.ItemDataRole.FontRole).bold()
    image = table.viewport().grab().toImage()
    place = box.right() - 3, box.center().y()
    above = box.right() - 3, box.center().y() - box.height()
    assert image.pixelColor(*place) != image.pixelColor(*above)


@pytest.mark.parametrize("tokens", [LIGHT, DARK])
def test_that_what_does_not_fit_is_dimmed_and_readable(advised: Advised, tokens: object) -> None:
    page = advised("70 MiB")
    theme().set_preference(Preference.DARK if tokens is DARK else Preference.LIGHT)
    model = page.table.model().sourceModel()
    role = Qt.ItemDataRole.ForegroundRole
    colours = [model.index(number, PEAK).data(role) for number in range(5)]
    assert [colour is not None for colour in colours] == [True, False, False, True, False]
    # A selected row is in the colour of all other text.
    for ground in (tokens.surface, tokens.raised):
        assert _contrast(colours[0], QColor(ground)) >= LEAST_CONTRAST
    assert _contrast(colours[0], QColor(tokens.surface)) < _contrast(
        QColor(tokens.text), QColor(tokens.surface)
    )


def _contrast(one: QColor, other: QColor) -> float:
    """By WCAG 2.2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: QColor) -> float:
    parts = (colour.redF(), colour.greenF(), colour.blueF())
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_that_forecasts_of_what_was_measured_give_way_to_names(
    advised: Advised, made: Measurement, qtbot: object
) -> None:
    page = advised("70 MiB")
    _run(page, {1: (63, 0.018)}, made)
    page.table.setMinimumWidth(1100)
    _settle(qtbot)
    assert not page.table.isColumnHidden(FORETOLD_PEAK)
    page.table.setMinimumWidth(0)
    page.table.resize(560, page.table.height())
    assert page.table.isColumnHidden(FORETOLD_PEAK)
    assert "61.0 MiB were foretold" in page.table.model().sourceModel().row(1).cells[PEAK].tip
