"""Why memory grows over the inner steps of meta-learning: by design, or through a leak."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from core.results.forecast import ForecastPhase

FEWEST_STEPS: Final = 3
"""With fewer there is no line to speak of: the first step is unlike the others."""

STRAIGHT: Final = 0.999
"""The least coefficient of determination of what is called linear."""

_SAME: Final = 0.01
"""Share of what is kept by design within which more is rounding of the allocator."""

_STEP: Final = "inner step "
_LAST: Final = "last inner step"
_KIB: Final = 1024


class Verdict(StrEnum):
    """What the growth is."""

    FLAT = "flat"
    BY_DESIGN = "linear by design"
    IN_RUNS = "in runs, by design"
    LEAK = "leak"
    UNEVEN = "uneven"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Growth:
    """A line through the live bytes at the end of each inner step.

    Attributes:
        bytes_per_step: its slope.
        fit: its coefficient of determination; 1 where nothing grows.
        designed_bytes: what an inner step keeps by design, None where that is not known.
        leaked_bytes: what of each step nobody needs.
        runs: how many runs the steps are cut into that keep their first weights alone, 0 where
            every step keeps something.
    """

    bytes_per_step: float
    fit: float
    designed_bytes: float | None
    leaked_bytes: float
    runs: int = 0

    @property
    def verdict(self) -> Verdict:
        """What is to be thought of it."""
        if self.leaked_bytes > 0:
            return Verdict.LEAK
        if self.bytes_per_step == 0:
            return Verdict.FLAT
        if self.runs:
            return Verdict.IN_RUNS
        if self.fit < STRAIGHT:
            return Verdict.UNEVEN
        return Verdict.UNEXPLAINED if self.designed_bytes is None else Verdict.BY_DESIGN

    @property
    def readings(self) -> Mapping[str, float]:
        """The slope and its fit, by name."""
        return MappingProxyType(
            {"bytes_per_inner_step": self.bytes_per_step, "inner_step_fit": self.fit}
        )

    def sentence(self, kept: str) -> str:
        """The verdict, with its figures.

        Args:
            kept: what each step keeps by design, for example ``its graph``.
        """
        grows = f"Memory grows by {_bytes(self.bytes_per_step)} per inner step"
        match self.verdict:
            case Verdict.FLAT:
                return "Memory does not grow with the inner steps: each lets go of the one before."
            case Verdict.BY_DESIGN:
                return f"{grows}, linear by design: each step keeps {kept}."
            case Verdict.IN_RUNS:
                return (
                    f"{grows} on average, by design: until it is differentiated, each of "
                    f"{self.runs} runs of steps keeps its first weights alone."
                )
            case Verdict.UNEVEN:
                return f"{grows} on average, but not evenly (R² {self.fit:.4f})."
            case Verdict.UNEXPLAINED:
                return f"{grows}; without a forecast it is not known how much of it is by design."
            case Verdict.LEAK:
                design = max(self.bytes_per_step - self.leaked_bytes, 0)
                return (
                    f"{grows}, of which {_bytes(self.leaked_bytes)} are a leak: nothing needs "
                    f"them. By design a step keeps {_bytes(design)}."
                )


def growth(
    retained: Sequence[int],
    designed: int | None,
    left_behind: float = 0.0,
    *,
    runs: int = 0,
) -> Growth | None:
    """The growth over inner steps, None where they are too few.

    Args:
        retained: for each step the bytes that are live at its end minus those at its start.
        designed: what an inner step keeps by design, None where that is not known.
        left_behind: bytes of each step that outlived the workload.
        runs: how many runs the steps are cut into, 0 where they are not.
    """
    if len(retained) < FEWEST_STEPS:
        return None
    levels, total = [], 0
    for change in retained:
        total += change
        levels.append(total)
    slope, fit = _line(levels)
    beyond = 0.0 if designed is None else slope - designed
    unneeded = beyond if designed is not None and beyond > _SAME * designed else 0.0
    # Of two ways to find a leak the one that finds more.
    return Growth(slope, fit, designed, max(unneeded, left_behind), runs)


def steps_of(phases: Iterable[tuple[str, int]]) -> list[int]:
    """What the inner steps of the first task retain, from the names and figures of all phases."""
    first: list[int] = []
    of: str | None = None
    for name, retained in phases:
        task, step = split(name)
        if step and of in (None, task):
            of = task
            first.append(retained)
    return first


def designed_bytes(phases: Sequence[ForecastPhase]) -> int | None:
    """What the last inner step of a forecast keeps, None where it names none."""
    steps = [
        phase.retained_bytes for phase in phases if split(phase.name)[1] or phase.name == _LAST
    ]
    return steps[-1] if steps else None


def split(name: str) -> tuple[str, bool]:
    """The task that a phase is named after, and whether it is one of its inner steps."""
    task, _, part = name.rpartition(": ")
    return task, part.startswith(_STEP)


def _line(levels: Sequence[int]) -> tuple[float, float]:
    """Slope and coefficient of determination of the least-squares line over 1, 2, 3, ..."""
    count = len(levels)
    middle, mean = (count + 1) / 2, sum(levels) / count
    spread = sum((step - middle) ** 2 for step in range(1, count + 1))
    shared = sum((step - middle) * (level - mean) for step, level in enumerate(levels, start=1))
    varied = sum((level - mean) ** 2 for level in levels)
    if varied == 0:
        return 0.0, 1.0
    return shared / spread, shared * shared / (spread * varied)


def _bytes(count: float) -> str:
    if abs(count) < _KIB:
        return f"{math.ceil(count)} bytes"
    if abs(count) < _KIB**2:
        return f"{count / _KIB:.1f} KiB"
    return f"{count / _KIB**2:.2f} MiB"
