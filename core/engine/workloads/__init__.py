"""The computations whose cost is measured, one module each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.engine.computed import Computed
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads import hvp, maml, nested_gradient, own_step
from core.results.charts import Point
from core.spec.declaration import Spec
from core.spec.workloads import Hvp, Maml, NestedGradient

_WORKLOADS: dict[type[Spec], Callable[[Problem, Recorder], Computed]] = {
    NestedGradient: nested_gradient.compute,
    Hvp: hvp.compute,
    Maml: maml.compute,
}


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """One repetition of the problem's workload, or of the user's own step."""
    if problem.spec.is_own_step:
        return own_step.compute(problem, recorder)
    return _WORKLOADS[type(problem.spec.workload)](problem, recorder)


_FOLLOWED: dict[type[Spec], Callable[[Problem], Iterator[Point] | None]] = {
    Maml: maml.follow,
}


def follow(problem: Problem) -> Iterator[Point] | None:
    """What the problem's workload draws once everything is measured, None where it is nothing.

    Starts from the problem's initial state and does not change it. A point may be infinite or not
    a number.
    """
    followed = _FOLLOWED.get(type(problem.spec.workload))
    return None if followed is None else followed(problem)
