"""Charts of a workload: which points are shown where, and what is said of them."""

import math

import numpy as np
import pytest
from PySide6.QtGui import QColor

from core.results.charts import ChartForm, Curve, Point
from hogui.plots.chart_data import ChartCurve, runs_of, thinned
from hogui.plots.chart_plot import ChartPlot, mark_of
from hogui.plots.ticks import log_ticks, named_ticks, plain_ticks, power_of_ten
from hogui.theme import LIGHT, Preference, theme

LINEAR = ChartForm("Learning curve", "outer step", "loss", "The loss appears here.")
LOGARITHMIC = ChartForm("Residual", "iteration", "residual", "It appears here.", log_y=True)


@pytest.fixture
def chart(shown):
    return shown(ChartPlot("learning", LINEAR))


@pytest.fixture
def residuals(shown):
    return shown(ChartPlot("residual", LOGARITHMIC))


def point(x, y, curve="outer loss", low=None, high=None):
    return Point("learning", curve, x, y, low, high)


def y_range(plot):
    return plot.canvas.box.viewRange()[1]


def test_that_a_chart_is_hidden_until_it_has_a_point_and_after_it_is_cleared(chart, settle):
    chart.clear()
    assert chart.isHidden()
    assert chart.empty_sentence() == "The loss appears here."
    chart.append(point(0, 1.5))
    settle()
    assert chart.isVisible()
    assert chart.empty_sentence() is None
    chart.clear()
    assert chart.isHidden()
    assert chart.rows()[1] == []


def test_that_the_object_name_is_the_name_of_the_chart(chart, residuals):
    assert (chart.objectName(), residuals.objectName()) == ("learningPlot", "residualPlot")


def test_that_live_points_and_a_stored_curve_give_the_same_table(shown, chart):
    chart.append(point(0, 3.0, low=2.0, high=4.0))
    chart.append(point(1, math.nan))
    stored = shown(ChartPlot("learning", LINEAR))
    stored.extend(
        Curve(
            chart="learning",
            name="outer loss",
            x=(0, 1),
            y=(3.0, None),
            low=(2.0, None),
            high=(4.0, None),
        )
    )
    headers, rows = chart.rows()
    assert headers == ["curve", "x", "y", "low", "high"]
    assert rows == [("outer loss", 0, 3.0, 2.0, 4.0), ("outer loss", 1, None, None, None)]
    assert stored.rows() == (headers, rows)


def test_that_a_stored_curve_without_points_shows_nothing(chart):
    chart.clear()
    chart.extend(Curve(chart="learning", name="outer loss", x=(), y=()))
    assert chart.isHidden()


def test_that_all_points_of_all_curves_are_in_the_picture(chart, settle):
    for x, y in ((0, 3.0), (1, math.nan), (2, 1.0)):
        chart.append(point(x, y))
    chart.append(point(-1, 9.0, "another"))
    settle()
    low, high = y_range(chart)
    assert low < 1.0 < 9.0 < high
    left, right = chart.canvas.box.viewRange()[0]
    assert left < -1 < 2 < right


def test_that_one_curve_is_noted_by_its_ends_and_several_have_a_legend(chart, settle):
    chart.append(point(0, 3.0))
    chart.append(point(1, 1.0))
    settle()
    assert chart.note.text() == "loss, 3 to 1"
    assert chart._legend.isHidden()
    chart.append(point(1, 2.0, "query loss"))
    settle()
    assert chart.note.text() == "loss"
    assert [name for _, name in chart._legend.entries] == ["outer loss", "query loss"]
    assert chart._legend.isVisible()
    assert chart.accessibleDescription() == "loss: outer loss 3 to 1, query loss 2 to 2"


