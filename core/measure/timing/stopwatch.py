"""Times one repetition and its phases, and does not believe a clock that jumps."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import torch
from typing_extensions import override

from core.engine.recorder import SILENT, Recorder, Silent, ignored

_TOLERANCE_S = 10.0
"""Clocks of different kinds may disagree by this, and by ``_DRIFT`` of the time: the date may be
set meanwhile, and a lesser jump is one outlier, which a median does not follow."""
_DRIFT = 0.1
_CORES = os.cpu_count() or 1
"""Asked once: it opens a file, after which the next repetition finds the caches cold."""


class ClockJumped(Exception):
    """The clock cannot be believed; the message is one sentence."""


@dataclass(frozen=True)
class PhaseTime:
    """When a phase ran within its repetition, in seconds."""

    name: str
    start_s: float
    duration_s: float


Repetition = tuple[float, tuple[PhaseTime, ...]]
"""Seconds of a repetition, and its phases as far as they were marked."""
Compute = Callable[[Recorder], object]
TimedBy = Callable[[Compute], Repetition]


def _date_s() -> float:
    return datetime.now(UTC).timestamp()


@dataclass(frozen=True)
class Witnesses:
    """Clocks that the one which times must agree with, as far as they can tell.

    Attributes:
        date: seconds on the clock that tells the date: no more time can have passed than by it,
            unless somebody set it.
        busy: seconds that all threads of this process have computed: no more than all cores can.
    """

    date: Callable[[], float] = _date_s
    busy: Callable[[], float] = time.process_time

    def read(self) -> tuple[float, float]:
        """Date and busy seconds now."""
        return self.date(), self.busy()

    def confirm(
        self, since: tuple[float, float], seconds: float, phases: Iterable[PhaseTime]
    ) -> None:
        """Looks at a repetition that has just ended.

        Args:
            since: what ``read`` gave before it.
            seconds: how long it took by the clock that times.
            phases: its parts.

        Raises:
            ClockJumped: it cannot have taken that long.
        """
        dated, busy = self.date() - since[0], self.busy() - since[1]
        spans = [seconds, *(phase.duration_s for phase in phases)]
        believable = (
            all(map(math.isfinite, spans))
            and seconds > 0
            and min(spans) >= 0
            and seconds <= dated * (1 + _DRIFT) + _TOLERANCE_S
            and busy <= seconds * _CORES * (1 + _DRIFT) + _TOLERANCE_S
        )
        if not believable:
            worst = min(spans) if min(spans) < 0 else seconds
            raise ClockJumped(
                f"The clock of this machine jumped: by it a repetition took {worst:.4g} s; "
                "run it again."
            )


class CpuStopwatch(Silent):
    """Reads the clock at phase borders, of one repetition after the other: a workload keeps what it
    has made for the same recorder. What was computed is let go of when the time has been taken."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._phases: list[tuple[str, float, float]] = []
        self._name, self._began = "", 0.0

    def of(self, compute: Compute) -> Repetition:
        """A repetition of which nobody hears."""
        now = self._now
        start = now()
        computed = compute(SILENT)
        seconds = now() - start
        del computed
        return seconds, ()

    def with_phases(self, compute: Compute) -> Repetition:
        """A repetition and its phases."""
        self._phases = []
        now = self._now
        start = now()
        computed = compute(self)
        seconds = now() - start
        del computed
        return seconds, tuple(
            PhaseTime(name, begin - start, end - begin) for name, begin, end in self._phases
        )

    @override
    def phase(self, name: str) -> Self:
        # Itself, since phases do not nest: a generator's context costs 5 µs a phase. It begins
        # here, since it is entered at once.
        self._name = name
        self._began = self._now()
        return self

    if TYPE_CHECKING:

        def __enter__(self) -> None: ...
    else:
        __enter__ = ignored

    def __exit__(self, *_: object) -> None:
        self._phases.append((self._name, self._began, self._now()))


class EventStopwatch(Silent):
    """Lets an accelerator stamp the phase borders itself, so that nothing waits in between."""

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device, self._now = device, now
        self._phases: list[tuple[str, torch.Event, torch.Event]] = []

    def of(self, compute: Compute) -> Repetition:
        """A repetition of which nobody hears, until the device is done with it."""
        return self._seconds(compute, SILENT), ()

    def with_phases(self, compute: Compute) -> Repetition:
        """A repetition until the device is done with it, and its phases."""
        self._phases = []
        seconds = self._seconds(compute, self)
        return seconds, tuple(
            PhaseTime(
                name,
                self._start.elapsed_time(start) / 1000,
                start.elapsed_time(end) / 1000,
            )
            for name, start, end in self._phases
        )

    def _seconds(self, compute: Compute, recorder: Recorder) -> float:
        torch.accelerator.synchronize(self._device)
        start = self._now()
        if recorder is self:
            self._start = self._stamp()
        computed = compute(recorder)
        torch.accelerator.synchronize(self._device)
        seconds = self._now() - start
        del computed
        return seconds

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
