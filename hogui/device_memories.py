"""Devices that a configuration may have to fit into, by name and memory, here or elsewhere."""

import re

from PySide6.QtCore import QCoreApplication

from core.results.forecast import DeviceMemory
from hogui.units import GIB, MIB, TIB

# What their makers call a gigabyte of them is a binary one.
KNOWN = tuple(
    DeviceMemory(name=name, total_bytes=gibibytes * GIB)
    for name, gibibytes in (
        ("RTX 4060", 8),
        ("RTX 4070", 12),
        ("RTX 4090", 24),
        ("RTX 5090", 32),
        ("L4", 24),
        ("V100", 32),
        ("A100", 80),
        ("H100", 80),
        ("H200", 141),
    )
)

_UNITS = {"m": MIB, "g": GIB, "t": TIB}
_FORM = re.compile(
    r"(?P<name>.*?)[\s,]*(?P<size>\d+(?:\.\d+)?)\s*(?P<unit>[mgt])i?b(?P<cpu>\s*,\s*cpu)?",
    re.IGNORECASE,
)
_CPU = ", CPU"


def memory_from_text(text: str) -> DeviceMemory | None:
    """Reads ``RTX 4090, 24 GB``; empty text is no other device.

    The name may be left out. ``, CPU`` at the end means that CUDA's blocks do not count.

    Raises:
        ValueError: the text names no memory; the message is a sentence.
    """
    if not text.strip():
        return None
    found = _FORM.fullmatch(text.strip())
    size = float(found["size"]) * _UNITS[found["unit"].lower()] if found is not None else 0
    if found is None or not size:
        sentence = QCoreApplication.translate(
            "DeviceMemory",
            "{text} names no device with its memory; write for example RTX 4090, 24 GB.",
        )
        raise ValueError(sentence.format(text=text.strip()))
    name = found["name"].strip() or QCoreApplication.translate("DeviceMemory", "a device")
    return DeviceMemory(name=name, total_bytes=round(size), cuda=found["cpu"] is None)


def text_of_memory(memory: DeviceMemory) -> str:
    """What ``memory_from_text`` reads again."""
    gibibytes, rest = divmod(memory.total_bytes, GIB)
    size = f"{memory.total_bytes / MIB:.6f}".rstrip("0").rstrip(".") + " MiB"
    if not rest:
        size = f"{gibibytes} GiB"
    return f"{memory.name}, {size}{'' if memory.cuda else _CPU}"
