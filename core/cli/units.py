"""Amounts of memory, as a person types them."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    "B": 1,
    "KB": 2**10,
    "MB": 2**20,
    "GB": 2**30,
    "TB": 2**40,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
"""Vendors' GB are GiB."""


def bytes_from(text: str) -> int | None:
    """Bytes from a number and a unit, None where the text is no such thing."""
    matched = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*", text)
    unit = _UNITS.get(matched[2].upper()) if matched else None
    return None if matched is None or unit is None else round(float(matched[1]) * unit)
