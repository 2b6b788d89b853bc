"""The number format of the script's computation."""

from __future__ import annotations

import re

from core.spec.run import RunSpec

_FORMATS = {"autocast": "float32"}
_CAST = re.compile(
    r"^def (loss|head_loss|features|judged|(features_|head_)?segment(_\d+)?)\(", re.MULTILINE
)
"""What computes forward; segments too, since they are computed again outside of a loss."""

_DECORATOR = "@torch.autocast(DEVICE.type, torch.bfloat16)"


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
    return _CAST.sub(lambda found: f"{_DECORATOR}\n{found[0]}", block)
