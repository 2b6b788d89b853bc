"""Time of clean repetitions: nothing is watched but the clock."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from typing_extensions import override

from core.engine.recorder import Recorder, Silent
from core.results.statistics import STABLE_RELATIVE_INTERVAL, relative_width

FEWEST, MOST = 10, 2000
FEWEST_OF_SLOW = 3
WARM_UP_SHARE = 0.2
STEADY = 0.05


@dataclass(frozen=True)
class PhaseTime:
    """When a phase ran within its repetition, in seconds."""

    name: str
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class Timed:
    """One repetition.

    Attributes:
        index: counts from 0 within its pass.
        about: how many there will be, None while unknown.
        left_s: estimate of the time left in the pass.
    """

    index: int
    seconds: float
    phases: tuple[PhaseTime, ...] = field(repr=False)
    about: int | None
    left_s: float | None


class _CpuClock(Silent):
    """Reads the clock at phase borders."""

    def __init__(self) -> None:
        self._phases: list[tuple[str, float, float]] = []
        self._start = time.perf_counter()

    @override
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._phases.append((name, start, time.perf_counter()))

    def stop(self) -> tuple[float, tuple[PhaseTime, ...]]:
        """Seconds since the start, and the phases."""
        seconds = time.perf_counter() - self._start
        return seconds, tuple(
            PhaseTime(name, start - self._start, end - start) for name, start, end in self._phases
        )


class _EventClock(Silent):
    """Lets an accelerator stamp the phase borders itself, so that nothing waits in between."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._phases: list[tuple[str, torch.Event, torch.Event]] = []
        torch.accelerator.synchronize(device)
        self._start_s = time.perf_counter()
        self._start = self._stamp()

    def _stamp(self) -> torch.Event:
        event = torch.Event(self._device, enable_timing=True)
        # An event knows the kind of its device only: by itself it would be recorded on the current
        # device, which is the first one.
        event.record(torch.accelerator.current_stream(self._device))
        return event

    @override
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = self._stamp()
        yield
        self._phases.append((name, start, self._stamp()))

    def stop(self) -> tuple[float, tuple[PhaseTime, ...]]:
        """Waits for the device; seconds since the start, and the phases."""
        torch.accelerator.synchronize(self._device)
        seconds = time.perf_counter() - self._start_s
        return seconds, tuple(
            PhaseTime(
                name,
                self._start.elapsed_time(start) / 1000,
                start.elapsed_time(end) / 1000,
            )
            for name, start, end in self._phases
        )


@dataclass(frozen=True)
class Clock:
    """Repeats a computation and says how long it took.

    Attributes:
        reset: brings the computation back to its initial state; not timed.
        compute: the computation.
    """

    device: torch.device
    reset: Callable[[], None]
    compute: Callable[[Recorder], object]

    def once(self) -> tuple[float, tuple[PhaseTime, ...]]:
        """One repetition with the garbage collector off."""
        self.reset()
        enabled = gc.isenabled()
        gc.disable()
        try:
            clock = _CpuClock() if self.device.type == "cpu" else _EventClock(self.device)
            computed = self.compute(clock)
            timed = clock.stop()
            del computed
        finally:
            if enabled:
                gc.enable()
        return timed

    def warm_up(self, wanted: int | Literal["auto"], budget_s: float) -> Iterator[Timed]:
        """Untimed repetitions; automatic ones end when they no longer get faster."""
        began, seconds = time.perf_counter(), list[float]()
        most = MOST if wanted == "auto" else wanted
        while len(seconds) < most:
            taken, phases = self.once()
            seconds.append(taken)
            yield Timed(len(seconds) - 1, taken, phases, None if wanted == "auto" else wanted, None)
            late = time.perf_counter() - began > budget_s * WARM_UP_SHARE
            if wanted == "auto" and (late or _steady(seconds)):
                return

    def repeat(self, wanted: int | Literal["auto"], budget_s: float) -> Iterator[Timed]:
        """Timed repetitions; automatic ones end when the median is known well enough, or late."""
        began, seconds = time.perf_counter(), list[float]()
        while not _enough(seconds, wanted, time.perf_counter() - began, budget_s):
            taken, phases = self.once()
            seconds.append(taken)
            elapsed = time.perf_counter() - began
            about = _about(seconds, wanted, elapsed, budget_s)
            left = max((about - len(seconds)) * elapsed / len(seconds), 0.0)
            yield Timed(len(seconds) - 1, taken, phases, about, left)


def _steady(seconds: list[float]) -> bool:
    """The last repetition is as fast as the best before it."""
    return len(seconds) >= 3 and seconds[-1] <= min(seconds[:-1]) * (1 + STEADY)


def _enough(
    seconds: list[float], wanted: int | Literal["auto"], elapsed: float, budget_s: float
) -> bool:
    count = len(seconds)
    if wanted != "auto":
        return count >= wanted
    if elapsed >= budget_s:
        return count >= FEWEST_OF_SLOW
    if count < FEWEST:
        return False
    # Sorting at every repetition would cost more than a small repetition itself.
    checkpoint = count < 100 or count % 50 == 0
    return count >= MOST or (checkpoint and relative_width(seconds) <= STABLE_RELATIVE_INTERVAL)


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
