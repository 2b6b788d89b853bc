"""Gradient of the sum of the gradient of the sum of the gradient ..."""

from __future__ import annotations

from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import declare
from core.spec.derivation import Derivation
from core.spec.workloads.base import WorkloadSpec

HIGHEST_ORDER = 6


class NestedGradient(WorkloadSpec):
    """Order k is the gradient of the sum of the entries of order k - 1."""

    title: ClassVar[str] = "Nested gradient"
    kind: Literal["nested_gradient"] = "nested_gradient"
    order: int = declare(
        2,
        label="Order",
        help="How many times the loss is differentiated.",
        minimum=1,
        maximum=HIGHEST_ORDER,
    )
    wrt: Literal["parameters", "inputs"] = declare(
        "parameters", label="With respect to", help="What the loss is differentiated by."
    )

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(self.order)

    @property
    @override
    def by_inputs(self) -> bool:
        return self.wrt == "inputs"
