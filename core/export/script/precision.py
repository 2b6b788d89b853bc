"""The number format of the script's computation."""

from __future__ import annotations

import re

from core.spec.run import RunSpec

_FORMATS = {"autocast": "float32"}
_CAST = re.compile(
    r"^def (loss|head_loss|features|(features_|head_)?segment(_\d+)?)\(", re.MULTILINE
)
"""What computes forward; segments too, since they are computed again outside of a loss."""

_DECORATOR = "@torch.autocast(DEVICE.type, torch.bfloat16)"
_WITHOUT_CACHE = "@torch.autocast(DEVICE.type, torch.bfloat16, cache_enabled=False)"
"""Of a segment: its casts are to go with it."""


def number_format(spec: RunSpec) -> str:
    """What weights and data are kept in, as torch calls it."""
    precision = spec.mitigation.precision
    return _FORMATS.get(precision, precision)


def coarsest_format(spec: RunSpec) -> str:
    """What the loss is computed in, as the script writes it."""
    return "torch.bfloat16" if spec.mitigation.precision == "autocast" else "DTYPE"


def cast(spec: RunSpec, block: str) -> str:
    """A block whose forward passes are under autocast, where that is asked for."""
    if spec.mitigation.precision != "autocast":
        return block

    def decorated(found: re.Match[str]) -> str:
        is_segment = "segment" in found[1]
        return f"{_WITHOUT_CACHE if is_segment else _DECORATOR}\n{found[0]}"

    return _CAST.sub(decorated, block)