def test_that_the_read_out_is_of_the_nearest_point_of_any_curve(chart):
    chart.append(point(0, 3.0, low=2.5, high=3.5))
    chart.append(point(10, 1.0))
    chart.append(point(10, 4.0, "query loss"))
    title, rows = chart.read_out_at(9.0)
    assert title == "Outer step 10"
    assert [(row.name, row.value) for row in rows] == [("outer loss", "1"), ("query loss", "4")]
    assert rows[0].colour == QColor(LIGHT.runs[0].colour)
    assert rows[1].colour == QColor(LIGHT.runs[1].colour)
    _, (row,) = chart.read_out_at(-5.0)
    assert row.value == "3 [2.5, 3.5]"


def test_that_a_value_that_is_no_number_leaves_the_plot_alive(chart, settle):
    chart.append(point(1, math.nan))
    settle()
    chart.set_cursor(1.0)
    chart.canvas.viewport().repaint()
    assert chart.read_out_at(1.0)[1][0].value == "not finite"
    assert chart.note.text() == "loss, not finite to not finite"


def test_that_a_line_stops_where_a_value_is_missing(chart, settle, colour_at):
    for x, y in ((0, 0.0), (1, 0.0), (2, math.nan), (3, 0.0), (4, 0.0)):
        chart.append(point(x, y))
    settle()
    line = QColor(LIGHT.runs[0].colour)
    assert _is_near(colour_at(chart, 0.5, 0.0), line)
    assert not _is_near(colour_at(chart, 2.2, 0.0), line)


def test_that_an_interval_is_a_band_in_the_colour_of_its_curve(chart, settle, colour_at):
    for x in range(3):
        chart.append(point(x, 0.0, low=-1.0, high=1.0))
    settle()
    band = colour_at(chart, 0.5, 0.6)
    assert band != QColor(LIGHT.surface)
    assert band.blue() > band.red()
    low, high = y_range(chart)
    assert low < -1 < 1 < high


def test_that_an_interval_far_wider_than_most_may_leave_the_picture(chart, settle):
    for x, half in enumerate((1000.0, 1.0, 1.0, 1.0)):
        chart.append(point(x, 0.5, low=-half, high=half))
    settle()
    low, high = y_range(chart)
    assert -2 < low < -1 < 1 < high < 2


def test_that_a_logarithmic_axis_gives_each_decade_the_same_height(residuals, settle):
    for x, y in enumerate((1.0, 1e-2, 1e-4)):
        residuals.append(point(x, y, "residual"))
    settle()
    assert y_range(residuals) == pytest.approx([-4.4, 0.4])
    mapping = residuals.canvas.mapping()
    pixels = residuals._y(mapping, np.array([1.0, 1e-2, 1e-4]))
    assert pixels[1] - pixels[0] == pytest.approx(pixels[2] - pixels[1])


def test_that_zero_on_a_logarithmic_axis_is_marked_at_the_edge(residuals, settle):
    residuals.append(point(0, 1.0, "residual"))
    residuals.append(point(1, 0.0, "residual", low=0.0, high=1.0))
    settle()
    assert y_range(residuals)[0] == pytest.approx(-0.1)
    assert residuals.read_out_at(1)[1][0].value == "0 [0, 1]"
    image = residuals.canvas.grab().toImage()
    mapping = residuals.canvas.mapping()
    origin = residuals.canvas.box.sceneBoundingRect().topLeft()
    edge = image.pixelColor(int(origin.x() + mapping.x(1)), int(origin.y() + mapping.height - 6))
    assert _is_near(edge, QColor(LIGHT.runs[0].colour))


def test_that_a_chart_without_anything_above_zero_has_a_plain_axis(residuals, settle):
    residuals.append(point(0, -1.0, "residual"))
    residuals.append(point(1, 0.0, "residual"))
    settle()
    assert not residuals.is_logarithmic
    assert y_range(residuals) == pytest.approx([-1.1, 0.1])


