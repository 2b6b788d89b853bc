"""Many runs of inner steps foretold from few.

Where inner steps are cut into runs of which the first weights alone are kept (``inner_segments``),
the moment at which a run is differentiated holds the weights before it and what its own steps keep.
Both grow evenly, with its position and with its length, whatever the other runs are. So the dearest
moment of all is found from short loops with one run in front of the one that counts, and further
ones check that it grows evenly. Where a check fails, there is no such forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from core.measure.forecasting.few_steps import Short, Uneven

FOLLOWED = 24
"""Inner steps that are followed one by one: less work than the short loops."""

_DIFFERENTIATED = "meta-gradient"
_HIGHEST_ORDER = 2
"""Beyond it the runs that were differentiated leave more behind than this knows of."""

_LINE = (3, 4, 5)
"""Lengths of runs that longer ones are told from."""


def from_few_runs(
    runs: tuple[int, ...],
    short: Callable[[tuple[int, ...]], Short],
    *,
    order: int,
) -> Short:
    """One task.

    Args:
        runs: lengths of the runs, first to last.
        short: a loop that is cut into runs of these lengths, followed step by step.
        order: of the derivative.

    Raises:
        Uneven: the short loops do not grow evenly.
    """
    if order > _HIGHEST_ORDER or len(runs) < 2:
        raise Uneven
    last = _OfLength(lambda length: short((1, length)))
    middle = _OfLength(lambda length: short((1, length, 1)))
    before, another = _before(short)
    tail = _moved(last.at(runs[-1]), before, len(runs) - 2)
    moments = [
        _moved(middle.at(length), before, position - 1) for position, length in _dearest(runs[:-1])
    ]
    dearest = max([tail, *moments], key=lambda moment: moment.peak_bytes)
    if dearest.peak_phase != _DIFFERENTIATED and dearest is not tail:
        raise Uneven
    peak = max(moment.phases[_DIFFERENTIATED] for moment in (tail, *moments))
    return replace(
        tail,
        phases={**tail.phases, _DIFFERENTIATED: peak},
        by_category=dearest.by_category,
        seconds=_seconds(runs, last, middle, another),
    )


class _OfLength:
    """Loops that differ in the length of one run."""

    def __init__(self, short: Callable[[int], Short]) -> None:
        self._short = short

    def at(self, length: int) -> Short:
        """With a run of this length."""
        if length <= _LINE[-1]:
            return self._short(length)
        first, second, third = map(self._short, _LINE)
        step = _difference(second, third)
        if _difference(first, second) != step or not step.phases[_DIFFERENTIATED]:
            raise Uneven
        return _moved(third, step, length - _LINE[-1])

    def seconds(self, length: int) -> float | None:
        """What ``at`` would take; longer ones as much more as they have more steps."""
        first, last = self._short(_LINE[0]).seconds, self._short(_LINE[-1]).seconds
        if length <= _LINE[-1]:
            return self._short(length).seconds
        if first is None or last is None:
            return None
        return last + (length - _LINE[-1]) * (last - first) / (_LINE[-1] - _LINE[0])


class _Change(NamedTuple):
    """What the figures of a loop grow by."""

    phases: Mapping[str, int]
    retained: Mapping[str, int]
    by_category: Mapping[str, int]


def _difference(start: Short, end: Short) -> _Change:
    if start.phases.keys() != end.phases.keys() or start.peak_phase != end.peak_phase:
        raise Uneven
    return _Change(
        _less(end.phases, start.phases),
        _less(end.retained, start.retained),
        _less(end.by_category, start.by_category),
    )


def _less(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: count - other[name] for name, count in one.items()}


def _moved(run: Short, change: _Change, times: int) -> Short:
    def grown(counts: Mapping[str, int], by: Mapping[str, int]) -> dict[str, int]:
        return {name: count + times * by[name] for name, count in counts.items()}

    return replace(
        run,
        phases=grown(run.phases, change.phases),
        retained=grown(run.retained, change.retained),
        by_category=grown(run.by_category, change.by_category),
    )


def _before(short: Callable[[tuple[int, ...]], Short]) -> tuple[_Change, float | None]:
    """What one more run in front of a loop adds, its first weights, and its seconds."""
    none, one, two = [short((*front, _LINE[0], 1)) for front in ((), (1,), (1, 1))]
    change = _difference(one, two)
    if _difference(none, one) != change:
        raise Uneven
    if one.seconds is None or two.seconds is None:
        return change, None
    return change, two.seconds - one.seconds


def _dearest(runs: tuple[int, ...]) -> list[tuple[int, int]]:
    """Position and length of the last run of each length, since those before it need less; in the
    order in which they are differentiated."""
    last = {length: position for position, length in enumerate(runs)}
    return sorted(((position, length) for length, position in last.items()), reverse=True)


def _seconds(
    runs: tuple[int, ...], last: _OfLength, middle: _OfLength, another: float | None
) -> float | None:
    """Of all steps: each run as much as it adds to a short loop.

    Args:
        another: seconds of one more run of a single step.
    """
    ends, single = last.seconds(runs[-1]), middle.seconds(1)
    if ends is None or single is None or another is None:
        return None
    total = ends - another
    for length in runs[:-1]:
        found = middle.seconds(length)
        if found is None:
            return None
        total += found - single + another
    return total
