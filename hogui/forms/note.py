"""A quiet sentence with an icon: something to know, or something that is wrong."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from hogui.icons import pixmap
from hogui.theme import theme

_ICON = 14


class Note(QWidget):
    """Sentences below the things they are about; invisible while there are none."""

    def __init__(self, *, error: bool = False) -> None:
        super().__init__()
        self._icon_name, self._token = ("error", "error") if error else ("info", "text_secondary")
        self._icon, self._text = QLabel(), QLabel()
        self._text.setProperty("role", "error" if error else "secondary")
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.setSpacing(6)
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._text, 1)
        theme().changed.connect(self._paint_icon)
        self._paint_icon()
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def say(self, text: str) -> None:
        """Shows the sentences; none hides the note."""
        self._text.setText(text)
        self.setAccessibleName(text)
        self.setVisible(bool(text))

    def _paint_icon(self) -> None:
        self._icon.setPixmap(pixmap(self._icon_name, getattr(theme().tokens, self._token), _ICON))
