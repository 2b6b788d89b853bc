"""What goes wrong stays in its tab: the real window with a core that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from PySide6.QtWidgets import QPushButton

from core.results.events import Event
from core.results.outcome import Outcome
from core.spec.run import RunSpec
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
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
