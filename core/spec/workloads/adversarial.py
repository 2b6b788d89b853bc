"""Adversarial examples: small changes of the inputs that raise the loss most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import Problem, declare
from core.spec.derivation import Derivation
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.workloads.base import WorkloadSpec
from core.spec.workloads.eigenvalues import eigenvalue_misfits


class Adversarial(WorkloadSpec):
    """Inputs that a network gets wrong, by gradients of its loss by them (Kurakin et al. 2017), or
    by products with its Hessian."""

    title: ClassVar[str] = "Adversarial examples"
    kind: Literal["adversarial"] = "adversarial"
    method: Literal["i_fgsm", "second_order"] = declare(
        "i_fgsm",
        label="Method",
        help="i_fgsm follows the sign of the gradient within a box; second_order goes where the "
        "second-order model of the loss is highest within a ball.",
    )
    epsilon: float = declare(
        0.1,
        label="Epsilon",
        help="Half the width of the box, or the radius of the ball around each example; values may "
        "leave the range of the data.",
        minimum=1e-9,
    )
    steps: int = declare(
        10,
        label="Steps",
        help="Steps of epsilon / steps, or products with the Hessian.",
        minimum=1,
        maximum=10_000,
    )
    training_steps: int = declare(
        0,
        label="Training steps",
        help="Adam steps on the same examples before anything is measured, so that there is "
        "something to get wrong.",
        minimum=0,
        maximum=100_000,
    )

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(1 if self.method == "i_fgsm" else 2)

    @property
    @override
    def by_inputs(self) -> bool:
        return True

    @property
    @override
    def moves_weights(self) -> bool:
        return True

    @property
    @override
    def trained(self) -> int:
        return self.training_steps

    @override
    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        if self.method != "second_order":
            return
        yield from eigenvalue_misfits(mitigation, self.method)
        for place, row in model.outline():
            if row.layer.kind == "batch_norm":
                yield Problem(
                    ("workload", "method"),
                    'workload.method: "second_order" was given, which takes each example by '
                    f"itself; batch_norm (layer {place[0] + 1}) makes them depend on each other, "
                    'allowed: "i_fgsm".',
                )

    @override
    def remarks(self, readings: Mapping[str, float | None]) -> Iterator[str]:
        if "success_rate" not in readings:
            yield (
                "There is no success rate: only with the loss cross_entropy is an answer right or "
                "wrong."
            )
        elif readings["success_rate"] is None:
            yield "There is no success rate, because no answer was right before the attack."

    @override
    def units(self, parameters: int) -> int:
        return self.steps
