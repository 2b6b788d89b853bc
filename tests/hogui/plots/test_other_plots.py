"""Phases and times."""

import pytest
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor

from hogui.plots.phase_plot import PhasePlot, PhaseRow, phase_category
from hogui.plots.time_plot import TimePlot
from hogui.theme import LIGHT, category_colour
from hogui.units import MIB


@pytest.fixture
def phases(shown):
    return shown(PhasePlot())


@pytest.fixture
def times(shown):
    return shown(TimePlot())


def test_that_a_started_phase_ends_where_the_next_begins(phases):
    phases.start_phase("forward", 1.0)
    phases.start_phase("gradient 1", 1.5)
    phases.finish(2.5)
    phases.finish(9.0)
    headers, rows = phases.rows()
    assert headers[:3] == ["name", "start_s", "end_s"]
    assert [row[:3] for row in rows] == [("forward", 1.0, 1.5), ("gradient 1", 1.5, 2.5)]


def test_that_the_final_phases_replace_the_live_ones(phases):
    phases.start_phase("forward", 1.0)
    phases.set_phases([("gradient 2", 0.0, 1.0, 0.5, 3 * MIB, 2 * MIB, 1.25)])
    _, rows = phases.rows()
    assert rows == [PhaseRow("gradient 2", 0.0, 1.0, 0.5, 3 * MIB, 2 * MIB, 1.25)]


def test_that_a_paused_strip_stands_still_and_catches_up(phases, settle):
    phases.start_phase("forward", 0.0)
    phases.finish(1.0)
    phases.set_paused(True)
    phases.start_phase("gradient 1", 1.0)
    phases.finish(2.0)
    settle()
    assert phases.accessibleDescription() == "forward"
    phases.set_paused(False)
    settle()
    assert phases.accessibleDescription() == "forward, gradient 1"


def test_that_the_tip_says_what_is_known_of_the_phase_under_the_pointer(phases, settle):
    phases.set_phases(
        [
            ("forward", 0.0, 1.0, None, None, None, None),
            ("gradient 2", 1.0, 2.0, 0.25, 3 * MIB, 2 * MIB, 1.25),
        ]
    )
    settle()
    mapping = phases.canvas.mapping()
    text, box = phases.tip_at(QPointF(float(mapping.x(1.5)), 10))
    said = text.replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert said == [
        "gradient 2",
        "1.00 s in the memory pass",
        "250 ms in a timed repetition",
        "peak 3.000 MiB",
        "2.000 MiB more alive at its end",
        "norm of its result 1.25",
    ]
    assert box.left() == pytest.approx(float(mapping.x(1.0)), abs=1)
    assert phases.tip_at(QPointF(float(mapping.x(0.5)), 10))[0].startswith("forward\n1.00")
    assert phases.tip_at(QPointF(-5, 10)) is None


def test_that_phases_within_phases_lie_in_lanes_below(phases, settle):
    single = phases.height()
    phases.set_phases(
        [("outer step 1", 0.0, 1.0), ("inner step 1", 0.0, 0.4), ("inner step 2", 0.4, 0.8)]
    )
    settle()
    assert phases.height() == 2 * single
    mapping = phases.canvas.mapping()
    upper, lower = QPointF(mapping.x(0.2), 5), QPointF(mapping.x(0.2), mapping.height - 5)
    assert phases.tip_at(upper)[0].startswith("outer step 1")
    assert phases.tip_at(lower)[0].startswith("inner step 1")


def test_that_the_phases_of_each_task_lie_in_a_lane_below_it(phases, settle):
    phases.set_phases(
        [
            ("task 1: inner step 1", 0.0, 0.4),
            ("task 1: query loss", 0.4, 0.5),
            ("task 2: inner step 1", 0.5, 0.9),
            ("task 2: query loss", 0.9, 1.0),
        ]
    )
    settle()
    mapping = phases.canvas.mapping()
    tips = [
        phases.tip_at(QPointF(mapping.x(x), y))[0].splitlines()[0]
        for y in (5, mapping.height - 5)
        for x in (0.45, 0.95)
    ]
    assert tips == ["task 1", "task 2", "task 1: query loss", "task 2: query loss"]
    assert phases.tip_at(QPointF(mapping.x(0.6), 5))[0].splitlines()[1].startswith("500")


