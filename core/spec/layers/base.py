"""What every layer has: a kind, an output shape, named parameters.

Shapes exclude the batch.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from typing_extensions import override

from core.spec.declaration import Spec

Shape = tuple[int, ...]
Pair = tuple[int, int]


class ShapeError(ValueError):
    """A layer that cannot take its input; the message is one sentence."""


class LayerSpec(Spec):
    """One layer of a stack."""

    title: ClassVar[str]
    group: ClassVar[str]
    random: ClassVar[bool] = False
    takes_whole_numbers: ClassVar[bool] = False
    kind: str

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output without the batch.

        Raises:
            ShapeError: the layer cannot take such an input.
        """

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shapes of the trainable tensors by their ``torch.nn`` names."""
        del input_shape
        return {}

    def buffer_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shapes of the running statistics by their ``torch.nn`` names."""
        del input_shape
        return {}

    def parameter_count(self, input_shape: Shape) -> int:
        """Number of trainable values."""
        return sum(math.prod(shape) for shape in self.parameter_shapes(input_shape).values())


def pair(value: int | Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def window(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output size of a sliding window (torch.nn.Conv2d, formula of its documentation page)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def require_rank(kind: str, shape: Shape, axes: str) -> None:
    wanted = len(axes.split(", "))
    if len(shape) != wanted:
        raise ShapeError(f"{kind} takes an input of shape ({axes}), but gets {shape_text(shape)}.")


def require_window_fits(kind: str, sizes: Shape, input_shape: Shape) -> None:
    if min(sizes) < 1:
        raise ShapeError(f"{kind} has a window larger than its input {shape_text(input_shape)}.")


def shape_text(shape: Shape) -> str:
    """A shape as people write it, for example ``3×32×32``."""
    return "×".join(str(size) for size in shape) if shape else "a single number"


class Elementwise(LayerSpec):
    """A layer whose output has the shape of its input."""

    group: ClassVar[str] = "Activations"

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
