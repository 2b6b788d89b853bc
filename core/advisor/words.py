"""What a combination does and what it costs, in words."""

from __future__ import annotations

from typing import Final

from core.spec.declaration import declared_fields
from core.spec.mitigations import Mitigation
from core.spec.run import RunSpec

AS_IT_IS: Final = "as it is"
"""What the configuration that was asked about is called."""

_UNITS: Final = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_CHECKPOINTING: Final = {"none": "", "torch": "torch's checkpointing"}
_INNER: Final = {
    "standard": "",
    "checkpoint": "one inner step per checkpoint",
    "saved_gradient": "saved inner gradients",
    "segments": "inner steps in {runs}",
    "segments_saved_gradient": "inner steps in {runs} with saved gradients",
}


def label_of(spec: RunSpec, asked: RunSpec, way: str = "") -> str:
    """What a configuration does, a phrase.

    Args:
        spec: the configuration.
        asked: the one that was asked about.
        way: how it computes its workload, where that differs.
    """
    if (spec.mitigation, spec.workload) == (asked.mitigation, asked.workload):
        return AS_IT_IS
    return ", ".join(filter(None, (way, *_mitigated(spec, asked)))) or "no mitigation"


def _mitigated(spec: RunSpec, asked: RunSpec) -> list[str]:
    # A number format is an approximation, and so only told where it is another than asked for.
    plain = Mitigation(precision=asked.mitigation.precision)
    mitigation = spec.mitigation
    checkpointing = mitigation.checkpointing
    words = []
    if checkpointing.kind != "none":
        words.append(_CHECKPOINTING.get(checkpointing.kind, checkpointing.kind))
        words.append(count_of(checkpointing.segments, "segment"))
    for field in declared_fields(Mitigation):
        value = getattr(mitigation, field.name)
        if not field.takes_effect(mitigation, spec):
            continue
        if field.name == "inner_loop":
            runs = "segments"
            if mitigation.inner_segments != "auto":
                runs = count_of(mitigation.inner_segments, "segment")
            words.append(_INNER.get(value, f"inner loop {value}").format(runs=runs))
        elif field.name == "inner_segments" or value == getattr(plain, field.name):
            continue
        elif field.name == "accumulation":
            words.append(f"in {value} parts")
        elif field.name == "precision":
            words.append("with autocast" if value == "autocast" else f"in {value}")
        elif field.kind == "bool":
            words.append(field.label.lower())
        else:
            words.append(f"{field.label.lower()} {value}")
    return words


def count_of(value: object, name: str) -> str:
    """A number of things."""
    return f"{value} {name}" + ("" if value == 1 else "s")


def size(count: int) -> str:
    """Bytes in the unit that suits them, three digits."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{_three(count / unit)} {name}"
    return f"{count} bytes"


def sizes(first: int, second: int) -> tuple[str, str]:
    """Two amounts of bytes to stand beside each other: in one unit, said once, where that shows
    three digits of both."""
    larger, smaller = max(first, second), min(first, second)
    for unit, name in _UNITS:
        if larger >= unit and unit / 10 <= smaller and larger < unit * 2**10:
            return f"{_three(first / unit)} {name}", _three(second / unit)
    return size(first), size(second)


def times(factor: float) -> str:
    """How many times as much."""
    return f"{factor:.1f}×" if factor >= 0.95 else f"{factor:.2f}×"


def _three(number: float) -> str:
    decimals = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{decimals}f}"
