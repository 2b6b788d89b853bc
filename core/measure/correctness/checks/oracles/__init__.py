"""For each kind of workload, what its result is held against.

Written apart from ``core.engine``: the layers of ``network``, loops of its own, no mitigations.
What is shared are the weights and the examples.
"""

from __future__ import annotations

from collections.abc import Callable

from core.engine.problem import Problem
from core.measure.correctness.checks.oracles import (
    adversarial,
    darts,
    hessian,
    hutchinson_trace,
    hvp,
    maml,
    nested_gradient,
    newton,
)
from core.measure.correctness.checks.oracles.oracle import Oracles
from core.spec.workloads import (
    Adversarial,
    Darts,
    Hessian,
    HutchinsonTrace,
    Hvp,
    Maml,
    NestedGradient,
    Newton,
    WorkloadSpec,
)

_ORACLES: dict[type[WorkloadSpec], Callable[[Problem], Oracles]] = {
    NestedGradient: nested_gradient.oracles,
    Hvp: hvp.oracles,
    Hessian: hessian.oracles,
    HutchinsonTrace: hutchinson_trace.oracles,
    Maml: maml.oracles,
    Darts: darts.oracles,
    Newton: newton.oracles,
    Adversarial: adversarial.oracles,
}


def oracles(problem: Problem) -> Oracles:
    """What the result of a problem is held against."""
    return _ORACLES[type(problem.spec.workload)](problem)
