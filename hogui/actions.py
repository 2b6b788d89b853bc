"""Everything that the window can do: menus, tool bar, shortcuts and palette share it."""

from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from hogui.icons import set_icon

_Keys = QKeySequence.StandardKey | str | None


@dataclass(frozen=True)
class Declared:
    """What an action is, before it is one.

    Attributes:
        name: its object name ends in ``Action`` after this.
        icon: a file of `resources/icons`, empty for none.
        keys: a platform's own keys for it, or text, or none.
        tip: what it does, where the text does not say it all.
    """

    name: str
    text: str
    icon: str = ""
    keys: _Keys = None
    tip: str = ""
    checkable: bool = False


_Standard = QKeySequence.StandardKey


def _declared() -> tuple[Declared, ...]:
    tr = _tr
    return (
        Declared("newTab", tr("New tab"), "new-tab", "Ctrl+T"),
        Declared("duplicateTab", tr("Duplicate tab"), "duplicate", "Ctrl+Shift+D"),
        Declared("renameTab", tr("Rename tab"), "", "F2"),
        Declared("closeTab", tr("Close tab"), "", "Ctrl+W"),
        Declared("reopenTab", tr("Reopen the closed tab"), "", "Ctrl+Shift+T"),
        Declared("nextTab", tr("Next tab"), "", "Ctrl+PgDown"),
        Declared("previousTab", tr("Previous tab"), "", "Ctrl+PgUp"),
        Declared("open", tr("Open configuration…"), "open", _Standard.Open),
        Declared("save", tr("Save configuration"), "save", _Standard.Save),
        Declared("saveAs", tr("Save configuration as…"), "", "Ctrl+Shift+S"),
        Declared(
            "exportCsv",
            tr("Export this run as CSV…"),
            "export",
            "Ctrl+E",
            tr("Write the run of this tab as CSV files"),
        ),
        Declared("exportSelectedCsv", tr("Export several runs as CSV…")),
        Declared("exportAllCsv", tr("Export all runs as CSV…")),
        Declared("savePng", tr("Save the memory plot as a picture…"), "image"),
        Declared("quit", tr("Quit"), "", "Ctrl+Q"),
        Declared("undo", tr("Undo"), "undo", _Standard.Undo, tr("Undo the last change")),
        Declared("redo", tr("Redo"), "redo", "Ctrl+Shift+Z", tr("Redo what was undone")),
        Declared("copyResult", tr("Copy the result"), "copy", "Ctrl+Shift+C"),
        Declared(
            "copyPython",
            tr("Copy as Python"),
            "copy",
            "Ctrl+Alt+C",
            tr("Copy a script that does this tab's computation with torch alone"),
        ),
        Declared("preferences", tr("Preferences…"), "settings", "Ctrl+,"),
        Declared("run", tr("Run"), "run", "Ctrl+Return", tr("Measure this tab's configuration")),
        Declared("runAll", tr("Run all tabs"), "queue", "Ctrl+Shift+Return"),
        Declared(
            "measureOrders",
            tr("Measure every order"),
            "",
            "Ctrl+Alt+O",
            tr("Measure this tab's configuration at each order, and how its cost grows"),
        ),
        Declared(
            "advise",
            tr("Advise"),
            "advise",
            "Ctrl+Shift+A",
            tr("What would make this tab's configuration cheaper, and what fits a memory budget"),
            checkable=True,
        ),
        Declared("cancel", tr("Cancel"), "cancel", "Ctrl+.", tr("End this tab's run")),
        Declared("cancelAll", tr("Cancel all runs"), "", "Ctrl+Shift+."),
        Declared(
            "split",
            tr("Side by side"),
            "split",
            "Ctrl+B",
            tr("Show two to four tabs side by side"),
            checkable=True,
        ),
        Declared(
            "pause",
            tr("Pause the view"),
            "pause",
            "Ctrl+Shift+H",
            tr("Hold the picture still; the run goes on"),
            checkable=True,
        ),
        Declared("palette", tr("Find a command…"), "", "Ctrl+Shift+P"),
        Declared("shortcuts", tr("Keyboard shortcuts"), "", "?"),
        Declared("about", tr("About HoGUI"), "info"),
    )


class Actions:
    """The window's actions by name. Made before the first frame; wired once all is there."""

    def __init__(self, window: QWidget) -> None:
        self._actions: dict[str, QAction] = {}
        for declared in _declared():
            action = QAction(declared.text, window)
            action.setObjectName(f"{declared.name}Action")
            action.setCheckable(declared.checkable)
            if declared.icon:
                set_icon(action, declared.icon)
            if declared.keys is not None:
                action.setShortcut(QKeySequence(declared.keys))
            tip = declared.tip or declared.text.removesuffix("…")
            keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            action.setToolTip(f"{tip} ({keys})" if keys else tip)
            self._actions[declared.name] = action
            window.addAction(action)

    def __getitem__(self, name: str) -> QAction:
        return self._actions[name]

    def __iter__(self) -> Iterator[QAction]:
        return iter(self._actions.values())


def _tr(text: str) -> str:
    return QCoreApplication.translate("Actions", text)
