"""Functions of each value by itself, and softmax."""

from __future__ import annotations

from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import declare
from core.spec.layers.base import (
    Elementwise,
    Shape,
    ShapeError,
)


class Identity(Elementwise):
    """The input itself."""

    title: ClassVar[str] = "Identity"
    kind: Literal["identity"] = "identity"

    @override
    def held_numbers(self, input_shape: Shape, order: int) -> int:
        # The input itself takes no memory of its own.
        return 0


class ReLU(Elementwise):
    """max(0, x)."""

    title: ClassVar[str] = "ReLU"
    kind: Literal["relu"] = "relu"


class LeakyReLU(Elementwise):
    """x, or a fraction of x below zero."""

    title: ClassVar[str] = "Leaky ReLU"
    kind: Literal["leaky_relu"] = "leaky_relu"
    negative_slope: float = declare(
        0.01, label="Negative slope", help="Slope below zero.", advanced=True
    )


class GELU(Elementwise):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016)."""

    title: ClassVar[str] = "GELU"
    kind: Literal["gelu"] = "gelu"
    approximate: Literal["none", "tanh"] = declare(
        "none", label="Approximation", help="Exact, or by tanh.", advanced=True
    )


class SiLU(Elementwise):
    """x · sigmoid(x)."""

    title: ClassVar[str] = "SiLU"
    kind: Literal["silu"] = "silu"


class Tanh(Elementwise):
    """Hyperbolic tangent."""

    title: ClassVar[str] = "Tanh"
    kind: Literal["tanh"] = "tanh"


class Sigmoid(Elementwise):
    """Logistic function."""

    title: ClassVar[str] = "Sigmoid"
    kind: Literal["sigmoid"] = "sigmoid"


class Softplus(Elementwise):
    """log(1 + exp(βx)) / β, linear above the threshold."""

    title: ClassVar[str] = "Softplus"
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
