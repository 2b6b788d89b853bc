"""Time of clean repetitions: nothing is watched but the clock."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch

from core.engine.recorder import Recorder
from core.measure.timing.stopwatch import (
    ClockJumped,
    CpuStopwatch,
    EventStopwatch,
    PhaseTime,
    TimedBy,
    Witnesses,
)
from core.results.statistics import MOST_REPETITIONS, STABLE_HALF_WIDTH, half_width

__all__ = ["Clock", "ClockJumped", "PhaseTime", "Timed", "phase_medians"]

FEWEST, MOST = 10, MOST_REPETITIONS
FEWEST_OF_SLOW = 3
LOOK_EVERY = 1.15
"""The interval is computed when there are this many times as many samples as at the last look: at
each repetition it would cost more than a small repetition itself."""

WARM_UP_SHARE = 0.2
WARM_UP_S = 0.05
"""No warm-up is shorter, so that a processor which saves power has time to speed up."""
FEWEST_OF_WARM_UP = 9
STILL_FASTER = 0.98

PHASES_EVERY = 4
"""After every how many repetitions one more is computed for its phases, where marking them would
show in the time of these."""
MARK_S = 5e-6
"""What marking a phase takes: 3 µs, and more where the kernels have left the caches cold."""
LONG_S = 0.5
"""A repetition of this length is not computed once more for the sake of a few phases."""
MARKS_SHOW = 0.001
"""The share of a repetition's time that its marks may take."""


@dataclass(frozen=True)
class Timed:
    """One repetition.

    Attributes:
        index: counts from 0 within its pass.
        phases: those of this repetition, or of another just after it where marking them would show
            in the time of this one; none after most of these.
        about: how many there will be, None while unknown.
        left_s: estimate of the time left in the pass.
    """

    index: int
    seconds: float
    phases: tuple[PhaseTime, ...] = field(repr=False)
    about: int | None
    left_s: float | None


