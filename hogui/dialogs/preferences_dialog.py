"""What the user prefers. Each choice holds at once; there is nothing to confirm."""

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from hogui.preferences import Place, Preferences
from hogui.theme import GRID, Preference


class PreferencesDialog(QDialog):
    """Theme, where the core runs, what is asked and restored, where things are kept."""

    def __init__(self, preferences: Preferences, home: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("preferencesDialog")
        self.setWindowTitle(self.tr("Preferences"))
        self._preferences = preferences
        self._trouble = QLabel()
        self._trouble.setProperty("role", "error")
        self._trouble.setWordWrap(True)
        self._trouble.hide()
        form = QFormLayout()
        form.setHorizontalSpacing(4 * GRID)
        form.setVerticalSpacing(4 * GRID)
        form.addRow(self.tr("Theme"), self._theme_combo())
        form.addRow(self.tr("The core runs"), self._places())
        form.addRow(self.tr("Window"), self._switches())
        form.addRow(self.tr("Kept in"), _path_line(home))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(4 * GRID)
        layout.addLayout(form)
        layout.addWidget(self._trouble)
        layout.addWidget(buttons)
        self.setMinimumWidth(130 * GRID)

    def _theme_combo(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("themeCombo")
        for value, text in (
            (Preference.SYSTEM, self.tr("As the system")),
            (Preference.LIGHT, self.tr("Light")),
            (Preference.DARK, self.tr("Dark")),
        ):
            combo.addItem(text, value)
        combo.setCurrentIndex(combo.findData(self._preferences.choices.theme))
        combo.activated.connect(lambda row: self._change(theme=Preference(combo.itemData(row))))
        return combo

    def _places(self) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        group = QButtonGroup(self)
        for place, text, help_text in (
            (
                Place.OWN_PROCESS,
                self.tr("in a process of its own"),
                self.tr("Nothing disturbs the figures, and a run can be ended at any moment."),
            ),
            (
                Place.THIS_PROCESS,
                self.tr("in the window's process"),
                self.tr(
                    "Painting disturbs the figures: times are longer and scatter more. Cancel "
                    "waits for the present step to end."
                ),
            ),
        ):
            button = QRadioButton(text)
            button.setObjectName(f"{place}PlaceButton")
            button.setChecked(self._preferences.choices.place is place)
            button.clicked.connect(lambda _=False, place=place: self._change(place=place))
            group.addButton(button)
            note = QLabel(help_text)
            note.setProperty("role", "small")
            note.setWordWrap(True)
            note.setIndent(6 * GRID)
            layout.addWidget(button)
            layout.addWidget(note)
        return box

    def _switches(self) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2 * GRID)
        for name, text in (
            ("confirm_close", self.tr("Ask before closing while a run measures")),
            ("restore_tabs", self.tr("Open the same tabs at the next start")),
        ):
            switch = QCheckBox(text)
            switch.setObjectName(f"{name}Switch")
            switch.setChecked(getattr(self._preferences.choices, name))
            switch.clicked.connect(lambda on, name=name: self._change(**{name: on}))
            layout.addWidget(switch)
        return box

    def _change(self, **values: object) -> None:
        try:
            self._preferences.change(**values)
        except OSError as error:
            self._trouble.setText(
                self.tr(
                    "This holds until the window closes; it could not be kept: {reason}"
                ).format(reason=error)
            )
            self._trouble.show()


def _path_line(path: Path) -> QLineEdit:
    line = QLineEdit(str(path))
    line.setReadOnly(True)
    line.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    line.setCursorPosition(0)
    return line
