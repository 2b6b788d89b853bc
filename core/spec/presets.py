"""The presets that ship with the program, read from ``resources/presets``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec


@dataclass(frozen=True)
class Preset:
    """A spec that answers a question, ready to run."""

    name: str
    title: str
    about: str
    spec: RunSpec


@cache
def presets() -> tuple[Preset, ...]:
    """Every preset, in the order in which a window lists them."""
    folder = files("resources") / "presets"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    return tuple(_read((folder / name).read_text(encoding="utf-8"), name) for name in names)


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InvalidSpec: there is none; the sentence lists those there are.
    """
    for candidate in presets():
        if candidate.name == name:
            return candidate
    names = ", ".join(candidate.name for candidate in presets())
    raise InvalidSpec([Problem((), f"{name} is neither a file nor a preset; presets: {names}.")])


def _read(text: str, file_name: str) -> Preset:
    """File names carry a number that orders them: ``10-lecture-second-order.json``."""
    document = json.loads(text)
    return Preset(
        name=file_name.removesuffix(".json").partition("-")[2],
        title=document["title"],
        about=document["about"],
        spec=RunSpec.from_json(json.dumps(document["spec"])),
    )
