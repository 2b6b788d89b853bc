"""The computations whose cost is measured, one module each."""

from __future__ import annotations

from collections.abc import Callable

from core.engine.computed import Computed
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads import maml, nested_gradient
from core.spec.declaration import Spec
from core.spec.workloads import Maml, NestedGradient

_WORKLOADS: dict[type[Spec], Callable[[Problem, Recorder], Computed]] = {
    NestedGradient: nested_gradient.compute,
    Maml: maml.compute,
}


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """One repetition of the problem's workload."""
    return _WORKLOADS[type(problem.spec.workload)](problem, recorder)
