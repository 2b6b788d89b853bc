"""Many inner steps and tasks foretold from few.

What a phase holds grows evenly with the inner steps and the tasks before it: each leaves the same
tensors behind. So a step's growth is taken from two short runs and checked with a third. Where a
check fails, there is no such forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.measure.memory.blocks import LedgerReport
from core.results.categories import CATEGORIES
from core.results.forecast import ForecastPhase

SHORT = (1, 2, 3)
"""Numbers of inner steps of the short runs."""

LONGER = (2, 3, 4)
"""The same where the first step is unlike the others."""

_STEP = "inner step "
_LAST = "last inner step"


class Uneven(ValueError):
    """The short runs do not grow evenly."""


@dataclass(frozen=True)
class Short:
    """A run of one computation, in numbers that grow evenly.

    Attributes:
        phases: highest totals above the baseline; that of the last inner step under ``_LAST``.
        by_category: at the peak; sums to baseline + peak.
        left: bytes above the baseline when each phase ended.
    """

    baseline_bytes: int
    phases: Mapping[str, int]
    retained: Mapping[str, int]
    by_category: Mapping[str, int]
    seconds: float | None
    left: Mapping[str, int] = field(default_factory=dict)

    @property
    def peak_phase(self) -> str:
        """Where the peak is."""
        return max(self.phases, key=lambda name: self.phases[name])

    @property
    def peak_bytes(self) -> int:
        """Above the baseline."""
        return max(self.phases.values())

    @classmethod
    def of(cls, report: LedgerReport, seconds: float | None, prefix: str = "") -> Short:
        """The phases of one task, whose names begin with ``prefix``.

        Raises:
            Uneven: the peak is not within a phase of that task.
        """
        mine = {
            phase.name.removeprefix(prefix): phase
            for phase in report.phases
            if phase.name.startswith(prefix)
        }
        steps = [name for name in mine if name.startswith(_STEP)]
        if steps:
            mine[_LAST] = mine[steps[-1]]
        short = cls(
            baseline_bytes=report.baseline_bytes,
            phases={n: p.peak_bytes for n, p in mine.items() if n not in steps},
            retained={n: p.retained_bytes for n, p in mine.items() if n not in steps},
            by_category={name: report.by_category.get(name, 0) for name in CATEGORIES},
            seconds=seconds,
            left={
                name: sum(phase.left.values()) - report.baseline_bytes
                for name, phase in mine.items()
                if name not in steps
            },
        )
        if short.peak_bytes != report.peak_bytes:
            raise Uneven
        return short


def far(points: Sequence[Short], numbers: Sequence[int], number: int) -> Short:
    """The run with ``number`` steps, from runs with few.

    Args:
        points: three short runs.
        numbers: how many steps they have, one after the other.
        number: how many are wanted.

    Raises:
        Uneven: the third run is not where the first two point to.
    """
    third = points[-1]
    ahead = number - numbers[-1]

    def on(pick: Callable[[Short], Mapping[str, int]]) -> dict[str, int]:
        first_of, second_of, third_of = [pick(point) for point in points]
        if not first_of.keys() == second_of.keys() == third_of.keys():
            raise Uneven
        for name in third_of:
            if third_of[name] - second_of[name] != second_of[name] - first_of[name]:
                raise Uneven
        return {name: value + ahead * (value - second_of[name]) for name, value in third_of.items()}

    result = Short(
        baseline_bytes=third.baseline_bytes,
        phases=on(lambda point: point.phases),
        retained=third.retained,
        by_category=on(lambda point: point.by_category),
        seconds=_far_seconds(points, ahead),
    )
    if len({point.peak_phase for point in (*points, result)}) > 1:
        raise Uneven
    if any(highest > result.peak_bytes for highest in _hidden(points, ahead)):
        raise Uneven
    return result


def _hidden(points: Sequence[Short], ahead: int) -> Iterator[int]:
    """For each phase what a moment of it may come to that its peak hides in the short runs: it is
    no higher there, and grows by what is alive when the phase begins or ends.

    An ANIL step leaves weights behind, and the peak may lie where the features are differentiated,
    when those of all steps have been let go of; with more steps it is where they are all alive.
    """
    second, third = points[-2:]
    for name, end in third.left.items():
        grown = end - second.left[name]
        before = grown - (third.retained[name] - second.retained[name])
        yield third.phases[name] + ahead * max(grown, before)


def _far_seconds(points: Sequence[Short], ahead: int) -> float | None:
    first, last = points[0].seconds, points[-1].seconds
    if first is None or last is None:
        return None
    return last + ahead * (last - first) / (len(points) - 1)


def moved(run: Short, start: Short, end: Short) -> Short:
    """A run, changed in the way that leads from one run to another.

    Raises:
        Uneven: the phases do not all change alike.
    """
    changes = {end.phases[name] - start.phases[name] for name in start.phases}
    if start.phases.keys() != end.phases.keys() or len(changes) != 1:
        raise Uneven
    change = changes.pop()
    return Short(
        baseline_bytes=run.baseline_bytes + end.baseline_bytes - start.baseline_bytes,
        phases={name: peak + change for name, peak in run.phases.items()},
        retained=run.retained,
        by_category={
            name: count + end.by_category[name] - start.by_category[name]
            for name, count in run.by_category.items()
        },
        seconds=run.seconds,
    )


def with_more_tasks(run: Short, one: Short, two: LedgerReport, times: int) -> Short:
    """A run of two tasks with further ones: each leaves what the second one leaves, and has data of
    its own.

    Args:
        run: of two tasks.
        one: a short run of one task.
        two: a short run of two.
        times: how many further tasks there are.
    """
    first, second = [
        [phase for phase in two.phases if phase.name.startswith(f"task {number}: ")][-1].left
        for number in (1, 2)
    ]
    kept = {name: second.get(name, 0) - first.get(name, 0) for name in CATEGORIES}
    change, data = times * sum(kept.values()), two.baseline_bytes - one.baseline_bytes
    more = kept | {"data": kept["data"] + data}
    return replace(
        run,
        baseline_bytes=run.baseline_bytes + times * data,
        phases={name: peak + change for name, peak in run.phases.items()},
        by_category={name: held + times * more[name] for name, held in run.by_category.items()},
    )


def checked(run: Short) -> Short:
    """The run itself.

    Raises:
        Uneven: its categories do not add up to its peak.
    """
    if sum(run.by_category.values()) != run.baseline_bytes + run.peak_bytes:
        raise Uneven
    if min(run.by_category.values()) < 0:
        raise Uneven
    return run


def phases_of(run: Short) -> tuple[ForecastPhase, ...]:
    """The phases of the last task, its inner steps as the last one."""
    return tuple(
        ForecastPhase(name=name, peak_bytes=peak, retained_bytes=run.retained[name])
        for name, peak in run.phases.items()
    )
