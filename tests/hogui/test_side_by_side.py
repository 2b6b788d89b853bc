"""Tabs side by side of which not all were measured, and what advice has to do with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtTest import QTest

from core.spec.presets import preset
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
from hogui.pages.figures import Figures
from hogui.plots.frame import frame_clock
from tests.fake_advisor import FakeAdvisor
from tests.fake_core import FakeCore, FakeOracle

OpenWindow = Callable[..., MainWindow]
Finish = Callable[[OpenTab], None]
PATIENCE_MS = 20_000


@pytest.fixture
def beside(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> Callable[..., tuple[MainWindow, Figures, Figures]]:
    """A measured tab beside one that is not, and which has a forecast or none."""

    def show(*, has_forecast: bool) -> tuple[MainWindow, Figures, Figures]:
        oracle = FakeOracle() if has_forecast else FakeOracle(trouble=RuntimeError("None."))
        window = open_window(oracle=oracle)
        (first,) = window.session.tabs
        window.session.run(first)
        finish(first)
        second = window.workbench.open_copy_of(
            preset("lecture-second-order").spec.with_value("workload.order", "6")
        )
        qtbot.waitUntil(lambda: second.outlook is not None, timeout=PATIENCE_MS)
        window.workbench.side_by_side.choose([first, second])
        one, other = (window.workbench.page_of(tab).figures for tab in (first, second))
        _settle(qtbot)
        return window, one, other

    return show


def _settle(qtbot: object) -> None:
    qtbot.waitUntil(lambda: not frame_clock().running)
    QTest.qWait(1)


def _width(figures: Figures) -> float:
    low, high = figures.memory.x_axis.range
    return high - low


def test_that_an_unmeasured_tab_leaves_the_measured_one_its_scale_of_time(
    beside: Callable[..., tuple[MainWindow, Figures, Figures]],
) -> None:
    _, one, other = beside(has_forecast=False)
    result = one.tab.result
    assert result is not None
    assert result.time is not None
    assert other.time.empty_sentence() is not None
    low, high = one.time.canvas.box.viewRange()[1]
    samples = result.time.samples_s
    assert low <= min(samples)
    assert max(samples) <= high < 2 * max(samples), "a second would press them to the foot"


def test_that_an_expected_curve_does_not_squeeze_a_measured_one(
    beside: Callable[..., tuple[MainWindow, Figures, Figures]], finish: Finish, qtbot: object
) -> None:
    window, one, other = beside(has_forecast=True)
    assert other.memory.is_ahead
    own = one.memory.x_axis.relative_extent(one.memory.x_axis.span)
    expected = other.memory.x_axis.relative_extent(other.memory.x_axis.span)
    assert own is not None
    assert expected is not None
    assert expected[1] > 1.5 * own[1], "as the orders are chosen"
    assert _width(one) == pytest.approx(1.02 * own[1])
    assert _width(other) == pytest.approx(1.02 * (expected[1] - expected[0]))
    assert not one.memory.x_axis.linked
    # Once it is measured, the two have one axis.
    window.session.run(other.tab)
    finish(other.tab)
    _settle(qtbot)
    assert one.memory.x_axis.linked
    assert _width(one) == pytest.approx(_width(other))
    assert _width(one) > 1.5 * 1.02 * own[1]


def test_that_the_button_shows_advice_that_took_a_tab_out_of_a_comparison(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    window.commands["duplicateTab"].trigger()
    window.workbench.side_by_side.choose(list(window.session.tabs))
    window.close()
    again = open_window()
    assert again.workbench.side_by_side.shown == again.session.tabs
    button = again.tool_bar.advise_button
    button.click()
    tab = again.session.current
    assert tab is not None
    assert again.advice.page_of(tab).isVisible()
    assert again.workbench.side_by_side.shown == ()
    assert button.isChecked()
    button.click()
    assert not again.advice.page_of(tab).isVisible()
    assert not button.isChecked()


def test_that_advice_wanted_before_the_window_was_complete_is_given(qtbot: object) -> None:
    window = MainWindow(
        source=FakeCore().run,
        oracle=FakeOracle,
        advisor=FakeAdvisor,
        warm_up=False,
        defer=True,
    )
    qtbot.addWidget(window)
    window.show()
    window.tool_bar.advise_button.click()
    with qtbot.waitSignal(window.completed, timeout=PATIENCE_MS):
        window.fill()
    tab = window.session.current
    assert tab is not None
    page = window.advice.page_of(tab)
    assert page.isVisible()
    assert window.tool_bar.advise_button.isChecked()
    window.close()
