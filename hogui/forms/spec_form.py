"""A form for one part of a spec, built from its declared fields."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

from pydantic import ValidationError
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QToolButton, QVBoxLayout, QWidget

from core.spec.declaration import (
    DeclaredField,
    Path,
    Problem,
    Spec,
    declared_fields,
    dotted,
    explain,
)
from hogui.forms.names import declared_text
from hogui.forms.row import FormRow
from hogui.icons import set_icon


class SpecForm(QWidget):
    """Shows a spec value row by row and says which fields the user changed.

    A form of several classes, told apart by their `kind`, shares the rows of their common fields,
    so that changing the kind keeps what was typed, the focus and the cursor.

    Signals:
        changed: a dict of field names to plain JSON values that the spec takes.
        problemsChanged: another set of typed values is refused than before.
    """

    changed = Signal(dict)
    problemsChanged = Signal()

    def __init__(
        self,
        classes: Sequence[type[Spec]],
        path: Path = (),
        *,
        kind: DeclaredField | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        """Builds the rows of all classes.

        Args:
            classes: one class, or the members of a union.
            path: where the value stands in a whole spec.
            kind: how to ask for the member of the union; its choices are the members' tags.
            only: names of the fields to show; None shows all.
        """
        super().__init__()
        self._classes = tuple(classes)
        self._path = path
        self._spec: Spec | None = None
        self._run: Spec | None = None
        self._kept: frozenset[str] = frozenset()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._rows: dict[str, FormRow] = {}
        self._headings: dict[str, QLabel] = {}
        self._fields = {cls: _fields(cls, kind, only) for cls in self._classes}
        for cls in self._classes:
            for field in self._fields[cls].values():
                self._add_row(field)
        has_advanced = any(
            field.advanced for fields in self._fields.values() for field in fields.values()
        )
        self._more = self._disclosure() if has_advanced else None

    def set_spec(self, spec: Spec, run: Spec | None = None) -> None:
        """Shows a value of one of the classes; emits nothing, keeps focus, cursor and drafts.

        Args:
            spec: the value.
            run: the whole that it is part of, which fields without effect depend on.
        """
        fields = self._fields[type(spec)]
        if self._spec is None or type(spec) is not type(self._spec):
            self._adopt(fields)
            self._arrange(type(spec))
        self._spec, self._run = spec, run
        values = spec.model_dump(mode="json", include=set(fields))
        for name in fields:
            self._rows[name].set_value(values[name])
        self._show_rows()

    def keep_shown(self, keys: Iterable[str]) -> None:
        """Names the fields, by their dotted keys, that are shown though they have no effect now,
        because something is said of them."""
        self._kept = frozenset(keys)
        self._show_rows()

    def show_problems(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Puts each sentence under its field.

        Returns:
            The problems that belong to no visible field of this form.
        """
        sentences = {problem.path: problem for problem in problems}
        for name, row in self._rows.items():
            problem = sentences.get((*self._path, name)) if name in self._shown() else None
            row.set_fault(problem.sentence if problem else None)
            if problem:
                del sentences[problem.path]
        self._show_rows()
        return tuple(sentences.values())

    def problems(self) -> tuple[Problem, ...]:
        """The refused values that stand in this form."""
        return tuple(
            Problem((*self._path, name), row.refusal)
            for name, row in self._rows.items()
            if row.refusal is not None
        )

    def discard_drafts(self) -> None:
        """Shows the spec's values in place of refused ones."""
        for row in self._rows.values():
            row.discard_draft()
        self.problemsChanged.emit()

    def row(self, name: str) -> FormRow:
        """The row of a field, by its name.

        Raises:
            KeyError: no class of this form has such a field.
        """
        return self._rows[name]

    def rows(self) -> tuple[FormRow, ...]:
        """Every row, the invisible ones too."""
        return tuple(self._rows.values())

    def differences(self) -> str:
        """The settings that are not at their default, in one line."""
        if self._spec is None:
            return ""
        words = (
            f"{declared_text(field.label)} {_shown_value(getattr(self._spec, field.name), field)}"
            for field in self._fields[type(self._spec)].values()
            if getattr(self._spec, field.name) != field.default
        )
        return ", ".join(words)

    def _add_row(self, field: DeclaredField) -> None:
        if field.name in self._rows:
            return
        titles = {_tag(cls): str(getattr(cls, "title", _tag(cls))) for cls in self._classes}
        row = FormRow(field, dotted((*self._path, field.name)), titles)
        row.edited.connect(lambda: self._take(row))
        self._rows[field.name] = row
        self._layout.addWidget(row)

    def _disclosure(self) -> QToolButton:
        button = QToolButton()
        button.setText(self.tr("More settings"))
        button.setCheckable(True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setProperty("role", "quiet")
        set_icon(button, "chevron-down", "text_secondary")
        button.toggled.connect(self._show_rows)
        self._layout.addWidget(button)
        return button

    def _adopt(self, fields: Mapping[str, DeclaredField]) -> None:
        """The rows take the limits of the class that is shown now; others lose their drafts."""
        for name, row in self._rows.items():
            if name in fields:
                row.set_field(fields[name])
            else:
                row.discard_draft()

    def _arrange(self, cls: type[Spec]) -> None:
        """Orders the rows as a class declares them, those under headings last."""
        headed = {name: title for title, names in cls.headings.items() for name in names}
        fields = list(self._fields[cls])
        widgets: list[QWidget] = [self._rows[name] for name in fields if name not in headed]
        for title in cls.headings:
            widgets.append(self._heading(title))
            widgets += [self._rows[name] for name in fields if headed.get(name) == title]
        for place, widget in enumerate(widgets):
            if self._layout.indexOf(widget) != place:
                self._layout.insertWidget(place, widget)
        rows = [widget for widget in widgets if isinstance(widget, FormRow)]
        for earlier, later in pairwise(rows):
            QWidget.setTabOrder(earlier.input_widget(), later.input_widget())

    def _heading(self, title: str) -> QLabel:
        if title not in self._headings:
            label = QLabel(declared_text(title), self)
            label.setProperty("role", "secondary")
            label.setContentsMargins(0, 4, 0, 0)
            self._headings[title] = label
        return self._headings[title]

    def _take(self, row: FormRow) -> None:
        assert self._spec is not None, "set_spec comes first"
        if row.field.name == "kind":
            self._change_kind(row)
            return
        name, value = row.field.name, row.typed()
        values = self._spec.model_dump(mode="json") | {name: value}
        refusals = _refusals(type(self._spec), values)
        before = self.problems()
        if name in refusals:
            row.refuse(self._with_path(refusals[name]))
        else:
            known = row.is_value(value)
            row.accept(value)
            if not known:
                self.changed.emit({name: value})
        if self.problems() != before:
            self.problemsChanged.emit()

    def _change_kind(self, row: FormRow) -> None:
        """Keeps the common fields; one that the new kind refuses becomes a draft."""
        assert self._spec is not None
        tag = row.typed()
        cls = next((cls for cls in self._classes if _tag(cls) == tag), type(self._spec))
        common = self._spec.model_dump(mode="json", include=set(cls.model_fields)) | {"kind": tag}
        refusals = _refusals(cls, common)
        defaults = {name: cls.model_fields[name].default for name in refusals}
        before = self.problems()
        row.accept(tag)
        self.changed.emit({"kind": tag, **defaults})
        for name, sentence in refusals.items():
            self._rows[name].draft(common[name], self._with_path(sentence))
        if self.problems() != before:
            self.problemsChanged.emit()

    def _with_path(self, sentence: str) -> str:
        """Sentences begin with the key; a whole spec's key is longer."""
        return f"{dotted(self._path)}.{sentence}" if self._path else sentence

    def _shown(self) -> Mapping[str, DeclaredField]:
        return self._fields[type(self._spec)] if self._spec is not None else {}

    def _show_rows(self) -> None:
        fields = self._shown()
        advanced = [name for name, field in fields.items() if field.advanced]
        is_unfolded = self._more is not None and self._more.isChecked()
        if self._more is not None:
            self._more.setVisible(bool(advanced))
        for name, row in self._rows.items():
            wanted = name in fields and self._takes_effect(fields[name])
            folded = name in advanced and not is_unfolded
            is_said_of = name in fields and (bool(row.sentence) or row.key in self._kept)
            row.setVisible((wanted and not folded) or is_said_of)
        headings = type(self._spec).headings if self._spec is not None else {}
        for title, label in self._headings.items():
            mine = headings.get(title, ())
            label.setVisible(any(not self._rows[name].isHidden() for name in mine))

    def _takes_effect(self, field: DeclaredField) -> bool:
        return self._spec is not None and field.takes_effect(self._spec, self._run)


def kind_field(label: str, help: str, classes: Iterable[type[Spec]]) -> DeclaredField:
    """How to ask for a member of a union, whose classes declare only their tag."""
    return DeclaredField(
        name="kind",
        kind="choice",
        label=label,
        help=help,
        unit="",
        default=None,
        minimum=None,
        maximum=None,
        choices=tuple(_tag(cls) for cls in classes),
        advanced=False,
        auto=None,
    )


def _fields(
    cls: type[Spec], kind: DeclaredField | None, only: Collection[str] | None
) -> dict[str, DeclaredField]:
    """What a form shows of a class; a field with one choice is no choice."""
    kind = kind or _declared_kind(cls)
    fields = [*([kind] if kind is not None else []), *declared_fields(cls)]
    return {
        field.name: field
        for field in fields
        if (only is None or field.name in only) and len(field.choices) != 1
    }


def _declared_kind(cls: type[Spec]) -> DeclaredField | None:
    """The `kind` of a class that is no member of a union, but has several kinds itself."""
    info = cls.model_fields.get("kind")
    if info is None or info.title is None:
        return None
    field = kind_field(info.title, info.description or "", ())
    choices = get_args(info.annotation)
    return DeclaredField(**{**vars(field), "choices": choices, "default": info.default})


def _tag(cls: type[Spec]) -> str:
    info = cls.model_fields.get("kind")
    return str(info.default) if info is not None else ""


def _refusals(cls: type[Spec], values: dict[str, Any]) -> dict[str, str]:
    """The sentence of each field whose value the class does not take."""
    try:
        cls.model_validate_json(json.dumps(values))
    except ValidationError as error:
        return {str(problem.path[0]): problem.sentence for problem in explain(error, cls)}
    return {}


def _shown_value(value: object, field: DeclaredField) -> str:
    return f"{value} {field.unit}".rstrip()
