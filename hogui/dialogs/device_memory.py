"""Naming a device by its memory, so that forecasts can be compared with it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from hogui.device_memories import memory_from_text
from hogui.theme import GRID


class DeviceMemoryDialog(QDialog):
    """One line to type; what is wrong with it is said below.

    Signals:
        chosen: a `DeviceMemory`.
    """

    chosen = Signal(object)

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("deviceMemoryDialog")
        self.setWindowTitle(self.tr("Another device"))
        label = QLabel(self.tr("Name and memory; end with CPU for a device without CUDA"))
        self.field = QLineEdit(text)
        self.field.setObjectName("deviceMemoryField")
        self.field.setPlaceholderText(self.tr("RTX 4090, 24 GB"))
        self.field.selectAll()
        label.setBuddy(self.field)
        self._trouble = QLabel()
        self._trouble.setProperty("role", "error")
        self._trouble.setWordWrap(True)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(2 * GRID)
        for widget in (label, self.field, self._trouble, buttons):
            layout.addWidget(widget)
        self.setMinimumWidth(100 * GRID)

    @property
    def trouble(self) -> str:
        """What is wrong with what was typed."""
        return self._trouble.text()

    def _accept(self) -> None:
        try:
            memory = memory_from_text(self.field.text())
        except ValueError as error:
            self._trouble.setText(str(error))
            return
        if memory is not None:
            self.chosen.emit(memory)
        self.accept()
