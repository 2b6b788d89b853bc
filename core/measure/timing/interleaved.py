"""Two configurations in one process that take turns, so that both meet the same machine.

Turns are A B B A A B B A …: each follows itself as often as the other, and a machine that slowly
gets faster or slower favours neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import torch

from core.engine.compiling import computation
from core.engine.problem import prepare
from core.measure.machine.devices import resolve
from core.measure.timing.clock import Clock, ClockJumped
from core.measure.timing.conditions import ConditionsWatch
from core.results.interleaved import Compared, InterleavedEvent, PairTimed, WarmedUp
from core.results.time_comparison import FEWEST_TO_SETTLE, compare_samples, settled
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec

BUDGET_S: Final = 60.0
MOST_PAIRS: Final = 4000
LOOK_EVERY: Final = 1.25
_WARM_UP_SHARE: Final = 0.5


def interleaved(a: RunSpec, b: RunSpec, budget_s: float = BUDGET_S) -> Iterator[InterleavedEvent]:
    """Times two specs against each other; ``a`` is the reference.

    Args:
        budget_s: the longest that timing may take; a pair that has begun is ended.

    Yields:
        What happens, then ``Compared``.

    Raises:
        InvalidSpec: a spec cannot run on this machine.
    """
    problems = (*a.problems(), *b.problems())
    if problems:
        raise InvalidSpec(problems)
    clocks = _clock(a), _clock(b)
    yield from take_turns(*clocks, budget_s)


def take_turns(a: Clock, b: Clock, budget_s: float = BUDGET_S) -> Iterator[InterleavedEvent]:
    """Times two computations against each other; ``a`` is the reference."""
    began = time.perf_counter()
    watch = ConditionsWatch.of(b.device)
    try:
        for timed in a.warm_up("auto", budget_s * _WARM_UP_SHARE):
            yield WarmedUp(of="a", seconds=timed.seconds)
        for timed in b.warm_up("auto", budget_s * _WARM_UP_SHARE):
            yield WarmedUp(of="b", seconds=timed.seconds)
        of_a, of_b = list[float](), list[float]()
        for first, second in _pairs(a, b):
            of_a.append(first)
            of_b.append(second)
            watch.sample()
            left_s = max(budget_s - (time.perf_counter() - began), 0.0)
            yield PairTimed(index=len(of_a) - 1, a_s=first, b_s=second, left_s=left_s)
            if _is_over(of_a, of_b, left_s):
                break
    except ClockJumped as error:
        yield Compared(time=None, absent=str(error), conditions=watch.finish())
        return
    yield Compared(
        time=compare_samples(of_a, of_b, interleaved=True),
        a_samples_s=tuple(of_a),
        b_samples_s=tuple(of_b),
        conditions=watch.finish(),
    )


def _pairs(a: Clock, b: Clock) -> Iterator[tuple[float, float]]:
    while True:
        first = a.once()
        yield first, b.once()
        second = b.once()
        yield a.once(), second


def _is_over(a: list[float], b: list[float], left_s: float) -> bool:
    if left_s <= 0 or len(a) >= MOST_PAIRS:
        return True
    return _is_look(len(a)) and settled(a, b)


def _is_look(pairs: int) -> bool:
    """Looks come at 32, 40, 50, 62 … pairs; each has then come second as often as first."""
    look = FEWEST_TO_SETTLE
    while look < pairs:
        look = 2 * round(look * LOOK_EVERY / 2)
    return look == pairs


def _clock(spec: RunSpec) -> Clock:
    device = resolve(spec.device)
    problem = prepare(spec, device)

    def reset() -> None:
        if torch.get_num_threads() != spec.measure.threads:
            torch.set_num_threads(spec.measure.threads)
        problem.reset()

    return Clock(device, reset, computation(problem))
