"""The computation itself: ``compute()`` of each workload, a file for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.export.script.model import Network
from core.export.script.workloads import (
    adversarial,
    darts,
    hessian,
    hutchinson_trace,
    hvp,
    maml,
    nested_gradient,
    newton,
)
from core.spec.run import RunSpec
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


@dataclass(frozen=True)
class WorkloadSource:
    """How a kind of workload is written.

    Attributes:
        source: one text for each definition; the last is ``compute``, of loss and result.
        constants: lines that a reader may want to change.
        about: what is computed, in words that continue a title.
    """

    source: Callable[[RunSpec, Network], Iterator[str]]
    constants: Callable[[RunSpec], Iterator[str]]
    about: Callable[[RunSpec], str]


WORKLOADS: dict[type[WorkloadSpec], WorkloadSource] = {
    NestedGradient: WorkloadSource(
        nested_gradient.source, nested_gradient.constants, nested_gradient.about
    ),
    Hvp: WorkloadSource(hvp.source, hvp.constants, hvp.about),
    Hessian: WorkloadSource(hessian.source, hessian.constants, hessian.about),
    HutchinsonTrace: WorkloadSource(
        hutchinson_trace.source, hutchinson_trace.constants, hutchinson_trace.about
    ),
    Maml: WorkloadSource(maml.source, maml.constants, maml.about),
    Darts: WorkloadSource(darts.source, darts.constants, darts.about),
    Newton: WorkloadSource(newton.source, newton.constants, newton.about),
    Adversarial: WorkloadSource(adversarial.source, adversarial.constants, adversarial.about),
}


def workload(spec: RunSpec, network: Network) -> tuple[str, ...]:
    """The definitions of the run's workload."""
    return tuple(WORKLOADS[type(spec.workload)].source(spec, network))
