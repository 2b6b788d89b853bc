"""The tool bar's forecast: one line that gives way, and the choice of the device it must fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QToolButton, QWidget
from typing_extensions import override

from hogui.icons import set_icon
from hogui.plots.elided_label import ElidedLabel
from hogui.theme import GRID


@dataclass(frozen=True)
class Choice:
    """An entry of the menu, and what choosing it does."""

    title: str
    is_chosen: bool
    choose: Callable[[], None]


class ForecastLine(QWidget):
    """The line and its menu; both are hidden until there is something to say."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = ForecastLabel()
        self.menu = QMenu(self)
        self.button = QToolButton()
        self.button.setObjectName("forecastMemoryButton")
        self.button.setProperty("role", "quiet")
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.button.setToolTip(self.tr("Which device the forecast has to fit"))
        self.button.setAccessibleName(self.tr("Which device the forecast has to fit"))
        set_icon(self.button, "memory", "text_secondary")
        self.button.setMenu(self.menu)
        self.label.pressed.connect(self.button.showMenu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.label)
        layout.addWidget(self.button)
        self.hide()

    def offer(self, groups: Sequence[Sequence[Choice]]) -> None:
        """Fills the menu; groups are divided by lines."""
        self.menu.clear()
        for group in groups:
            if self.menu.actions():
                self.menu.addSeparator()
            for choice in group:
                action = self.menu.addAction(choice.title)
                action.setCheckable(choice.is_chosen)
                action.setChecked(choice.is_chosen)
                action.triggered.connect(choice.choose)


class ForecastLabel(ElidedLabel):
    """One line; where room lacks it ends in an ellipsis, and its tip says everything.

    Signals:
        pressed: somebody clicked on it.
    """

    pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("forecastLabel")
        self.setAccessibleName(self.tr("Forecast"))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        # As wide as its line where there is room, and the first to give way.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.setProperty("role", "secondary")

    def say(self, line: str, role: str, tip: str, description: str) -> None:
        """Shows a line.

        Args:
            line: what is said.
            role: how it looks, see the style sheet.
            tip: all of it, as rich text.
            description: all of it, as plain text.
        """
        self.setText(line)
        self.set_details(tip)
        self.setToolTip(tip)
        self.setAccessibleDescription(description)
        if self.property("role") != role:
            self.setProperty("role", role)
            self.style().unpolish(self)
            self.style().polish(self)

    @override
    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.pressed.emit()
