"""Edits layers in their row: the kind by a list, the settings by a line of text."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractItemModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    Qt,
    QTimer,
)
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QComboBox,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)
from typing_extensions import override

from core.spec.layers import LAYER_KINDS, LayerSpec
from hogui.forms.names import declared_text
from hogui.tables.layer_columns import Column, kind_help
from hogui.tables.layer_model import DEPTH_ROLE, PROBLEM_ROLE
from hogui.tables.row_notes import NOTES_ROLE, row_tint
from hogui.theme import theme

Index = QModelIndex | QPersistentModelIndex

INSET = 9
"""Pixels between the edge of a cell and its text."""
CELL_MARGINS = 2 * INSET + 3
"""What a text needs beside its width; digits of equal width are painted a little wider than
they are measured."""
OVERLAP = 8
"""Figures stand at the right of their cells and may begin in the margin of the cell before."""
STEP = 14
"""Pixels by which what lies within a layer stands further right."""
_FIGURES = (Column.NUMBER, Column.OUTPUT, Column.PARAMETERS)
_PADDING = 5
_PAUSE_MS = 400
"""So long after the last key, typed settings take effect: half a number is no edit."""


class LayerDelegate(QStyledItemDelegate):
    """Paints a row's first line, tinted where the row is wrong, and edits in place.

    Settings take effect when typing pauses; Escape brings the former ones back.
    """

    def line_height(self, metrics_height: int) -> int:
        """Height of a row's first line for a font of this height, in pixels."""
        return metrics_height + 2 * _PADDING

    @override
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        tokens = theme().tokens
        tint = row_tint(index.data(NOTES_ROLE))
        if tint is not None:
            painter.fillRect(option.rect, QColor(getattr(tokens, tint)))
        if index.column() == Column.KIND:
            self._paint_depth(painter, option.rect, index.data(DEPTH_ROLE))
        option.rect = self._first_line(option)
        if index.column() in _FIGURES:
            option.rect = option.rect.adjusted(-OVERLAP, 0, 0, 0)
        option.rect = self._indented(option.rect, index)
        has_focus = bool(option.state & QStyle.StateFlag.State_HasFocus)
        super().paint(painter, option, index)
        if has_focus and self._is_shown_here(option, index):
            painter.setPen(QColor(tokens.accent))
            painter.drawRect(option.rect.adjusted(0, 0, -1, -1))

    @override
    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        """Leaves out settings that are too long for their cell; the table gives them a line."""
        super().initStyleOption(option, index)
        if index.column() == Column.SETTINGS and not self.fits(option, option.text):
            option.text = ""

    def fits(self, option: QStyleOptionViewItem, text: str) -> bool:
        """Whether a text has room in its cell."""
        return option.fontMetrics.horizontalAdvance(text) + CELL_MARGINS <= option.rect.width()

    def _indented(self, rect: QRect, index: Index) -> QRect:
        """A cell without what stands at its left for the layers that its layer lies within."""
        is_kind = index.column() == Column.KIND
        return rect.adjusted(STEP * index.data(DEPTH_ROLE), 0, 0, 0) if is_kind else rect

    def _paint_depth(self, painter: QPainter, rect: QRect, depth: int) -> None:
        """A line for each layer that the row's lies within."""
        painter.setPen(QColor(theme().tokens.border))
        for level in range(depth):
            x = rect.left() + INSET + STEP * level + 3
            painter.drawLine(x, rect.top(), x, rect.bottom())

    def _is_shown_here(self, option: QStyleOptionViewItem, index: Index) -> bool:
        text = str(index.data())
        return index.column() != Column.SETTINGS or self.fits(option, text)

    @override
    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: Index
    ) -> QWidget | None:
        if index.column() == Column.KIND:
            return self._kind_editor(parent)
        editor = QLineEdit(parent)
        number = index.siblingAtColumn(Column.NUMBER).data()
        editor.setAccessibleName(self.tr("Settings of layer {n}").format(n=number))
        editor.setProperty("original", index.data(Qt.ItemDataRole.EditRole))
        here = QPersistentModelIndex(index)
        pause = QTimer(editor)
        pause.setSingleShot(True)
        pause.setInterval(_PAUSE_MS)
        pause.timeout.connect(lambda: self._commit_typed(editor, here))
        editor.textEdited.connect(pause.start)
        return editor

    @override
    def setEditorData(self, editor: QWidget, index: Index) -> None:
        if isinstance(editor, QComboBox):
            editor.setCurrentIndex(editor.findData(index.data(Qt.ItemDataRole.EditRole)))
        elif isinstance(editor, QLineEdit) and not editor.isModified():
            # Once typed in, the editor leads: the model writes the same settings more briefly.
            editor.setText(index.data(Qt.ItemDataRole.EditRole))
            editor.selectAll()
            _mark(editor, bool(index.data(PROBLEM_ROLE)))

    @override
    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        value = editor.currentData() if isinstance(editor, QComboBox) else None
        if isinstance(editor, QLineEdit):
            value = editor.text()
        model.setData(index, value, Qt.ItemDataRole.EditRole)

    @override
    def updateEditorGeometry(
        self, editor: QWidget, option: QStyleOptionViewItem, index: Index
    ) -> None:
        rect = self._indented(self._first_line(option), index)
        parent = editor.parentWidget()
        if isinstance(editor, QLineEdit) and parent is not None:
            rect.setRight(parent.width() - 1)
        if isinstance(editor, QComboBox):
            rect.setWidth(max(rect.width(), editor.minimumSizeHint().width()))
        editor.setGeometry(rect)

    @override
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        escape = isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape
        if escape and event.type() == QEvent.Type.KeyPress and isinstance(watched, QLineEdit):
            watched.setText(watched.property("original"))
            self.commitData.emit(watched)
        return super().eventFilter(watched, event)

    def _kind_editor(self, parent: QWidget) -> QComboBox:
        editor = QComboBox(parent)
        editor.setModel(_kinds(editor))
        editor.setMaxVisibleItems(16)
        editor.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        editor.setAccessibleName(self.tr("Kind of layer"))
        editor.activated.connect(lambda: self._finish(editor))
        QTimer.singleShot(0, editor, editor.showPopup)
        return editor

    def _commit_typed(self, editor: QLineEdit, here: QPersistentModelIndex) -> None:
        self.commitData.emit(editor)
        _mark(editor, here.isValid() and bool(here.data(PROBLEM_ROLE)))

    def _finish(self, editor: QWidget) -> None:
        self.commitData.emit(editor)
        self.closeEditor.emit(editor)

    def _first_line(self, option: QStyleOptionViewItem) -> QRect:
        rect = QRect(option.rect)
        rect.setHeight(min(rect.height(), self.line_height(option.fontMetrics.height())))
        return rect


def kinds_by_group() -> dict[str, list[type[LayerSpec]]]:
    """The kinds of layers below the names of their groups, both in the order of declaration."""
    groups: dict[str, list[type[LayerSpec]]] = {}
    for cls in LAYER_KINDS.values():
        groups.setdefault(cls.group, []).append(cls)
    return groups


def _kinds(parent: QObject) -> QStandardItemModel:
    tags = {cls: tag for tag, cls in LAYER_KINDS.items()}
    model = QStandardItemModel(parent)
    for group, classes in kinds_by_group().items():
        heading = QStandardItem(declared_text(group))
        heading.setFlags(Qt.ItemFlag.NoItemFlags)
        model.appendRow(heading)
        for cls in classes:
            item = QStandardItem(declared_text(cls.title))
            item.setData(tags[cls], Qt.ItemDataRole.UserRole)
            item.setToolTip(kind_help(cls))
            model.appendRow(item)
    return model


def _mark(editor: QLineEdit, invalid: bool) -> None:
    if bool(editor.property("invalid")) != invalid:
        editor.setProperty("invalid", invalid)
        editor.style().unpolish(editor)
        editor.style().polish(editor)
