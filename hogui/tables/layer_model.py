"""The stack of layers as a table: what each is, gives and costs, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QByteArray,
    QMimeData,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from typing_extensions import override

from core.results.forecast import Finding
from core.spec.declaration import InvalidSpec, Problem, declared_fields
from core.spec.layers import (
    LAYER_KINDS,
    LayerSpec,
    describe_settings,
    layer_from,
    parse_settings,
    shape_text,
)
from core.spec.model import LayerRow, StackModel
from hogui.forms.names import declared_text
from hogui.tables.layer_columns import Column, about
from hogui.tables.layer_text import layers_from_text, text_of_layers
from hogui.tables.row_notes import NOTES_ROLE, LayerFindings, RowNote, row_notes
from hogui.units import MISSING, format_count

Index = QModelIndex | QPersistentModelIndex

PROBLEM_ROLE = int(Qt.ItemDataRole.UserRole) + 1
"""The sentence of what is wrong with the row, None where nothing is."""
ROWS_MIME = "application/x-hogui-layer-rows"
_ROOT = QModelIndex()


@dataclass(frozen=True)
class Draft:
    """Settings as typed, which the layer does not take."""

    text: str
    sentence: str


@dataclass(frozen=True)
class _Entry:
    layer: LayerSpec
    draft: Draft | None = None


class LayerModel(QAbstractTableModel):
    """A stack's layers, editable. Every edit gives one new tuple of layers.

    Settings that cannot be read stay in their row as a draft; the layer keeps its last right ones.

    Signals:
        layersChanged: a tuple of layers, after an edit by the user.
        problemsChanged: another set of drafts than before.
    """

    layersChanged = Signal(object)
    problemsChanged = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._stack = StackModel(input_shape=(1,))
        self._entries: list[_Entry] = []
        self._trace: tuple[LayerRow, ...] = ()
        self._findings = LayerFindings((), ())

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers, where a draft stands its last right settings."""
        return tuple(entry.layer for entry in self._entries)

    @property
    def stack(self) -> StackModel:
        """The layers below their input shape."""
        return self._stack

    def set_stack(self, stack: StackModel) -> None:
        """Shows a stack; rows that stay the same keep draft and selection. Emits no edit."""
        old, new = self.layers, stack.layers
        if old == new and stack.input_shape == self._stack.input_shape:
            return
        before = self.problems()
        if old != new:
            head = _common(old, new)
            tail = _common(old[head:][::-1], new[head:][::-1])
            self._replace(head, len(old) - tail, new[head : len(new) - tail])
        self._stack = stack
        self._retrace()
        if self.problems() != before:
            self.problemsChanged.emit()

    def trace(self) -> tuple[LayerRow, ...]:
        """What is known of each row."""
        return self._trace

    def draft(self, row: int) -> Draft | None:
        """The settings of a row that were refused, None where they were taken."""
        return self._entries[row].draft

    def problems(self) -> tuple[Problem, ...]:
        """One for each draft; problems between layers are the spec's to tell."""
        return tuple(
            Problem(("model", "layers", row), entry.draft.sentence)
            for row, entry in enumerate(self._entries)
            if entry.draft is not None
        )

    def set_findings(self, findings: Iterable[Finding]) -> None:
        """What was found out about the layers of now; it stands while they keep their kinds."""
        self._findings = LayerFindings(findings, self.layers)
        self._announce_all()

    def discard_drafts(self) -> None:
        """Shows the layers' own settings again."""
        before = self.problems()
        self._entries = [_Entry(entry.layer) for entry in self._entries]
        self._retrace()
        if before:
            self.problemsChanged.emit()

    def insert(self, row: int, layers: Iterable[LayerSpec]) -> None:
        """Inserts layers before a row, or at the end."""
        self._insert(row, [_Entry(layer) for layer in layers])

    def duplicate(self, rows: Sequence[int]) -> None:
        """Inserts copies of some rows below the last of them, drafts included."""
        if rows:
            self._insert(max(rows) + 1, [self._entries[row] for row in sorted(rows)])

    def remove(self, rows: Sequence[int]) -> None:
        """Removes some rows."""
        for row in sorted(set(rows), reverse=True):
            self.beginRemoveRows(_ROOT, row, row)
            del self._entries[row]
            self._trace = (*self._trace[:row], *self._trace[row + 1 :])
            self.endRemoveRows()
        if rows:
            self._finish_edit()

    def move(self, rows: Sequence[int], target: int) -> None:
        """Moves some rows, in their order, to before `target`, a row as counted before the move."""
        moved = sorted(set(rows))
        rest = [row for row in range(len(self._entries)) if row not in set(moved)]
        above = sum(row < target for row in rest)
        self._reorder([*rest[:above], *moved, *rest[above:]])

    def shift(self, rows: Sequence[int], step: int) -> None:
        """Moves some rows together by one place, up (-1) or down (1), as far as there is room."""
        if rows and step < 0 < min(rows):
            self.move(rows, min(rows) - 1)
        elif rows and step > 0 and max(rows) + 1 < len(self._entries):
            self.move(rows, max(rows) + 2)

    def set_kind(self, row: int, kind: str) -> None:
        """Gives a row another kind, keeping the settings that both kinds have."""
        entry, cls = self._entries[row], LAYER_KINDS[kind]
        if entry.layer.kind == kind:
            return
        names = {field.name for field in declared_fields(cls)}
        kept = entry.layer.model_dump(mode="json", include=names)
        try:
            layer = layer_from(cls, {"kind": kind, **kept})
        except InvalidSpec:
            layer = cls()
        self._entries[row] = _Entry(layer)
        self._finish_edit()

    def set_settings(self, row: int, text: str) -> None:
        """Reads settings; what cannot be read stays as the row's draft."""
        entry, before = self._entries[row], self.problems()
        try:
            layer = parse_settings(entry.layer.kind, text)
        except InvalidSpec as error:
            self._entries[row] = _Entry(entry.layer, Draft(text, str(error)))
            self._retrace()
        else:
            self._entries[row] = _Entry(layer)
            if layer != entry.layer:
                self._finish_edit()
            else:
                self._retrace()
        if self.problems() != before:
            self.problemsChanged.emit()

    def to_text(self, rows: Iterable[int]) -> str:
        """Some rows as JSON, a list of layers as a spec has it."""
        return text_of_layers(self._entries[row].layer for row in sorted(set(rows)))

    @override
    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._entries)

    @override
    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(Column)

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        column = Column(section)
        values: dict[int, object] = {
            Qt.ItemDataRole.DisplayRole: column.title,
            Qt.ItemDataRole.ToolTipRole: column.tip,
            Qt.ItemDataRole.TextAlignmentRole: column.alignment,
        }
        return values.get(role)

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = index.row(), Column(index.column())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            is_kind = column is Column.KIND and role == Qt.ItemDataRole.EditRole
            return self._entries[row].layer.kind if is_kind else self._text(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return column.alignment
        if role == PROBLEM_ROLE:
            return self._sentence(row)
        if role == NOTES_ROLE:
            return self._notes(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return (
                self._said(row)
                or about(self._entries[row].layer, column)
                or self._text(row, column)
            )
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.title}: {self._text(row, column)}"
        if role == Qt.ItemDataRole.AccessibleDescriptionRole:
            return self._said(row) or None
        return None

    @override
    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if not index.isValid() or role != Qt.ItemDataRole.EditRole:
            return False
        if index.column() == Column.KIND and value in LAYER_KINDS:
            self.set_kind(index.row(), value)
            return True
        if index.column() == Column.SETTINGS:
            self.set_settings(index.row(), str(value))
            return True
        return False

    @override
    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled
        flags = super().flags(index) | Qt.ItemFlag.ItemIsDragEnabled
        if index.column() in (Column.KIND, Column.SETTINGS):
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    @override
    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction | Qt.DropAction.CopyAction

    @override
    def mimeTypes(self) -> list[str]:
        return [ROWS_MIME, "text/plain"]

    @override
    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        rows = sorted({index.row() for index in indexes})
        data = QMimeData()
        data.setText(self.to_text(rows))
        data.setData(ROWS_MIME, QByteArray(json.dumps([id(self), rows]).encode()))
        return data

    @override
    def canDropMimeData(
        self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index
    ) -> bool:
        return data.hasFormat(ROWS_MIME) or data.hasText()

    @override
    def dropMimeData(
        self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index
    ) -> bool:
        """Rows of this table move; layers from elsewhere, as JSON text, are inserted."""
        target = row if row >= 0 else self.rowCount()
        if data.hasFormat(ROWS_MIME):
            owner, rows = json.loads(data.data(ROWS_MIME).data())
            if owner == id(self):
                self.move(rows, target)
                return True
        try:
            self.insert(target, layers_from_text(data.text()))
        except InvalidSpec:
            return False
        return True

    def _text(self, row: int, column: Column) -> str:
        entry, known = self._entries[row], self._trace[row]
        shape = known.output_shape
        texts = {
            Column.NUMBER: str(known.index + 1),
            Column.KIND: declared_text(entry.layer.title),
            Column.SETTINGS: entry.draft.text if entry.draft else describe_settings(entry.layer),
            Column.OUTPUT: MISSING if shape is None else shape_text(shape),
            Column.PARAMETERS: format_count(known.parameters),
        }
        return texts[column]

    def _sentence(self, row: int) -> str | None:
        draft = self._entries[row].draft
        return draft.sentence if draft is not None else self._trace[row].problem

    def _notes(self, row: int) -> tuple[RowNote, ...]:
        return row_notes(self._sentence(row), self._findings.of(row, self.layers))

    def _said(self, row: int) -> str:
        return "\n".join(note.sentence for note in self._notes(row))

    def _insert(self, row: int, entries: list[_Entry]) -> None:
        if not entries:
            return
        self._replace(row, row, entries)
        self._finish_edit()

    def _replace(self, start: int, stop: int, new: Sequence[_Entry | LayerSpec]) -> None:
        """Rows start to stop become others; as many as possible are changed in place.

        Other rows say the same as before until `_retrace` announces what changed in them.
        """
        entries = [entry if isinstance(entry, _Entry) else _Entry(entry) for entry in new]
        kept = min(stop - start, len(entries))
        self._entries[start : start + kept] = entries[:kept]
        if stop > start + kept:
            self.beginRemoveRows(_ROOT, start + kept, stop - 1)
            del self._entries[start + kept : stop]
            self._trace = (*self._trace[: start + kept], *self._trace[stop:])
            self.endRemoveRows()
        elif entries[kept:]:
            self.beginInsertRows(_ROOT, start + kept, start + len(entries) - 1)
            self._entries[start + kept : start + kept] = entries[kept:]
            unknown = (
                LayerRow(row, entry.layer, None, None, None, None)
                for row, entry in enumerate(entries[kept:], start + kept)
            )
            self._trace = (*self._trace[: start + kept], *unknown, *self._trace[start + kept :])
            self.endInsertRows()

    def _reorder(self, order: list[int]) -> None:
        """Row i becomes what row order[i] was; selection and editors follow their rows."""
        if order == sorted(order):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        places = {old: new for new, old in enumerate(order)}
        after = [self.index(places[index.row()], index.column()) for index in before]
        self._entries = [self._entries[row] for row in order]
        self._trace = self._follow()
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()
        self._finish_edit()

    def _finish_edit(self) -> None:
        self._retrace()
        self.layersChanged.emit(self.layers)
        self.problemsChanged.emit()

    def _retrace(self) -> None:
        self._trace = self._follow()
        self._announce_all()

    def _announce_all(self) -> None:
        if self._entries:
            last = self.index(len(self._entries) - 1, len(Column) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def _follow(self) -> tuple[LayerRow, ...]:
        self._stack = StackModel.model_construct(
            kind="stack", input_shape=self._stack.input_shape, layers=self.layers
        )
        return self._stack.trace()


def _common(first: Sequence[LayerSpec], second: Sequence[LayerSpec]) -> int:
    """How many layers agree from the start on."""
    length = min(len(first), len(second))
    return next((i for i in range(length) if first[i] != second[i]), length)
