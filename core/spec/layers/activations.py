"""Functions of each value by itself, and softmax."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import declare
from core.spec.layers.base import (
    Elementwise,
    Kept,
    Shape,
    ShapeError,
)


class Identity(Elementwise):
    """The input itself."""

    title: ClassVar[str] = "Identity"
    is_view: ClassVar[bool] = True
    kind: Literal["identity"] = "identity"

    @override
    def held_numbers(self, input_shape: Shape, order: int) -> int:
        # The input itself takes no memory of its own.
        return 0


class ReLU(Elementwise):
    """max(0, x)."""

    title: ClassVar[str] = "ReLU"
    keeps: ClassVar[tuple[Kept, ...]] = ("output",)
    kind: Literal["relu"] = "relu"


class LeakyReLU(Elementwise):
    """x, or a fraction of x below zero."""

    title: ClassVar[str] = "Leaky ReLU"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["leaky_relu"] = "leaky_relu"
    negative_slope: float = declare(
        0.01, label="Negative slope", help="Slope below zero.", advanced=True
    )


class GELU(Elementwise):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016)."""

    title: ClassVar[str] = "GELU"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["gelu"] = "gelu"
    approximate: Literal["none", "tanh"] = declare(
        "none", label="Approximation", help="Exact, or by tanh.", advanced=True
    )


class SiLU(Elementwise):
    """x · sigmoid(x)."""

    title: ClassVar[str] = "SiLU"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["silu"] = "silu"

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        # torch differentiates its gradient in elementary operations.
        return 4 * math.prod(input_shape) if order >= 2 else 0


class Tanh(Elementwise):
    """Hyperbolic tangent."""

    title: ClassVar[str] = "Tanh"
    keeps: ClassVar[tuple[Kept, ...]] = ("output", "cotangent")
    kind: Literal["tanh"] = "tanh"


class Sigmoid(Elementwise):
    """Logistic function."""

    title: ClassVar[str] = "Sigmoid"
    keeps: ClassVar[tuple[Kept, ...]] = ("output", "cotangent")
    kind: Literal["sigmoid"] = "sigmoid"


class Softplus(Elementwise):
    """log(1 + exp(βx)) / β, linear above the threshold."""

    title: ClassVar[str] = "Softplus"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["softplus"] = "softplus"
    beta: float = declare(
        1.0, label="Beta", help="Sharpness; above 0.", minimum=1e-9, advanced=True
    )
    threshold: float = declare(
        20.0, label="Threshold", help="Above βx of this, linear.", advanced=True
    )


class Softmax(Elementwise):
    """Exponentials that sum to one over an axis."""

    title: ClassVar[str] = "Softmax"
    keeps: ClassVar[tuple[Kept, ...]] = ("output", "cotangent")
    kind: Literal["softmax"] = "softmax"
    dim: int = declare(
        -1, label="Axis", help="Axis counted from the batch (0); -1 is the last.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        rank = len(input_shape) + 1
        if not -rank <= self.dim < rank:
            raise ShapeError(
                f"softmax has no axis {self.dim}: its input has axes {-rank} to {rank - 1}, "
                "the batch included."
            )
        return input_shape
