"""The rhythm of all plots: each is redrawn at most once a frame, and only while something
changed."""

from functools import cache
from typing import Protocol

from PySide6.QtCore import QObject, QTimer
from shiboken6 import isValid

INTERVAL_MS = 33


class Redrawable(Protocol):
    """A widget that can bring its picture up to date."""

    def redraw(self) -> None: ...


class FrameClock(QObject):
    """Collects requests and serves each view once a frame; rests while there are none."""

    def __init__(self) -> None:
        super().__init__()
        self._dirty: dict[Redrawable, None] = {}
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._draw)

    @property
    def running(self) -> bool:
        return self._timer.isActive()

    def request(self, view: Redrawable) -> None:
        """Redraws the view with the next frame; the first after a rest comes as soon as events
        are done."""
        self._dirty[view] = None
        if not self._timer.isActive():
            self._timer.start(0)

    def _draw(self) -> None:
        if not self._dirty:
            self._timer.stop()
            return
        self._timer.setInterval(INTERVAL_MS)
        dirty, self._dirty = self._dirty, {}
        for view in dirty:
            if isValid(view):
                view.redraw()


@cache
def frame_clock() -> FrameClock:
    """The one clock of this process."""
    return FrameClock()
