"""Which of several computations is the fastest, found out in a few seconds.

They take turns, forwards and backwards, so that a machine that slowly gets faster or slower favours
none. One that is clearly slower than the fastest drops out, and its time is that of its turns so
far. Each is prepared anew for its turn: two never hold memory at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Final

import torch

from core.engine.problem import prepare
from core.engine.workloads import compute
from core.measure.machine.devices import resolve
from core.measure.timing.clock import Clock, ClockJumped
from core.spec.run import RunSpec

BUDGET_S: Final = 5.0
_TURN_S: Final = 0.03
_LONG_S: Final = 0.3
"""A repetition that takes longer is hardly slower for being the first."""

_FEWEST_TURNS: Final = 2
_SLOWER: Final = 1.2
"""What takes so many times the fastest one's time drops out."""


def side_by_side(specs: Sequence[RunSpec], budget_s: float = BUDGET_S) -> tuple[float | None, ...]:
    """Median seconds of a repetition of each.

    Args:
        specs: runs without problems.
        budget_s: no round begins after these seconds, except the first two.

    Returns:
        None for one that could not be computed.

    Raises:
        core.spec.declaration.InvalidSpec: this machine has no such device.
    """
    samples: list[list[float]] = [[] for _ in specs]
    running = list(range(len(specs)))
    began, turns = time.perf_counter(), 0
    while running and (turns < _FEWEST_TURNS or time.perf_counter() - began < budget_s):
        for place in running if turns % 2 == 0 else reversed(running):
            try:
                samples[place] += _turn(specs[place])
            except (RuntimeError, ClockJumped):
                samples[place] = []
        turns += 1
        medians = {place: statistics.median(samples[place]) for place in running if samples[place]}
        fastest = min(medians.values(), default=0.0)
        running = [place for place, taken in medians.items() if taken <= fastest * _SLOWER]
        if len(running) == 1 and turns >= _FEWEST_TURNS:
            break
    return tuple(statistics.median(taken) if taken else None for taken in samples)


def _turn(spec: RunSpec) -> list[float]:
    """Repetitions for a moment, without a short first one, which warms caches up."""
    torch.set_num_threads(spec.measure.threads)
    device = resolve(spec.device)
    problem = prepare(spec, device)
    clock = Clock(device, problem.reset, lambda recorder: compute(problem, recorder))
    first = clock.once()[0]
    seconds = [first] if first > _LONG_S else []
    while sum(seconds) < _TURN_S:
        seconds.append(clock.once()[0])
    return seconds