def test_that_a_chart_is_painted_in_both_themes(residuals, settle):
    for curve in ("a", "b", "c", "d", "e", "f", "g"):
        for x in range(200):
            residuals.append(point(x / 3, 1.5 ** (x % 7), curve, low=1e-9, high=1e3))
    settle()
    residuals.set_cursor(2.0)
    for preference in (Preference.LIGHT, Preference.DARK):
        theme().set_preference(preference)
        settle()
        assert not residuals.picture().isNull()


def _is_near(colour: QColor, other: QColor) -> bool:
    parts = zip(colour.getRgb(), other.getRgb(), strict=True)
    return all(abs(one - another) < 60 for one, another in parts)


# The mathematics.


def test_that_stretches_of_usable_neighbours_are_found():
    usable = np.array([True, True, False, False, True, False, True])
    assert [(run.start, run.stop) for run in runs_of(usable)] == [(0, 2), (4, 5), (6, 7)]
    assert list(runs_of(np.zeros(3, dtype=bool))) == []


def test_that_thinning_keeps_the_ends_and_the_extremes_of_each_column():
    rng = np.random.default_rng(3)
    x, y = np.sort(rng.uniform(0, 20, 5000)), rng.normal(size=5000)
    kept = thinned(x, y)
    assert len(kept) <= 4 * 20
    for column in range(20):
        mine = np.flatnonzero(np.floor(x) == column)
        wanted = {mine[0], mine[-1], mine[y[mine].argmin()], mine[y[mine].argmax()]}
        assert wanted == set(kept[(kept >= mine[0]) & (kept <= mine[-1])])


def test_that_few_points_are_all_kept():
    x = np.linspace(0, 9, 12)
    assert thinned(x, x).tolist() == list(range(12))
    assert thinned(np.empty(0), np.empty(0)).tolist() == []


def test_that_the_part_of_a_curve_in_view_has_one_point_beyond_each_end():
    curve = ChartCurve("c")
    for x in range(10):
        curve.append(point(x, 0.0))
    assert curve.x[curve.part(2.5, 5.5)].tolist() == [2, 3, 4, 5, 6]
    assert curve.x[curve.part(-9, 99)].tolist() == list(range(10))


def test_that_ticks_of_a_logarithmic_axis_are_powers_of_ten():
    assert log_ticks(-2.5, 1.2, 8).labels == ["10⁻²", "10⁻¹", "1", "10"]
    assert log_ticks(-0.1, 1.1, 5).labels == ["1", "2", "5", "10"]
    assert log_ticks(-5.1, -3.9, 5).labels == ["1e-5", "2e-5", "5e-5", "1e-4"]
    assert log_ticks(-12.1, 0.1, 4).labels == ["10⁻¹²", "10⁻⁸", "10⁻⁴", "1"]
    assert power_of_ten(-10) == "10⁻¹⁰"


def test_that_a_logarithmic_axis_of_less_than_a_decade_has_ticks_too():
    found = log_ticks(math.log10(1.5), math.log10(8), 5)
    assert found.labels == ["2", "5"]
    assert found.positions == pytest.approx([math.log10(2), math.log10(5)])
    narrow = log_ticks(math.log10(3.01), math.log10(3.49), 5)
    assert narrow.labels == ["3.1", "3.2", "3.3", "3.4"]
    assert [10**place for place in narrow.positions] == pytest.approx([3.1, 3.2, 3.3, 3.4])


def test_that_the_power_of_ten_of_large_and_small_numbers_is_named_once():
    assert plain_ticks(0, 5e-7, 5).labels[-2:] == ["400 ×10⁻⁹", "500"]
    assert plain_ticks(0, 2.5e6, 5).labels[-1] == "2.5"
    assert plain_ticks(0, 0.5, 5).labels[-1] == "0.5"


def test_that_an_axis_of_numbers_says_what_they_are():
    assert "radius 0.2" in named_ticks(0.0, 1.0, 5, "radius").labels


def test_that_no_two_of_many_curves_look_alike() -> None:
    marks = [mark_of(number) for number in range(24)]
    assert len({(mark.colour, mark.marker) for mark in marks}) == len(marks)
