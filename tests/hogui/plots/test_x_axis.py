"""One axis for the plots of a run, linked axes for several runs."""

import gc

import pytest

from hogui.plots.links import link, unlink
from hogui.plots.memory_plot import MemoryPlot
from hogui.plots.phase_plot import PhasePlot
from hogui.plots.time_plot import TimePlot
from hogui.plots.x_axis import Span, XAxis, link_axes, unlink_axes
from hogui.units import MIB


@pytest.fixture
def axis(qapp):
    axis = XAxis()
    axis.extend(Span.MEMORY_PASS, 1.0, 3.0)
    return axis


def test_that_an_axis_shows_all_data_with_a_small_margin(axis):
    low, high = axis.range
    assert 0.9 < low < 1.0
    assert 3.0 < high < 3.1


def test_that_a_range_chosen_by_the_user_outlives_new_data(axis):
    axis.set_range(1.5, 2.0)
    axis.extend(Span.MEMORY_PASS, 1.0, 9.0)
    assert axis.range == (1.5, 2.0)
    assert not axis.following


def test_that_data_cannot_be_thrown_out_of_sight(axis):
    for _ in range(50):
        axis.pan(1.0)
    low, high = axis.range
    assert low < 3.0 < high


def test_that_zooming_out_ends_where_there_is_nothing_more(axis):
    for _ in range(200):
        axis.zoom(1.5)
    low, high = axis.range
    assert high - low <= 4 * 2.0 + 1e-9


def test_that_zooming_in_ends_before_numbers_do(axis):
    for _ in range(500):
        axis.zoom(0.5, 2.0)
    low, high = axis.range
    assert low < high


def test_that_the_memory_pass_is_followed_apart_from_the_whole_run(axis):
    axis.extend(Span.WHOLE_RUN, 0.0, 50.0)
    assert axis.range[1] < 4
    axis.follow(Span.WHOLE_RUN)
    assert axis.range[1] > 49


def test_that_linked_axes_coincide_at_their_origins(axis):
    other = XAxis()
    other.extend(Span.MEMORY_PASS, 10.0, 14.0)
    axis.set_origin(1.0)
    other.set_origin(10.0)
    link_axes(axis, other)
    assert axis.range[0] - 1.0 == pytest.approx(other.range[0] - 10.0)
    assert axis.range[1] - 1.0 == pytest.approx(other.range[1] - 10.0)
    assert axis.range[1] >= 5.0
    axis.set_range(1.5, 2.0)
    assert other.range == pytest.approx((10.5, 11.0))
    axis.set_cursor(2.0)
    assert other.cursor == pytest.approx(11.0)
    assert axis.linked
    assert axis.shown_origin == 1.0


def test_that_axes_let_go_of_each_other(axis):
    other = XAxis()
    other.extend(Span.MEMORY_PASS, 0.0, 100.0)
    link_axes(axis, other)
    unlink_axes(axis)
    assert not axis.linked
    assert not other.linked
    assert axis.range[1] < 4
    other.set_range(5.0, 6.0)
    assert axis.range[1] < 4


def test_that_a_tab_that_is_closed_leaves_its_link(axis):
    other = XAxis()
    link_axes(axis, other)
    del other
    gc.collect()
    assert not axis.linked


@pytest.fixture
def two_runs(shown):
    """The plots of two runs whose memory passes start at different moments."""
    plots = []
    for start in (0.3, 1.7):
        memory, phases, time = shown(MemoryPlot()), shown(PhasePlot()), shown(TimePlot())
        phases.link_x(memory)
        size = 40 * MIB if start < 1 else 400 * MIB
        memory.append([start, start + 0.1], {"activations": [size, size]})
        phases.start_phase("forward", start)
        phases.finish(start + 0.1)
        plots.append((memory, phases, time))
    return plots


def test_that_the_phases_of_a_run_share_its_time_axis(two_runs, settle):
    memory, phases, _ = two_runs[0]
    memory.x_axis.set_range(0.32, 0.36)
    settle()
    assert phases.canvas.box.viewRange()[0] == pytest.approx([0.32, 0.36])
    memory.set_cursor(0.33)
    assert phases.x_axis.cursor == 0.33


def test_that_phases_lie_under_the_memory_that_they_held(two_runs, settle):
    memory, phases, _ = two_runs[0]
    settle()
    places = []
    for plot in (memory, phases):
        box = plot.canvas.box
        local = box.sceneBoundingRect().left() + float(plot.canvas.mapping().x(0.35))
        places.append(plot.canvas.mapTo(plot, plot.canvas.rect().topLeft()).x() + local)
    assert places[0] == pytest.approx(places[1], abs=1)


def test_that_linked_runs_have_one_scale_and_one_cross_hair(two_runs, settle):
    (first, first_phases, _), (second, second_phases, _) = two_runs
    link([first, second, first_phases, second_phases])
    settle()
    assert first.canvas.box.viewRange()[1] == pytest.approx(second.canvas.box.viewRange()[1])
    first.set_cursor(0.35)
    assert second.x_axis.cursor == pytest.approx(1.75)
    assert second_phases.x_axis.cursor == pytest.approx(1.75)
    first_phases.x_axis.set_range(0.3, 0.35)
    settle()
    assert second.canvas.box.viewRange()[0] == pytest.approx([1.7, 1.75])
    assert first.read_out_at(0.35)[0] == second.read_out_at(1.75)[0]


def test_that_linked_times_share_their_scale(two_runs, settle):
    (_, _, first), (_, _, second) = two_runs
    for plot, seconds in ((first, 0.001), (second, 0.1)):
        for i in range(5):
            plot.append(i, seconds, False)
    link([first, second])
    settle()
    low, high = first.canvas.box.viewRange()[1]
    assert low <= 0.001
    assert high >= 0.1
    assert second.canvas.box.viewRange()[1] == pytest.approx([low, high])


def test_that_unlinked_runs_have_their_own_scales_again(two_runs, settle):
    (first, _, _), (second, _, _) = two_runs
    link([first, second])
    unlink([first, second])
    settle()
    assert first.canvas.box.viewRange()[1][1] < 100 * MIB
    assert first.x_axis.range[1] < 0.5
    first.set_cursor(0.31)
    assert second.x_axis.cursor is None
