"""The memory plot shows what was sampled: pixels are compared with the samples' categories."""

import gc
import sys
import weakref

import numpy as np
import pytest
from PySide6.QtCore import QEvent
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QApplication

from hogui.category_labels import category_label
from hogui.plots.memory_plot import MemoryPlot
from hogui.theme import DARK, LIGHT, Preference, category_colour, theme
from hogui.units import MIB

TIMES = [0.0, 0.25, 0.5, 0.75, 1.0]
COLUMNS = {
    "parameters": [10 * MIB] * 5,
    "activations": [0, 40 * MIB, 40 * MIB, 10 * MIB, 0],
    "graph_1": [0, 0, 50 * MIB, 50 * MIB, 0],
}


@pytest.fixture
def plot(shown):
    return shown(MemoryPlot())


@pytest.fixture
def filled(plot, settle):
    plot.append(TIMES, COLUMNS)
    settle()
    return plot


def test_that_a_pixel_has_the_colour_of_the_category_that_was_held_there_then(filled, colour_at):
    for time, position in ((0.1, 0), (0.3, 1), (0.6, 2), (0.9, 3)):
        base = 0
        for name, values in COLUMNS.items():
            if values[position]:
                middle = base + values[position] / 2
                assert colour_at(filled, time, middle) == category_colour(name), (time, name)
            base += values[position]
        if time != 0.6:  # The peak's label is above the peak.
            assert colour_at(filled, time, base + 8 * MIB) == QColor(LIGHT.surface)


def test_that_categories_are_stacked_in_one_order_whatever_order_they_arrive_in(
    plot, settle, colour_at
):
    plot.append([0.0, 1.0], {"gradients": [9, 9], "parameters": [9, 9]})
    settle()
    assert colour_at(plot, 0.5, 4.5) == category_colour("parameters")
    assert colour_at(plot, 0.5, 13.5) == category_colour("gradients")


def test_that_the_peak_is_the_highest_total_and_its_first_moment(filled):
    assert filled.peak() == (0.5, 100 * MIB)
    filled.append([2.0], {"parameters": [100 * MIB]})
    assert filled.peak() == (0.5, 100 * MIB)


def test_that_a_spike_of_one_sample_reaches_the_screen(plot, settle, colour_at):
    count, at = 200_000, 123_456
    values = np.full(count, MIB)
    values[at] = 50 * MIB
    times = np.linspace(0, 1, count)
    plot.append(times, {"temporaries": values})
    settle()
    low, high = plot.x_axis.range
    # Wherever within its column of pixels the spike lies, the column shows it.
    column = (high - low) / plot.canvas.mapping().columns
    colours = [
        colour_at(plot, times[at] + shift, 30 * MIB) for shift in (-column / 2, 0, column / 2)
    ]
    assert category_colour("temporaries") in colours
    assert plot.peak() == (pytest.approx(times[at]), 50 * MIB)


def test_that_a_peak_that_the_allocator_states_replaces_the_curves(filled):
    filled.set_peak(120 * MIB)
    assert filled.peak() == (0.5, 120 * MIB)
    assert filled.needed_y(0, 1)[1] > 120 * MIB


def test_that_a_stem_of_kernel_temporaries_joins_the_stack_and_a_higher_stated_peak(
    filled, settle, colour_at
):
    filled.set_peak(140 * MIB)
    settle()
    assert colour_at(filled, 0.5, 115 * MIB) == category_colour("kernel_temporaries")
    assert filled._legend.entries[-1] == (
        category_colour("kernel_temporaries"),
        category_label("kernel_temporaries"),
    )


def test_that_there_is_no_stem_where_the_curve_reaches_the_stated_peak(filled, settle):
    filled.set_peak(100 * MIB)
    settle()
    names = [text for _, text in filled._legend.entries]
    assert category_label("kernel_temporaries") not in names


def test_that_no_scrap_of_a_sampled_line_shows_where_it_leaves_the_scale(plot, settle, colour_at):
    plot.append(TIMES, {"parameters": [40 * MIB] * 5})
    settle()
    before = plot.canvas.grab().toImage()
    plot.append_resident(0.5, 45 * MIB)
    plot.append_resident(0.6, 500 * MIB)
    plot.append_resident(0.9, 510 * MIB)
    settle()
    assert plot.canvas.grab().toImage() == before
    assert [text for _, text in plot._legend.entries][-1].endswith("↑")


