"""A workload in part: enough of it to foretell the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.spec.placement import Runs


@dataclass(frozen=True)
class Excerpt:
    """How much is computed, and where it is cut if the spec is not to say that.

    A spec with fewer inner steps would be cut in other places.

    Attributes:
        units: how many like parts of the workload at most; None for all.
        parts: how many parts of the batch of each size at most; None for all.
        runs: lengths of the runs that the inner steps are cut into.
        segments: the layers of each segment that checkpointing cuts the stack into.
    """

    units: int | None = None
    parts: int | None = None
    runs: tuple[int, ...] | None = None
    segments: Runs | None = None


WHOLE: Final = Excerpt()
