"""One editor for each kind of declared field.

Every editor shows a plain JSON value, keeps whatever the user types, and says `edited` after each
change by the user; it refuses nothing, because the spec does, with a sentence.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal, SignalInstance
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeyEvent, QValidator, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)
from typing_extensions import override

from core.spec.declaration import DeclaredField, FieldKind
from hogui.forms.names import choice_text, declared_text
from hogui.forms.text import read_text, write_text
from hogui.icons import set_icon

_WIDEST_SPIN = 100_000
"""A spin box whose range is larger has arrows that lead nowhere."""
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


class Editor(Protocol):
    """What a form row needs of an editor, which is a widget besides."""

    edited: SignalInstance

    def json_value(self) -> object:
        """The value that is shown; text that means no value comes back as text."""

    def set_json_value(self, value: object) -> None:
        """Shows a value, without `edited`."""

    def set_field(self, field: DeclaredField) -> None:
        """Takes over the limits and choices of a declaration."""

    def input_widget(self) -> QWidget:
        """The widget that takes focus, names and the mark of a refused value."""


class SpinEditor(QSpinBox):
    """A bounded whole number. Arrows stay inside the limits; typing may leave them.

    Any text can be typed and stays: a spin box that swallowed the point of 2.5 would say 25.
    """

    edited = Signal()

    def __init__(self, field: DeclaredField) -> None:
        super().__init__()
        self._lowest, self._highest = _LOWEST, _HIGHEST
        # Typed numbers outside the limits stay visible beside their sentence; see `stepBy`.
        self.setRange(_LOWEST, _HIGHEST)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # WORKAROUND: a style sheet's padding reaches neither the text of a spin box nor its height
        # (Qt 6.11); without these it stands 7 pixels left of, and 3 higher than, other fields.
        self.lineEdit().setTextMargins(7, 0, 0, 0)
        self.set_field(field)
        self.textChanged.connect(self.edited)
        # A text that is no number changes no value, nor does its return to one on leaving.
        self.lineEdit().textEdited.connect(self.edited)
        self.editingFinished.connect(self.edited)

    def json_value(self) -> object:
        return read_text("int", self.cleanText())

    def set_json_value(self, value: object) -> None:
        with QSignalBlocker(self):
            if isinstance(value, int):
                self.setValue(value)
            self.lineEdit().setText(write_text(value))

    def set_field(self, field: DeclaredField) -> None:
        self._lowest = _LOWEST if field.minimum is None else int(field.minimum)
        self._highest = _HIGHEST if field.maximum is None else int(field.maximum)

    def input_widget(self) -> QWidget:
        return self

    @override
    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), max(self.fontMetrics().height(), 20) + 6)

    @override
    def minimumSizeHint(self) -> QSize:
        return QSize(super().minimumSizeHint().width(), self.sizeHint().height())

    @override
    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Takes every text, so that Qt neither swallows nor corrects it; an empty one is undone."""
        states = QValidator.State
        return states.Acceptable if text.strip() else states.Intermediate, text, position

    @override
    def valueFromText(self, text: str) -> int:
        """The number from which the arrows go on: the last one where the text means none."""
        number = _whole_number(text)
        return self.value() if number is None else number

    @override
    def textFromValue(self, value: int) -> str:
        """What Qt shows on Return and on leaving; a text that is no number stays."""
        text = self.text()
        is_kept = bool(text.strip()) and _whole_number(text) is None
        return text if is_kept else write_text(value)

    @override
    def stepBy(self, steps: int) -> None:
        value = min(max(self.value() + steps, self._lowest), self._highest)
        self.lineEdit().setText(write_text(value))

    @override
    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        flags = QAbstractSpinBox.StepEnabledFlag.StepNone
        if self.value() > self._lowest:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        if self.value() < self._highest:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
        return flags

    @override
    def wheelEvent(self, event: QWheelEvent) -> None:
        _turn_only_with_focus(self, event, super().wheelEvent)


class TextEditor(QLineEdit):
    """Free text; what it means depends on the kind of its field. Up and Down step whole numbers."""

    edited = Signal()

    def __init__(self, field: DeclaredField) -> None:
        super().__init__()
        self._kind: FieldKind = field.kind
        self._lowest: float | None = None
        self._highest: float | None = None
        self.set_field(field)
        self.textChanged.connect(self.edited)

    def json_value(self) -> object:
        return read_text(self._kind, self.text())

    def set_json_value(self, value: object) -> None:
        with QSignalBlocker(self):
            self.setText(write_text(value))
            self.setCursorPosition(0)

    def set_field(self, field: DeclaredField) -> None:
        self._kind, self._lowest, self._highest = field.kind, field.minimum, field.maximum

    def input_widget(self) -> QWidget:
        return self

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}.get(Qt.Key(event.key()), 0)
        value = self.json_value()
        if not step or not isinstance(value, int) or event.modifiers():
            super().keyPressEvent(event)
            return
        lowest = value + step if self._lowest is None else int(self._lowest)
        highest = value + step if self._highest is None else int(self._highest)
        self.setText(write_text(min(max(value + step, lowest), highest)))


class ChoiceEditor(QComboBox):
    """One of a few words. The words are those of the JSON, unless `titles` gives better ones."""

    edited = Signal()

    def __init__(self, field: DeclaredField, titles: dict[str, str] | None = None) -> None:
        super().__init__()
        self._titles = titles or {}
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.set_field(field)
        self.currentIndexChanged.connect(self.edited)

    def json_value(self) -> object:
        return self.currentData()

    def set_json_value(self, value: object) -> None:
        with QSignalBlocker(self):
            self.setCurrentIndex(self.findData(value))

    def set_field(self, field: DeclaredField) -> None:
        if [self.itemData(row) for row in range(self.count())] == list(field.choices):
            return
        with QSignalBlocker(self):
            self.clear()
            for choice in field.choices:
                title = self._titles.get(choice)
                text = choice_text(choice) if title is None else declared_text(title)
                self.addItem(text, choice)
                # What files and `--set` call it.
                self.setItemData(self.count() - 1, str(choice), Qt.ItemDataRole.ToolTipRole)

    def input_widget(self) -> QWidget:
        return self

    @override
    def wheelEvent(self, event: QWheelEvent) -> None:
        _turn_only_with_focus(self, event, super().wheelEvent)


