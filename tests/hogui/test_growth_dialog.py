"""Every order of a configuration: the tabs that are measured, and the dialog that compares them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtWidgets import QDialog

from core.results.growth_by_order import growth_by_order, growth_sentence
from core.spec.orders import at_each_order
from core.spec.presets import preset
from hogui.dialogs.growth_dialog import GrowthDialog
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
from tests.fake_core import FakeCore

OpenWindow = Callable[..., MainWindow]
Finish = Callable[[OpenTab], None]
SPEC = preset("lecture-second-order").spec


@pytest.fixture
def tabs() -> list[OpenTab]:
    return [OpenTab(spec) for spec in at_each_order(SPEC)[:3]]


@pytest.fixture
def dialog(qtbot: object, tabs: list[OpenTab]) -> GrowthDialog:
    dialog = GrowthDialog("Mine", tabs)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def _measure(tab: OpenTab, peak: int, seconds: float) -> None:
    *_, last = FakeCore().run(tab.spec)
    memory = last.result.memory.model_copy(update={"peak_bytes": peak})
    time = last.result.time.model_copy(update={"median_s": seconds})
    result = last.result.model_copy(update={"memory": memory, "time": time})
    tab.set_result(result, last.timeline)


def _texts(dialog: GrowthDialog) -> list[list[str]]:
    table = dialog.table
    rows, columns = range(table.rowCount()), range(table.columnCount())
    return [[table.item(row, column).text() for column in columns] for row in rows]


def test_that_before_the_first_result_it_says_what_will_appear(dialog: GrowthDialog) -> None:
    assert dialog.sentence.text() == "Growth needs figures of at least two orders."
    assert dialog.chart.isVisible()
    assert dialog.chart.empty_sentence() is not None
    assert dialog.table.rowCount() == 0


def test_that_it_follows_the_results_of_its_tabs(dialog: GrowthDialog, tabs: list[OpenTab]) -> None:
    for tab, peak, seconds in zip(tabs, (2**20, 2**21, 2**22), (0.001, 0.003, 0.009), strict=True):
        _measure(tab, peak, seconds)
    assert _texts(dialog) == [
        ["1", "1.000", "–", "1.000", "–"],
        ["2", "2.000", "2.00×", "3.000", "3.00×"],
        ["3", "4.000", "2.00×", "9.000", "3.00×"],
    ]
    assert "the peak grows by a factor of 2 (R² 1.000)" in dialog.sentence.text()
    assert "the time grows by a factor of 3 (R² 1.000)" in dialog.sentence.text()
    rows = dialog.chart.rows()[1]
    assert [row[2] for row in rows if row[0] == "peak"] == [1, 2, 4]


def test_that_a_result_of_other_settings_does_not_count(
    dialog: GrowthDialog, tabs: list[OpenTab]
) -> None:
    tabs[0].edit(tabs[0].spec.with_changes({"data.batch_size": 3}))
    _measure(tabs[0], 2**20, 0.001)
    assert dialog.table.rowCount() == 0


def test_that_the_action_measures_every_order_and_shows_their_growth(
    open_window: OpenWindow, finish: Finish
) -> None:
    window = open_window()
    first = window.session.current
    window.commands["measureOrders"].trigger()
    names = [spec.name for spec in at_each_order(first.spec)]
    mine = [tab for tab in window.session.tabs if tab.name in names]
    assert [tab.name for tab in mine] == names
    for tab in mine:
        finish(tab)
    (dialog,) = window.findChildren(QDialog, "growthDialog")
    expected = growth_sentence(growth_by_order(tab.result for tab in mine))
    assert dialog.sentence.text() == expected
    window.commands["measureOrders"].trigger()
    assert not any(tab.busy for tab in mine), "what is known is not measured again"
    assert len(window.session.tabs) == 1 + len(names)


def test_that_a_closed_tab_keeps_its_place_in_the_picture(
    open_window: OpenWindow, finish: Finish
) -> None:
    window = open_window()
    window.commands["measureOrders"].trigger()
    tabs = window.session.tabs[1:]
    for tab in tabs:
        finish(tab)
    (dialog,) = window.findChildren(QDialog, "growthDialog")
    window.session.close(tabs[0])
    tabs[1].resultChanged.emit()
    assert dialog.table.rowCount() == len(tabs)


def test_that_only_workloads_with_orders_offer_it(open_window: OpenWindow) -> None:
    window = open_window()
    tab, action = window.session.current, window.commands["measureOrders"]
    assert action.isEnabled()
    tab.edit(tab.spec.with_changes({"workload.kind": "hvp"}))
    assert not action.isEnabled()
