"""Asking for files and folders. One place, so that a test or a smoke run can answer instead."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QFileDialog, QWidget


def ask_for_specs(parent: QWidget) -> list[Path]:
    """Configurations to open; empty where the user thought better of it."""
    names, _ = QFileDialog.getOpenFileNames(
        parent, _tr("Open configuration"), "", _tr("Configurations (*.json);;All files (*)")
    )
    return [Path(name) for name in names]


def ask_where_to_save(parent: QWidget, suggestion: str) -> Path | None:
    """Where a configuration goes."""
    name, _ = QFileDialog.getSaveFileName(
        parent, _tr("Save configuration"), suggestion, _tr("Configurations (*.json)")
    )
    return _with_suffix(name, ".json")


def ask_for_picture(parent: QWidget, suggestion: str) -> Path | None:
    """Where a picture goes."""
    name, _ = QFileDialog.getSaveFileName(
        parent, _tr("Save picture"), suggestion, _tr("Pictures (*.png)")
    )
    return _with_suffix(name, ".png")


def ask_for_folder(parent: QWidget) -> Path | None:
    """Where CSV files go."""
    name = QFileDialog.getExistingDirectory(parent, _tr("Folder for the CSV files"))
    return Path(name) if name else None


def _with_suffix(name: str, suffix: str) -> Path | None:
    if not name:
        return None
    path = Path(name)
    return path if path.suffix else path.with_suffix(suffix)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Files", text)
