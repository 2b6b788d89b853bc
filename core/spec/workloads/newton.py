"""Newton's method: steps to where the second-order model of the loss is lowest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import Problem, declare
from core.spec.derivation import Derivation
from core.spec.layers import Embedding
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.workloads.alternative import Alternative
from core.spec.workloads.base import WorkloadSpec
from core.spec.workloads.eigenvalues import eigenvalue_misfits


class Newton(WorkloadSpec):
    """Newton steps on the weights, by the Hessian or by products with it (Nocedal and Wright 2006,
    chapter 7)."""

    title: ClassVar[str] = "Newton's method"
    kind: Literal["newton"] = "newton"
    method: Literal["exact", "cg"] = declare(
        "cg",
        label="Method",
        help="exact forms the Hessian and takes its eigenvalues; cg solves by conjugate gradients, "
        "which need products with it alone.",
    )
    steps: int = declare(
        5, label="Steps", help="Newton steps, each with a line search.", minimum=1, maximum=10_000
    )
    cg_iterations: int = declare(
        20,
        label="CG iterations",
        help="At most so many products with the Hessian in a step.",
        minimum=1,
        maximum=100_000,
        when={"method": ("cg",)},
    )
    cg_tolerance: float = declare(
        1e-3,
        label="CG tolerance",
        help="Conjugate gradients end when the residual is so small, relative to the gradient.",
        minimum=0,
        advanced=True,
        when={"method": ("cg",)},
    )
    damping: float = declare(
        1e-3,
        label="Damping",
        help="Added to the diagonal of the Hessian: larger is more careful.",
        minimum=0,
    )

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(2)

    @property
    @override
    def moves_weights(self) -> bool:
        return True

    @property
    @override
    def may_end_early(self) -> str:
        if self.method != "cg":
            return ""
        return (
            "The time is that of all workload.cg_iterations; conjugate gradients may end earlier."
        )

    @override
    def alternatives(self, parameters: int) -> Iterator[Alternative]:
        if self.method == "cg":
            # Its steps follow another rule where the Hessian has negative eigenvalues.
            yield Alternative({"method": "exact"}, "the whole Hessian", "steps by its eigenvalues")
        else:
            near = "steps by conjugate gradients, ended at a tolerance"
            yield Alternative({"method": "cg"}, "conjugate gradients", near)

    @override
    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        if self.method == "exact":
            yield from eigenvalue_misfits(mitigation, self.method)
        for index, layer in enumerate(model.layers):
            if isinstance(layer, Embedding) and layer.sparse:
                yield Problem(
                    ("model", "layers", index, "sparse"),
                    f"model.layers.{index}.sparse: true was given; a Newton step changes every "
                    "weight at once, allowed: false.",
                )

    @override
    def result_numbers(self, parameters: int) -> int:
        return parameters if self.method == "cg" else parameters**2

    @override
    def units(self, parameters: int) -> int:
        return self.cg_iterations if self.method == "cg" else parameters
