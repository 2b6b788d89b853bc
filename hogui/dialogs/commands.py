"""Finding a command by its name, and the sheet of all shortcuts."""

from collections.abc import Iterable

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QIcon, QKeyEvent, QKeySequence, QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from hogui.icons import SIDE
from hogui.theme import GRID


def _title(action: QAction) -> str:
    return action.text().replace("&", "").removesuffix("…")


def _keys(action: QAction) -> str:
    return action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)


def matches(wanted: str, title: str) -> bool:
    """Whether the letters of what was typed occur in the title in this order."""
    letters = iter(title.casefold())
    return all(letter in letters for letter in wanted.casefold().replace(" ", ""))


class CommandPalette(QDialog):
    """A field and the commands that fit it; Enter runs the chosen one."""

    def __init__(self, actions: Iterable[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Find a command"))
        self._actions = sorted(actions, key=_title)
        self.field = QLineEdit()
        self.field.setObjectName("paletteField")
        self.field.setPlaceholderText(self.tr("Type a part of its name"))
        self.field.textChanged.connect(self._fill)
        self.field.returnPressed.connect(self._run)
        self.field.installEventFilter(self)
        self.list = QListWidget()
        self.list.itemActivated.connect(self._run)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(self.field)
        layout.addWidget(self.list)
        self.resize(110 * GRID, 90 * GRID)
        self._fill("")

    def _fill(self, wanted: str) -> None:
        self.list.clear()
        # Names stand under each other, with an icon or without.
        picture = QPixmap(SIDE, SIDE)
        picture.fill(Qt.GlobalColor.transparent)
        nothing = QIcon(picture)
        for position, action in enumerate(self._actions):
            if action.isEnabled() and matches(wanted, _title(action)):
                keys = _keys(action)
                item = QListWidgetItem(f"{_title(action)}   {keys}" if keys else _title(action))
                item.setIcon(action.icon() if not action.icon().isNull() else nothing)
                item.setData(Qt.ItemDataRole.UserRole, position)
                self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _run(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            action = self._actions[item.data(Qt.ItemDataRole.UserRole)]
            self.accept()
            action.trigger()

    @override
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and Down choose while the field keeps the focus."""
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
            if step is not None:
                row = self.list.currentRow() + step
                self.list.setCurrentRow(min(max(row, 0), self.list.count() - 1))
                return True
        return super().eventFilter(watched, event)


class ShortcutSheet(QDialog):
    """Every command with its keys, and the keys of the plots."""

    def __init__(self, actions: Iterable[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Keyboard shortcuts"))
        rows = [(_title(action), _keys(action)) for action in actions if _keys(action)]
        plots = [
            (self.tr("Plot: pan"), "A, D"),
            (self.tr("Plot: zoom"), "W, S"),
            (self.tr("Plot: show everything"), "Home"),
            (self.tr("Plot: previous and next view"), "Alt+←, Alt+→"),
            (self.tr("Plot: as a table"), "T"),
        ]
        grid = QGridLayout()
        grid.setHorizontalSpacing(6 * GRID)
        grid.setVerticalSpacing(GRID)
        half = (len(rows) + len(plots) + 1) // 2
        for position, (title, keys) in enumerate([*rows, *plots]):
            column = 0 if position < half else 2
            label = QLabel(keys)
            label.setProperty("role", "secondary")
            grid.addWidget(QLabel(title), position % half, column)
            grid.addWidget(label, position % half, column + 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(4 * GRID)
        layout.addLayout(grid)
        layout.addWidget(buttons)
