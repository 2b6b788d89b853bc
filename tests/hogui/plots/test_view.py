"""What all plots have in common: keys, mouse, menu, table, rhythm."""

import csv
import io

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from hogui.plots.frame import INTERVAL_MS, frame_clock
from hogui.plots.memory_plot import MemoryPlot
from hogui.plots.view_menu import ask_for_png, view_menu
from hogui.units import MIB


@pytest.fixture
def plot(shown, settle):
    plot = shown(MemoryPlot())
    plot.append([0.0, 1.0, 2.0], {"parameters": [MIB, 2 * MIB, MIB]})
    settle()
    return plot


def width_of(plot) -> float:
    low, high = plot.x_axis.range
    return high - low


def place(plot, x: float) -> QPointF:
    """Where an x lies on the canvas, at half height."""
    box = plot.canvas.box.sceneBoundingRect()
    return QPointF(box.left() + float(plot.canvas.mapping().x(x)), box.center().y())


def turn_wheel(plot, x: float, steps: int, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    at = place(plot, x)
    event = QWheelEvent(
        at,
        QPointF(plot.canvas.viewport().mapToGlobal(at.toPoint())),
        QPoint(),
        QPoint(0, 120 * steps),
        Qt.MouseButton.NoButton,
        modifiers,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(plot.canvas.viewport(), event)


def drag(plot, button, from_x: float, to_x: float, modifiers=Qt.KeyboardModifier.NoModifier):
    viewport = plot.canvas.viewport()
    first, last = place(plot, from_x).toPoint(), place(plot, to_x).toPoint()
    QTest.mousePress(viewport, button, modifiers, first)
    for step in range(1, 6):
        at = QPointF(first + (last - first) * step / 5)
        move = QMouseEvent(
            QEvent.Type.MouseMove,
            at,
            QPointF(viewport.mapToGlobal(at)),
            Qt.MouseButton.NoButton,
            button,
            modifiers,
        )
        QApplication.sendEvent(viewport, move)
        QTest.qWait(12)
    QTest.mouseRelease(viewport, button, modifiers, last)


def test_that_the_wheel_zooms_at_the_pointer(plot):
    before = width_of(plot)
    at = place(plot, 0.5).x()
    turn_wheel(plot, 0.5, 2)
    assert width_of(plot) == pytest.approx(before * 0.64)
    assert place(plot, 0.5).x() == pytest.approx(at, abs=1)


def test_that_the_wheel_is_finer_with_control_and_faster_with_shift(plot):
    full = width_of(plot)
    turn_wheel(plot, 1.0, 1, Qt.KeyboardModifier.ControlModifier)
    fine = width_of(plot)
    plot.reset_view()
    turn_wheel(plot, 1.0, 1, Qt.KeyboardModifier.ShiftModifier)
    assert width_of(plot) < 0.8 * full < fine < full


def test_that_dragging_moves_the_data_with_the_pointer(plot):
    plot.x_axis.set_range(0.5, 1.5)
    before = plot.x_axis.range
    drag(plot, Qt.MouseButton.LeftButton, 1.0, 1.3)
    low, high = plot.x_axis.range
    assert high - low == pytest.approx(before[1] - before[0])
    assert low == pytest.approx(before[0] - 0.3, abs=0.03)


@pytest.mark.parametrize(
    ("button", "modifiers"),
    [
        (Qt.MouseButton.MiddleButton, Qt.KeyboardModifier.NoModifier),
        (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier),
    ],
)
def test_that_a_drawn_range_becomes_the_view(plot, button, modifiers):
    drag(plot, button, 0.4, 0.9, modifiers)
    low, high = plot.x_axis.range
    assert low == pytest.approx(0.4, abs=0.02)
    assert high == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("key", "narrower", "moved"),
    [
        (Qt.Key.Key_W, True, 0),
        (Qt.Key.Key_Up, True, 0),
        (Qt.Key.Key_S, False, 0),
        (Qt.Key.Key_A, None, -1),
        (Qt.Key.Key_Left, None, -1),
        (Qt.Key.Key_D, None, 1),
        (Qt.Key.Key_Right, None, 1),
    ],
)
def test_that_keys_zoom_and_pan(plot, key, narrower, moved):
    plot.x_axis.set_range(0.5, 1.5)
    QTest.keyClick(plot, key)
    low, high = plot.x_axis.range
    if narrower is None:
        assert high - low == pytest.approx(1.0)
    else:
        assert (high - low < 1.0) is narrower
    middle = (low + high) / 2
    assert (middle > 1.001) - (middle < 0.999) == moved


@pytest.mark.parametrize("key", [Qt.Key.Key_Escape, Qt.Key.Key_Home, Qt.Key.Key_0])
def test_that_keys_reset_the_view(plot, key):
    full = plot.x_axis.range
    plot.x_axis.set_range(0.5, 0.6)
    QTest.keyClick(plot, key)
    assert plot.x_axis.range == pytest.approx(full)
    assert plot.x_axis.following


def test_that_views_can_be_stepped_through_backwards_and_forwards(plot):
    full = plot.x_axis.range
    plot.x_axis.set_range(0.5, 1.0)
    plot.x_axis.set_range(0.6, 0.7)
    alt = Qt.KeyboardModifier.AltModifier
    QTest.keyClick(plot, Qt.Key.Key_Left, alt)
    assert plot.x_axis.range == pytest.approx((0.5, 1.0))
    QTest.keyClick(plot, Qt.Key.Key_Left, alt)
    assert plot.x_axis.range == pytest.approx(full)
    QTest.keyClick(plot, Qt.Key.Key_Right, alt)
    QTest.keyClick(plot, Qt.Key.Key_Right, alt)
    assert plot.x_axis.range == pytest.approx((0.6, 0.7))


def test_that_one_turn_of_the_wheel_is_one_step_of_the_history(plot):
    full = plot.x_axis.range
    for _ in range(5):
        turn_wheel(plot, 1.0, 1)
    plot.previous_view()
    assert plot.x_axis.range == pytest.approx(full)


def test_that_a_click_gives_the_plot_the_keyboard(plot):
    plot.clearFocus()
    QTest.mouseClick(
        plot.canvas.viewport(), Qt.MouseButton.LeftButton, pos=place(plot, 1.0).toPoint()
    )
    assert plot.hasFocus()


def test_that_the_pointer_moves_the_cross_hair_and_leaving_takes_it_away(plot, qtbot):
    with qtbot.waitSignal(plot.cursorMoved) as moved:
        QTest.mouseMove(plot.canvas.viewport(), place(plot, 1.2).toPoint())
    assert moved.args[0] == pytest.approx(1.2, abs=0.02)
    assert plot.x_axis.cursor == moved.args[0]
    with qtbot.waitSignal(plot.cursorMoved) as left:
        plot.canvas.hovered.emit(None)
    assert left.args == [None]
    assert plot.x_axis.cursor is None


def test_that_changes_of_the_view_are_announced(plot, qtbot):
    with qtbot.waitSignal(plot.viewRangeChanged) as changed:
        plot.x_axis.set_range(0.25, 0.5)
    assert changed.args == [0.25, 0.5]


def test_that_the_menu_is_ours_and_each_entry_acts(plot):
    menu = view_menu(plot, plot)
    entries = {action.text().split("\t")[0]: action for action in menu.actions() if action.text()}
    assert list(entries) == [
        "Reset view",
        "Previous view",
        "Next view",
        "Save picture…",
        "Copy picture",
        "Show as table…",
    ]
    plot.x_axis.set_range(0.5, 0.6)
    entries["Reset view"].trigger()
    assert plot.x_axis.following
    entries["Copy picture"].trigger()
    assert not QGuiApplication.clipboard().image().isNull()
    menu.close()


def test_that_a_picture_is_written_where_the_user_says(plot, tmp_path):
    dialog = ask_for_png(plot, plot)
    assert dialog.acceptMode() is QFileDialog.AcceptMode.AcceptSave
    dialog.fileSelected.emit(str(tmp_path / "memory.png"))
    assert (tmp_path / "memory.png").read_bytes()[1:4] == b"PNG"
    dialog.close()


def test_that_the_table_behind_the_plot_is_copied_as_csv(plot, qtbot):
    dialog = plot.show_table()
    qtbot.addWidget(dialog)
    dialog.copy()
    rows = list(csv.DictReader(io.StringIO(QGuiApplication.clipboard().text())))
    assert [float(row["t_s"]) for row in rows] == [0.0, 1.0, 2.0]
    assert [int(row["parameters"]) for row in rows] == [MIB, 2 * MIB, MIB]
    dialog.close()


def test_that_selected_rows_alone_are_copied(plot, qtbot):
    dialog = plot.show_table()
    qtbot.addWidget(dialog)
    dialog._view.selectRow(1)
    dialog.copy()
    assert (
        QGuiApplication.clipboard().text()
        == f"t_s,total_bytes,parameters\n1.0,{2 * MIB},{2 * MIB}\n"
    )
    dialog.close()


def test_that_the_table_is_a_sound_item_model(plot, qtbot, qtmodeltester):
    dialog = plot.show_table()
    qtbot.addWidget(dialog)
    qtmodeltester.check(dialog._view.model())
    dialog.close()


class Counter:
    """Counts its frames."""

    def __init__(self) -> None:
        self.frames = 0

    def redraw(self) -> None:
        self.frames += 1


def test_that_many_requests_make_one_frame_and_the_clock_then_rests(qtbot, monkeypatch):
    monkeypatch.setattr("hogui.plots.frame.isValid", lambda view: True)
    counter = Counter()
    for _ in range(500):
        frame_clock().request(counter)
    qtbot.waitUntil(lambda: not frame_clock().running)
    assert counter.frames == 1


def test_that_requests_while_frames_run_wait_for_the_next_frame(qtbot, monkeypatch):
    monkeypatch.setattr("hogui.plots.frame.isValid", lambda view: True)
    counter = Counter()
    frame_clock().request(counter)
    qtbot.waitUntil(lambda: counter.frames == 1)
    for _ in range(5):
        for _ in range(100):
            frame_clock().request(counter)
        QTest.qWait(INTERVAL_MS)
    qtbot.waitUntil(lambda: not frame_clock().running)
    assert 2 <= counter.frames <= 8


def test_that_a_hidden_plot_draws_nothing_until_it_is_shown(plot, settle, colour_at):
    plot.hide()
    plot.append([3.0], {"parameters": [80 * MIB]})
    settle()
    assert plot.canvas.box.viewRange()[1][1] < 80 * MIB
    plot.show()
    settle()
    assert plot.canvas.box.viewRange()[1][1] > 80 * MIB


def test_that_a_plot_that_dies_before_its_frame_is_forgotten(qtbot):
    plot = MemoryPlot()
    plot.request_redraw()
    plot.deleteLater()
    del plot
    qtbot.waitUntil(lambda: not frame_clock().running)
