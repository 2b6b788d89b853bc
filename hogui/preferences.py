"""What the user prefers, kept across starts. Read before the first frame, so it imports little."""

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from hogui.home import read_json, write_json
from hogui.theme import Preference


class Place(StrEnum):
    """Where the core runs."""

    OWN_PROCESS = "process"
    THIS_PROCESS = "window"


@dataclass(frozen=True)
class Choices:
    """Every preference.

    Attributes:
        theme: follow the system, or a fixed one.
        place: where the core runs; in the window's own process painting disturbs the figures.
        confirm_close: ask before closing the window while a run measures.
        restore_tabs: open at the next start what was open at the end.
        memory: the device that forecasts are compared with, such as ``RTX 4090, 24 GiB``; empty for
            that on which a configuration is measured.
    """

    theme: Preference = Preference.SYSTEM
    place: Place = Place.OWN_PROCESS
    confirm_close: bool = False
    restore_tabs: bool = True
    memory: str = ""


class Preferences(QObject):
    """The choices, their file, and word of their changes.

    Signals:
        changed: a choice is another one now.
    """

    changed = Signal()

    def __init__(self, home: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._file = home / "preferences.json"
        self._choices = _read(read_json(self._file))

    @property
    def choices(self) -> Choices:
        """The choices of now."""
        return self._choices

    def change(self, **values: object) -> None:
        """Sets some choices and keeps them.

        Raises:
            OSError: they hold for this session but could not be written.
        """
        choices = replace(self._choices, **values)
        if choices == self._choices:
            return
        self._choices = choices
        self.changed.emit()
        write_json(self._file, asdict(choices))


def _read(document: dict[str, Any]) -> Choices:
    """Unknown keys and values are as if absent: an older program can follow a newer one."""
    values: dict[str, object] = {}
    for field in fields(Choices):
        given = document.get(field.name)
        kind = type(field.default)
        if kind in (bool, str):
            if isinstance(given, kind):
                values[field.name] = given
        elif given in set(kind):
            values[field.name] = kind(given)
    return Choices(**values)
