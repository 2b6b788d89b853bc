"""The menu bar."""

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QMenu, QMenuBar

from hogui.actions import Actions


class Menus:
    """Every action has its place here, so that each can be found and reached by keyboard."""

    def __init__(self, bar: QMenuBar, actions: Actions) -> None:
        self._actions = actions
        self.recents = QMenu(_tr("Open recent"), bar)
        file = self._menu(bar, _tr("&File"), "newTab", "open")
        file.addMenu(self.recents)
        self._add(file, "save", "saveAs", "", "exportCsv", "exportSelectedCsv", "exportAllCsv")
        self._add(file, "savePng", "", "closeTab", "reopenTab", "", "quit")
        self._menu(
            bar, _tr("&Edit"), "undo", "redo", "", "copyResult", "copyPython", "", "preferences"
        )
        run = self._menu(bar, _tr("&Run"), "run", "runAll", "measureOrders", "advise", "")
        self.variants = run.addMenu(_tr("Try a variant"))
        self.variants.setToolTipsVisible(True)
        self._add(run, "", "cancel", "cancelAll")
        self._menu(
            bar,
            _tr("&View"),
            "split",
            "pause",
            "",
            "duplicateTab",
            "renameTab",
            "nextTab",
            "previousTab",
        )
        self._menu(bar, _tr("&Help"), "palette", "shortcuts", "", "about")

    def _menu(self, bar: QMenuBar, title: str, *names: str) -> QMenu:
        menu = bar.addMenu(title)
        self._add(menu, *names)
        return menu

    def _add(self, menu: QMenu, *names: str) -> None:
        """Adds actions by name; an empty name is a line between them."""
        for name in names:
            if name:
                menu.addAction(self._actions[name])
            else:
                menu.addSeparator()


def _tr(text: str) -> str:
    return QCoreApplication.translate("Menus", text)
