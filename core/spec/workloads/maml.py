"""Meta-learning: initial weights from which a few steps on a task go far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NamedTuple

from pydantic import model_validator
from typing_extensions import override

from core.spec.declaration import LARGEST_WHOLE, Problem, declare
from core.spec.derivation import FIRST_WRONG_ORDER, Derivation
from core.spec.mitigations import IN_SEGMENTS, Mitigation
from core.spec.model import StackModel
from core.spec.models import Model
from core.spec.workloads.alternative import Alternative
from core.spec.workloads.base import Examples, WorkloadSpec

HIGHEST_META_ORDER: Final = 4
_ROUGH_RESIDUAL: Final = 0.01
"""Share of the right-hand side up to which the solution of a linear system passes for one."""


class _Orders(NamedTuple):
    """The orders that a variant has.

    Attributes:
        why: what it does instead of others, the middle of a sentence.
    """

    lowest: int = 1
    highest: int = HIGHEST_META_ORDER
    why: str = "differentiates through its inner steps"


_ORDERS: Final[Mapping[str, _Orders]] = MappingProxyType(
    {
        "maml": _Orders(),
        "anil": _Orders(),
        "reptile": _Orders(1, 1, "follows its inner steps and differentiates nothing further"),
        "imaml": _Orders(2, 2, "solves a linear system with the Hessian"),
    }
)


_NEAR: Final = (
    ("maml", 1, "first-order MAML", "the meta-gradient without second derivatives"),
    ("anil", 2, "ANIL", "adaptation of the last layer alone"),
    ("reptile", 1, "Reptile", "the way to the adapted weights"),
    ("imaml", 2, "iMAML", "the implicit meta-gradient of steps held near their start"),
)
"""What is taken in place of the exact meta-gradient: variant, order, name, what it computes."""


class Maml(WorkloadSpec):
    """Gradient of the loss after a few inner steps, by the initial weights (Finn et al. 2017), and
    what others take in its place: ANIL (Raghu et al. 2020), Reptile (Nichol et al. 2018) and
    iMAML (Rajeswaran et al. 2019)."""

    title: ClassVar[str] = "MAML"
    examples: ClassVar[Examples] = "tasks"
    adapts: ClassVar[bool] = True
    headings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Inner loop": ("inner_steps", "inner_lr", "regularisation", "cg_iterations"),
        "Meta-batch": ("tasks", "support", "query"),
        "Outer loop": ("outer_steps", "outer_lr", "test_tasks"),
    }
    kind: Literal["maml"] = "maml"
    order: int = declare(
        2,
        label="Order",
        help="1 ignores the inner graph (first-order MAML), 2 is the exact meta-gradient, "
        "3 and 4 differentiate its sum again.",
        minimum=1,
        maximum=HIGHEST_META_ORDER,
        when={"variant": ("maml", "anil")},
    )
    variant: Literal["maml", "anil", "reptile", "imaml"] = declare(
        "maml",
        label="Variant",
        help="maml differentiates through the inner steps; in anil only the last layer with "
        "weights takes them; reptile goes to where they end; imaml holds them near their start "
        "and differentiates implicitly.",
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
    regularisation: float = declare(
        1.0,
        label="Regularisation",
        help="Weight of half the squared distance from the initial weights, which the inner steps "
        "descend beside the loss; imaml only.",
        minimum=0,
        when={"variant": ("imaml",)},
    )
    cg_iterations: int = declare(
        5,
        label="CG iterations",
        help="Conjugate gradient steps towards the implicit gradient, a Hessian-vector product "
        "each; imaml only.",
        minimum=1,
        maximum=1000,
        when={"variant": ("imaml",)},
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
    test_tasks: int = declare(
        0,
        label="Held-out tasks",
        help="Tasks apart from those of the outer steps, on which the weights are compared with "
        "others that were trained on all tasks together; sinusoid and digits only.",
        minimum=0,
        maximum=100_000,
        when={"outer_steps": range(1, LARGEST_WHOLE + 1)},
    )

    @model_validator(mode="before")
    @classmethod
    def _orders_that_go_without_saying(cls, value: Any) -> Any:
        """``fomaml`` is the name of MAML at order 1; a variant of one order brings it along."""
        if not isinstance(value, dict):
            return value
        if value.get("variant") == "fomaml":
            if value.get("order", 1) != 1:
                raise ValueError("variant fomaml means order 1; leave order out or give 1.")
            return value | {"variant": "maml", "order": 1}
        orders = _ORDERS.get(str(value.get("variant")))
        if orders is not None and "order" not in value and orders.lowest == orders.highest:
            return value | {"order": orders.lowest}
        return value

    @classmethod
    def brings_order(cls, variant: object) -> bool:
        """Whether a variant says of itself which order it is of."""
        orders = _ORDERS.get(str(variant))
        return variant == "fomaml" or (orders is not None and orders.lowest == orders.highest)

    @property
    @override
    def moves_weights(self) -> bool:
        return True

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(self.order)

    @property
    @override
    def unrolls(self) -> bool:
        return self.order >= 2 and self.variant != "imaml"

    @property
    def needs_dense_gradients(self) -> bool:
        """Whether a sparse embedding's gradient would be wrong, or not taken."""
        return self.order >= FIRST_WRONG_ORDER or self.variant == "imaml"

    @property
    @override
    def undivided(self) -> str:
        return (
            "its tasks are computed one after the other and added up already; a smaller "
            "workload.support and workload.query need less, and so does mitigation.inner_loop"
        )

    @property
    @override
    def approximates(self) -> str:
        if self.order >= 2 and self.variant == "maml":
            return ""
        return "the meta-gradient of MAML through all inner steps"

    @override
    def exactly(self) -> Maml:
        if not self.approximates:
            return self
        return self.model_copy(update={"variant": "maml", "order": max(self.order, 2)})

    @override
    def alternatives(self, parameters: int) -> Iterator[Alternative]:
        if (self.variant, self.order) == ("maml", 2):
            for variant, order, words, near in _NEAR:
                yield Alternative({"variant": variant, "order": order}, words, near)

    @override
    def graphs(self, mitigation: Mitigation) -> int:
        standard = mitigation.inner_loop == "standard"
        return self.inner_steps if self.unrolls and standard else 1

    @override
    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        orders = _ORDERS[self.variant]
        if not orders.lowest <= self.order <= orders.highest:
            yield Problem(
                ("workload", "order"),
                f'workload.order: {self.order} was given; the variant "{self.variant}" '
                f"{orders.why}; allowed: {orders.lowest}.",
            )
        if self.variant == "anil" and not isinstance(model, StackModel):
            yield Problem(
                ("workload", "variant"),
                'workload.variant: "anil" was given, which adapts the last layer of a stack; a '
                "model of your own is one piece.",
            )
        if self.variant == "reptile" and self.inner_lr == 0:
            yield Problem(
                ("workload", "inner_lr"),
                'workload.inner_lr: 0 was given; the variant "reptile" divides by it; allowed: '
                "a number above 0.",
            )
        if self.test_tasks and not self.outer_steps:
            yield Problem(
                ("workload", "test_tasks"),
                f"workload.test_tasks: {self.test_tasks} was given, but workload.outer_steps is 0, "
                "so that nothing is trained; allowed: 0.",
            )
        yield from self._misfit_of_segments(mitigation)
        if self.variant == "imaml" and self.regularisation == 0:
            yield Problem(
                ("workload", "regularisation"),
                'workload.regularisation: 0 was given; the variant "imaml" divides by it; '
                "allowed: a number above 0.",
            )

    def _misfit_of_segments(self, mitigation: Mitigation) -> Iterator[Problem]:
        segments = mitigation.inner_segments
        is_cut = self.unrolls and mitigation.inner_loop in IN_SEGMENTS
        if is_cut and segments != "auto" and segments > self.inner_steps:
            yield Problem(
                ("mitigation", "inner_segments"),
                f"mitigation.inner_segments: {segments} was given; allowed: at most the number of "
                f"inner steps, {self.inner_steps}.",
            )

    @override
    def remarks(self, readings: Mapping[str, float | None]) -> Iterator[str]:
        residual = readings.get("cg_residual")
        if residual is not None and residual > _ROUGH_RESIDUAL:
            yield (
                f"Conjugate gradients have not converged: after {self.cg_iterations} iterations "
                f"{residual:.1%} of the right-hand side is left, so the implicit gradient is "
                "rough. More workload.cg_iterations or a larger workload.regularisation bring it "
                "nearer."
            )


def head_of(model: StackModel) -> int:
    """Position of the last layer with weights: ANIL's inner steps adapt it alone."""
    return max((row.index for row in model.trace() if row.parameters), default=0)