class SwitchEditor(QCheckBox):
    """True or false."""

    edited = Signal()

    def __init__(self, field: DeclaredField) -> None:
        super().__init__()
        self.set_field(field)
        self.toggled.connect(self.edited)

    def json_value(self) -> object:
        return self.isChecked()

    def set_json_value(self, value: object) -> None:
        with QSignalBlocker(self):
            self.setChecked(value is True)

    def set_field(self, field: DeclaredField) -> None:
        del field

    def input_widget(self) -> QWidget:
        return self


class AutoEditor(QWidget):
    """A whole number, or the word for "chosen by the program", which has a button of its own."""

    edited = Signal()

    def __init__(self, field: DeclaredField) -> None:
        super().__init__()
        self._word: str | None = None
        self._text = TextEditor(field)
        self._auto = QToolButton()
        self._auto.setCheckable(True)
        self._auto.setProperty("role", "quiet")
        _row(self, self._text, self._auto)
        self.set_field(field)
        self._text.edited.connect(self._reflect)
        self._text.edited.connect(self.edited)
        self._auto.clicked.connect(self._press)

    def json_value(self) -> object:
        value = self._text.json_value()
        is_word = isinstance(value, str) and value.lower() == write_text(self._word)
        return self._word if is_word else value

    def set_json_value(self, value: object) -> None:
        self._text.set_json_value(value)
        self._reflect()

    def set_field(self, field: DeclaredField) -> None:
        self._word = field.auto
        self._text.set_field(field)
        self._auto.setText(write_text(self._word))
        self._auto.setAccessibleName(f"{declared_text(field.label)}: {write_text(self._word)}")

    def input_widget(self) -> QWidget:
        return self._text

    def _press(self) -> None:
        """Chooses the word; when it is chosen already, invites a number instead."""
        if self.json_value() == self._word:
            self._auto.setChecked(True)
            self._text.setFocus()
            self._text.selectAll()
        else:
            self._text.setText(write_text(self._word))

    def _reflect(self) -> None:
        self._auto.setChecked(self.json_value() == self._word)


class FileEditor(QWidget):
    """The path of a file: typed, chosen, or dropped on the field."""

    edited = Signal()

    def __init__(self, field: DeclaredField) -> None:
        super().__init__()
        self._title = ""
        self._text = _PathLine(field)
        self._choose = QToolButton()
        set_icon(self._choose, "open")
        _row(self, self._text, self._choose)
        self.set_field(field)
        self._text.edited.connect(self.edited)
        self._text.textChanged.connect(self._text.setToolTip)
        self._choose.clicked.connect(self._ask)

    def json_value(self) -> object:
        return self._text.json_value()

    def set_json_value(self, value: object) -> None:
        self._text.set_json_value(value)
        self._text.setToolTip(self._text.text())

    def set_field(self, field: DeclaredField) -> None:
        self._title = declared_text(field.label)
        self._text.set_field(field)
        self._text.setPlaceholderText(declared_text(field.help))
        self._choose.setAccessibleName(self.tr("Choose a file"))
        self._choose.setToolTip(self.tr("Choose a file"))

    def input_widget(self) -> QWidget:
        return self._text

    def _ask(self) -> None:
        folder = str(Path(self._text.text()).expanduser().parent)
        path, _ = QFileDialog.getOpenFileName(self, self._title, folder)
        if path:
            self._text.setText(path)


class _PathLine(TextEditor):
    @override
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    @override
    def dropEvent(self, event: QDropEvent) -> None:
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.setText(paths[0])
            event.acceptProposedAction()
        else:
            super().dropEvent(event)


def editor_for(field: DeclaredField, titles: dict[str, str] | None = None) -> Editor:
    """The editor that suits a declaration."""
    if field.kind == "choice":
        return ChoiceEditor(field, titles)
    if field.kind == "int" and is_spin(field):
        return SpinEditor(field)
    kinds = {"bool": SwitchEditor, "int_or_auto": AutoEditor, "file": FileEditor}
    return kinds.get(field.kind, TextEditor)(field)


def is_spin(field: DeclaredField) -> bool:
    """Whether a whole number is bounded closely enough for arrows to be of use."""
    low, high = field.minimum, field.maximum
    return low is not None and high is not None and high - low < _WIDEST_SPIN


def _whole_number(text: str) -> int | None:
    """The number that a text means, None where a spin box can hold none such."""
    value = read_text("int", text)
    if not isinstance(value, int | float) or value != int(value):
        return None
    return int(value) if _LOWEST <= value <= _HIGHEST else None


def _row(parent: QWidget, stretched: QWidget, button: QToolButton) -> None:
    layout = QHBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    # The field gives the height, so that every row of a form has the same.
    button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
    layout.addWidget(stretched, 1)
    layout.addWidget(button)
    parent.setFocusProxy(stretched)


def _turn_only_with_focus(
    widget: QWidget, event: QWheelEvent, turn: Callable[[QWheelEvent], None]
) -> None:
    """Without this, scrolling the column changes every field that passes under the pointer."""
    if widget.hasFocus():
        turn(event)
    else:
        event.ignore()
