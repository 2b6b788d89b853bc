"""What this program is."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from core import __version__
from hogui.icons import app_icon
from hogui.theme import GRID


class AboutDialog(QDialog):
    """Name, version, purpose, licence."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("About HoGUI"))
        picture = QLabel()
        picture.setPixmap(app_icon().pixmap(64, 64))
        title = QLabel(f"HoGUI {__version__}")
        title.setProperty("role", "title")
        about = QLabel(
            self.tr(
                "What does a higher-order gradient cost in memory and time, why, and what would "
                "make it cheaper?"
            )
        )
        about.setWordWrap(True)
        licence = QLabel(self.tr("Free software under the MIT licence."))
        licence.setProperty("role", "secondary")
        words = QVBoxLayout()
        words.setSpacing(2 * GRID)
        for label in (title, about, licence):
            words.addWidget(label)
        line = QHBoxLayout()
        line.setSpacing(4 * GRID)
        line.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        line.addLayout(words, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(4 * GRID)
        layout.addLayout(line)
        layout.addWidget(buttons)
        self.setFixedWidth(110 * GRID)
