"""What is open, as a file: written while the window lives and at its end, read at the next start.

The first frame needs the titles before the specs can be read, so the file is plain JSON and this
module imports neither pydantic nor the core until a configuration is wanted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray

from hogui.home import read_json, write_json

if TYPE_CHECKING:
    from core.spec.run import RunSpec
    from hogui.open_tab import OpenTab

VERSION = 1
LONGEST_RECENTS = 10
MARKS = ("check", "warning", "error", "cancel")


@dataclass(frozen=True)
class KeptTab:
    """A tab as it is kept: its title, and the rest unread."""

    title: str
    document: dict[str, Any]

    def spec(self) -> RunSpec:
        """The configuration.

        Raises:
            InvalidSpec: another version of the program wrote it, or somebody edited the file.
        """
        return _spec(self.document["spec"])

    @property
    def path(self) -> Path | None:
        """The tab's file."""
        given = self.document.get("path")
        return Path(given) if isinstance(given, str) else None

    def saved(self) -> RunSpec | None:
        """What the tab's file held."""
        given = self.document.get("saved")
        return _spec(given) if given is not None else None

    @property
    def run_id(self) -> str | None:
        """The run whose result the tab showed."""
        given = self.document.get("run_id")
        return given if isinstance(given, str) else None

    @property
    def mark(self) -> str:
        """What that result came to at a glance."""
        given = self.document.get("mark")
        return given if given in MARKS else ""


@dataclass
class KeptSession:
    """What was open.

    Attributes:
        current: position of the tab in front.
        recents: files that were opened or saved, the last one first.
        layout: geometry of the window and its splitters, as Qt saves them, in base64.
        beside: positions of the tabs that stood side by side.
    """

    tabs: list[KeptTab] = field(default_factory=list)
    current: int = 0
    recents: list[str] = field(default_factory=list)
    layout: dict[str, str] = field(default_factory=dict)
    beside: list[int] = field(default_factory=list)


def read_session(home: Path) -> KeptSession:
    """What was open at the end; empty where nothing can be known."""
    document = read_json(home / "session.json")
    if document.get("version") != VERSION:
        return KeptSession()
    tabs = [
        KeptTab(str(tab["spec"].get("name", "")), tab)
        for tab in _list(document, "tabs")
        if isinstance(tab, dict) and isinstance(tab.get("spec"), dict)
    ]
    current = document.get("current")
    layout = document.get("layout")
    return KeptSession(
        tabs=tabs,
        current=current if isinstance(current, int) and 0 <= current < len(tabs) else 0,
        recents=[entry for entry in _list(document, "recents") if isinstance(entry, str)],
        layout={
            key: value
            for key, value in (layout.items() if isinstance(layout, dict) else ())
            if isinstance(value, str)
        },
        beside=[place for place in _list(document, "beside") if isinstance(place, int)],
    )


def write_session(
    home: Path,
    tabs: Sequence[OpenTab],
    current: OpenTab | None,
    recents: Sequence[str],
    layout: dict[str, str],
    beside: Sequence[int] = (),
    *,
    durable: bool,
) -> None:
    """Keeps what is open.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    document = {
        "version": VERSION,
        "tabs": [_tab_document(tab) for tab in tabs],
        "current": tabs.index(current) if current in tabs else 0,
        "recents": list(recents[:LONGEST_RECENTS]),
        "layout": layout,
        "beside": list(beside),
    }
    write_json(home / "session.json", document, durable=durable)


def to_base64(state: QByteArray) -> str:
    """A state that Qt has saved, as text."""
    return bytes(state.toBase64().data()).decode()


def from_base64(text: str) -> QByteArray:
    """The state that ``to_base64`` made text of."""
    return QByteArray.fromBase64(QByteArray(text.encode()))


def _tab_document(tab: OpenTab) -> dict[str, Any]:
    return {
        "spec": tab.spec.model_dump(mode="json"),
        "path": str(tab.path) if tab.path is not None else None,
        "saved": tab.saved.model_dump(mode="json") if tab.saved is not None else None,
        "run_id": tab.shown_run_id,
        "mark": "" if tab.busy else tab.mark,
    }


def _spec(document: object) -> RunSpec:
    from core.spec.run import RunSpec

    return RunSpec.from_json(json.dumps(document))


def _list(document: dict[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    return value if isinstance(value, list) else []
