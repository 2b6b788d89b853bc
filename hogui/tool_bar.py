"""The bar at the top: run, cancel, device, forecast. It shows state; it decides nothing."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from hogui.actions import Actions
from hogui.forecast_line import ForecastLine
from hogui.icons import set_icon
from hogui.theme import GRID


class ToolBar(QFrame):
    """Run, cancel, run all, the device, the forecast, and why Run is disabled.

    Signals:
        deviceChosen: a device's name, as a spec names it.
    """

    deviceChosen = Signal(str)

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "bar")
        self.run_button = _push_button("runButton", actions["run"], "run", "on_accent")
        self.run_button.setProperty("role", "primary")
        self.cancel_button = _push_button("cancelButton", actions["cancel"], "cancel")
        self.run_all_button = _push_button("runAllButton", actions["runAll"], "queue")
        self.device_combo = QComboBox()
        self.device_combo.setObjectName("deviceCombo")
        self.device_combo.setToolTip(self.tr("Where this tab's configuration is measured"))
        self.device_combo.setAccessibleName(self.tr("Device"))
        self.device_combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.device_combo.activated.connect(
            lambda row: self.deviceChosen.emit(self.device_combo.itemData(row))
        )
        device_label = QLabel(self.tr("Device"))
        device_label.setBuddy(self.device_combo)
        device_label.setProperty("role", "secondary")
        self.forecast = ForecastLine()
        self.reason_label = ElidedLabel()
        self.reason_label.setObjectName("runReasonLabel")
        self.reason_label.setProperty("role", "error")

        layout = QHBoxLayout(self)
        layout.setContentsMargins(2 * GRID, 1 * GRID, 2 * GRID, 1 * GRID)
        layout.setSpacing(2 * GRID)
        for widget in (self.run_button, self.cancel_button, self.run_all_button):
            layout.addWidget(widget)
        layout.addSpacing(2 * GRID)
        layout.addWidget(device_label)
        layout.addWidget(self.device_combo)
        layout.addSpacing(2 * GRID)
        layout.addWidget(self.forecast)
        layout.addWidget(self.reason_label, 1)
        self.advise_button = _tool_button(actions["advise"])
        self.advise_button.setObjectName("adviceButton")
        self.advise_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        layout.addWidget(self.advise_button)
        for name in ("undo", "redo", "exportCsv"):
            layout.addWidget(_tool_button(actions[name]))

    def show_devices(self, entries: list[tuple[str, str]], chosen: str) -> None:
        """Lists the devices.

        Args:
            entries: name, as a spec names it, and title.
            chosen: the name of the one that is shown.
        """
        combo = self.device_combo
        combo.blockSignals(True)
        shown = [(combo.itemData(row), combo.itemText(row)) for row in range(combo.count())]
        if shown != entries:
            combo.clear()
            for name, title in entries:
                combo.addItem(title, name)
        combo.setCurrentIndex(combo.findData(chosen))
        combo.blockSignals(False)

    def show_run(self, text: str, reason: str, tip: str, *, is_problem: bool) -> None:
        """What the Run button says, and why it is disabled, if it is.

        Args:
            text: on the button.
            reason: why it is disabled, empty where it is not.
            tip: what it does.
            is_problem: the user has to mend something.
        """
        self.run_button.setText(text)
        self.run_button.setToolTip(reason or tip)
        role = "error" if is_problem else "secondary"
        if self.reason_label.property("role") != role:
            self.reason_label.setProperty("role", role)
            self.style().unpolish(self.reason_label)
            self.style().polish(self.reason_label)
        self.reason_label.set_text(reason)


class ElidedLabel(QLabel):
    """A line that ends in an ellipsis where there is no room; the tool tip has all of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)

    def set_text(self, text: str) -> None:
        """Shows another line."""
        if text != self._text:
            self._text = text
            self.setToolTip(text)
            self.setAccessibleDescription(text)
            self._elide()

    @property
    def full_text(self) -> str:
        """The whole line."""
        return self._text

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        metrics = self.fontMetrics()
        line = self._text.replace("\n", " ")
        self.setText(metrics.elidedText(line, Qt.TextElideMode.ElideRight, self.width()))


def _push_button(name: str, action: QAction, icon: str, token: str = "text") -> QPushButton:
    """A button with words that does what an action does, and is enabled when the action is."""
    button = QPushButton(action.text())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setObjectName(name)
    button.setToolTip(action.toolTip())
    set_icon(button, icon, token)
    button.clicked.connect(action.trigger)
    button.setEnabled(action.isEnabled())
    action.enabledChanged.connect(button.setEnabled)
    return button


def _tool_button(action: QAction) -> QToolButton:
    button = QToolButton()
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setDefaultAction(action)
    button.setProperty("role", "quiet")
    return button
