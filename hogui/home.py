"""Where the window keeps its own small files, and how none of them is lost."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs


def home() -> Path:
    """The folder of history and settings: ``HOGUI_HOME``, else the platform's user data folder."""
    named = os.environ.get("HOGUI_HOME")
    return Path(named) if named else Path(platformdirs.user_data_dir("HoGUI", appauthor=False))


def read_json(file: Path) -> dict[str, Any]:
    """What a file holds; empty where there is none.

    A file that cannot be understood is put aside as ``NAME.unreadable``, so that it is neither in
    the way nor lost.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError):
        document = None
    if isinstance(document, dict):
        return document
    with suppress(OSError):
        file.replace(file.with_name(file.name + ".unreadable"))
    return {}


def write_json(file: Path, document: dict[str, Any], *, durable: bool = True) -> None:
    """Replaces a file by a JSON document, as ``write_text`` does."""
    write_text(file, json.dumps(document, indent=1, ensure_ascii=False), durable=durable)


def write_text(file: Path, text: str, *, durable: bool = True) -> None:
    """Replaces a file at once: whoever reads it sees the old or the new one, never a half.

    Args:
        file: its folder is made where there is none.
        text: the new content.
        durable: wait until the disk has it. A slow disk then holds up the window, so what is
            written often and by itself goes without.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as stream:
            stream.write(text)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
