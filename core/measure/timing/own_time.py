"""What something takes by itself, on a machine that does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


class OwnTime:
    """Seconds since it was made, without those in which the processor worked for others.

    A busy machine interrupts whatever takes longer than its time slice: by the wall clock an
    operation of a second then takes several. The processor's own count of what a thread has
    computed leaves interruptions out; it says nothing of other threads, nor of a device, so that
    there the wall clock alone is believed.
    """

    def __init__(
        self,
        device: torch.device,
        wall: Callable[[], float] = time.perf_counter,
        own: Callable[[], float] = time.thread_time,
    ) -> None:
        """Starts.

        Args:
            device: what computes.
            wall: seconds on a clock.
            own: seconds that this thread has computed.
        """
        self._wall, self._own = wall, own
        self._counts = device.type == "cpu" and torch.get_num_threads() == 1
        # Outside of the other: asking for it takes longer than a small operation's tenth.
        self._computed_s = own() if self._counts else 0.0
        self._began_s = wall()

    def stop(self) -> float:
        """Seconds."""
        seconds = self._wall() - self._began_s
        return min(seconds, self._own() - self._computed_s) if self._counts else seconds
