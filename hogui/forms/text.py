"""Between what a user types and the plain JSON values of a spec.

Reading never fails: what is no number stays text, and the spec's own validation says what is
allowed. So there is one place that refuses values, and its sentence quotes what was typed.
"""

from math import isfinite

from core.spec.declaration import FieldKind

_NUMBERS = ("int", "float", "int_or_auto", "int_or_pair")


def read_text(kind: FieldKind, text: str) -> object:
    """The JSON value that a text means for a field of this kind, or the text itself.

    Shapes and pairs are read as ``3×32×32``, ``3x32x32`` or ``3, 32, 32``, in brackets or not.
    """
    stripped = text.strip()
    if kind == "shape":
        return _read_list(stripped)
    if kind == "int_or_pair" and _parts(stripped)[1:]:
        return _read_list(stripped)
    if kind == "int_or_pair" and stripped.lower() == "none":
        return None
    if kind in _NUMBERS:
        return _read_number(stripped)
    return stripped if kind == "file" else text


def write_text(value: object) -> str:
    """The text that `read_text` reads back as the value."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, list | tuple):
        return "×".join(str(part) for part in value) or "[]"
    return str(value)


def _read_number(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text


def _read_list(text: str) -> object:
    if not text:
        return text
    numbers = [_read_number(part) for part in _parts(text)]
    return numbers if all(isinstance(number, int) for number in numbers) else text


def _parts(text: str) -> list[str]:
    bare = text.strip("[]() ")
    for separator in ("×", "x", "X", "*"):
        bare = bare.replace(separator, ",")
    return [part.strip() for part in bare.split(",")] if bare else []
