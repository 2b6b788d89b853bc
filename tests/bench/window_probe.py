"""Child programs of ``bench_window``: each does one thing with a window and prints JSON.

``START`` in the environment is ``time.perf_counter()`` of the parent just before it started us; on
every platform that clock is shared by all processes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

SINCE = float(os.environ.get("START", "0"))


def bare() -> None:
    """PySide6 and pyqtgraph, and nothing of ours."""
    import pyqtgraph
    from PySide6.QtWidgets import QApplication, QMainWindow

    class Plot(pyqtgraph.PlotWidget):
        def paintEvent(self, event: object) -> None:
            super().paintEvent(event)
            seconds = time.perf_counter() - SINCE
            say(frame_s=seconds, plots_s=seconds)

    application = QApplication([])
    window = QMainWindow()
    plot = Plot()
    plot.plot([0, 1, 2], [0, 1, 0])
    window.setCentralWidget(plot)
    window.resize(1280, 800)
    window.show()
    application.exec()


def product() -> None:
    """The program as its user starts it, up to the first paint of its memory plot."""
    from PySide6.QtCore import QEvent, QObject

    from hogui import app
    from hogui.main_window import MainWindow

    times: dict[str, float] = {}

    class FirstPaint(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() is QEvent.Type.Paint:
                watched.removeEventFilter(self)
                after(lambda: say(**times, plots_s=time.perf_counter() - SINCE))
            return False

    first_paint = FirstPaint()

    def painted(window: MainWindow) -> None:
        times["frame_s"] = time.perf_counter() - SINCE

    def filled(window: MainWindow) -> None:
        plot = child(window, "memoryPlot")
        plot.canvas.viewport().installEventFilter(first_paint)

    watch(MainWindow, painted, filled)
    app.main([])


def live_point() -> None:
    """Seconds from Run to the first point in the memory plot, with a warm worker."""
    from hogui.main_window import MainWindow
    from hogui.plots.memory_plot import MemoryPlot

    seconds: list[float] = []
    pressed: list[float] = []
    append = MemoryPlot.append

    def stamped(self: MemoryPlot, *arguments: object) -> None:
        append(self, *arguments)
        if pressed:
            seconds.append(time.perf_counter() - pressed.pop())

    MemoryPlot.append = stamped

    def scenario(window: MainWindow) -> None:
        wait_until(lambda: child(window, "runButton").isEnabled() and warm())
        for _ in range(5):
            pressed.append(time.perf_counter())
            child(window, "runButton").click()
            count = len(seconds)
            wait_until(lambda count=count: len(seconds) > count)
            child(window, "cancelButton").click()
            wait_until(lambda: not window.session.busy)
        say(first_live_s=seconds)

    with_window(scenario)


def gaps() -> None:
    """Gaps of the event loop over 30 s: of an idle window, and of one whose run measures."""
    from hogui.main_window import MainWindow

    spec = sys.argv[2]
    length_s = float(sys.argv[3])

    def scenario(window: MainWindow) -> None:
        wait_until(warm)
        idle = loop_gaps(length_s)
        window.open_file(Path(spec))
        child(window, "runButton").click()
        busy = loop_gaps(length_s)
        measured = window.session.busy
        say(idle_s=idle, busy_s=busy, still_measuring=measured)

    with_window(scenario)


def tabs() -> None:
    """Leaves four tabs, each with a result, for the next start."""
    from hogui.main_window import MainWindow

    def scenario(window: MainWindow) -> None:
        wait_until(warm)
        for _ in range(3):
            window.session.duplicate(window.session.current)
        window.session.run_all()
        wait_until(lambda: not window.session.busy, 120)
        say(tabs=len(window.session.tabs))

    with_window(scenario)


# ------------------------------------------------------------------------------------- the tools


def loop_gaps(seconds: float) -> list[float]:
    """Every gap between two turns of the event loop, a tick being asked for each millisecond."""
    from PySide6.QtCore import QTimer

    found: list[float] = []
    last = [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        found.append(now - last[0])
        last[0] = now

    timer = QTimer(interval=1)
    timer.timeout.connect(tick)
    timer.start()
    end = time.perf_counter() + seconds
    wait_until(lambda: time.perf_counter() > end, seconds + 60)
    return found


def with_window(scenario: Callable[..., None]) -> None:
    """Opens the window, plays the scenario and closes it."""
    from hogui.app import make_application
    from hogui.main_window import MainWindow

    application = make_application.__globals__["QApplication"].instance() or make_application()
    window = MainWindow()
    window.show()
    scenario(window)
    window.close()
    application.processEvents()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Turns the event loop until the condition holds."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    end = time.perf_counter() + seconds

    def look() -> None:
        if condition() or time.perf_counter() > end:
            loop.quit()

    timer = QTimer(interval=5)
    timer.timeout.connect(look)
    timer.start()
    loop.exec()
    timer.stop()
    assert condition(), "waited in vain"


def warm() -> bool:
    """True once a run starts within milliseconds."""
    from core import isolation

    return isolation.ready()


def child(window: object, name: str) -> object:
    """The visible widget of that name."""
    from PySide6.QtWidgets import QWidget

    found = [w for w in window.findChildren(QWidget) if w.objectName() == name]
    return next((w for w in found if w.isVisible()), found[0])


def watch(window: type, painted: Callable, filled: Callable) -> None:
    """Calls back at the signals of the first window that is made."""
    make = window.__init__

    def made(self: object, *arguments: object, **options: object) -> None:
        make(self, *arguments, **options)
        self.framePainted.connect(lambda: painted(self))
        self.filled.connect(lambda: filled(self))

    window.__init__ = made


def after(action: Callable[[], None]) -> None:
    """Once the present event is dealt with."""
    from PySide6.QtCore import QTimer

    QTimer.singleShot(0, action)


def say(**figures: object) -> None:
    """Prints the figures; a program that only starts ends here."""
    print(json.dumps(figures), flush=True)
    if "plots_s" in figures:
        os._exit(0)


if __name__ == "__main__":
    {
        "bare": bare,
        "product": product,
        "live_point": live_point,
        "gaps": gaps,
        "tabs": tabs,
    }[sys.argv[1]]()