def test_that_twenty_eight_phases_keep_their_marks_and_tips(phases, settle):
    phases.set_phases([(f"task 1 inner step {i}", i, i + 1) for i in range(28)])
    settle()
    image = phases.canvas.grab().toImage()
    mapping, origin = phases.canvas.mapping(), phases.canvas.box.sceneBoundingRect().topLeft()
    for i in range(28):
        x = float(mapping.x(i + 0.5))
        assert image.pixelColor(int(origin.x() + x), 1) == category_colour("fast_weights")
        assert phases.tip_at(QPointF(x, 10))[0].startswith(f"task 1 inner step {i}\n")


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("forward", "activations"),
        ("gradient 3", "graph_3"),
        ("task 3: gradient 3", "graph_3"),
        ("task 3: meta-gradient", "gradients"),
        ("task 1: query loss", "activations"),
        ("inner step 2", "fast_weights"),
        ("something new", None),
        ("task 3", None),
    ],
)
def test_that_a_phase_is_marked_by_what_it_makes(name, category):
    assert phase_category(name) == category


def test_that_a_slow_first_call_does_not_press_the_others_together(times, settle):
    times.append(0, 5.0, True)
    for i in range(30):
        times.append(i, 0.010 + 0.001 * (i % 3), False)
    settle()
    low, high = times.canvas.box.viewRange()[1]
    assert low > 0.005
    assert high < 0.03
    assert "first call" in times.note.text()


def test_that_noise_of_a_percent_does_not_fill_the_plot(times, settle):
    for i in range(20):
        times.append(i, 0.100 + 0.0005 * (i % 2), False)
    settle()
    low, high = times.canvas.box.viewRange()[1]
    assert high - low >= 0.02


def test_that_warm_up_is_grey_and_what_counts_is_not(times, settle, colour_at):
    times.append(0, 0.010, True)
    times.append(1, 0.010, True)
    times.append(0, 0.010, False)
    settle()
    assert colour_at(times, 2, 0.010) == QColor(LIGHT.border_strong)
    assert colour_at(times, 3, 0.010) == QColor(LIGHT.accent)


def test_that_median_and_interval_are_said_and_stay_in_sight(times, settle):
    for i in range(5):
        times.append(i, 0.010, False)
    times.set_summary(0.010, 0.004, 0.030, "noisy")
    settle()
    low, high = times.canvas.box.viewRange()[1]
    assert low <= 0.004
    assert high >= 0.030
    said = times.note.text().replace("\N{NO-BREAK SPACE}", " ")
    assert said == "median 10.0 ms [4.0, 30.0] · noisy"


def test_that_the_first_call_gives_way_to_the_median_and_stays_in_the_tip(times, settle):
    times.append(0, 0.5, True)
    times.append(0, 0.010, False)
    settle()
    assert times.note.text() == "first call 500\N{NO-BREAK SPACE}ms"
    times.set_summary(0.010, 0.004, 0.030, "noisy")
    settle()
    assert "first call" not in times.note.text()
    full = "median 10.0 ms · 95 % interval 4.00 ms to 30.0 ms · noisy · first call 500 ms"
    for said in (times.note.toolTip(), times.accessibleDescription()):
        assert said.replace("\N{NO-BREAK SPACE}", " ") == full


def test_that_the_read_out_tells_the_kinds_of_repetitions_apart(times):
    times.append(0, 0.5, True)
    times.append(1, 0.2, True)
    times.append(0, 0.1, False)
    assert [times.read_out_at(x)[0] for x in (1.1, 2.2, 2.9)] == [
        "First call 0",
        "Warm-up 1",
        "Repetition 0",
    ]
    assert times.read_out_at(9) is None


def test_that_the_tables_hold_plain_numbers(times):
    times.append(0, 0.5, True)
    times.append(1, 0.25, False)
    assert times.rows() == (["repetition", "seconds", "warm_up"], [(0, 0.5, 1), (1, 0.25, 0)])
    times.clear()
    assert times.rows()[1] == []
