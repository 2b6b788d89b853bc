"""The forecast in the plots of memory and phases: a line, and until there is a run, a curve."""

import pytest
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QPicture

from hogui.plots.memory_data import ForecastMark
from hogui.plots.memory_marks import forecast_words
from hogui.plots.memory_plot import MemoryPlot
from hogui.plots.phase_plot import PhasePlot
from hogui.theme import LIGHT, category_colour
from hogui.units import MIB

TIMES = [0.0, 0.5, 1.0]
COLUMNS = {"parameters": [10 * MIB] * 3, "activations": [0, 70 * MIB, 0]}


@pytest.fixture
def plot(shown):
    return shown(MemoryPlot())


def _dashes(plot, total):
    """How much of the row of pixels at a total has the colour of the line."""
    mapping = plot.canvas.mapping()
    origin = plot.canvas.box.sceneBoundingRect().topLeft()
    image = plot.canvas.grab().toImage()
    row = int(origin.y() + mapping.y(total))
    first = int(origin.x() + mapping.width * 0.55)
    columns = range(first, int(origin.x() + mapping.width) - 2)
    line = QColor(LIGHT.text)
    return sum(image.pixelColor(column, row) == line for column in columns) / len(columns)


def test_that_the_forecast_is_a_dashed_line_at_its_height(plot, settle):
    plot.append(TIMES, COLUMNS)
    plot.set_forecast(ForecastMark(100 * MIB))
    settle()
    assert 0.4 < _dashes(plot, 100 * MIB) < 0.9
    assert _dashes(plot, 95 * MIB) == 0


def test_that_the_view_makes_room_for_the_forecast_but_not_for_one_that_is_far_away(plot, settle):
    plot.append(TIMES, COLUMNS)
    plot.set_forecast(ForecastMark(200 * MIB))
    settle()
    assert plot.canvas.box.viewRange()[1][1] > 200 * MIB
    plot.set_forecast(ForecastMark(31 * 1024 * MIB))
    settle()
    assert plot.canvas.box.viewRange()[1][1] < 200 * MIB
    assert "forecast 31.00" in plot.accessibleDescription()


def test_that_the_line_shows_before_there_is_anything_else(plot, settle):
    plot.set_forecast(ForecastMark(100 * MIB))
    settle()
    assert plot.empty_sentence() is not None
    assert _dashes(plot, 100 * MIB) > 0.4


def test_that_words_tell_a_lower_bound_and_a_forecast_for_other_settings():
    said = [
        forecast_words(ForecastMark(208 * MIB, exact, of_now)).replace("\N{NO-BREAK SPACE}", " ")
        for exact in (True, False)
        for of_now in (True, False)
    ]
    assert said == [
        "forecast 208.0 MiB",
        "forecast for the settings now 208.0 MiB",
        "forecast at least 208.0 MiB",
        "forecast for the settings now at least 208.0 MiB",
    ]


def test_that_an_expected_curve_is_faint_and_no_measurement(plot, settle, colour_at):
    plot.set_expected(TIMES, COLUMNS, 10 * MIB)
    settle()
    painted, full = colour_at(plot, 0.7, 40 * MIB), category_colour("activations")
    assert painted not in (full, QColor(LIGHT.surface))
    assert painted.lightness() > full.lightness()
    assert plot.peak() is None
    assert plot.rows()[1] == []
    assert "forecast" in plot.note.text()
    assert plot.canvas.box.viewRange()[0][1] == pytest.approx(1.0, abs=0.1)


def test_that_an_expected_curve_of_another_length_fits_anew(plot, settle):
    plot.set_expected(TIMES, COLUMNS, 10 * MIB)
    settle()
    plot.set_expected([0.0, 0.01], {"parameters": [MIB, MIB]}, MIB)
    settle()
    assert plot.canvas.box.viewRange()[0][1] == pytest.approx(0.01, abs=0.001)
    plot.set_expected()
    settle()
    assert plot.empty_sentence() is not None


def test_that_a_run_takes_the_place_of_an_expected_curve(plot, settle, colour_at):
    plot.set_expected([0.0, 8.0], {"activations": [99 * MIB, 99 * MIB]}, 0)
    settle()
    plot.clear()
    plot.append(TIMES, COLUMNS)
    settle()
    assert plot.canvas.box.viewRange()[0][1] == pytest.approx(1.0, abs=0.1)
    assert colour_at(plot, 0.7, 40 * MIB) == category_colour("activations")
    assert plot.peak() == (0.5, 80 * MIB)


def test_that_axes_are_drawn_anew_when_data_come_and_go(plot, settle):
    """A run that needs the same range as its forecast does not move the axes, and an axis that does
    not move keeps its picture: with figures, or without."""
    axis = plot.canvas.left
    for change in (lambda: plot.append(TIMES, COLUMNS), plot.clear):
        kept = axis.picture = QPicture()
        plot.canvas.box.sigYRangeChanged.disconnect(axis.linkedViewChanged)
        change()
        settle()
        plot.canvas.grab()
        assert axis.picture is not kept
        plot.canvas.box.sigYRangeChanged.connect(axis.linkedViewChanged)


def test_that_a_small_curve_is_in_mib_throughout(plot, settle):
    plot.append([0.0, 1.0], {"parameters": [2048, 2048], "data": [512 * 1024] * 2})
    settle()
    _, rows = plot.read_out_at(0.5)
    assert {row.value.split("\N{NO-BREAK SPACE}")[1] for row in rows} == {"MiB"}
    low, high = plot.canvas.box.viewRange()[1]
    labels = plot.canvas.left.tickStrings(plot.canvas.left.tickValues(low, high, 200), 1, 1)
    assert any(label.endswith("MiB") for label in labels)


def test_that_expected_phases_say_that_they_are_a_forecast(shown, settle):
    plot = shown(PhasePlot(), width=700, height=40)
    plot.set_phases([("forward", 0.0, 0.3)], ahead=True)
    settle()
    middle = QPointF(plot.canvas.mapping().width / 2, 4)
    text, _ = plot.tip_at(middle)
    assert "forecast: 300" in text
    plot.set_phases([("forward", 0.0, 0.3)])
    settle()
    text, _ = plot.tip_at(middle)
    assert "forecast" not in text
