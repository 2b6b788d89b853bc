"""Meta-learning: the loss after a few steps on a task, by the weights before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import override

from core.spec.declaration import LARGEST_WHOLE, declare
from core.spec.derivation import Derivation
from core.spec.workloads.base import Examples, WorkloadSpec

HIGHEST_META_ORDER = 4


class Maml(WorkloadSpec):
    """Gradient of the loss after a few inner steps, by the initial weights (Finn et al. 2017)."""

    title: ClassVar[str] = "MAML"
    examples: ClassVar[Examples] = "tasks"
    adapts: ClassVar[bool] = True
    headings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Inner loop": ("inner_steps", "inner_lr"),
        "Meta-batch": ("tasks", "support", "query"),
        "Outer loop": ("outer_steps", "outer_lr"),
    }
    kind: Literal["maml"] = "maml"
    order: int = declare(
        2,
        label="Order",
        help="1 ignores the inner graph (first-order MAML), 2 is the exact meta-gradient, "
        "3 and 4 differentiate its sum again.",
        minimum=1,
        maximum=HIGHEST_META_ORDER,
    )
    variant: Literal["maml"] = declare(
        "maml", label="Variant", help="The meta-learning algorithm.", advanced=True
    )
    inner_steps: int = declare(
        5,
        label="Inner steps",
        help="Gradient steps on a task's support set.",
        minimum=1,
        maximum=10_000,
    )
    inner_lr: float = declare(
        0.01, label="Inner rate", help="Step size of the inner steps.", minimum=0
    )
    tasks: int = declare(4, label="Tasks", help="Tasks in one meta-gradient.", minimum=1)
    support: int = declare(20, label="Support", help="Examples a task adapts to.", minimum=1)
    query: int = declare(20, label="Query", help="Examples a task is judged by.", minimum=1)
    outer_steps: int = declare(
        0,
        label="Outer steps",
        help="Adam steps on the initial weights, once after measuring; they draw the learning "
        "curve.",
        minimum=0,
    )
    outer_lr: float = declare(
        0.001,
        label="Outer rate",
        help="Step size of Adam.",
        minimum=0,
        when={"outer_steps": range(1, LARGEST_WHOLE + 1)},
    )

    @model_validator(mode="before")
    @classmethod
    def _first_order_by_its_own_name(cls, value: Any) -> Any:
        """``fomaml`` is the name of MAML at order 1."""
        if isinstance(value, dict) and value.get("variant") == "fomaml":
            if value.get("order", 1) != 1:
                raise ValueError("variant fomaml means order 1; leave order out or give 1.")
            return value | {"variant": "maml", "order": 1}
        return value

    @property
    @override
    def moves_weights(self) -> bool:
        return True

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(self.order)
