"""Peak against time: where points lie, what is on the front, and what is drawn of a budget."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest

from hogui.plots.point_marks import Kind
from hogui.plots.trade_off_plot import Dot, TradeOffPlot

MIB = 2**20
Shown = Callable[..., TradeOffPlot]


def _dots(*costs: tuple[float, float]) -> list[Dot]:
    """Points from milliseconds and MiB; those that nothing beats are on the front."""

    def is_beaten(one: tuple[float, float]) -> bool:
        return any(o != one and o[0] <= one[0] and o[1] <= one[1] for o in costs)

    return [
        Dot(f"{ms} ms, {mib} MiB", ms / 1000, round(mib * MIB), Kind.FITS, not is_beaten((ms, mib)))
        for ms, mib in costs
    ]


@pytest.fixture
def plot(shown: Shown) -> TradeOffPlot:
    return shown(TradeOffPlot("Points will appear here."))


def _click_again(plot: TradeOffPlot, place: QPoint) -> None:
    """The second click of two, as a screen sends it; QTest's has a press more."""
    viewport, button = plot.canvas.viewport(), Qt.MouseButton.LeftButton
    everywhere = QPointF(place), QPointF(viewport.mapToGlobal(place))
    kind, keys = QEvent.Type.MouseButtonDblClick, Qt.KeyboardModifier.NoModifier
    QCoreApplication.sendEvent(viewport, QMouseEvent(kind, *everywhere, button, button, keys))
    QTest.mouseRelease(viewport, button, pos=place)


def _colours(plot: TradeOffPlot) -> set[str]:
    picture = plot.canvas.grab().toImage()
    return {
        picture.pixelColor(x, y).name()
        for x in range(picture.width())
        for y in range(picture.height())
    }


def test_that_an_empty_plot_says_what_will_appear(plot: TradeOffPlot) -> None:
    assert plot.empty_sentence() == "Points will appear here."
    plot.set_dots(_dots((1, 10)))
    assert plot.empty_sentence() is None


def test_that_the_front_goes_from_the_fastest_to_the_smallest(plot: TradeOffPlot) -> None:
    plot.set_dots(_dots((3, 30), (1, 90), (2, 60), (2.5, 80)))
    assert plot.front == (1, 2, 0)


def test_that_little_differences_are_on_plain_axes_and_large_ones_on_logarithmic(
    plot: TradeOffPlot, settle: Callable[[], None]
) -> None:
    plot.set_dots(_dots((1, 10), (2, 20)))
    settle()
    assert plot.is_logarithmic == (False, False)
    plot.set_dots(_dots((1, 10), (100, 20)))
    settle()
    assert plot.is_logarithmic == (True, False)
    plot.set_dots(_dots((1, 10), (100, 2000)))
    settle()
    assert plot.is_logarithmic == (True, True)


@pytest.mark.parametrize(
    "costs", [((1, 10), (2, 20), (1.5, 15)), ((1, 10), (100, 1000), (10, 100))]
)
def test_that_points_lie_by_their_figures(
    plot: TradeOffPlot, settle: Callable[[], None], costs: tuple[tuple[float, float], ...]
) -> None:
    plot.set_dots(_dots(*costs))
    settle()
    low, high, middle = (plot.place_of(number) for number in range(3))
    assert low.x() < high.x()
    assert low.y() > high.y(), "more memory is further up"
    # Halfway by difference on plain axes, by factor on logarithmic ones.
    assert middle.x() == pytest.approx((low.x() + high.x()) / 2)
    assert middle.y() == pytest.approx((low.y() + high.y()) / 2)


@pytest.mark.parametrize("largest", [20, 5000])
def test_that_axes_name_their_units(
    plot: TradeOffPlot, settle: Callable[[], None], largest: float
) -> None:
    plot.set_dots(_dots((1, 10), (largest / 10, largest)))
    settle()
    assert any("MiB" in label for label in plot.canvas.left._labels)
    assert any("ms" in label for label in plot.canvas.bottom._labels)


