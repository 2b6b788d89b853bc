"""What a first walk through the window stumbles over: focus, room, units, alignment."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import log10

import pytest
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QTableWidget, QWidget

from hogui.dialogs.commands import CommandPalette
from hogui.icons import SIDE
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
from hogui.pages.advice_page import AdvicePage
from hogui.plots.canvas import LEFT
from hogui.plots.ticks import log_bytes_ticks
from hogui.tab_advice import AdviceState
from hogui.theme import Size, theme

OpenWindow = Callable[..., MainWindow]
Finish = Callable[[OpenTab], None]
MIB, GIB = 2**20, 2**30


def _focus_order(window: MainWindow, first: QWidget) -> list[QWidget]:
    """What the tab key reaches, one after the other."""
    first.setFocus()
    reached: list[QWidget] = []
    while (focus := window.focusWidget()) not in reached:
        reached.append(focus)
        QTest.keyClick(focus, Qt.Key.Key_Tab)
    return reached


def _advised(window: MainWindow, qtbot: object) -> AdvicePage:
    window.commands["advise"].setChecked(True)
    tab = window.session.current
    assert tab is not None
    page = window.advice.page_of(tab)
    qtbot.waitUntil(lambda: page.advice.state is AdviceState.DONE)
    QTest.qWait(20)
    return page


def _place(widget: QWidget, within: QWidget) -> QRect:
    return QRect(widget.mapTo(within, QPoint(0, 0)), widget.size())


def test_that_the_tab_key_goes_through_the_settings_before_the_figures(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    page = window.workbench.current_page()
    assert page is not None
    order = _focus_order(window, window.tabs.bar)
    settings = [order.index(each) for each in order if page.panel.isAncestorOf(each)]
    figures = [order.index(each) for each in order if page.right.isAncestorOf(each)]
    assert len(settings) > 5
    assert len(figures) > 5
    assert settings == list(range(settings[0], settings[0] + len(settings)))
    assert figures == list(range(settings[-1] + 1, settings[-1] + 1 + len(figures)))
    assert order.index(window.tabs.bar) < settings[0]


def test_that_the_tab_key_stays_in_the_card_of_the_advice_until_its_end(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    page = _advised(window, qtbot)
    names = [each.objectName() for each in _focus_order(window, page.head.field)]
    assert names[:7] == [
        "budgetField",
        "adviseButton",
        "closeAdviceButton",
        "measureRecommendationButton",
        "openLimitButton0",
        "measureLimitButton0",
        "advicePlot",
    ]


@pytest.mark.parametrize("height", [560, 640, 800, 1200])
def test_that_nothing_of_the_advice_overlaps_in_a_small_window(
    open_window: OpenWindow, qtbot: object, height: int
) -> None:
    window = open_window()
    window.resize(1000, height)
    page = _advised(window, qtbot)
    QTest.qWait(20)
    parts = [page.card, page.plot, page.table, page.open_button, page.impossible]
    places = [_place(part, page) for part in parts]
    for above, below in pairwise(places):
        assert above.bottom() < below.top()
    canvas = _place(page.plot.canvas, page.plot)
    assert canvas.height() >= page.plot.canvas.minimumHeight()
    assert canvas.bottom() <= page.plot.rect().bottom(), "with its axis"
    assert places[0].width() <= page.scroll.viewport().width(), "nothing is cut at the right"
    bar = page.scroll.verticalScrollBar()
    assert (bar.maximum() > 0) is (height < 700), "scrolls only where there is no room"


def test_that_a_comparison_has_room_for_its_table_after_advice_too(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    window.commands["duplicateTab"].trigger()
    tabs = list(window.session.tabs)
    window.workbench.side_by_side.choose(tabs)
    QTest.qWait(20)
    page = window.workbench.current_page()
    assert page is not None
    before = page.right.sizes()[-1]
    window.workbench.side_by_side.end()
    _advised(window, qtbot)
    window.workbench.side_by_side.choose(tabs)
    QTest.qWait(20)
    assert page.right.count() == 3
    assert page.right.sizes()[-1] == before


@pytest.mark.parametrize("highest", [120 * MIB, 900 * MIB, 16 * GIB, 3000 * GIB])
def test_that_a_logarithmic_axis_of_bytes_has_room_for_its_unit(
    qapp: object, highest: float
) -> None:
    found = log_bytes_ticks(log10(MIB), log10(highest), 8)
    (named,) = [label for label in found.labels if " " in label]
    assert named.split()[1] in ("MiB", "GiB", "TiB")
    assert QFontMetrics(theme().font(Size.SMALL)).horizontalAdvance(named) < LEFT - 6


def test_that_commands_stand_under_each_other_with_an_icon_or_without(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    palette = CommandPalette(window.commands, window)
    palette.show()
    actions = {action.text().removesuffix("…"): action for action in window.commands}
    assert any(action.icon().isNull() for action in actions.values())
    items = [palette.list.item(row) for row in range(palette.list.count())]
    assert len({palette.list.visualItemRect(item).height() for item in items}) == 1
    widths = {item.icon().actualSize(QSize(SIDE, SIDE)).width() for item in items}
    assert widths == {SIDE}, "an empty icon is as wide as the others"
    palette.close()


def test_that_headings_of_growth_stand_over_their_figures(
    open_window: OpenWindow, finish: Finish
) -> None:
    window = open_window()
    window.commands["measureOrders"].trigger()
    (table,) = window.findChildren(QTableWidget, "growthTable")
    header, model = table.horizontalHeader(), table.model()
    sides = {
        model.headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.TextAlignmentRole)
        or header.defaultAlignment()
        for column in range(model.columnCount())
    }
    for tab in window.session.tabs:
        finish(tab)
    figures = {table.item(0, column).textAlignment() for column in range(table.columnCount())}
    assert {int(side) for side in sides} == {int(side) for side in figures}
