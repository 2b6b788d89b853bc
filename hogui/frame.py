"""The bare window: it says when it was painted first, when it was moved, and what was dropped."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QPaintEvent
from PySide6.QtWidgets import QMainWindow
from typing_extensions import override


class Frame(QMainWindow):
    """A window before it has any content.

    Signals:
        framePainted: it has been on the screen for the first time.
        placed: it was moved, or has another size.
        fileDropped: a path.
    """

    framePainted = Signal()
    placed = Signal()
    fileDropped = Signal(Path)

    def __init__(self) -> None:
        super().__init__()
        self._is_painted = False
        self.setAcceptDrops(True)

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._is_painted:
            self._is_painted = True
            # The children are painted after this, and all of it reaches the screen at the end.
            QTimer.singleShot(0, self.framePainted.emit)

    @override
    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            self.placed.emit()
        return super().event(event)

    @override
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    @override
    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.fileDropped.emit(Path(url.toLocalFile()))
        event.acceptProposedAction()
