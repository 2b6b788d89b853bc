"""The window as a whole, with a made-up core."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QRect, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QTableView,
    QTabWidget,
    QToolButton,
    QWidget,
)

from core.results.device import Device
from core.results.outcome import Outcome
from core.spec.presets import preset
from core.spec.run import RunSpec
from core.spec.variants import variant, variants
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab, RunState
from hogui.preferences import Place
from hogui.tables.layer_columns import Column
from hogui.tables.layer_table import LayerTable
from tests.fake_core import FakeCore

OpenWindow = Callable[..., MainWindow]
Finish = Callable[[OpenTab], None]
PATIENCE_MS = 20_000


def _current(window: MainWindow) -> OpenTab:
    tab = window.session.current
    assert tab is not None
    return tab


def _save(folder: Path, name: str, spec: RunSpec) -> Path:
    file = folder / name
    file.write_text(spec.to_json())
    return file


def test_that_the_first_start_shows_a_preset_ready_to_run(open_window: OpenWindow) -> None:
    window = open_window()
    assert _current(window).spec == preset("lecture-second-order").spec
    assert window.tool_bar.run_button.isEnabled()
    assert window.tool_bar.reason_label.full_text == ""


def test_that_the_window_has_its_public_widgets_and_actions(open_window: OpenWindow) -> None:
    window = open_window()
    for kind, name in (
        (QPushButton, "runButton"),
        (QPushButton, "cancelButton"),
        (QTabWidget, "configurationTabs"),
        (QToolButton, "newTabButton"),
        (QToolButton, "splitButton"),
        (QComboBox, "deviceCombo"),
        (QLabel, "forecastLabel"),
        (QProgressBar, "progressBar"),
    ):
        assert window.findChild(kind, name) is not None, name
    names = [action.objectName() for action in window.actions()]
    for name in ("exportCsvAction", "undoAction", "redoAction"):
        assert names.count(name) == 1, name


def test_that_the_current_tab_has_its_public_widgets(open_window: OpenWindow) -> None:
    window = open_window()
    window.commands["duplicateTab"].trigger()
    page = window.findChild(QTabWidget, "configurationTabs").currentWidget()
    for name in (
        "layerTable",
        "addLayerButton",
        "workloadCombo",
        "orderSpin",
        "checkpointingCombo",
        "memoryPlot",
        "phasePlot",
        "timePlot",
        "resultTable",
    ):
        (found,) = page.findChildren(QWidget, name)
        assert found.isVisible(), name


def test_that_nothing_of_later_pages_is_there(open_window: OpenWindow) -> None:
    window = open_window()
    for name in ("comparePage", "sweepPage", "historyPage"):
        assert window.findChild(QWidget, name) is None


def test_that_run_shows_progress_and_then_offers_to_run_again(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    core = FakeCore(stall_after=5)
    window = open_window(core.run)
    button, cancel = window.tool_bar.run_button, window.tool_bar.cancel_button
    assert not cancel.isEnabled()
    button.click()
    qtbot.waitUntil(
        lambda: "repetition 5 of about 12" in window.status.progress_label.full_text,
        timeout=PATIENCE_MS,
    )
    assert window.status.progress_bar.isVisible()
    assert window.status.progress_bar.value() > 0
    assert "left" in window.status.progress_label.full_text
    assert not button.isEnabled()
    assert "not over" in button.toolTip()
    assert cancel.isEnabled()
    core.released.set()
    finish(_current(window))
    assert button.isEnabled()
    assert button.text() == "Run again"
    assert not cancel.isEnabled()
    assert not window.status.progress_bar.isVisible()


def test_that_cancel_ends_a_run_that_hangs(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    window = open_window(FakeCore(stall_after=2).run)
    window.tool_bar.run_button.click()
    qtbot.waitUntil(lambda: bool(_current(window).live), timeout=PATIENCE_MS)
    window.tool_bar.cancel_button.click()
    finish(_current(window))
    page = window.workbench.current_page()
    assert _current(window).result.outcome is Outcome.CANCELLED
    assert page.figures.strip.text == Outcome.CANCELLED.sentence
    assert window.tool_bar.run_button.isEnabled()


def test_that_a_wrong_layer_disables_run_with_its_reason(open_window: OpenWindow) -> None:
    window = open_window()
    tab = _current(window)
    tab.edit(tab.spec.with_changes({"model.layers": [{"kind": "conv2d", "out_channels": 4}]}))
    button, reason = window.tool_bar.run_button, window.tool_bar.reason_label.full_text
    assert not button.isEnabled()
    assert reason.startswith("Layer 1: ")
    assert tab.problems[0].sentence in reason
    assert button.toolTip() == reason
    tab.undo()
    assert button.isEnabled()
    assert window.tool_bar.reason_label.full_text == ""


def test_that_the_reason_names_a_layer_once(open_window: OpenWindow) -> None:
    window = open_window()
    model = window.tabs.currentWidget().findChild(LayerTable).model()
    model.setData(model.index(0, Column.SETTINGS), "none such")
    reason = window.tool_bar.reason_label.full_text
    assert reason.startswith("Layer 1: ")
    assert reason.count("Layer") == 1


def test_that_a_value_out_of_range_disables_run_with_its_reason(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window()
    spin = window.tabs.currentWidget().findChild(QSpinBox, "orderSpin")
    spin.lineEdit().selectAll()
    qtbot.keyClicks(spin.lineEdit(), "7")
    qtbot.waitUntil(lambda: not window.tool_bar.run_button.isEnabled(), timeout=PATIENCE_MS)
    assert "7" in window.tool_bar.reason_label.full_text
    assert "1 to 6" in window.tool_bar.reason_label.full_text
    assert _current(window).spec.workload.order == 2
    spin.lineEdit().selectAll()
    qtbot.keyClicks(spin.lineEdit(), "3")
    qtbot.waitUntil(window.tool_bar.run_button.isEnabled, timeout=PATIENCE_MS)
    assert _current(window).spec.workload.order == 3


def test_that_undo_and_redo_move_the_form(open_window: OpenWindow, qtbot: object) -> None:
    window = open_window()
    page = window.tabs.currentWidget()
    spin = page.findChild(QSpinBox, "orderSpin")
    assert not window.commands["undo"].isEnabled()
    spin.stepBy(1)
    qtbot.waitUntil(lambda: _current(window).spec.workload.order == 3, timeout=PATIENCE_MS)
    window.commands["undo"].trigger()
    assert spin.value() == 2
    window.commands["redo"].trigger()
    assert spin.value() == 3
    assert not window.commands["redo"].isEnabled()


def test_that_a_device_is_chosen_for_the_current_tab(open_window: OpenWindow) -> None:
    window = open_window()
    window.session.set_devices(
        (
            Device(name="cpu", title="Zen", memory_bytes=8 << 30, available_bytes=None),
            Device(name="cuda:0", title="H200", memory_bytes=139 << 30, available_bytes=None),
        )
    )
    combo = window.tool_bar.device_combo
    texts = [combo.itemText(row) for row in range(combo.count())]
    assert texts[0] == "Auto (cuda:0)"
    assert texts[1].startswith("Zen")
    assert "139" in texts[2]
    combo.activated.emit(1)
    assert _current(window).spec.device == "cpu"
    assert combo.currentIndex() == 1
    window.commands["undo"].trigger()
    assert combo.currentIndex() == 0


def test_that_a_device_of_another_machine_is_named_as_not_here(open_window: OpenWindow) -> None:
    window = open_window()
    tab = _current(window)
    tab.edit(tab.spec.with_value("device", "mps"))
    assert window.tool_bar.device_combo.currentText() == "mps (not here)"


def test_that_three_tabs_queue_visibly(open_window: OpenWindow, finish: Finish) -> None:
    core = FakeCore(stall_after=1)
    window = open_window(core.run)
    for _ in range(2):
        window.commands["duplicateTab"].trigger()
    window.tool_bar.run_all_button.click()
    first, second, third = window.session.tabs
    assert third.state is RunState.QUEUED
    assert window.session.current is third
    assert "2 before it" in window.status.progress_label.full_text
    window.session.set_current(first)
    assert "2 waiting" in window.status.progress_label.full_text
    core.released.set()
    for tab in (first, second, third):
        finish(tab)
        assert tab.result.outcome is Outcome.FINISHED
    ids = {tab.result.run_id for tab in (first, second, third)}
    assert len(ids) == 3


def test_that_a_new_tab_has_a_name_of_its_own_and_comes_to_the_front(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    window.tabs.new_button.click()
    names = [tab.name for tab in window.session.tabs]
    assert len(set(names)) == 2
    assert window.tabs.currentIndex() == 1
    assert window.tabs.tabText(1) == names[1]


def test_that_a_double_click_renames_a_tab(open_window: OpenWindow, qtbot: object) -> None:
    window = open_window()
    bar = window.tabs.bar
    qtbot.mouseDClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(0).center())
    editor = bar.findChild(QLineEdit, "tabTitleEditor")
    editor.setText("Mine")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert _current(window).name == "Mine"
    assert window.tabs.tabText(0) == "Mine"
    window.commands["undo"].trigger()
    assert window.tabs.tabText(0) == preset("lecture-second-order").spec.name


def test_that_escape_leaves_a_title_as_it_was(open_window: OpenWindow, qtbot: object) -> None:
    window = open_window()
    name = _current(window).name
    window.commands["renameTab"].trigger()
    editor = window.tabs.bar.findChild(QLineEdit, "tabTitleEditor")
    editor.setText("Other")
    qtbot.keyClick(editor, Qt.Key.Key_Escape)
    assert _current(window).name == name


def test_that_a_dragged_tab_keeps_its_place_in_the_session(open_window: OpenWindow) -> None:
    window = open_window()
    window.commands["duplicateTab"].trigger()
    first, second = window.session.tabs
    window.tabs.bar.moveTab(0, 1)
    assert window.session.tabs == (second, first)
    assert window.tabs.widget(0).tab is second


def test_that_closing_the_last_tab_opens_a_fresh_one_and_it_can_come_back(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    tab = _current(window)
    tab.edit(tab.spec.with_value("workload.order", "4"))
    window.commands["closeTab"].trigger()
    assert [each.spec.workload.order for each in window.session.tabs] == [2]
    window.commands["reopenTab"].trigger()
    assert _current(window).spec.workload.order == 4


def test_that_a_configuration_is_saved_and_opened_again(
    open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.json"
    monkeypatch.setattr("hogui.commands.files.ask_where_to_save", lambda *_: file)
    monkeypatch.setattr("hogui.commands.files.ask_for_specs", lambda *_: [file])
    window = open_window()
    tab = _current(window)
    window.commands["save"].trigger()
    assert RunSpec.from_json(file.read_text()) == tab.spec
    tab.edit(tab.spec.with_value("workload.order", "3"))
    assert window.tabs.tabText(0).endswith("•")
    window.commands["save"].trigger()
    assert not window.tabs.tabText(0).endswith("•")
    window.commands["closeTab"].trigger()
    window.commands["open"].trigger()
    assert _current(window).spec.workload.order == 3
    assert _current(window).path == file
    window.commands["open"].trigger()
    assert [each.path for each in window.session.tabs].count(file) == 1
    window.menus.recents.aboutToShow.emit()
    assert [action.text() for action in window.menus.recents.actions()] == [str(file)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"version": 1, "model": {"kind": "sta', "not a complete JSON document"),
        ("[1, 2]", "JSON object"),
        ('{"model": {"kind": "stack", "input_shape": [3], "layres": []}}', "layres"),
        ('{"version": 99, "model": {"kind": "stack", "input_shape": [3]}}', "99"),
        ("\x00\x7f", "JSON"),
    ],
)
def test_that_a_broken_file_gives_a_sentence_and_no_tab(
    open_window: OpenWindow, tmp_path: Path, text: str, words: str
) -> None:
    window = open_window()
    file = tmp_path / "broken.json"
    file.write_text(text)
    window.open_file(file)
    assert words in window.strip.text
    assert "broken.json" in window.strip.text
    assert "Traceback" not in window.strip.text
    assert len(window.session.tabs) == 1


def test_that_a_missing_file_gives_a_sentence(open_window: OpenWindow, tmp_path: Path) -> None:
    window = open_window()
    window.open_file(tmp_path / "nowhere.json")
    assert "nowhere.json" in window.strip.text


def test_that_a_dropped_file_opens(open_window: OpenWindow, tmp_path: Path) -> None:
    window = open_window()
    data = QMimeData()
    file = _save(tmp_path, "dropped.json", preset("sinusoid-maml").spec)
    data.setUrls([QUrl.fromLocalFile(str(file))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    enter = QDragEnterEvent(QPoint(9, 9), copy, data, left, none)
    window.dragEnterEvent(enter)
    assert enter.isAccepted()
    window.dropEvent(QDropEvent(QPointF(9, 9), copy, data, left, none))
    assert _current(window).spec == preset("sinusoid-maml").spec


def test_that_what_was_open_is_open_at_the_next_start(
    open_window: OpenWindow, finish: Finish, tmp_path: Path
) -> None:
    window = open_window()
    file = _save(tmp_path, "maml.json", preset("sinusoid-maml").spec)
    window.open_file(file)
    edited = _current(window).spec.with_value("workload.inner_steps", "3")
    _current(window).edit(edited)
    window.session.set_current(window.session.tabs[0])
    window.session.run(window.session.tabs[0])
    finish(window.session.tabs[0])
    result = window.session.tabs[0].result
    window.resize(780, 640)
    window.close()

    again = open_window()
    first, second = again.session.tabs
    assert _current(again) is first
    assert again.height() == 640
    assert (second.spec, second.path, second.dirty) == (edited, file, True)
    assert first.result == result
    assert again.workbench.current_page().figures.memory.peak() is not None
    assert second.result is None
    assert again.workbench.page_of(second).panel.spec == edited


def test_that_a_crash_of_the_window_loses_no_edit(
    open_window: OpenWindow, hogui_home: Path, qtbot: object
) -> None:
    window = open_window()
    tab = _current(window)
    tab.edit(tab.spec.with_value("workload.order", "5"))
    file = hogui_home / "session.json"
    qtbot.waitUntil(lambda: file.exists() and '"order": 5' in file.read_text(), timeout=PATIENCE_MS)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 99}', '{"version": 1, "tabs": [{}, 3]}'])
def test_that_an_unreadable_session_means_a_first_start(
    open_window: OpenWindow, hogui_home: Path, text: str
) -> None:
    hogui_home.mkdir(parents=True)
    (hogui_home / "session.json").write_text(text)
    assert _current(open_window()).spec == preset("lecture-second-order").spec


def test_that_one_tab_that_cannot_be_restored_does_not_cost_the_others(
    open_window: OpenWindow, hogui_home: Path
) -> None:
    good = json.loads(preset("sinusoid-maml").spec.to_json())
    bad = {"name": "Strange", "model": {"kind": "cloud"}}
    hogui_home.mkdir(parents=True)
    (hogui_home / "session.json").write_text(
        json.dumps({"version": 1, "current": 1, "tabs": [{"spec": bad}, {"spec": good}]})
    )
    window = open_window()
    assert [tab.spec for tab in window.session.tabs] == [preset("sinusoid-maml").spec]
    assert window.tabs.count() == 1
    assert "Strange" in window.strip.text


def test_that_closing_while_a_run_hangs_ends_the_run(open_window: OpenWindow) -> None:
    window = open_window(FakeCore(stall_after=1).run)
    window.tool_bar.run_button.click()
    assert window.close()


def test_that_closing_asks_first_where_that_is_preferred(
    open_window: OpenWindow, finish: Finish
) -> None:
    core = FakeCore(stall_after=1)
    window = open_window(core.run)
    window.preferences.change(confirm_close=True)
    window.tool_bar.run_button.click()
    assert not window.close()
    assert window.isVisible()
    core.released.set()
    finish(_current(window))
    assert window.close()


def test_that_preferences_choose_the_theme_at_once(open_window: OpenWindow) -> None:
    window = open_window()
    window.commands["preferences"].trigger()
    dialog = window.findChild(QWidget, "preferencesDialog")
    combo = dialog.findChild(QComboBox, "themeCombo")
    before = window.palette().window().color()
    for row in range(combo.count()):
        combo.setCurrentIndex(row)
        combo.activated.emit(row)
    assert window.preferences.choices.theme == combo.itemData(combo.count() - 1)
    assert window.palette().window().color() != before
    dialog.close()


def test_that_measuring_in_the_windows_process_is_labelled(open_window: OpenWindow) -> None:
    window = open_window()
    window.preferences.change(place=Place.THIS_PROCESS)
    assert "disturbs the figures" in window.status.worker_label.text()


def test_that_side_by_side_links_times_and_lists_differences(
    open_window: OpenWindow, finish: Finish
) -> None:
    window = open_window()
    window.commands["duplicateTab"].trigger()
    first, second = window.session.tabs
    second.edit(second.spec.with_value("workload.order", "3"))
    window.session.run_all()
    for tab in (first, second):
        finish(tab)
    window.tabs.split_button.click()
    one, other = (window.workbench.page_of(tab).figures for tab in (first, second))
    assert one.memory.isVisible()
    assert other.memory.isVisible()
    moved: list[object] = []
    other.memory.cursorMoved.connect(moved.append)
    one.memory.x_axis.set_range(0.004, 0.008)
    shown = other.memory.x_axis.range
    assert shown[1] - shown[0] == pytest.approx(0.004)
    table = window.findChild(QTableView, "compareTable")
    cells = {
        table.item(row, 0).text(): [
            table.item(row, column).text() for column in range(1, table.columnCount())
        ]
        for row in range(table.rowCount())
    }
    assert cells["Order"] == ["2", "3"]
    ratio = second.result.memory.peak_bytes / first.result.memory.peak_bytes
    peak = next(texts for title, texts in cells.items() if title.startswith("Peak"))
    assert peak[1].endswith(f"{ratio:.2f}×")
    window.tabs.split_button.click()
    assert not table.isVisible()
    assert other.parent() is window.workbench.page_of(second).columns
    assert one.parent() is window.workbench.page_of(first).columns


def test_that_a_tab_that_stands_beside_others_may_close(open_window: OpenWindow) -> None:
    window = open_window()
    for _ in range(2):
        window.commands["duplicateTab"].trigger()
    tabs = list(window.session.tabs)
    window.workbench.side_by_side.choose(tabs)
    assert window.workbench.side_by_side.shown == tuple(tabs)
    window.session.close(tabs[0])
    assert window.workbench.side_by_side.shown == tuple(tabs[1:])
    window.session.close(tabs[2])
    assert window.workbench.side_by_side.shown == ()
    assert window.workbench.current_page().figures.memory.isVisible()


def test_that_side_by_side_begins_with_the_tab_in_front_whatever_was_chosen_before(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    for _ in range(2):
        window.commands["duplicateTab"].trigger()
    first, second, third = window.session.tabs
    side_by_side = window.workbench.side_by_side
    side_by_side.choose([first, second])
    window.session.set_current(second)
    window.tabs.split_button.click()
    assert side_by_side.shown == ()
    window.session.set_current(third)
    window.tabs.split_button.click()
    assert side_by_side.shown == (second, third)


def test_that_a_variant_opens_in_a_tab_of_its_own_beside(open_window: OpenWindow) -> None:
    window = open_window()
    session = window.session
    first = window.workbench.open_copy_of(preset("deep-mlp").spec)
    menu = window.menus.variants
    for expected in ("half width", "half width (2)"):
        session.set_current(first)
        menu.aboutToShow.emit()
        action = next(each for each in menu.actions() if each.text() == "Half the width")
        action.trigger()
        assert session.current.name == f"{first.name}, {expected}"
        assert session.tabs.index(session.current) == session.tabs.index(first) + 1
    wanted = variant(first.spec, "half-width")
    assert session.current.spec.model == wanted.model
    assert first.spec == preset("deep-mlp").spec


def test_that_variants_are_offered_beside_the_presets_too(open_window: OpenWindow) -> None:
    window = open_window()
    tab = window.session.current
    panel = window.workbench.page_of(tab).panel
    menu = panel.findChild(QToolButton, "variantsButton").menu()
    menu.aboutToShow.emit()
    titles = [each.title for each, _ in variants(tab.spec)]
    assert [each.text() for each in menu.actions()] == titles
    menu.actions()[0].trigger()
    assert window.session.current.spec == variants(tab.spec)[0][1]


def test_that_a_configuration_without_variants_says_so(open_window: OpenWindow) -> None:
    window = open_window()
    tab = window.session.current
    tab.edit(tab.spec.with_changes({"model.layers": []}))
    window.menus.variants.aboutToShow.emit()
    (action,) = window.menus.variants.actions()
    assert not action.isEnabled()
    assert action.text() == "There is no variant of this configuration that can run."


def test_that_the_palette_runs_what_is_typed(open_window: OpenWindow, qtbot: object) -> None:
    window = open_window()
    window.commands["palette"].trigger()
    field = window.findChild(QLineEdit, "paletteField")
    qtbot.keyClicks(field, "duplic")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert len(window.session.tabs) == 2


def test_that_every_action_can_be_found_in_a_menu(open_window: OpenWindow) -> None:
    window = open_window()
    in_menus = {
        action.objectName()
        for menu in window.menuBar().actions()
        for action in menu.menu().actions()
    }
    assert {action.objectName() for action in window.commands} <= in_menus


def test_that_no_two_actions_share_their_keys(open_window: OpenWindow) -> None:
    keys = [
        action.shortcut().toString()
        for action in open_window().commands
        if not action.shortcut().isEmpty()
    ]
    assert len(keys) == len(set(keys))


def test_that_the_frame_alone_shows_the_titles_of_the_last_time(open_window: OpenWindow) -> None:
    window = open_window()
    window.commands["duplicateTab"].trigger()
    window.close()
    frame = MainWindow(warm_up=False, defer=True)
    assert [frame.tabs.tabText(place) for place in range(frame.tabs.count())] == [
        tab.name for tab in window.session.tabs
    ]
    frame.fill()
    QTest.qWait(1)
    assert [tab.name for tab in frame.session.tabs] == [tab.name for tab in window.session.tabs]
    frame.close()
    frame.deleteLater()


def test_that_the_button_for_a_new_tab_stands_behind_the_last_tab_and_covers_none(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    bar, button = window.tabs.bar, window.tabs.new_button
    for _ in range(5):
        QTest.qWait(1)
        last = bar.tabRect(bar.count() - 1).right()
        assert button.x() > bar.x() + min(last, bar.width() - 1)
        assert button.geometry().right() < window.tabs.width()
        window.commands["duplicateTab"].trigger()


def test_that_plots_come_first_and_panel_and_result_right_after(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    window = open_window()
    window.session.run(_current(window))
    finish(_current(window))
    result = _current(window).result
    window.close()
    later = MainWindow(source=FakeCore().run, warm_up=False, defer=True)
    qtbot.addWidget(later)
    later.show()
    with qtbot.waitSignal(later.completed, timeout=PATIENCE_MS):
        later.fill()
        page = later.tabs.currentWidget()
        assert page.findChild(QWidget, "memoryPlot") is not None
        assert page.findChild(QWidget, "layerTable") is None
    assert page.findChild(QWidget, "layerTable") is not None
    assert _current(later).result == result


def test_that_a_broken_history_is_told_and_costs_no_run(
    open_window: OpenWindow, finish: Finish, hogui_home: Path, qtbot: object
) -> None:
    hogui_home.mkdir(parents=True)
    (hogui_home / "history.sqlite3").write_text("this is no database, and long enough to see " * 9)
    window = open_window()
    window.tool_bar.run_button.click()
    finish(_current(window))
    qtbot.waitUntil(lambda: "put aside" in window.strip.text, timeout=PATIENCE_MS)
    assert _current(window).result.outcome is Outcome.FINISHED


def test_that_many_tabs_scroll_and_nothing_covers_their_arrows(open_window: OpenWindow) -> None:
    window = open_window()
    for _ in range(14):
        window.commands["duplicateTab"].trigger()
    bar, button = window.tabs.bar, window.tabs.new_button
    for tab in (window.session.tabs[-1], window.session.tabs[2]):
        window.session.set_current(tab)
        QTest.qWait(50)
        arrows = [each for each in bar.findChildren(QToolButton) if each.isVisible()]
        assert len(arrows) == 2
        assert button.isVisible()
        for arrow in arrows:
            place = QRect(arrow.mapTo(window.tabs, QPoint()), arrow.size())
            assert not place.intersects(button.geometry())
    assert min(bar.tabRect(position).width() for position in range(bar.count())) > 100
