"""A meta-gradient of many inner steps and tasks, foretold from shorter ones of fewer tasks."""

from __future__ import annotations

from collections.abc import Callable

from core.engine.excerpt import Excerpt
from core.measure.forecasting.few_runs import FOLLOWED, from_few_runs
from core.measure.forecasting.few_steps import (
    LONGER,
    SHORT,
    Short,
    Uneven,
    checked,
    far,
    moved,
    phases_of,
    with_more_tasks,
)
from core.measure.forecasting.seen import Seen
from core.results.forecast import Forecast
from core.spec.inner_segments import inner_segments, is_cut
from core.spec.placement import segments_of
from core.spec.run import RunSpec
from core.spec.workloads import Maml

AT_MOST = 60
"""Inner steps that are followed one by one at most."""


Predict = Callable[[RunSpec, Excerpt], Seen]
"""One prediction of as much of a spec as an excerpt says."""


def from_few_loops(spec: RunSpec, workload: Maml, predict: Predict) -> Forecast:
    """The forecast.

    Args:
        spec: a run without problems.
        workload: of it.
        predict: followed step by step.

    Raises:
        Uneven: what phases hold does not grow evenly with steps, runs or tasks.
    """
    exact = True
    segments = segments_of(spec.as_computed())  # few steps alone would be cut in other places

    def seen(steps: int, tasks: int, runs: tuple[int, ...] | None = None) -> Seen:
        nonlocal exact
        few = workload.model_copy(update={"inner_steps": steps, "tasks": tasks})
        found = predict(
            spec.model_copy(update={"workload": few}), Excerpt(runs=runs, segments=segments)
        )
        exact = exact and not found.report.unknown
        return found

    def short(steps: int, tasks: int, runs: tuple[int, ...] | None = None) -> Short:
        found = seen(steps, tasks, runs)
        return Short.of(found.report, found.seconds, f"task {tasks}: " if tasks > 1 else "")

    def in_runs(steps: int) -> Short:
        if steps > FOLLOWED:
            try:
                return from_few_runs(
                    inner_segments(spec),
                    lambda runs: short(sum(runs), 1, runs),
                    order=workload.derivative_order,
                )
            except Uneven:
                if steps > AT_MOST:
                    raise
        return short(steps, 1)

    steps, tasks = workload.inner_steps, workload.tasks
    if is_cut(spec):
        run = in_runs(steps)
    elif steps <= SHORT[-1]:
        run = short(steps, 1)
    else:
        try:
            run = far([short(number, 1) for number in SHORT], SHORT, steps)
        except Uneven:
            run = far([short(number, 1) for number in LONGER], LONGER, steps)
    seconds = None if run.seconds is None else run.seconds * tasks
    if tasks > 1:
        one, two = short(1, 1), seen(1, 2)
        run = moved(run, one, Short.of(two.report, two.seconds, "task 2: "))
        run = with_more_tasks(run, one, two.report, tasks - 2)
    run = checked(run)
    return Forecast(
        peak_bytes=run.peak_bytes,
        exact=exact,
        seconds=seconds,
        baseline_bytes=run.baseline_bytes,
        by_category={name: count for name, count in run.by_category.items() if count},
        phases=phases_of(run),
    )
