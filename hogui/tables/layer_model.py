"""The stack of layers as a table: what each is, gives and costs, and what is wrong with it.

Layers that lie within a layer have rows of their own below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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
from core.spec.layers import DEEPEST, LAYER_KINDS, LayerSpec, Shape, layer_from, parse_settings
from core.spec.model import LayerRow, StackModel
from hogui.tables.layer_columns import Column, about
from hogui.tables.layer_entries import Draft, Entry, Spot, end, roots, unfolded, within
from hogui.tables.layer_outline import LayerOutline
from hogui.tables.layer_text import layers_from_text, text_of_layers
from hogui.tables.row_notes import NOTES_ROLE

Index = QModelIndex | QPersistentModelIndex

PROBLEM_ROLE = int(Qt.ItemDataRole.UserRole) + 1
"""The sentence of what is wrong with the row, None where nothing is."""
DEPTH_ROLE = int(Qt.ItemDataRole.UserRole) + 3
"""How many layers the row's lies within."""
ROWS_MIME = "application/x-hogui-layer-rows"
_ROOT = QModelIndex()


class LayerModel(QAbstractTableModel):
    """A stack's layers, editable. Every edit gives one new tuple of layers.

    Settings that cannot be read stay in their row as a draft; the layer keeps its last right ones.
    Where a row is moved, copied or removed, so is all that lies within its layer.

    Signals:
        layersChanged: a tuple of layers, after an edit by the user.
        problemsChanged: another set of drafts than before.
        refused: why an edit was not made, in one sentence.
    """

    layersChanged = Signal(object)
    problemsChanged = Signal()
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._outline = LayerOutline()

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers, where a draft stands its last right settings."""
        return self._outline.layers

    @property
    def stack(self) -> StackModel:
        """The layers below their input shape."""
        return self._outline.stack

    def set_stack(self, stack: StackModel) -> None:
        """Shows a stack; rows that stay the same keep draft and selection. Emits no edit."""
        outline = self._outline
        if stack.layers == self.layers and stack.input_shape == outline.stack.input_shape:
            return
        before = self.problems()
        self._become(unfolded(stack.layers))
        outline.stack = stack
        self._retrace()
        if self.problems() != before:
            self.problemsChanged.emit()

    def trace(self) -> tuple[LayerRow, ...]:
        """What is known of each layer of the stack."""
        return self.stack.trace()

    def problems(self) -> tuple[Problem, ...]:
        """One for each draft; problems between layers are the spec's to tell."""
        return self._outline.problems()

    def set_findings(self, findings: Iterable[Finding]) -> None:
        """What was found out about the layers of now; it stands while they keep their kinds."""
        self._outline.set_findings(findings)
        self._announce_all()

    def discard_drafts(self) -> None:
        """Shows the layers' own settings again."""
        before = self.problems()
        self._outline.entries = [Entry(*entry.key) for entry in self._outline.entries]
        self._retrace()
        if before:
            self.problemsChanged.emit()

    def spot_after(self, row: int) -> Spot:
        """After a row's layer, within the same layers; within it where it has no layer yet."""
        return self._outline.spot_after(row)

    def spot_below(self, row: int) -> Spot:
        """Directly below a row: as the first layer within it where it can have some."""
        return self._outline.spot_below(row)

    def spot_before(self, row: int) -> Spot:
        """Before a row, within the same layers; at the end of the stack below the last."""
        return self._outline.spot_before(row)

    def surroundings(self, spot: Spot) -> tuple[LayerSpec | None, Shape | None]:
        """The layer whose output something at a spot would get, and that output's shape."""
        return self._outline.surroundings(spot)

    def insert(self, at: Spot | int, layers: Iterable[LayerSpec]) -> list[int]:
        """Inserts layers, before a row or at a spot; returns their rows."""
        spot = self.spot_before(at) if isinstance(at, int) else at
        return self._insert(spot, unfolded(layers, spot.depth))

    def duplicate(self, rows: Sequence[int]) -> list[int]:
        """Inserts copies of some rows below the last of them, drafts included; returns theirs."""
        return self._insert(*self._outline.copies(rows)) if rows else []

    def remove(self, rows: Sequence[int]) -> None:
        """Removes some rows."""
        for row in within(self._outline.entries, rows)[::-1]:
            self.beginRemoveRows(_ROOT, row, row)
            self._outline.drop_rows(row, row + 1)
            self.endRemoveRows()
        if rows:
            self._finish_edit()

    def move(self, rows: Sequence[int], to: Spot | int) -> None:
        """Moves some rows, in their order, to a spot or before a row as counted before the move."""
        spot = self.spot_before(to) if isinstance(to, int) else to
        self._reorder(*self._outline.moved(rows, spot))

    def shift(self, rows: Sequence[int], step: int) -> None:
        """Moves some rows together by one place, up (-1) or down (1), as far as there is room."""
        spot = self._outline.spot_by(rows, step)
        if spot is not None:
            self.move(rows, spot)

    def nest(self, rows: Sequence[int], step: int) -> None:
        """Moves some rows into the layer above them (1), or out of the one they lie in (-1)."""
        spot = self._outline.spot_across(rows, step)
        if spot is not None:
            self.move(rows, spot)

    def set_kind(self, row: int, kind: str) -> None:
        """Gives a row another kind, keeping the settings, or the layers within, that both have."""
        layer, cls = self._outline.folded(row), LAYER_KINDS[kind]
        if layer.kind == kind:
            return
        names = {field.name for field in declared_fields(cls)}
        kept: dict[str, Any] = layer.model_dump(mode="json", include=names)
        if cls.parts_field and layer.parts:
            kept[cls.parts_field] = [part.model_dump(mode="json") for part in layer.parts]
        try:
            changed = layer_from(cls, {"kind": kind, **kept})
        except InvalidSpec:
            changed = cls()
        self._put(row, changed)

    def set_settings(self, row: int, text: str) -> None:
        """Reads settings; what cannot be read stays as the row's draft."""
        outline, before = self._outline, self.problems()
        layer, entry = outline.folded(row), outline.entries[row]
        try:
            changed = parse_settings(layer.kind, text)
        except InvalidSpec as error:
            outline.entries[row] = Entry(*entry.key, Draft(text, str(error)))
            self._retrace()
        else:
            outline.entries[row] = Entry(*entry.key)
            if changed != layer:
                self._put(row, changed)
            else:
                self._retrace()
        if self.problems() != before:
            self.problemsChanged.emit()

    def to_text(self, rows: Iterable[int]) -> str:
        """Some rows as JSON, a list of layers as a spec has it."""
        outline = self._outline
        return text_of_layers(outline.folded(row) for row in roots(outline.entries, rows))

    @override
    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._outline.entries)

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
        outline, row, column = self._outline, index.row(), Column(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return outline.text(row, column)
        if role == Qt.ItemDataRole.EditRole:
            return outline.edited(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return column.alignment
        if role == PROBLEM_ROLE:
            return outline.sentence(row)
        if role == DEPTH_ROLE:
            return outline.entries[row].depth
        if role == NOTES_ROLE:
            return outline.notes(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            tip = self._said(row) or about(outline.folded(row), column)
            return tip or outline.text(row, column)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.title}: {outline.text(row, column)}"
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
        return self.drop(data, self.spot_before(row if row >= 0 else self.rowCount()))

    def drop(self, data: QMimeData, spot: Spot) -> bool:
        """The same at a spot; False where the text is no layers."""
        if data.hasFormat(ROWS_MIME):
            owner, rows = json.loads(data.data(ROWS_MIME).data())
            if owner == id(self):
                self.move(rows, spot)
                return True
        try:
            self.insert(spot, layers_from_text(data.text()))
        except InvalidSpec:
            return False
        return True

    def _said(self, row: int) -> str:
        return "\n".join(note.sentence for note in self._outline.notes(row))

    def _insert(self, spot: Spot, entries: list[Entry]) -> list[int]:
        if not entries or not self._fits(entries):
            return []
        self._add(spot.row, entries)
        self._finish_edit()
        return [spot.row + i for i, entry in enumerate(entries) if entry.depth == spot.depth]

    def _put(self, row: int, layer: LayerSpec) -> None:
        """Another layer in the place of a row and of all that lies within."""
        entries = self._outline.entries
        new = unfolded([layer], entries[row].depth)
        if self._fits(new):
            self._become([*entries[:row], *new, *entries[end(entries, row) :]])
            self._finish_edit()

    def _fits(self, entries: Iterable[Entry]) -> bool:
        if all(entry.depth < DEEPEST for entry in entries):
            return True
        text = self.tr("At most {n} layers may lie within each other.")
        self.refused.emit(text.format(n=DEEPEST))
        return False

    def _become(self, new: Sequence[Entry]) -> None:
        """Shows another outline, changing as many rows in place as possible.

        Other rows say the same as before until `_retrace` announces what changed in them.
        """
        start, stop, entries = self._outline.changes(new)
        kept = min(stop - start, len(entries))
        self._outline.entries[start : start + kept] = entries[:kept]
        if stop > start + kept:
            self.beginRemoveRows(_ROOT, start + kept, stop - 1)
            self._outline.drop_rows(start + kept, stop)
            self.endRemoveRows()
        elif entries[kept:]:
            self._add(start + kept, entries[kept:])

    def _add(self, row: int, entries: Sequence[Entry]) -> None:
        self.beginInsertRows(_ROOT, row, row + len(entries) - 1)
        self._outline.add_rows(row, entries)
        self.endInsertRows()

    def _reorder(self, order: list[int], entries: list[Entry]) -> None:
        """Row i becomes entry order[i]; selection and editors follow their rows."""
        stays = order == sorted(order) and entries == self._outline.entries
        if stays or not self._fits(entries):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = {old: new for new, old in enumerate(order)}
        after = [self.index(rows[index.row()], index.column()) for index in before]
        self._outline.entries = [entries[row] for row in order]
        self._outline.follow()
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()
        self._finish_edit()

    def _finish_edit(self) -> None:
        self._retrace()
        self.layersChanged.emit(self.layers)
        self.problemsChanged.emit()

    def _retrace(self) -> None:
        self._outline.follow()
        self._announce_all()

    def _announce_all(self) -> None:
        if self._outline.entries:
            last = self.index(len(self._outline.entries) - 1, len(Column) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
