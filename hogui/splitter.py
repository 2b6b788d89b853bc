"""A splitter whose handle is a fine line that is easy to grab."""

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor, QEnterEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSplitter, QSplitterHandle, QWidget
from typing_extensions import override

from hogui.theme import theme

GRIP = 7
"""Pixels that take hold of the line."""


class Splitter(QSplitter):
    """Divides a space between widgets.

    WORKAROUND: a style sheet cannot make the handle of a vertical splitter thin; Qt 6.11 adds its
    margins to a height that it takes from the horizontal one. So the handle paints itself.
    """

    def __init__(self, orientation: Qt.Orientation, parent: QWidget | None = None) -> None:
        super().__init__(orientation, parent)
        self.setHandleWidth(GRIP)

    @override
    def createHandle(self) -> QSplitterHandle:
        return _Handle(self.orientation(), self)


class _Handle(QSplitterHandle):
    @override
    def sizeHint(self) -> QSize:
        return QSize(GRIP, GRIP)

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = theme().tokens
        painter = QPainter(self)
        colour = QColor(tokens.accent if self.underMouse() else tokens.border)
        middle = GRIP // 2
        if self.orientation() is Qt.Orientation.Horizontal:
            painter.fillRect(middle, 0, 1, self.height(), colour)
        else:
            painter.fillRect(0, middle, self.width(), 1, colour)
        painter.end()

    @override
    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    @override
    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.update()
