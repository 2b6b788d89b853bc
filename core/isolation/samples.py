"""The memory of a measuring process, sampled from outside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import psutil

from core.measure.machine.driver_memory import DriverMemory
from core.results.events import ResidentSample, Started, Warned

SAMPLE_S: Final = 0.050


class ProcessMemory:
    """Samples one process: what the system counts, and on CUDA what the driver counts.

    Args:
        pid: its number.
        follow: asks the driver about a process.
    """

    def __init__(self, pid: int, follow: Callable[[int], DriverMemory]) -> None:
        self._pid = pid
        self._follow = follow
        self._process: psutil.Process | None = None
        self._driver: DriverMemory | None = None
        self._due_s = 0.0

    @property
    def wait_s(self) -> float:
        """Seconds until the next samples are due."""
        return max(self._due_s - time.perf_counter(), 0.0)

    def samples(self, started: Started) -> Iterator[ResidentSample]:
        """The next samples of a run; none while they are not due or the process is gone."""
        now = time.perf_counter()
        if now < self._due_s:
            return
        self._due_s = now + SAMPLE_S
        t_s = max(now - started.clock_s, 0.0)
        resident = self._resident_bytes()
        if resident is None:
            return
        yield ResidentSample(t_s=t_s, total_bytes=resident)
        if not started.environment.device.startswith("cuda"):
            return
        if self._driver is None:
            self._driver = self._follow(self._pid)
        used = self._driver.used_bytes()
        if used is not None:
            yield ResidentSample(source="driver", t_s=t_s, total_bytes=used)

    def end(self) -> Iterator[Warned]:
        """Lets go of the driver, and says why it gave no figure where it gave none."""
        if self._driver is None:
            return
        self._driver.close()
        if self._driver.problem is not None:
            yield Warned(sentence=f"The driver's memory curve is missing: {self._driver.problem}.")

    def _resident_bytes(self) -> int | None:
        try:
            if self._process is None:
                self._process = psutil.Process(self._pid)
            # A process that has ended but was not asked for its exit code yet holds nothing.
            return self._process.memory_info().rss or None
        except psutil.Error:
            return None
