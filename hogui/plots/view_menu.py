"""The context menu of a plot, in place of pyqtgraph's own."""

from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QMenu, QMessageBox, QWidget

from hogui.icons import icon


class Pictured(Protocol):
    """What can be saved as a picture."""

    @property
    def title(self) -> str: ...
    def save_png(self, path: str | Path) -> None: ...


class Plot(Pictured, Protocol):
    """What the menu asks of a plot."""

    def reset_view(self) -> None: ...
    def previous_view(self) -> None: ...
    def next_view(self) -> None: ...
    def copy_picture(self) -> None: ...
    def show_table(self) -> QWidget: ...


def view_menu(plot: Plot, parent: QWidget) -> QMenu:
    """The menu of a plot; it deletes itself when it closes."""
    menu = QMenu(parent)
    menu.aboutToHide.connect(menu.deleteLater)

    def add(name: str, text: str, shortcut: str) -> QAction:
        return menu.addAction(icon(name), f"{text}\t{shortcut}" if shortcut else text)

    add("reset-view", _tr("Reset view"), "Home").triggered.connect(plot.reset_view)
    add("chevron-left", _tr("Previous view"), "Alt+Left").triggered.connect(plot.previous_view)
    add("chevron-right", _tr("Next view"), "Alt+Right").triggered.connect(plot.next_view)
    menu.addSeparator()
    add("image", _tr("Save picture…"), "").triggered.connect(lambda: ask_for_png(plot, parent))
    add("copy", _tr("Copy picture"), "Ctrl+C").triggered.connect(plot.copy_picture)
    add("table", _tr("Show as table…"), "T").triggered.connect(plot.show_table)
    return menu


def ask_for_png(plot: Pictured, parent: QWidget) -> QFileDialog:
    """Asks where the picture shall go, and writes it there."""

    def save(path: str) -> None:
        try:
            plot.save_png(path)
        except OSError as error:
            QMessageBox.warning(parent, plot.title, str(error))

    dialog = QFileDialog(parent, _tr("Save picture"), f"{plot.title.lower()}.png", "PNG (*.png)")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix("png")
    dialog.fileSelected.connect(save)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlotMenu", text)
