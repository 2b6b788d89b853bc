"""Which of several computations is the fastest, found out in a few seconds.

They take turns, forwards and backwards, so that a machine that slowly gets faster or slower favours
none. One that is clearly slower than the fastest drops out, and its time is that of its turns so
far. Each is prepared anew for its turn: two never hold memory at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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

_FEWEST_ROUNDS: Final = 2
_FEWEST_TO_DROP: Final = 3
_SLOWER: Final = 1.2
"""What takes so many times the fastest one's time drops out."""


def side_by_side(specs: Sequence[RunSpec], budget_s: float = BUDGET_S) -> tuple[float | None, ...]:
    """Seconds of a repetition of each, the lower quartile.

    Args:
        specs: runs without problems.
        budget_s: no round begins after these seconds, except the first two.

    Returns:
        None for one that could not be computed.

    Raises:
        core.spec.declaration.InvalidSpec: this machine has no such device.
    """
    return in_turns(len(specs), lambda place: _turn(specs[place]), budget_s)


def in_turns(
    count: int,
    turn: Callable[[int], list[float]],
    budget_s: float = BUDGET_S,
    now: Callable[[], float] = time.perf_counter,
) -> tuple[float | None, ...]:
    """Seconds of each of ``count`` computations, the lower quartile.

    Args:
        count: how many there are.
        turn: lets one of them, by its place, run for a moment; seconds of its repetitions.
        budget_s: no round begins after these seconds, except the first two.
        now: the clock.

    Returns:
        None for one whose turn raised a RuntimeError.
    """
    samples: list[list[float]] = [[] for _ in range(count)]
    running = list(range(count))
    began, rounds = now(), 0
    while running and (rounds < _FEWEST_ROUNDS or now() - began < budget_s):
        for place in running if rounds % 2 == 0 else list(reversed(running)):
            try:
                samples[place] += turn(place)
            except (RuntimeError, ClockJumped):
                samples[place] = []
                running = [other for other in running if other != place]
        rounds += 1
        if rounds < _FEWEST_ROUNDS:
            continue
        # Whatever was interrupted each time may still be the fastest.
        best = {place: min(samples[place]) for place in running}
        fastest = min(best.values(), default=0.0)
        running = [
            place
            for place, taken in best.items()
            if taken <= fastest * _SLOWER or len(samples[place]) < _FEWEST_TO_DROP
        ]
        if len(running) == 1:
            break
    return tuple(_undisturbed(taken) if taken else None for taken in samples)


def _undisturbed(seconds: list[float]) -> float:
    """The lower quartile: of few repetitions on a busy machine the median is an interrupted one."""
    return sorted(seconds)[len(seconds) // 4]


def _turn(spec: RunSpec) -> list[float]:
    """Repetitions for a moment, without a short first one, which warms caches up."""
    torch.set_num_threads(spec.measure.threads)
    device = resolve(spec.device)
    problem = prepare(spec, device)
    clock = Clock(device, problem.reset, lambda recorder: compute(problem, recorder))
    first = clock.once()
    seconds = [first] if first > _LONG_S else []
    while sum(seconds) < _TURN_S:
        seconds.append(clock.once())
    return seconds
