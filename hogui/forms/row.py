"""One row of a form: label, editor, unit, and under them the sentence of what is wrong."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QWidget

from core.spec.declaration import DeclaredField
from hogui.forms.editors import Editor, editor_for
from hogui.forms.names import declared_text, object_name

_UNSET = object()


class FormRow(QWidget):
    """Shows one field's value, or what the user typed instead and why it was refused.

    Signals:
        edited: the user changed the editor; `typed` tells to what.
    """

    edited = Signal()

    def __init__(
        self, field: DeclaredField, key: str, titles: dict[str, str] | None = None
    ) -> None:
        """Builds the row.

        Args:
            field: what is shown.
            key: the dotted key of the field in a whole spec.
            titles: words for choices that read better than the JSON's.
        """
        super().__init__()
        self.field = field
        self.key = key
        self.refusal: str | None = None
        """Why the value that is typed is not the value of the spec; None where it is."""
        self._value: object = _UNSET
        self._fault: str | None = None
        self._sentence: QLabel | None = None
        self._editor: Editor = editor_for(field, titles)
        self._label, self._unit = QLabel(), QLabel()
        self._unit.setProperty("role", "secondary")
        self._editor.input_widget().setObjectName(object_name(key))
        self._label.setBuddy(self._editor.input_widget())
        self._editor.edited.connect(self.edited)
        self._arrange()
        self.set_field(field)

    def typed(self) -> object:
        """The JSON value that the editor shows, valid or not."""
        return self._editor.json_value()

    def input_widget(self) -> QWidget:
        """The widget that takes the focus."""
        return self._editor.input_widget()

    def set_field(self, field: DeclaredField) -> None:
        """Takes over another declaration of the same field, keeping what is typed."""
        self.field = field
        self._editor.set_field(field)
        label = declared_text(field.label)
        self._label.setText(label)
        self._unit.setText(declared_text(field.unit))
        self._unit.setVisible(bool(field.unit))
        name = self.tr("{label} in {unit}").format(label=label, unit=field.unit)
        self.input_widget().setAccessibleName(name if field.unit else label)
        for widget in (self._label, self.input_widget()):
            widget.setToolTip(declared_text(field.help))
        self._show_fault()

    def set_value(self, value: object) -> None:
        """Shows the spec's value; typed text that means the same, or was refused, stays."""
        if value == self._value and type(value) is type(self._value):
            return
        self.accept(value)
        if self.typed() != value:
            self._editor.set_json_value(value)

    def accept(self, value: object) -> None:
        """What is typed is now the spec's value."""
        self._value, self.refusal = value, None
        self._show_fault()

    def refuse(self, sentence: str) -> None:
        """Keeps what is typed, beside the sentence that says why the spec does not take it."""
        self.refusal = sentence
        self._show_fault()

    def draft(self, value: object, sentence: str) -> None:
        """Shows a value that the spec does not take, as if the user had typed it."""
        self._editor.set_json_value(value)
        self.refuse(sentence)

    def discard_draft(self) -> None:
        """Shows the spec's value again."""
        if self.refusal is not None:
            self._editor.set_json_value(self._value)
            self.accept(self._value)

    def is_value(self, value: object) -> bool:
        """Whether the spec holds this value already."""
        return bool(value == self._value)

    def set_fault(self, sentence: str | None) -> None:
        """Says what is wrong with a value that the spec takes but cannot run with."""
        if sentence != self._fault:
            self._fault = sentence
            self._show_fault()

    @property
    def sentence(self) -> str | None:
        """What is wrong, without the key that the row stands for."""
        sentence = self.refusal or self._fault
        if sentence is None:
            return None
        bare = sentence.removeprefix(f"{self.key}: ")
        is_word = bare.partition(" ")[0].isalpha()
        return bare[:1].upper() + bare[1:] if is_word else bare

    def label_width(self) -> int:
        """Pixels that the label needs."""
        return self._label.sizeHint().width()

    def set_label_width(self, width: int) -> None:
        """Aligns the editor with those of other rows."""
        self._grid.setColumnMinimumWidth(0, width)

    def _arrange(self) -> None:
        editor = self._editor
        assert isinstance(editor, QWidget)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(editor, 1)
        line.addWidget(self._unit)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self._grid.addWidget(self._label, 0, 0)
        self._grid.addLayout(line, 0, 1)

    def _show_fault(self) -> None:
        sentence = self.sentence
        widget = self.input_widget()
        help_text = declared_text(self.field.help)
        widget.setAccessibleDescription(f"{sentence} {help_text}" if sentence else help_text)
        if bool(widget.property("invalid")) != bool(sentence):
            widget.setProperty("invalid", bool(sentence))
            widget.style().unpolish(widget)
            widget.style().polish(widget)
        if sentence or self._sentence is not None:
            self._sentence_label().setText(sentence or "")
            self._sentence_label().setVisible(bool(sentence))

    def _sentence_label(self) -> QLabel:
        if self._sentence is None:
            self._sentence = QLabel(self)
            self._sentence.setProperty("role", "error")
            self._sentence.setWordWrap(True)
            self._sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._sentence.setObjectName(f"{self.key}.sentence")
            self._grid.addWidget(self._sentence, 1, 1)
        return self._sentence
