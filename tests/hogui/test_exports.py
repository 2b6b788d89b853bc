"""Taking figures along."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication, QImage

from hogui.dialogs.run_choice import RunChoice
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab

OpenWindow = Callable[..., MainWindow]
Finish = Callable[[OpenTab], None]


@pytest.fixture
def window(open_window: OpenWindow, finish: Finish) -> MainWindow:
    """Two tabs, each with a finished run."""
    window = open_window()
    window.commands["duplicateTab"].trigger()
    window.session.run_all()
    for tab in window.session.tabs:
        finish(tab)
    return window


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "csv"
    monkeypatch.setattr("hogui.commands.exports.ask_for_folder", lambda _: folder)
    return folder


def _run_ids(folder: Path) -> set[str]:
    with (folder / "runs.csv").open() as stream:
        return {row["run_id"] for row in csv.DictReader(stream)}


def test_that_nothing_can_be_exported_before_the_first_run(open_window: OpenWindow) -> None:
    window = open_window()
    for name in ("exportCsv", "savePng", "copyResult"):
        assert not window.commands[name].isEnabled()


def test_that_the_run_of_this_tab_is_exported_alone(window: MainWindow, folder: Path) -> None:
    window.commands["exportCsv"].trigger()
    assert _run_ids(folder) == {window.session.current.result.run_id}
    assert "1 run" in window.strip.text
    assert str(folder) in window.strip.text


def test_that_all_runs_are_exported_together(window: MainWindow, folder: Path) -> None:
    window.commands["exportAllCsv"].trigger()
    assert _run_ids(folder) == {tab.result.run_id for tab in window.session.tabs}


def test_that_ticked_runs_are_exported(window: MainWindow, folder: Path) -> None:
    first, second = window.session.tabs
    window.commands["exportSelectedCsv"].trigger()
    dialog = window.findChild(RunChoice)
    name = dialog.list.topLevelItem(0).text(0)
    assert dialog.list.columnWidth(0) > dialog.fontMetrics().horizontalAdvance(name)
    assert set(dialog.ticked()) == {first.result.run_id, second.result.run_id}
    for row in range(dialog.list.topLevelItemCount()):
        item = dialog.list.topLevelItem(row)
        if item.text(0) == first.name:
            item.setCheckState(0, item.checkState(0).Unchecked)
    dialog.export_button.click()
    assert _run_ids(folder) == {second.result.run_id}


def test_that_a_folder_that_cannot_be_written_is_told(
    window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setattr("hogui.commands.exports.ask_for_folder", lambda _: in_the_way)
    window.commands["exportCsv"].trigger()
    assert "not written" in window.strip.text


def test_that_thinking_better_of_it_writes_nothing(
    window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hogui.commands.exports.ask_for_folder", lambda _: None)
    before = set(tmp_path.iterdir())
    window.commands["exportCsv"].trigger()
    assert set(tmp_path.iterdir()) == before
    assert window.strip.text == ""


def test_that_the_memory_plot_becomes_a_picture(
    window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memory.png"
    monkeypatch.setattr("hogui.commands.exports.ask_for_picture", lambda *_: file)
    window.commands["savePng"].trigger()
    assert QImage(str(file)).width() >= window.workbench.current_page().figures.memory.width()


def test_that_the_result_is_copied_as_json(window: MainWindow) -> None:
    window.commands["copyResult"].trigger()
    copied = json.loads(QGuiApplication.clipboard().text())
    assert copied["run_id"] == window.session.current.result.run_id
