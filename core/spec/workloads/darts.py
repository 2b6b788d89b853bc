"""Architecture search: which candidates to weigh how much, by the loss after a step of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import ClassVar, Final, Literal

from typing_extensions import override

from core.spec.declaration import LARGEST_WHOLE, Path, Problem, declare
from core.spec.derivation import Derivation
from core.spec.layers import ALPHA, Embedding, LayerSpec, Mixed, keyed
from core.spec.mitigations import Mitigation
from core.spec.model import StackModel
from core.spec.models import Model
from core.spec.workloads.alternative import Alternative
from core.spec.workloads.base import Examples, WorkloadSpec

SEARCHED: Final = (
    "identity",
    "relu",
    "leaky_relu",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
    "softplus",
)
"""Kinds that become a choice where the model has none of its own."""

_STACK: Path = ("model", "layers")


class Darts(WorkloadSpec):
    """Gradient, by the weights of candidates, of the validation loss after a training step (Liu et
    al. 2019)."""

    title: ClassVar[str] = "DARTS"
    examples: ClassVar[Examples] = "halves"
    kind: Literal["darts"] = "darts"
    order: int = declare(
        2,
        label="Order",
        help="1 takes the weights as they are, 2 follows the architecture through a training "
        "step of theirs.",
        minimum=1,
        maximum=2,
    )
    method: Literal["exact", "finite_difference"] = declare(
        "exact",
        label="Method",
        help="Of order 2: the gradient through the training step, or the paper's central "
        "difference of two gradients.",
        when={"order": (2,)},
    )
    weight_lr: float = declare(
        0.025,
        label="Weight rate",
        help="Step size of the training step.",
        minimum=0,
        when={"steps_weights": (True,)},
    )
    search_steps: int = declare(
        0,
        label="Search steps",
        help="Steps of the architecture and of the weights in turn, once after measuring; they "
        "draw the search.",
        minimum=0,
    )
    architecture_lr: float = declare(
        3e-4,
        label="Architecture rate",
        help="Step size of Adam on the weights of candidates, while searching.",
        minimum=0,
        when={"search_steps": range(1, LARGEST_WHOLE + 1)},
    )

    @property
    def steps_weights(self) -> bool:
        """Whether the rate of the weights matters: for the gradient, or for the search."""
        return self.order == 2 or self.search_steps > 0

    @property
    def is_exact(self) -> bool:
        """Whether the training step itself is differentiated."""
        return self.order == 2 and self.method == "exact"

    @property
    @override
    def takes_differences(self) -> bool:
        return self.order == 2 and self.method == "finite_difference"

    @property
    @override
    def undivided(self) -> str:
        return (
            "the training step in the middle needs the whole training half; a smaller "
            "data.batch_size needs less"
        )

    @property
    @override
    def approximates(self) -> str:
        return "" if self.is_exact else "the architecture gradient through the training step"

    @override
    def exactly(self) -> Darts:
        return self.model_copy(update={"order": 2, "method": "exact"})

    @property
    @override
    def derivation(self) -> Derivation:
        return Derivation(2 if self.is_exact else 1)

    @property
    @override
    def moves_weights(self) -> bool:
        return True

    @override
    def computed_model(self, model: Model) -> Model:
        """Every activation a choice, unless the model has a choice of its own."""
        if not isinstance(model, StackModel) or any(
            isinstance(layer, Mixed) for _, layer in keyed(model.layers, _STACK)
        ):
            return model
        layers = tuple(_searched(layer) for layer in model.layers)
        return model.model_copy(update={"layers": layers})

    @override
    def alternatives(self, parameters: int) -> Iterator[Alternative]:
        if self.is_exact:
            near = "the second derivative as a difference of two gradients"
            yield Alternative({"method": "finite_difference"}, "finite difference", near)
        elif self.order == 2:
            yield Alternative({"method": "exact"}, "exact")
        if self.order == 2:
            near = "the gradient at the weights as they are"
            yield Alternative({"order": 1}, "first order", near)

    @override
    def misfits(self, model: Model, mitigation: Mitigation) -> Iterator[Problem]:
        del mitigation
        if not isinstance(model, StackModel):
            yield Problem(
                ("workload", "kind"),
                'workload.kind: "darts" was given, which chooses among the layers of a stack; a '
                "model of your own is one piece.",
            )
            return
        names = [
            name
            for row in self.computed_model(model).trace()
            for name in row.layer.parameter_shapes(row.input_shape or ())
        ]
        if not any(map(is_choice, names)):
            yield Problem(
                ("workload", "kind"),
                'workload.kind: "darts" was given, which chooses among the candidates of a mixed '
                "layer, or among activations; the stack has neither.",
            )
        if all(map(is_choice, names)):
            yield Problem(
                ("workload", "kind"),
                'workload.kind: "darts" was given, whose training step needs weights; the stack '
                "has none, add a layer that has, for example linear.",
            )
        for path, layer in keyed(model.layers, _STACK):
            if isinstance(layer, Embedding) and layer.sparse:
                yield Problem(
                    path,
                    "embedding has sparse=true; darts steps along dense gradients, allowed: false.",
                )

    @override
    def result_numbers(self, parameters: int) -> int:
        """The gradient by the weights of candidates alone, at least by those of one."""
        del parameters
        return 2


@cache
def is_choice(name: str) -> bool:
    """Whether a parameter of this name weighs candidates."""
    return name.rpartition(".")[2] == ALPHA


def _searched(layer: LayerSpec) -> LayerSpec:
    if layer.kind in SEARCHED:
        return Mixed()
    if layer.parts:
        parts = tuple(_searched(part) for part in layer.parts)
        return layer.model_copy(update={layer.parts_field: parts})
    return layer
