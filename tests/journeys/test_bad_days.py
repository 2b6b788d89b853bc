"""What goes wrong stays in its tab: the real window with a core that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QPushButton

from core.results.events import Event
from core.results.outcome import Outcome
from core.spec.run import RunSpec
from hogui.app import tell_of_error
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
from hogui.preferences import Place
from tests.fake_core import FakeCore

OpenWindow = Callable[..., MainWindow]
Finish = Callable[[OpenTab], None]


class TooLarge:
    """Refuses until it is forced."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def __call__(
        self, spec: RunSpec, *, run_id: str, force: bool, cancelled: threading.Event
    ) -> Iterator[Event]:
        self.asked.append(force)
        core = FakeCore() if force else FakeCore(outcome=Outcome.OUT_OF_MEMORY)
        return core.run(spec, run_id=run_id, cancelled=cancelled)


def test_that_a_run_that_is_too_large_is_refused_with_its_figures_and_then_forced(
    open_window: OpenWindow, finish: Finish
) -> None:
    source = TooLarge()
    window = open_window(source)
    (tab,) = window.session.tabs
    window.findChild(QPushButton, "runButton").click()
    finish(tab)
    strip = window.workbench.page_of(tab).figures.strip
    assert "99 TiB" in strip.text
    assert strip.button.text() == "Run anyway"
    strip.button.click()
    finish(tab)
    assert source.asked == [False, True]
    assert tab.result.outcome is Outcome.FINISHED
    assert strip.text == ""


def test_that_after_a_crash_the_other_tabs_and_the_next_run_work(
    open_window: OpenWindow, finish: Finish
) -> None:
    core = FakeCore(outcome=Outcome.CRASHED)
    window = open_window(core.run)
    window.commands["duplicateTab"].trigger()
    first, second = window.session.tabs
    window.session.run(first)
    finish(first)
    assert first.result.outcome is Outcome.CRASHED
    assert first.result.time.samples_s, "what it had measured is kept"
    core.outcome = Outcome.FINISHED
    window.session.run(second)
    finish(second)
    assert second.result.outcome is Outcome.FINISHED
    window.session.run(first)
    finish(first)
    assert first.result.outcome is Outcome.FINISHED


def test_that_a_failed_operation_is_one_sentence(open_window: OpenWindow, finish: Finish) -> None:
    window = open_window(FakeCore(outcome=Outcome.FAILED).run)
    (tab,) = window.session.tabs
    window.findChild(QPushButton, "runButton").click()
    finish(tab)
    text = window.workbench.page_of(tab).figures.strip.text
    assert text.startswith(Outcome.FAILED.sentence)
    assert "Traceback" not in text


def test_that_results_of_crashed_runs_come_back_at_the_next_start(
    open_window: OpenWindow, finish: Finish
) -> None:
    window = open_window(FakeCore(outcome=Outcome.CRASHED).run)
    (tab,) = window.session.tabs
    window.session.run(tab)
    finish(tab)
    window.close()
    (again,) = open_window().session.tabs
    assert again.result == tab.result


def test_that_an_error_of_the_window_itself_is_a_line_and_a_file(
    open_window: OpenWindow, hogui_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = open_window()
    try:
        raise ZeroDivisionError("a slot divided by zero")
    except ZeroDivisionError as error:
        tell_of_error(window, type(error), error, error.__traceback__)
    assert "a slot divided by zero" in window.strip.text
    assert "Traceback" not in window.strip.text
    assert "Traceback" in (hogui_home / "errors.log").read_text()
    assert "Traceback" in capsys.readouterr().err


def test_that_a_device_that_is_not_here_is_a_sentence_in_the_tab(
    qtbot: object, finish: Finish
) -> None:
    window = MainWindow(warm_up=False)
    qtbot.addWidget(window)
    window.show()
    (tab,) = window.session.tabs
    tab.edit(tab.spec.with_value("device", "cuda:77"))
    told: list[str] = []
    tab.noted.connect(lambda sentence, is_error: told.append(sentence))
    window.findChild(QPushButton, "runButton").click()
    finish(tab)
    assert len(told) == 1
    assert "cuda:77" in told[0]
    assert window.workbench.page_of(tab).figures.strip.text == told[0]


def test_that_measuring_in_the_windows_process_gives_the_same_memory(
    qtbot: object, finish: Finish
) -> None:
    window = MainWindow(warm_up=False)
    qtbot.addWidget(window)
    window.show()
    (tab,) = window.session.tabs
    tab.edit(tab.spec.with_changes({"measure.repetitions": 5, "measure.warmup": 1}))
    bytes_seen = []
    for place in Place:
        window.preferences.change(place=place)
        window.session.run(tab)
        finish(tab)
        assert tab.result.outcome is Outcome.FINISHED
        bytes_seen.append((tab.result.memory.peak_bytes, tab.result.memory.by_category))
    assert bytes_seen[0] == bytes_seen[1]
