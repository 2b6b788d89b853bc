"""The vertical range of several plots that are compared: the least range that holds what each
needs."""

from weakref import WeakKeyDictionary

from PySide6.QtCore import QObject, Signal


class YShare(QObject):
    """Collects the range that each plot needs.

    Signals:
        changed: the common range is another one.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._needs: WeakKeyDictionary[QObject, tuple[float, float]] = WeakKeyDictionary()

    @property
    def range(self) -> tuple[float, float]:
        lows, highs = zip(*self._needs.values(), strict=True)
        return min(lows), max(highs)

    def leave(self, plot: QObject) -> tuple[float, float] | None:
        """Says that one plot needs nothing; returns the range of the others, None without any."""
        if self._needs.pop(plot, None) is not None and self._needs:
            self.changed.emit()
        return self.range if self._needs else None

    def need(self, plot: QObject, low: float, high: float) -> tuple[float, float]:
        """Says what one plot needs; returns the common range."""
        before = self.range if self._needs else None
        self._needs[plot] = (low, high)
        if before != self.range:
            self.changed.emit()
        return self.range