def test_that_the_final_curve_takes_the_place_of_the_live_one(filled, settle, colour_at):
    filled.replace([0.0, 1.0], {"gradients": [5 * MIB, 5 * MIB]})
    settle()
    assert colour_at(filled, 0.5, 2 * MIB) == category_colour("gradients")
    assert [text for _, text in filled._legend.entries] == [category_label("gradients")]
    assert filled.rows() == (
        ["t_s", "total_bytes", "gradients"],
        [(0.0, 5 * MIB, 5 * MIB), (1.0, 5 * MIB, 5 * MIB)],
    )


def test_that_the_view_fits_a_final_curve_that_is_shorter_than_the_live_one(filled, settle):
    filled.append([5.0], {"parameters": [MIB]})
    settle()
    filled.replace([0.0, 1.0], {"gradients": [5 * MIB, 5 * MIB]})
    settle()
    assert filled.x_axis.range[1] < 1.1


def test_that_a_paused_view_stands_still_and_catches_up(filled, settle):
    filled.set_paused(True)
    settle()
    before, range_ = filled.canvas.grab().toImage(), filled.x_axis.range
    filled.append([3.0], {"parameters": [500 * MIB]})
    filled.append_resident(4.0, 900 * MIB)
    settle()
    assert filled.canvas.grab().toImage() == before
    assert filled.x_axis.range == range_
    assert filled.peak() == (3.0, 500 * MIB)
    filled.set_paused(False)
    settle()
    assert filled.canvas.grab().toImage() != before
    assert filled.x_axis.range[1] >= 3.0


def test_that_a_final_curve_that_arrives_during_a_pause_is_shown_after_it(
    filled, settle, colour_at
):
    filled.set_paused(True)
    filled.replace([0.0, 1.0], {"gradients": [5 * MIB, 5 * MIB]})
    settle()
    assert colour_at(filled, 0.6, 70 * MIB) == category_colour("graph_1")
    filled.set_paused(False)
    settle()
    assert colour_at(filled, 0.6, 2 * MIB) == category_colour("gradients")


def test_that_the_view_follows_until_the_user_moves_it_and_again_after_follow(filled, settle):
    follow = filled._follow_button
    assert not follow.isVisible()
    filled.x_axis.zoom(0.5)
    settle()
    assert follow.isVisible()
    moved = filled.x_axis.range
    filled.append([2.0], {"parameters": [MIB]})
    settle()
    assert filled.x_axis.range == moved
    follow.click()
    settle()
    low, high = filled.x_axis.range
    assert low <= 0.0
    assert high >= 2.0
    assert not follow.isVisible()


def test_that_the_whole_run_holds_resident_memory_and_the_memory_pass_does_not(filled, settle):
    for i in range(100):
        filled.append_resident(i / 10, 700 * MIB)
    settle()
    assert filled.x_axis.range[1] < 2
    assert filled.canvas.box.viewRange()[1][1] < 200 * MIB
    filled.show_whole_run()
    settle()
    assert filled.x_axis.range[1] >= 9.9
    assert filled.canvas.box.viewRange()[1][1] > 700 * MIB
    filled.show_memory_pass()
    settle()
    assert filled.x_axis.range[1] < 2


def test_that_resident_memory_is_shown_before_there_is_a_memory_pass(plot, settle, colour_at):
    for i in range(50):
        plot.append_resident(i / 10, 300 * MIB)
    settle()
    assert plot.empty_sentence() is None
    colours = {colour_at(plot, 2.5, 300 * MIB + shift * MIB).name() for shift in range(-3, 4)}
    assert QColor(LIGHT.text).name() in colours


def test_that_the_read_out_names_every_category_held_at_the_cursor(filled):
    title, rows = filled.read_out_at(0.6)
    said = {row.name: row.value.replace("\N{NO-BREAK SPACE}", " ") for row in rows}
    assert title.startswith("0.6")
    assert said == {
        "Total": "100.0 MiB",
        "Parameters": "10.0 MiB",
        "Activations": "40.0 MiB",
        "Graph of gradient 1": "50.0 MiB",
    }
    assert filled.read_out_at(5.0) is None


def test_that_an_empty_plot_says_what_will_appear_and_has_no_figures_on_its_axes(plot):
    assert "appears here" in plot.empty_sentence()
    assert plot.canvas.left.positions() == []
    assert plot.accessibleDescription() == plot.empty_sentence()


