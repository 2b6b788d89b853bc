"""Files that ship with the program: presets, icons, data, translations. Imports nothing of ours."""

from pathlib import Path

# Not importlib.resources: it costs a fiftieth of the window's start, and both the wheel (not
# zip-safe) and the packaged program (one folder) keep these as files beside this module.
_FOLDER = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """Where a resource lies, by its name below this folder: ``path("data/digits.npz")``.

    Raises:
        FileNotFoundError: no resource has this name.
    """
    found = _FOLDER / name
    if not found.exists():
        raise FileNotFoundError(f"There is no resource named {name!r} in {_FOLDER}.")
    return found
