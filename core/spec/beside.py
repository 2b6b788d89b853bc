"""A spec as its file means it: other files are named from there, and it may have no other name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.spec.run import RunSpec


def beside(spec: RunSpec, file: Path) -> RunSpec:
    """The spec with relative files found beside its own, and called like it where it has no name.

    Args:
        spec: what the file holds.
        file: where it was read from.
    """
    changes: dict[str, Any] = {}
    if spec.name == RunSpec.model_fields["name"].default:
        changes["name"] = file.stem
    for key, value in (("model.file", spec.model), ("data.file", spec.data)):
        path = Path(str(getattr(value, "file", "")))
        neighbour = file.parent / path
        if path.parts and not path.is_absolute() and not is_file(path) and is_file(neighbour):
            changes[key] = str(neighbour)
    return spec.with_changes(changes) if changes else spec


def is_file(path: Path) -> bool:
    """Is it there? What is no possible path, for example one too long, is not."""
    try:
        return path.is_file()
    except OSError:
        return False
