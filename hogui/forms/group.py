"""A group of settings that folds."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from typing_extensions import override

from hogui.icons import set_icon


class Group(QWidget):
    """A header that folds its contents away, and says in a line what is folded."""

    def __init__(self, title: str, *, expanded: bool = True) -> None:
        super().__init__()
        self._header = QPushButton(title)
        self._header.setCheckable(True)
        self._header.setProperty("role", "group")
        self._summary = ElidedLabel()
        self._summary.setProperty("role", "secondary")
        self._body = QWidget()
        self._contents = QVBoxLayout(self._body)
        self._contents.setContentsMargins(0, 2, 0, 4)
        self._contents.setSpacing(4)
        self._bar = QHBoxLayout()
        self._bar.setSpacing(8)
        self._bar.addWidget(self._header)
        self._bar.addWidget(self._summary, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._bar)
        layout.addWidget(self._body)
        self._header.setChecked(expanded)
        self._fold(expanded)
        self._header.toggled.connect(self._fold)

    @property
    def expanded(self) -> bool:
        """Whether the contents are shown."""
        return self._header.isChecked()

    @expanded.setter
    def expanded(self, expanded: bool) -> None:
        self._header.setChecked(expanded)

    def add(self, widget: QWidget) -> None:
        """Adds to the contents, from the top down."""
        self._contents.addWidget(widget)

    def add_to_header(self, widget: QWidget) -> None:
        """Adds at the right of the header, where it stays when the group is folded."""
        self._bar.addWidget(widget)

    @property
    def title(self) -> str:
        """What the header says."""
        return self._header.text()

    def set_title(self, title: str) -> None:
        """What the header says."""
        self._header.setText(title)

    def set_summary(self, text: str) -> None:
        """What a folded group says of its contents."""
        self._summary.set_text(text)

    def set_faulty(self, faulty: bool) -> None:
        """Marks the header, so that a folded group does not hide what is wrong."""
        role = "error" if faulty else "secondary"
        if self._summary.property("role") == role:
            return
        self._summary.setProperty("role", role)
        self._summary.style().unpolish(self._summary)
        self._summary.style().polish(self._summary)

    def _fold(self, expanded: bool) -> None:
        set_icon(self._header, "chevron-down" if expanded else "chevron-right", "text_secondary")
        self._body.setVisible(expanded)
        self._summary.set_shown(not expanded)


class ElidedLabel(QLabel):
    """One line that shortens instead of widening the column; its tool tip has it whole."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self._is_shown = True
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """The whole line."""
        self._text = text
        self._elide()

    def set_shown(self, shown: bool) -> None:
        """An empty label keeps its place in the layout, a hidden one would not."""
        self._is_shown = shown
        self._elide()

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        text = self._text if self._is_shown else ""
        self.setText(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, self.width()))
        self.setToolTip(text)
