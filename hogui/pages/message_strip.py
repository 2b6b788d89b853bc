"""A line above the figures for what the user should know; it waits for nobody."""

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget
from typing_extensions import override

from hogui.icons import set_icon
from hogui.theme import GRID, theme


class MessageStrip(QFrame):
    """One message with its icon, at most one button, and a way to close it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("messageStrip")
        self._act: Callable[[], None] | None = None
        self._level = "info"
        self.setAutoFillBackground(True)
        theme().changed.connect(self._colour)
        self._icon = QToolButton()
        self._icon.setProperty("role", "quiet")
        self._icon.setEnabled(True)
        self._icon.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._icon.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.text_label = QLabel()
        self.text_label.setObjectName("messageLabel")
        self.text_label.setWordWrap(True)
        self.text_label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.button = QPushButton()
        self.button.setObjectName("messageButton")
        self.button.clicked.connect(self._pressed)
        close = QToolButton()
        close.setProperty("role", "quiet")
        close.setToolTip(self.tr("Dismiss"))
        close.setAccessibleName(self.tr("Dismiss"))
        set_icon(close, "close")
        close.clicked.connect(self.clear)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(2 * GRID, GRID, GRID, GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.text_label, 1)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self.clear()

    @property
    def text(self) -> str:
        """What is shown, empty where nothing is."""
        return self.text_label.text() if self.isVisibleTo(self.parentWidget()) else ""

    def show_message(
        self,
        text: str,
        level: str = "info",
        button: str = "",
        act: Callable[[], None] | None = None,
    ) -> None:
        """Shows one message in place of the last.

        Args:
            text: sentences.
            level: ``info``, ``warning`` or ``error``.
            button: what the message offers to do, empty for nothing.
            act: does it.
        """
        self.text_label.setText(text)
        self._act = act
        self.button.setText(button)
        self.button.setVisible(bool(button))
        set_icon(self._icon, level, {"info": "accent"}.get(level, level))
        self._level = level
        self._colour()
        self.show()

    def clear(self) -> None:
        """Shows nothing."""
        self._act = None
        self.text_label.clear()
        self.hide()

    @override
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._colour()  # The style sheet takes a palette back when an ancestor moves.

    def _colour(self) -> None:
        tokens = theme().tokens
        surface = {"error": tokens.error_surface, "warning": tokens.warning_surface}
        palette = self.palette()
        palette.setColor(self.backgroundRole(), QColor(surface.get(self._level, tokens.raised)))
        self.setPalette(palette)

    def _pressed(self) -> None:
        act = self._act
        self.clear()
        if act is not None:
            act()
