"""The computations whose cost is measured, one module each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from core.engine.computed import Computed, Look
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads import (
    adversarial,
    darts,
    hessian,
    hutchinson_trace,
    hvp,
    maml,
    meta_training,
    nested_gradient,
    newton,
    own_step,
)
from core.results.charts import Point, Reading
from core.spec.declaration import Spec
from core.spec.workloads import (
    Adversarial,
    Darts,
    Hessian,
    HutchinsonTrace,
    Hvp,
    Maml,
    NestedGradient,
    Newton,
)

_WORKLOADS: dict[type[Spec], Callable[[Problem, Recorder], Computed]] = {
    NestedGradient: nested_gradient.compute,
    Hvp: hvp.compute,
    Hessian: hessian.compute,
    HutchinsonTrace: hutchinson_trace.compute,
    Maml: maml.compute,
    Darts: darts.compute,
    Newton: newton.compute,
    Adversarial: adversarial.compute,
}


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """One repetition of the problem's workload, or of the user's own step."""
    return computation(problem)(recorder)


def computation(problem: Problem) -> Callable[[Recorder], Computed]:
    """Repetitions of the problem's workload, or of the user's own step."""
    is_own = problem.spec.is_own_step
    found = own_step.compute if is_own else _WORKLOADS[type(problem.spec.workload)]
    return partial(found, problem)


_FOLLOWED: dict[type[Spec], Callable[[Problem], Iterator[Point | Reading] | None]] = {
    Maml: meta_training.follow,
    Darts: darts.follow,
    Newton: newton.follow,
    Adversarial: adversarial.follow,
    HutchinsonTrace: hutchinson_trace.follow,
}


def follow(problem: Problem) -> Iterator[Point | Reading] | None:
    """What the problem's workload draws and reads once everything is measured, None where it is
    nothing.

    Starts from the problem's initial state and does not change it. A point may be infinite or not
    a number.
    """
    followed = _FOLLOWED.get(type(problem.spec.workload))
    return None if followed is None else followed(problem)


_RIVALS: dict[type[Spec], Callable[[Problem], Mapping[str, Callable[[], object]]]] = {
    Newton: newton.rivals,
}


def rivals(problem: Problem) -> Mapping[str, Callable[[], object]]:
    """Other methods that the workload is compared with, by name; each does its part of the work."""
    others = _RIVALS.get(type(problem.spec.workload))
    return {} if others is None or problem.spec.is_own_step else others(problem)


_LOOKED_AT: dict[type[Spec], Callable[[Problem, Computed], Look]] = {
    Adversarial: adversarial.look,
    Hessian: hessian.look,
}


def look(problem: Problem, computed: Computed) -> Look:
    """What a result shows when it is looked at, once and outside of what is measured."""
    looked = _LOOKED_AT.get(type(problem.spec.workload))
    return Look() if looked is None or problem.spec.is_own_step else looked(problem, computed)
