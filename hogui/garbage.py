"""Collects Python's garbage in the window's thread, and only there.

Python collects in whichever thread happens to allocate. If that is the thread of a run, a Qt object
that is caught in a cycle would be destroyed outside the thread it lives in, which Qt does not
survive. So the automatic collection is off, and a timer of the window does its work.
"""

import gc

from PySide6.QtCore import QObject, QTimer

INTERVAL_MS = 500


class GarbageCollector(QObject):
    """Takes over from the automatic collection until it is stopped."""

    def __init__(self, parent: QObject | None = None) -> None:
        """Starts. What exists now stays: the start has made it, and later rounds are short."""
        super().__init__(parent)
        gc.disable()
        gc.freeze()
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.collect)
        self._timer.start()

    def collect(self) -> None:
        """Collects the oldest generation that is due, as Python itself would."""
        counts, thresholds = gc.get_count(), gc.get_threshold()
        due = [
            generation
            for generation, (count, threshold) in enumerate(zip(counts, thresholds, strict=True))
            if count > threshold
        ]
        if due:
            gc.collect(due[-1])

    def stop(self) -> None:
        """Gives the work back to Python."""
        self._timer.stop()
        gc.enable()