def test_that_clearing_forgets_the_run_and_follows_the_next(filled, settle):
    filled.x_axis.zoom(0.1)
    filled.clear()
    settle()
    assert filled.peak() is None
    assert filled.rows()[1] == []
    filled.append([7.0, 8.0], {"data": [1, 2]})
    settle()
    low, high = filled.x_axis.range
    assert 6.9 < low <= 7.0
    assert 8.0 <= high < 8.1


def test_that_a_change_of_theme_recolours_surface_axes_and_lines(filled, settle, colour_at):
    assert colour_at(filled, 0.1, 90 * MIB) == QColor(LIGHT.surface)
    theme().set_preference(Preference.DARK)
    settle()
    assert colour_at(filled, 0.1, 90 * MIB) == QColor(DARK.surface)
    assert filled.canvas.left.textPen().color() == QColor(DARK.text_secondary)
    assert colour_at(filled, 0.1, 5 * MIB) == category_colour("parameters")
    gutter = filled.canvas.grab().toImage().pixelColor(2, filled.canvas.height() - 2)
    assert gutter == QColor(DARK.window)


def test_that_a_picture_shows_the_stack_without_buttons_or_cross_hair(filled, settle, tmp_path):
    filled.save_png(tmp_path / "before.png")
    filled.set_cursor(0.6)
    settle()
    filled.save_png(tmp_path / "with_cursor.png")
    image = QImage(str(tmp_path / "before.png"))
    assert image == QImage(str(tmp_path / "with_cursor.png"))
    assert image.width() > 2 * filled.width()
    colours = {image.pixelColor(image.width() // 2, y).name() for y in range(image.height())}
    assert category_colour("activations").name() in colours
    assert filled._run_button.isVisible()


def test_that_a_picture_that_cannot_be_written_says_where(filled, tmp_path):
    with pytest.raises(OSError, match="missing"):
        filled.save_png(tmp_path / "missing" / "plot.png")


def test_that_malformed_samples_leave_the_plot_as_it_was(filled):
    with pytest.raises(ValueError, match="must not fall"):
        filled.append([0.1], {"data": [1]})
    assert len(filled.rows()[1]) == 5


def test_that_a_closed_plot_frees_its_data(shown, settle):
    plot = MemoryPlot()
    plot.append(TIMES, COLUMNS)
    plot.show()
    settle()
    alive = weakref.ref(plot)
    plot.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    del plot
    settle()
    gc.collect()
    assert alive() is None


def test_that_thousands_of_redraws_lose_no_reference(plot, qapp):
    """PySide6 6.12.0 lost one to None or True with each repaint, until Python aborted."""
    plot.append(TIMES, COLUMNS)
    before = [sys.getrefcount(value) for value in (None, True, False)]
    for i in range(2000):
        plot.append([2.0 + i], {"data": [i]})
        plot.set_cursor(float(i))
        plot.redraw()
        if i % 20 == 0:
            plot.canvas.viewport().repaint()
    qapp.processEvents()
    after = [sys.getrefcount(value) for value in (None, True, False)]
    assert all(b > a - 200 for a, b in zip(before, after, strict=True))


def test_that_the_axis_can_start_at_what_existed_before_the_workload(filled, settle) -> None:
    """A large batch would otherwise hide what a small network adds."""
    filled.set_baseline(10 * MIB)
    settle()
    button = next(widget for widget in filled.controls() if widget.objectName() == "growthButton")
    assert button.isVisible()
    button.click()
    settle()
    low, high = filled.canvas.box.viewRange()[1]
    assert 5 * MIB < low <= 10 * MIB
    assert 100 * MIB < high < 130 * MIB
    filled.show_whole_run()
    settle()
    assert filled.canvas.box.viewRange()[1][0] == 0


def test_that_growth_that_the_baseline_would_hide_is_shown_unless_the_user_decides(
    plot, settle
) -> None:
    plot.append([0.0, 1.0, 2.0], {"data": [MIB] * 3, "activations": [0, MIB // 50, 0]})
    plot.set_baseline(MIB)
    settle()
    settle()
    assert plot.canvas.box.viewRange()[1][0] > 0.9 * MIB
    next(w for w in plot.controls() if w.objectName() == "growthButton").click()
    settle()
    assert plot.canvas.box.viewRange()[1][0] == 0
