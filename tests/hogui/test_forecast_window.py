"""Forecasts, findings and checks as the window shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QSpinBox, QToolButton

from core.results.forecast import Finding
from core.results.measurement import Check
from core.spec.notices import notices
from core.spec.presets import preset
from hogui.dialogs.device_memory import DeviceMemoryDialog
from hogui.forms.note import Note
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab, RunState
from hogui.tables.layer_table import LayerTable
from hogui.tables.row_notes import NOTES_ROLE
from tests.fake_core import FakeCore, FakeOracle

OpenWindow = Callable[..., MainWindow]
Finish = Callable[[OpenTab], None]

FAILED = Check(
    method="Central differences along 3 directions.",
    relative_error=3.2e-3,
    passed=False,
    tolerance=1e-7,
    failures=("gradient 2 along 0.weight is off.",),
)
FINDINGS = (
    Finding(severity="warning", layer=0, sentence="Linear is suspicious today."),
    Finding(severity="note", layer=1, sentence="Tanh switches by itself."),
    Finding(severity="error", layer=1, sentence="Tanh cannot run today."),
    Finding(severity="note", layer=None, sentence="All is computed twice."),
    Finding(severity="warning", layer=None, sentence="Checkpointing saves nothing here."),
)


@pytest.fixture
def label(open_window: OpenWindow) -> Callable[[MainWindow], QLabel]:
    def find(window: MainWindow) -> QLabel:
        found = window.findChild(QLabel, "forecastLabel")
        assert found is not None
        return found

    return find


Label = Callable[[MainWindow], QLabel]


def _current(window: MainWindow) -> OpenTab:
    tab = window.session.current
    assert tab is not None
    return tab


def _wait_for_outlook(window: MainWindow, qtbot: object) -> None:
    tab = _current(window)
    qtbot.waitUntil(lambda: tab.outlook is not None and not tab.outlook_is_stale)


def _figure(text: str) -> float:
    number, unit = text.removeprefix("Forecast ").split(" ")[0].split("\N{NO-BREAK SPACE}")
    assert unit == "MiB"
    return float(number)


def test_that_the_forecast_is_in_the_tool_bar_and_follows_typing(
    open_window: OpenWindow, label: Label, qtbot: object
) -> None:
    window = open_window()
    _wait_for_outlook(window, qtbot)
    before = label(window).text()
    assert label(window).isVisible()
    assert _figure(before) == pytest.approx(_expected_mib(_current(window)), rel=0.01)
    spin = window.workbench.current_page().findChild(QSpinBox, "orderSpin")
    spin.setFocus()
    spin.selectAll()
    qtbot.keyClicks(spin, "1")
    qtbot.waitUntil(lambda: label(window).text() != before)
    assert _current(window).spec.workload.order == 1
    assert _figure(label(window).text()) == pytest.approx(_expected_mib(_current(window)), rel=0.01)


def _expected_mib(tab: OpenTab) -> float:
    forecast = FakeOracle().ask(tab.spec).forecast
    assert forecast is not None
    return (forecast.peak_bytes + forecast.baseline_bytes) / 2**20


def test_that_an_old_forecast_is_dimmed_until_the_new_one_is_there(
    open_window: OpenWindow, label: Label, qtbot: object
) -> None:
    oracle = FakeOracle()
    window = open_window(oracle=oracle)
    _wait_for_outlook(window, qtbot)
    oracle.held.clear()
    tab = _current(window)
    tab.edit(tab.spec.with_changes({"workload.order": 3}))
    assert label(window).property("role") == "stale"
    oracle.held.set()
    _wait_for_outlook(window, qtbot)
    assert label(window).property("role") == ""


def test_that_what_does_not_fit_is_a_warning_with_everything_in_its_tip(
    open_window: OpenWindow, label: Label, qtbot: object
) -> None:
    window = open_window(oracle=FakeOracle(available_bytes=1024))
    _wait_for_outlook(window, qtbot)
    assert "does not fit" in label(window).text()
    assert label(window).property("role") == "warning"
    for words in ("Peak above baseline", "Baseline", "Parameters", "Activations"):
        assert words in label(window).toolTip()
        assert words in label(window).accessibleDescription()
    assert "<" not in label(window).accessibleDescription()


def test_that_there_is_no_forecast_of_what_cannot_run_and_trouble_gives_its_reason(
    open_window: OpenWindow, label: Label, qtbot: object
) -> None:
    window = open_window(oracle=FakeOracle(trouble=RuntimeError("The forecaster died.")))
    _wait_for_outlook(window, qtbot)
    assert label(window).text() == "No forecast: The forecaster died."
    tab = _current(window)
    tab.edit(tab.spec.with_changes({"model.layers": [{"kind": "max_pool2d"}]}))
    assert label(window).text() == "No forecast"


def test_that_the_forecast_elides_rather_than_pushing_buttons_out(
    open_window: OpenWindow, label: Label, qtbot: object
) -> None:
    trouble = RuntimeError("A very long reason. " * 40)
    window = open_window(oracle=FakeOracle(trouble=trouble))
    _wait_for_outlook(window, qtbot)
    window.resize(1280, 800)
    assert window.width() == 1280
    assert label(window).shown_text().endswith("…")
    last = window.tool_bar.findChildren(QToolButton)[-1]
    assert window.tool_bar.rect().contains(last.geometry())


def test_that_another_device_is_chosen_from_the_menu_and_remembered(
    open_window: OpenWindow, label: Label, qtbot: object
) -> None:
    oracle = FakeOracle()
    window = open_window(oracle=oracle)
    _wait_for_outlook(window, qtbot)
    menu = window.tool_bar.forecast.menu
    menu.aboutToShow.emit()
    chosen = next(action for action in menu.actions() if action.text().startswith("RTX 4090"))
    assert not chosen.isChecked()
    chosen.trigger()
    qtbot.waitUntil(lambda: "fits in 24.0" in label(window).text())
    assert oracle.asked[-1][1].name == "RTX 4090"
    window.close()
    later = FakeOracle()
    again = open_window(oracle=later)
    _wait_for_outlook(again, qtbot)
    assert [memory.name for _, memory in later.asked] == ["RTX 4090"]
    menu = again.tool_bar.forecast.menu
    menu.aboutToShow.emit()
    assert [action.text() for action in menu.actions() if action.isChecked()] == [
        "RTX 4090, 24 GiB"
    ]


def test_that_a_device_of_ones_own_is_typed_and_a_mistake_is_said(
    open_window: OpenWindow, label: Label, qtbot: object
) -> None:
    oracle = FakeOracle()
    window = open_window(oracle=oracle)
    _wait_for_outlook(window, qtbot)
    menu = window.tool_bar.forecast.menu
    menu.aboutToShow.emit()
    menu.actions()[-1].trigger()
    dialog = window.findChild(DeviceMemoryDialog)
    dialog.field.setText("my laptop")
    qtbot.keyClick(dialog.field, Qt.Key.Key_Return)
    assert "my laptop names no device" in dialog.trouble
    dialog.field.setText("my laptop, 6 GB")
    qtbot.keyClick(dialog.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "fits in 6.00" in label(window).text())
    assert oracle.asked[-1][1].total_bytes == 6 << 30


def test_that_the_memory_plot_shows_the_forecast_before_during_and_after_a_run(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    core = FakeCore(stall_after=3)
    window = open_window(core.run)
    _wait_for_outlook(window, qtbot)
    memory = window.workbench.current_page().figures.memory
    phases = window.workbench.current_page().figures.phases
    qtbot.waitUntil(lambda: "forecast" in memory.accessibleDescription())
    assert memory.empty_sentence() is None
    assert memory.peak() is None
    assert memory.rows()[1] == []
    assert phases.is_ahead
    tab = _current(window)
    window.session.run(tab)
    qtbot.waitUntil(lambda: memory.peak() is not None)
    assert not phases.is_ahead
    assert "forecast" in memory.accessibleDescription()
    core.released.set()
    finish(tab)
    assert tab.result.forecast.peak_bytes == tab.result.memory.peak_bytes
    tab.edit(tab.spec.with_changes({"workload.order": 3}))
    _wait_for_outlook(window, qtbot)
    qtbot.waitUntil(lambda: "for the settings now" in memory.accessibleDescription())


def test_that_a_run_that_forecasts_itself_is_marked_without_any_oracle(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    window = open_window(oracle=FakeOracle(trouble=RuntimeError("None today.")))
    memory = window.workbench.current_page().figures.memory
    tab = _current(window)
    window.session.run(tab)
    finish(tab)
    qtbot.waitUntil(lambda: "forecast" in memory.accessibleDescription())
    window.close()
    again = open_window(oracle=FakeOracle(trouble=RuntimeError("None today.")))
    memory = again.workbench.current_page().figures.memory
    qtbot.waitUntil(lambda: "forecast" in memory.accessibleDescription())


def test_that_findings_stand_in_their_layers_rows_and_above_the_figures(
    open_window: OpenWindow, qtbot: object
) -> None:
    window = open_window(oracle=FakeOracle(findings=FINDINGS))
    _current(window).edit(preset("deep-mlp").spec)
    _wait_for_outlook(window, qtbot)
    page = window.workbench.current_page()
    table = page.findChild(LayerTable)
    model = table.model()
    first, second = (model.index(row, 0).data(NOTES_ROLE) for row in (0, 1))
    assert [(note.sentence, note.severity) for note in first] == [
        ("Linear is suspicious today.", "warning")
    ]
    assert [note.severity for note in second] == ["error", "note"]
    assert "Tanh cannot run today." in model.index(1, 1).data(Qt.ItemDataRole.ToolTipRole)
    assert table.rowHeight(1) > table.rowHeight(0) > table.rowHeight(2)
    assert page.figures.findings.text == (
        "Checkpointing saves nothing here.\nAll is computed twice."
    )


def test_that_an_expected_failure_forbids_nothing_but_is_said_by_the_run_button(
    open_window: OpenWindow, finish: Finish, qtbot: object
) -> None:
    window = open_window(oracle=FakeOracle(findings=FINDINGS))
    _wait_for_outlook(window, qtbot)
    button = window.tool_bar.run_button
    assert button.isEnabled()
    assert "Tanh cannot run today." in button.toolTip()
    assert "suspicious" not in button.toolTip()
    button.click()
    finish(_current(window))
    assert _current(window).result is not None


def test_that_findings_go_with_the_configuration_and_stay_dismissed(
    open_window: OpenWindow, qtbot: object
) -> None:
    oracle = FakeOracle(findings=FINDINGS)
    window = open_window(oracle=oracle)
    _current(window).edit(preset("deep-mlp").spec)
    _wait_for_outlook(window, qtbot)
    page, tab = window.workbench.current_page(), _current(window)
    page.figures.findings.clear()
    tab.edit(tab.spec.with_changes({"workload.order": 3}))
    _wait_for_outlook(window, qtbot)
    assert page.figures.findings.text == ""
    oracle.findings = FINDINGS[3:4]
    tab.edit(tab.spec.with_changes({"workload.order": 1}))
    _wait_for_outlook(window, qtbot)
    assert page.figures.findings.text == "All is computed twice."
    assert page.findChild(LayerTable).model().index(1, 0).data(NOTES_ROLE) == ()


def test_that_a_notice_that_is_a_finding_too_is_said_once(
    open_window: OpenWindow, qtbot: object
) -> None:
    spec = preset("deep-mlp").spec.with_changes({"workload.order": 4, "loss": "mse"})
    layered = spec.with_changes({"model.layers": [{"kind": "linear"}, {"kind": "layer_norm"}]})
    (sentence,) = notices(layered)
    findings = (Finding(severity="note", layer=1, sentence=sentence),)
    oracle = FakeOracle()
    window = open_window(oracle=oracle)
    tab = _current(window)
    tab.edit(layered)
    _wait_for_outlook(window, qtbot)
    page = window.workbench.current_page()
    assert sentence in [note.text for note in page.panel.findChildren(Note)]
    oracle.findings = findings
    tab.edit(layered.with_changes({"data.batch_size": 7}))
    _wait_for_outlook(window, qtbot)
    assert sentence not in [note.text for note in page.panel.findChildren(Note)]
    model = page.findChild(LayerTable).model()
    assert [note.sentence for note in model.index(1, 0).data(NOTES_ROLE)] == [sentence]
    oracle.findings = (findings[0].model_copy(update={"layer": None}),)
    tab.edit(layered.with_changes({"data.batch_size": 9}))
    _wait_for_outlook(window, qtbot)
    assert page.figures.findings.text == ""
    assert sentence in [note.text for note in page.panel.findChildren(Note)]


def test_that_a_failed_check_is_prominent(open_window: OpenWindow, finish: Finish) -> None:
    window = open_window(FakeCore(check=FAILED).run)
    tab = _current(window)
    window.session.run(tab)
    finish(tab)
    figures = window.workbench.current_page().figures
    assert "check failed: its relative error is 3.2e-03, of 1.0e-07" in figures.strip.text
    position = window.tabs.currentIndex()
    assert window.tabs.widget(position).property("stateIcon") == "error"
    assert "check failed" in window.tabs.tabToolTip(position)


def test_that_a_passed_check_needs_no_message(open_window: OpenWindow, finish: Finish) -> None:
    window = open_window()
    tab = _current(window)
    window.session.run(tab)
    finish(tab)
    assert window.workbench.current_page().figures.strip.text == ""


def test_that_copy_as_python_gives_a_script_that_needs_no_run(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    tab = _current(window)
    tab.edit(preset("deep-mlp").spec.with_changes({"workload.order": 3}))
    assert window.commands["copyPython"].isEnabled()
    window.commands["copyPython"].trigger()
    text = QGuiApplication.clipboard().text()
    compile(text, "script", "exec")
    assert "import torch" in text
    assert "hogui" not in text.partition('"""')[2].partition('"""')[2]
    assert "on the clipboard" in window.strip.text
    tab.edit(tab.spec.with_changes({"model.layers": [{"kind": "max_pool2d"}]}))
    assert not window.commands["copyPython"].isEnabled()


def test_that_restored_tabs_show_how_their_runs_ended_before_they_are_looked_at(
    open_window: OpenWindow, finish: Finish
) -> None:
    window = open_window(FakeCore(check=FAILED).run)
    first = _current(window)
    window.session.run(first)
    finish(first)
    window.commands["duplicateTab"].trigger()
    window.close()
    again = open_window()
    first, _ = again.session.tabs
    assert first.result is None
    assert [again.tabs.widget(place).property("stateIcon") for place in (0, 1)] == ["error", ""]
    again.session.set_current(first)
    assert first.result is not None
    assert again.tabs.widget(0).property("stateIcon") == "error"
    again.session.run(first)
    assert first.state is RunState.RUNNING
    assert again.tabs.widget(0).property("stateIcon") == "run"
    finish(first)
    assert again.tabs.widget(0).property("stateIcon") == "check"


def test_that_tabs_stand_side_by_side_again_after_a_restart(open_window: OpenWindow) -> None:
    window = open_window()
    for _ in range(2):
        window.commands["duplicateTab"].trigger()
    first, _, third = window.session.tabs
    window.workbench.side_by_side.choose([first, third])
    assert window.workbench.side_by_side.shown == (first, third)
    window.close()
    again = open_window()
    first, _, third = again.session.tabs
    assert again.workbench.side_by_side.shown == (first, third)
    assert again.commands["split"].isChecked()
    again.commands["split"].setChecked(False)
    again.close()
    last = open_window()
    assert last.workbench.side_by_side.shown == ()


def test_that_the_window_is_complete_before_a_forecast_is_asked_for() -> None:
    """In an interpreter of its own: what the first frame imports holds neither values nor this."""
    code = """
import sys
from hogui.app import make_application
from hogui.forms.note import Note
from hogui.main_window import MainWindow
app = make_application()
window = MainWindow(defer=True)
window.show()
app.processEvents()
print("hogui.forecaster" in sys.modules, "core.results.forecast" in sys.modules)
"""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["False", "False"]
