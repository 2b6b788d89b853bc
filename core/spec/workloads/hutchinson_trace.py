"""The trace of the Hessian, estimated from its products with random vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import declare
from core.spec.derivation import Derivation
from core.spec.workloads.base import WorkloadSpec


class HutchinsonTrace(WorkloadSpec):
    """Mean of vᵀHv over random vectors v, the probes (Hutchinson 1990)."""

    title: ClassVar[str] = "Trace of the Hessian"
    kind: Literal["hutchinson_trace"] = "hutchinson_trace"
    probes: int = declare(
        10,
        label="Probes",
        help="How many random vectors; four times as many halve the standard error.",
        minimum=1,
    )
    distribution: Literal["rademacher", "gaussian"] = declare(
        "rademacher",
        label="Distribution",
        help="Of their entries: 1 and -1, which is exact for a diagonal Hessian, or normal.",
    )

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(2)

    @override
    def remarks(self, readings: Mapping[str, float | None]) -> Iterator[str]:
        if self.probes == 1:
            yield "One probe alone has no standard error; workload.probes of 2 and more have one."

    @override
    def units(self, parameters: int) -> int:
        return self.probes
