"""Every layer kind, in the order in which menus list them.

Those that hold layers of every kind stand here too, beside the union that they refer to.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from core.spec.layers.activations import (
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from core.spec.layers.base import Kept, LayerRow, LayerSpec, Shape, row_of
from core.spec.layers.composites import (
    ALPHA,
    DEEPEST,
    Composite,
    common_shape,
    depth,
    in_a_chain,
    sum_shape,
)
from core.spec.layers.kept import kept_and_output, kept_by_length
from core.spec.layers.norms import BatchNorm, Dropout, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from core.spec.layers.pooling import AdaptiveAvgPool2d, AvgPool2d, Flatten, MaxPool2d
from core.spec.layers.sequences import GRU, LSTM, MultiheadAttention, TransformerEncoderLayer
from core.spec.layers.weights import Conv1d, Conv2d, Embedding, Linear


class Residual(Composite):
    """The input plus what a stack of layers makes of it (He et al. 2016)."""

    title: ClassVar[str] = "Residual"
    parts_field: ClassVar[str] = "layers"
    kind: Literal["residual"] = "residual"
    layers: tuple[Layer, ...] = (ReLU(),)

    @field_validator("layers")
    @classmethod
    def _not_too_deep(cls, layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
        return _not_too_deep(layers)

    @property
    @override
    def parts(self) -> tuple[LayerSpec, ...]:
        return self.layers

    @property
    @override
    def kept_around(self) -> tuple[Kept, ...]:
        first, last = self.layers[0].kept_around, self.layers[-1].kept_around
        kept: tuple[Kept, ...] = ("input",) if "input" in first else ()
        return (*kept, "cotangent") if "cotangent" in last else kept

    @override
    def rows(self, input_shape: Shape | None) -> tuple[LayerRow, ...]:
        return in_a_chain(self.layers, input_shape)

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return sum_shape(self, input_shape)

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        rows = self.rows(input_shape)
        # The gradient by what the last part puts out is that by the sum.
        shared = math.prod(input_shape) if order >= 2 and "cotangent" in self.kept_around else 0
        return kept_by_length(rows, order)[-1] - shared


class Mixed(Composite):
    """All candidates at once, each weighed by its share of a softmax (Liu et al. 2019)."""

    title: ClassVar[str] = "Mixed"
    parts_field: ClassVar[str] = "candidates"
    kind: Literal["mixed"] = "mixed"
    candidates: tuple[Layer, ...] = (ReLU(), Tanh(), SiLU(), Identity())

    @field_validator("candidates")
    @classmethod
    def _not_too_deep(cls, candidates: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
        return _not_too_deep(candidates)

    @property
    @override
    def parts(self) -> tuple[LayerSpec, ...]:
        return self.candidates

    @property
    @override
    def functions(self) -> frozenset[str]:
        return super().functions | {"softmax"}

    @override
    def rows(self, input_shape: Shape | None) -> tuple[LayerRow, ...]:
        return tuple(
            row_of(index, candidate, input_shape) for index, candidate in enumerate(self.candidates)
        )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return common_shape(self, input_shape)

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        # Each candidate's output is multiplied by its share.
        return sum(kept_and_output([row], order) for row in self.rows(input_shape))

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {ALPHA: (len(self.candidates),)} | super().parameter_shapes(input_shape)


def _not_too_deep(layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    if max(map(depth, layers), default=0) >= DEEPEST:
        raise ValueError(f"at most {DEEPEST} layers may lie within each other.")
    return layers


Layer = Annotated[
    Linear
    | Conv1d
    | Conv2d
    | MaxPool2d
    | AvgPool2d
    | AdaptiveAvgPool2d
    | Flatten
    | Identity
    | ReLU
    | LeakyReLU
    | GELU
    | SiLU
    | Tanh
    | Sigmoid
    | Softplus
    | Softmax
    | Dropout
    | BatchNorm
    | LayerNorm
    | GroupNorm
    | RMSNorm
    | InstanceNorm
    | Embedding
    | MultiheadAttention
    | TransformerEncoderLayer
    | LSTM
    | GRU
    | Residual
    | Mixed,
    Field(discriminator="kind"),
]

Residual.model_rebuild()
Mixed.model_rebuild()

_CLASSES: tuple[type[LayerSpec], ...] = Layer.__origin__.__args__  # type: ignore[attr-defined]
LAYER_KINDS: dict[str, type[LayerSpec]] = {
    str(cls.model_fields["kind"].default): cls for cls in _CLASSES
}
