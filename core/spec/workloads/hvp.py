"""Products of the Hessian with vectors, which never form the Hessian."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import Problem, declare
from core.spec.derivation import Derivation, Tangents
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.workloads.alternative import Alternative
from core.spec.workloads.base import WorkloadSpec
from core.spec.workloads.batching import batching_misfits

_DERIVATIONS = {
    "reverse_over_reverse": Derivation(2),
    "forward_over_reverse": Derivation(2, "outside"),
    "reverse_over_forward": Derivation(2, "inside"),
    "finite_difference": Derivation(1),
}

_DIFFERENCES = "finite_difference"

_TANGENTLESS: Mapping[tuple[str, Tangents], tuple[str, str]] = MappingProxyType(
    {
        ("torch", "inside"): (
            "computes its segments again without tangents",
            '"none" or "rematerialize"',
        ),
    }
)
"""Ways of checkpointing that lose tangents: what they do, and what is allowed instead."""


class Hvp(WorkloadSpec):
    """Hessian-vector products Hv for random vectors v (Pearlmutter 1994)."""

    title: ClassVar[str] = "Hessian-vector product"
    owns: ClassVar[str] = "vectors"
    kind: Literal["hvp"] = "hvp"
    mode: Literal[
        "reverse_over_reverse",
        "forward_over_reverse",
        "reverse_over_forward",
        "finite_difference",
    ] = declare(
        "reverse_over_reverse",
        label="Mode",
        help="How the second derivative is taken: the gradient of gradient·v, a tangent carried "
        "through the gradient, the gradient of a tangent, or the difference of two gradients.",
    )
    vectors: int = declare(
        1,
        label="Vectors",
        help="How many vectors are multiplied; reverse over reverse keeps one graph for all.",
        minimum=1,
    )
    batched: bool = declare(
        False,
        label="All at once",
        help="Multiplies all vectors in one pass instead of one after the other; reverse over "
        "reverse only.",
        advanced=True,
        when={"mode": ("reverse_over_reverse",)},
    )

    @property
    @override
    def takes_differences(self) -> bool:
        return self.mode == _DIFFERENCES

    @property
    @override
    def approximates(self) -> str:
        return "the product of the Hessian with a vector" if self.takes_differences else ""

    @override
    def exactly(self) -> Hvp:
        exact = {"mode": "reverse_over_reverse"} if self.takes_differences else {}
        return self.model_copy(update=exact)

    @property
    @override
    def derivation(self) -> Derivation:
        return replace(_DERIVATIONS[self.mode], batched=self.batched)

    @property
    @override
    def moves_weights(self) -> bool:
        return self.mode != "reverse_over_reverse"

    @override
    def alternatives(self, parameters: int) -> Iterator[Alternative]:
        for mode in _DERIVATIONS:
            words = mode.replace("_", " ")
            near = "products as differences of two gradients" if mode == _DIFFERENCES else ""
            if mode != self.mode or self.batched:
                yield Alternative({"mode": mode, "batched": False}, words, near)
        if self.vectors > 1 and not self.batched:
            changes = {"mode": "reverse_over_reverse", "batched": True}
            yield Alternative(changes, "all vectors at once")

    @override
    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        if self.batched and self.mode != "reverse_over_reverse":
            yield Problem(
                ("workload", "batched"),
                "workload.batched: true was given; only the mode reverse_over_reverse multiplies "
                "all vectors at once.",
            )
        elif self.batched:
            yield from batching_misfits(model, mitigation, "batched", "true", "false")
        kind, tangents = mitigation.checkpointing.kind, self.derivation.tangents
        why, allowed = _TANGENTLESS.get((kind, tangents), ("", ""))
        if why:
            yield Problem(
                ("mitigation", "checkpointing", "kind"),
                f'mitigation.checkpointing.kind: "{kind}" was given, which {why}, which '
                f'workload.mode "{self.mode}" needs; allowed: {allowed}.',
            )
        if (mitigation.precision, tangents) == ("autocast", "inside"):
            yield from _of_mixed_tangents(model)

    @override
    def result_numbers(self, parameters: int) -> int:
        return self.vectors * parameters

    @override
    def units(self, parameters: int) -> int:
        return 1 if self.batched else self.vectors


def _of_mixed_tangents(model: Model) -> Iterator[Problem]:
    """WORKAROUND: torch 2.13 hands on what follows group_norm with a tangent in 32 bits beside a
    number in 16, which a product of matrices refuses."""
    if "group_norm" in model.functions:
        yield Problem(
            ("mitigation", "precision"),
            'mitigation.precision: "autocast" was given; group_norm and workload.mode '
            '"reverse_over_forward" do not go with it; allowed: "bfloat16", or another mode.',
        )
