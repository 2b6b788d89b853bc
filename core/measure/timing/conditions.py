"""Watches the machine while repetitions are timed: between them, never inside one."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import torch

from core.measure.timing.speed import ROOT, Speed, speed_of
from core.results.conditions import Conditions

EVERY_S: Final = 0.25
"""Between two samples; reading the clock speed may wait for the hardware for milliseconds."""
SHORTEST_S: Final = 0.2
"""The system counts in steps of 10 ms a core, so that less than this says nothing."""

NO_LOAD = "This system does not tell how busy its processor is."
TOO_SHORT = f"All was over in less than {SHORTEST_S} s, too soon to see the load of others."


@dataclass(frozen=True)
class Busy:
    """Seconds since the machine was started, summed over its cores.

    Attributes:
        stolen_s: withheld by the host of a virtual machine.
    """

    cores: int
    busy_s: float
    stolen_s: float


def busy(root: Path = ROOT) -> Busy | None:
    """How busy the processor has been, None where the system does not tell."""
    if platform.system() == "Linux":
        return _from_proc_stat(root / "proc/stat")
    return _from_psutil()


def _from_proc_stat(file: Path) -> Busy | None:
    try:
        rows = [line.split() for line in file.read_text().splitlines() if line.startswith("cpu")]
        # user nice system idle iowait irq softirq steal; guests are in user.
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, rows[0][1:])
    except (OSError, ValueError, IndexError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return Busy(
        max(len(rows) - 1, 1), (user + nice + system + irq + softirq) / ticks, steal / ticks
    )


def _from_psutil() -> Busy | None:
    try:
        times = psutil.cpu_times()._asdict()
    except (psutil.Error, OSError):
        return None
    idle = ("idle", "iowait", "steal", "guest", "guest_nice")
    used = sum(seconds for name, seconds in times.items() if name not in idle)
    return Busy(psutil.cpu_count() or 1, used, times.get("steal", 0.0))


@dataclass
class ConditionsWatch:
    """Begins to watch when it is made.

        watch = ConditionsWatch.of(device)
        for timed in clock.repeat(...):
            watch.sample()
        conditions = watch.finish()

    Attributes:
        speed: of what computes.
        busy: how busy the whole machine has been.
        own_s: seconds that all threads of this process have computed.
        now: seconds, on any clock.
    """

    speed: Speed
    busy: Callable[[], Busy | None] = busy
    own_s: Callable[[], float] = time.process_time
    now: Callable[[], float] = time.perf_counter
    _mhz: list[float] = field(default_factory=list)
    _throttled: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began_s, self._busy, self._own_s = self.now(), self.busy(), self.own_s()
        self._next_s = self._began_s
        # What happened before is not of interest.
        self.speed.throttled()
        self.sample()

    @classmethod
    def of(cls, device: torch.device) -> ConditionsWatch:
        """Watches the machine and the device that computes."""
        return cls(speed_of(device))

    def sample(self) -> None:
        """To be called between repetitions; looks every now and then only."""
        if self.now() >= self._next_s:
            self._look()
            self._next_s = self.now() + EVERY_S

    def finish(self) -> Conditions:
        """What was seen; the watch is over."""
        self._look()
        self.speed.close()
        cores, other, stolen, absent = self._load()
        return Conditions(
            clock_mhz=(min(self._mhz), statistics.median(self._mhz), max(self._mhz))
            if self._mhz
            else None,
            cores=cores,
            other_cores=other,
            stolen_cores=stolen,
            throttled=any(self._throttled) if self._throttled else None,
            absent=(*self.speed.absent, *absent),
        )

    def _look(self) -> None:
        mhz, throttled = self.speed.mhz(), self.speed.throttled()
        if mhz is not None:
            self._mhz.append(mhz)
        if throttled is not None:
            self._throttled.append(throttled)

    def _load(self) -> tuple[int | None, float | None, float | None, tuple[str, ...]]:
        """Cores there are, those that others used and those withheld; why figures are absent."""
        before, after = self._busy, self.busy()
        if before is None or after is None:
            return None, None, None, (NO_LOAD,)
        seconds = self.now() - self._began_s
        if seconds < SHORTEST_S:
            return after.cores, None, None, (TOO_SHORT,)
        own_s = self.own_s() - self._own_s
        other = (after.busy_s - before.busy_s - own_s) / seconds
        stolen = (after.stolen_s - before.stolen_s) / seconds
        return after.cores, max(other, 0.0), max(stolen, 0.0), ()
