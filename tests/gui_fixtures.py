"""What every test of the window stands on: a home of its own, and nothing left behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QThread, QTimer
from PySide6.QtWidgets import QApplication

from hogui.adviser import Advisor
from hogui.forecaster import Oracle
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab, RunState
from hogui.plots.frame import frame_clock
from hogui.run_worker import Source
from hogui.theme import Preference, theme
from tests.fake_advisor import FakeAdvisor
from tests.fake_core import FakeCore, FakeOracle

OFFSCREEN_NOISE = "This plugin does not support"
"""Qt's offscreen platform says so of what only a screen can do."""

PATIENCE_MS = 20_000

OpenWindow = Callable[..., MainWindow]


@pytest.fixture(autouse=True)
def hogui_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, so that no test sees what another one or a user has kept."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOGUI_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def nothing_is_left_behind(qapp: QApplication) -> Iterator[None]:
    """Threads that run on, timers that tick on, windows that stay: they fail their test."""
    widgets = set(map(id, QApplication.topLevelWidgets()))
    python_threads = set(threading.enumerate())
    gc.disable()  # as the program does: see hogui/garbage.py
    yield
    _let_the_dead_go()
    gc.enable()
    alive = [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), (QThread, QTimer)) and shiboken6.isValid(thing)
    ]
    running = [thing for thing in alive if isinstance(thing, QThread) and thing.isRunning()]
    ticking = [
        thing
        for thing in alive
        if isinstance(thing, QTimer)
        and thing.isActive()
        and thing.parent() is not frame_clock()  # rests by itself a frame later
    ]
    left = [widget for widget in QApplication.topLevelWidgets() if id(widget) not in widgets]
    threads = [
        thread
        for thread in set(threading.enumerate()) - python_threads
        if not thread.name.startswith("nursery") and not isinstance(thread, threading._DummyThread)
    ]
    for timer in ticking:
        timer.stop()
    theme().set_preference(Preference.SYSTEM)
    assert not running, f"threads still run: {running}"
    assert not ticking, f"timers still tick: {ticking}"
    assert not left, f"widgets were left: {left}"
    assert not threads, f"threads of Python still run: {threads}"


def _let_the_dead_go() -> None:
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()


@pytest.fixture
def open_window(qtbot: object) -> OpenWindow:
    """Opens windows that measure with a made-up core, and closes them afterwards."""

    def open_(
        source: Source | None = None,
        *,
        oracle: Oracle | None = None,
        advisor: Advisor | None = None,
        warm_up: bool = False,
    ) -> MainWindow:
        forecasts, advice = oracle or FakeOracle(), advisor or FakeAdvisor()
        window = MainWindow(
            source=source or FakeCore().run,
            oracle=lambda: forecasts,
            advisor=lambda: advice,
            warm_up=warm_up,
        )
        qtbot.addWidget(window)
        window.show()
        qtbot.waitExposed(window)
        return window

    return open_


@pytest.fixture
def finish(qtbot: object) -> Callable[[OpenTab], None]:
    """Waits until a tab's run is over."""

    def wait(tab: OpenTab) -> None:
        qtbot.waitUntil(lambda: tab.state is RunState.IDLE, timeout=PATIENCE_MS)

    return wait
