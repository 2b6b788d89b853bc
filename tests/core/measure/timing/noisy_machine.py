"""A machine whose clock is slowed by load that comes and goes, and by hiccups. Seeded."""

import math

import numpy as np
import torch

from core.measure.timing.clock import Clock
from core.measure.timing.stopwatch import Witnesses

CPU = torch.device("cpu")


class NoisyMachine:
    """Computations on it share its load, which each repetition finds much as the last one left it.

    Args:
        seed: of all its noise.
        load: standard deviation of the logarithm of what the load multiplies times with.
        memory: share of the load that is left at the next repetition.
        jitter: standard deviation of the logarithm of what is each repetition's own.
        hiccups: probability that a repetition takes up to five times as long.
    """

    def __init__(
        self,
        seed: int,
        load: float = 0.08,
        memory: float = 0.9,
        jitter: float = 0.02,
        hiccups: float = 0.05,
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._scatter, self._memory, self._jitter, self._hiccups = load, memory, jitter, hiccups
        self._load = self._random.normal() * load
        self.now_s = 0.0

    def seconds(self, quiet_s: float) -> float:
        """How long the next repetition takes that would take ``quiet_s`` with nobody else."""
        fresh = self._random.normal() * self._scatter * math.sqrt(1 - self._memory**2)
        self._load = self._memory * self._load + fresh
        taken = quiet_s * math.exp(self._load + self._random.normal() * self._jitter)
        if self._random.random() < self._hiccups:
            taken *= self._random.uniform(1.0, 5.0)
        self.now_s += taken
        return taken

    def clock(self, quiet_s: float) -> Clock:
        """A computation on this machine."""
        witnesses = Witnesses(date=lambda: self.now_s, busy=lambda: 0.0)
        return Clock(
            CPU, lambda: None, lambda _: self.seconds(quiet_s), lambda: self.now_s, witnesses
        )