@dataclass(frozen=True)
class Clock:
    """Repeats a computation and says how long it took.

    Every method raises ClockJumped where the machine's clock cannot be believed.

    Attributes:
        reset: brings the computation back to its initial state; not timed.
        compute: the computation.
        now: the clock that times, in seconds.
        witnesses: other clocks, which it must agree with.
    """

    device: torch.device
    reset: Callable[[], None]
    compute: Callable[[Recorder], object]
    now: Callable[[], float] = field(default_factory=lambda: time.perf_counter)
    witnesses: Witnesses = field(default_factory=Witnesses)

    @cached_property
    def _watch(self) -> CpuStopwatch | EventStopwatch:
        on_cpu = self.device.type == "cpu"
        return CpuStopwatch(self.now) if on_cpu else EventStopwatch(self.device, self.now)

    @cached_property
    def _fastest_s(self) -> list[float]:
        """The time of the fastest repetition of all passes; none before the first."""
        return []

    def once(self) -> float:
        """Seconds of one repetition, of which nobody hears anything."""
        return self._timed(self._watch.of)[0]

    def with_phases(self) -> tuple[float, tuple[PhaseTime, ...]]:
        """Seconds of one repetition and of its phases; marking them takes time too."""
        return self._timed(self._watch.with_phases)

    def _timed(self, timed_by: TimedBy) -> tuple[float, tuple[PhaseTime, ...]]:
        """One repetition with the garbage collector off."""
        self.reset()
        since = self.witnesses.read()
        enabled = gc.isenabled()
        gc.disable()
        try:
            timed = timed_by(self.compute)
        finally:
            if enabled:
                gc.enable()
        self.witnesses.confirm(since, *timed)
        return timed

    def warm_up(self, wanted: int | Literal["auto"], budget_s: float) -> Iterator[Timed]:
        """Untimed repetitions; automatic ones end when they no longer get faster."""
        began, seconds = self.now(), list[float]()
        most = MOST if wanted == "auto" else wanted
        while len(seconds) < most:
            taken = self.once()
            seconds.append(taken)
            self._fastest_s[:] = [min((taken, *self._fastest_s))]
            yield Timed(len(seconds) - 1, taken, (), None if wanted == "auto" else wanted, None)
            elapsed = self.now() - began
            warm = elapsed > WARM_UP_S and no_longer_faster(seconds)
            if wanted == "auto" and (warm or elapsed > budget_s * WARM_UP_SHARE):
                return

    def repeat(
        self, wanted: int | Literal["auto"], budget_s: float, marks: int | None = None
    ) -> Iterator[Timed]:
        """Timed repetitions; automatic ones end when the median is known well enough, or late.

        Args:
            wanted: how many.
            budget_s: how long automatic ones go on.
            marks: how many phases there are, where that is known.
        """
        began, seconds, look = self.now(), list[float](), FEWEST
        while not _over(len(seconds), wanted, self.now() - began, budget_s):
            taken, phases = self._repetition(len(seconds), marks, is_alone=wanted == 1)
            marks = len(phases) or marks or 0
            seconds.append(taken)
            self._fastest_s[:] = [min((taken, *self._fastest_s))]
            elapsed = self.now() - began
            about = _about(seconds, wanted, elapsed, budget_s)
            left = max((about - len(seconds)) * elapsed / len(seconds), 0.0)
            yield Timed(len(seconds) - 1, taken, phases, about, left)
            if wanted == "auto" and len(seconds) >= look:
                look = int(len(seconds) * LOOK_EVERY) + 1
                if half_width(seconds) <= STABLE_HALF_WIDTH:
                    return

    def _repetition(
        self, number: int, marks: int | None, *, is_alone: bool
    ) -> tuple[float, tuple[PhaseTime, ...]]:
        """Seconds of a repetition that counts, and its phases or those of one more."""
        # By earlier ones: chosen by its own time, slow ones alone would be kept.
        if marks is not None and self._fastest_s and not _show(marks, self._fastest_s[0]):
            return self.with_phases()
        if is_alone:
            taken, phases = self.with_phases()
            return (self.once() if _show(len(phases), taken) else taken), phases
        taken = self.once()
        is_worth_it = taken < LONG_S or (marks is not None and _show(marks, taken))
        if number % PHASES_EVERY == 0 and is_worth_it:
            return taken, self.with_phases()[1]
        return taken, ()


def _show(marks: int, seconds: float) -> bool:
    """Whether so many marks would show in a repetition's time."""
    return marks * MARK_S > MARKS_SHOW * seconds


def no_longer_faster(seconds: list[float]) -> bool:
    """Whether the last third is about as slow as the third before it.

    Medians of thirds: neither one lucky repetition ends the warm-up nor one unlucky one prolongs
    it, and the longer it lasts the slower a trend is still noticed.
    """
    third = len(seconds) // 3
    if len(seconds) < FEWEST_OF_WARM_UP:
        return False
    before, last = seconds[-2 * third : -third], seconds[-third:]
    return statistics.median(last) >= statistics.median(before) * STILL_FASTER


def _over(count: int, wanted: int | Literal["auto"], elapsed: float, budget_s: float) -> bool:
    if wanted != "auto":
        return count >= wanted
    return count >= MOST or (elapsed >= budget_s and count >= FEWEST_OF_SLOW)


def _about(
    seconds: list[float], wanted: int | Literal["auto"], elapsed: float, budget_s: float
) -> int:
    if wanted != "auto":
        return wanted
    mean = elapsed / len(seconds)
    by_budget = int(budget_s / mean) if mean > 0 else MOST
    return max(min(by_budget, MOST), FEWEST_OF_SLOW, len(seconds))


def phase_medians(repetitions: list[tuple[PhaseTime, ...]]) -> dict[str, PhaseTime]:
    """Median start and duration of each phase over the repetitions."""
    by_name: dict[str, list[PhaseTime]] = {}
    for phases in repetitions:
        for phase in phases:
            by_name.setdefault(phase.name, []).append(phase)
    return {
        name: PhaseTime(
            name,
            statistics.median(phase.start_s for phase in phases),
            statistics.median(phase.duration_s for phase in phases),
        )
        for name, phases in by_name.items()
    }
