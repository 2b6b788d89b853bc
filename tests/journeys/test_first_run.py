"""A new user's first ten minutes: the real window and the real core."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QPushButton, QSpinBox, QTableWidget, QTabWidget, QToolButton

from core.results.events import MemorySamples, Repetition
from core.results.outcome import Outcome
from core.spec.presets import preset
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab, RunState

PATIENCE_MS = 120_000
QUICK = {"measure.time_budget_s": 0.5, "measure.warmup": 2}


@pytest.fixture
def window(qtbot: object) -> MainWindow:
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    return window


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _current(window: MainWindow) -> OpenTab:
    tab = window.session.current
    assert tab is not None
    return tab


def _hurry(tab: OpenTab) -> None:
    tab.edit(tab.spec.with_changes(QUICK))


def test_that_a_new_user_measures_compares_and_takes_the_figures_home(
    window: MainWindow,
    qtbot: object,
    finish: Callable[[OpenTab], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A preset is there; Run measures it, and its curve arrives while it runs.
    first = _current(window)
    _hurry(first)
    live: list[object] = []
    shown_live: list[bool] = []

    def listen(events: list[object]) -> None:
        live.extend(events)
        if any(isinstance(event, Repetition) for event in events):
            figures = window.workbench.page_of(first).figures
            shown_live.append(first.state is RunState.RUNNING and figures.memory.peak() is not None)

    first.eventsArrived.connect(listen)
    window.findChild(QPushButton, "runButton").click()
    qtbot.waitUntil(lambda: first.result is not None, timeout=PATIENCE_MS)
    finish(first)
    assert any(isinstance(event, MemorySamples) for event in live)
    assert shown_live[0], "the curve is there before the run is over"
    assert first.result.outcome is Outcome.FINISHED
    assert first.result.memory.peak_bytes > 0
    table = window.workbench.page_of(first).figures.result_table.csv_text()
    assert str(first.result.memory.peak_bytes / 2**20) in table

    # A second tab, one order higher, through the form.
    window.commands["duplicateTab"].trigger()
    second = _current(window)
    page = window.findChild(QTabWidget, "configurationTabs").currentWidget()
    page.findChild(QSpinBox, "orderSpin").stepBy(1)
    qtbot.waitUntil(lambda: second.spec.workload.order == 3, timeout=PATIENCE_MS)
    window.findChild(QPushButton, "runButton").click()
    qtbot.waitUntil(lambda: second.result is not None, timeout=PATIENCE_MS)
    finish(second)
    assert second.result.outcome is Outcome.FINISHED

    # Side by side: what differs, and what it costs.
    window.findChild(QToolButton, "splitButton").click()
    differences = window.findChild(QTableWidget, "compareTable")
    titles = [differences.item(row, 0).text() for row in range(differences.rowCount())]
    assert "Order" in titles
    assert window.workbench.page_of(first).figures.memory.isVisible()
    assert window.workbench.page_of(second).figures.memory.isVisible()

    # The files hold what the window shows.
    folder = tmp_path / "csv"
    monkeypatch.setattr("hogui.commands.exports.ask_for_folder", lambda parent: folder)
    window.commands["exportAllCsv"].trigger()
    runs = {row["run_id"]: row for row in _rows(folder / "runs.csv")}
    assert set(runs) == {first.result.run_id, second.result.run_id}
    for tab in (first, second):
        row, result = runs[tab.result.run_id], tab.result
        assert int(row["memory_peak_bytes"]) == result.memory.peak_bytes
        assert int(row["memory_baseline_bytes"]) == result.memory.baseline_bytes
        assert float(row["time_median_s"]) == result.time.median_s
        assert int(row["spec.workload.order"]) == tab.spec.workload.order
        seconds = [
            float(each["seconds"])
            for each in _rows(folder / "time.csv")
            if each["run_id"] == result.run_id
        ]
        assert seconds == list(result.time.samples_s)
        ledger = [
            int(each["total_bytes"])
            for each in _rows(folder / "memory.csv")
            if each["run_id"] == result.run_id and each["source"] == "ledger"
        ]
        assert ledger == list(tab.timeline.totals())

    # One run alone, by the action that other programs know.
    alone = tmp_path / "alone"
    monkeypatch.setattr("hogui.commands.exports.ask_for_folder", lambda parent: alone)
    window.commands["exportCsv"].trigger()
    assert [row["run_id"] for row in _rows(alone / "runs.csv")] == [second.result.run_id]


def test_that_cancel_ends_a_run_inside_a_long_step_and_the_next_run_works(
    window: MainWindow, qtbot: object, finish: Callable[[OpenTab], None]
) -> None:
    tab = _current(window)
    _hurry(tab)
    quick = tab.spec
    tab.edit(
        tab.spec.with_changes(
            {
                "model.input_shape": [4096],
                "model.layers": [{"kind": "linear", "out_features": 4096}] * 8,
                "data.batch_size": 16384,
                "workload.order": 1,
            }
        )
    )
    window.session.run(tab, force=True)
    qtbot.waitUntil(lambda: tab.progress.stage == "memory", timeout=PATIENCE_MS)
    window.findChild(QPushButton, "cancelButton").click()
    finish(tab)
    assert tab.result.outcome is Outcome.CANCELLED
    tab.edit(quick)
    window.findChild(QPushButton, "runButton").click()
    qtbot.waitUntil(
        lambda: tab.result is not None and tab.result.outcome is Outcome.FINISHED,
        timeout=PATIENCE_MS,
    )


def test_that_a_loss_that_is_not_a_number_is_a_result_with_warnings(
    window: MainWindow, qtbot: object, finish: Callable[[OpenTab], None]
) -> None:
    tab = window.workbench.open_copy_of(preset("sinusoid-maml").spec)
    _hurry(tab)
    tab.edit(tab.spec.with_changes({"workload.inner_lr": 1e30, "workload.outer_steps": 2}))
    window.findChild(QPushButton, "runButton").click()
    qtbot.waitUntil(lambda: tab.result is not None, timeout=PATIENCE_MS)
    finish(tab)
    assert tab.result.outcome is Outcome.FINISHED
    assert any("NaN" in sentence for sentence in tab.result.warnings)
    assert "NaN" in window.workbench.page_of(tab).figures.result_table.csv_text()
    assert "warning" in window.workbench.page_of(tab).figures.outcome_label.full_text
