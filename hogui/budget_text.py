"""A memory budget as people type it."""

from __future__ import annotations

import re
from math import floor

from PySide6.QtCore import QCoreApplication

from hogui.units import BYTES, bytes_scale

_FORM = re.compile(r"(?P<size>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>[kmgt])i?b?", re.IGNORECASE)
_FACTORS = dict(zip("kmgt", (scale.factor for scale in BYTES[1:]), strict=True))
_LEAST_STEPS = 100
"""A budget that is offered has this many steps at least: three digits, never rounded up."""


def budget_from_text(text: str) -> int:
    """Reads ``512 MiB``, ``6.5 GB`` or ``2g``; each of these units is a binary one.

    Raises:
        ValueError: the text names no memory; the message is a sentence.
    """
    found = _FORM.fullmatch(text.strip())
    budget = 0
    if found is not None:
        budget = round(float(found["size"]) * _FACTORS[found["unit"].lower()])
    if budget < 1:
        given = text.strip() or _tr("Nothing")
        raise ValueError(
            _tr(
                "{given} is no budget; allowed is a number above 0 with its unit, KiB, MiB, GiB or "
                "TiB, for example 512 MiB."
            ).format(given=given)
        )
    return budget


def text_of_budget(budget_bytes: int) -> str:
    """What ``budget_from_text`` reads as this much, or as a little less where it is not round."""
    scale = bytes_scale(max(budget_bytes, BYTES[1].factor))
    size = budget_bytes / scale.factor
    steps = 1
    while size * steps < _LEAST_STEPS:
        steps *= 10
    number = f"{floor(size * steps) / steps:.2f}".rstrip("0").rstrip(".")
    return f"{number} {scale.unit}"


def _tr(text: str) -> str:
    return QCoreApplication.translate("Budget", text)
