"""All second derivatives of the loss, as one matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import Problem, declare
from core.spec.derivation import Derivation
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.workloads.alternative import Alternative
from core.spec.workloads.base import WorkloadSpec
from core.spec.workloads.batching import batching_misfits

_CHUNKS = (8, 32, 128, 512)


class Hessian(WorkloadSpec):
    """The whole Hessian: the gradient of each entry of the gradient is one of its rows."""

    title: ClassVar[str] = "Hessian"
    kind: Literal["hessian"] = "hessian"
    method: Literal["rows", "vmap"] = declare(
        "rows",
        label="Method",
        help="One row after the other, or several rows at once through torch's vmap: faster, and "
        "more memory.",
    )
    chunk_size: int = declare(
        32,
        label="Rows at once",
        help="How many rows vmap takes at once.",
        minimum=1,
        when={"method": ("vmap",)},
    )

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(2, batched=self.method == "vmap")

    @property
    @override
    def instead(self) -> str:
        never = "Hessian-vector products (workload.kind hvp) never form the matrix"
        if self.method == "vmap":
            return (
                f"{never}; workload.method rows and a smaller workload.chunk_size need less beside "
                "it."
            )
        return f"{never}."

    @override
    def alternatives(self, parameters: int) -> Iterator[Alternative]:
        if self.method != "rows":
            yield Alternative({"method": "rows"}, "one row after the other")
        for count in _CHUNKS:
            if count <= parameters and (self.method, self.chunk_size) != ("vmap", count):
                yield Alternative({"method": "vmap", "chunk_size": count}, f"{count} rows at once")

    @override
    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        if self.method == "vmap":
            yield from batching_misfits(model, mitigation, "method", '"vmap"', '"rows"')

    @override
    def result_numbers(self, parameters: int) -> int:
        return parameters**2

    @override
    def unit_groups(self, parameters: Sequence[int]) -> tuple[int, ...]:
        return tuple(map(self.units, parameters))

    @override
    def units(self, parameters: int) -> int:
        return parameters if self.method == "rows" else math.ceil(parameters / self.chunk_size)