def test_that_a_pointer_near_a_point_means_it_and_far_away_none(
    plot: TradeOffPlot, settle: Callable[[], None]
) -> None:
    plot.set_dots(_dots((1, 10), (2, 20)))
    settle()
    assert plot.nearest(plot.place_of(1) + QPointF(6, -6)) == 1
    assert plot.nearest((plot.place_of(0) + plot.place_of(1)) / 2) is None


def test_that_a_click_on_the_screen_chooses_and_a_second_one_opens(
    plot: TradeOffPlot, settle: Callable[[], None], qtbot: object
) -> None:
    plot.set_dots(_dots((1, 10), (2, 20)))
    settle()
    origin = plot.canvas.box.sceneBoundingRect().topLeft()
    place = (plot.place_of(0) + origin).toPoint()
    with qtbot.waitSignal(plot.chosen) as chosen:
        QTest.mouseClick(plot.canvas.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen.args == [0, False]
    with qtbot.waitSignal(plot.opened) as opened:
        _click_again(plot, place)
    assert opened.args == [0]


def test_that_control_and_a_click_add_to_what_is_chosen(
    plot: TradeOffPlot, settle: Callable[[], None], qtbot: object
) -> None:
    plot.set_dots(_dots((1, 10), (2, 20)))
    settle()
    origin = plot.canvas.box.sceneBoundingRect().topLeft()
    place = (plot.place_of(1) + origin).toPoint()
    with qtbot.waitSignal(plot.chosen) as chosen:
        QTest.mouseClick(
            plot.canvas.viewport(),
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.ControlModifier,
            place,
        )
    assert chosen.args == [1, True]


def test_that_a_budget_nearby_is_in_the_picture_and_a_far_one_is_not(
    plot: TradeOffPlot, settle: Callable[[], None]
) -> None:
    plot.set_dots(_dots((1, 100), (2, 150)))
    plot.set_budget(160 * MIB)
    settle()
    assert plot.canvas.mapping().y_range[1] > 160 * MIB
    plot.set_budget(100_000 * MIB)
    settle()
    assert plot.canvas.mapping().y_range[1] < 200 * MIB, "the points would be one line"


def test_that_kinds_are_told_apart_by_colour_and_by_shape(
    plot: TradeOffPlot, settle: Callable[[], None]
) -> None:
    looks = {(kind.symbol, kind.is_hollow) for kind in Kind}
    assert len(looks) == len(Kind)
    dots = [
        Dot(kind.value, 0.001 * (number + 1), (number + 1) * MIB, kind)
        for number, kind in enumerate(Kind)
    ]
    plot.set_dots(dots)
    settle()
    from hogui.theme import theme

    colours = {kind.colour(theme().tokens).name() for kind in Kind}
    assert len(colours) == 3
    assert colours <= _colours(plot)
    assert [name for _, name in plot._legend.entries] == [kind.title for kind in Kind]


def test_that_the_table_behind_it_has_bytes_and_seconds(plot: TradeOffPlot) -> None:
    plot.set_dots(_dots((2, 20)))
    headers, rows = plot.rows()
    assert dict(zip(headers, rows[0], strict=True)) == {
        "configuration": "2 ms, 20 MiB",
        "standing": "fits",
        "total_bytes": 20 * MIB,
        "seconds": 0.002,
        "on_front": True,
        "measured": False,
    }


def test_that_one_point_alone_has_a_picture(plot: TradeOffPlot, settle: Callable[[], None]) -> None:
    plot.set_dots(_dots((1, 10)))
    settle()
    assert plot.canvas.mapping().area.contains(plot.place_of(0))


def test_that_hundreds_of_points_are_drawn(plot: TradeOffPlot, settle: Callable[[], None]) -> None:
    plot.set_dots(_dots(*((1 + n % 20, 10 + n) for n in range(320))))
    settle()
    assert not plot.picture().isNull()
