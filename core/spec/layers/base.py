"""What every layer has: a kind, an output shape, named parameters.

Shapes exclude the batch.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import Path, Spec

Shape = tuple[int, ...]
Pair = tuple[int, int]

Kept = Literal["input", "output", "cotangent"]
"""A tensor that a layer's graph keeps: what went in, what came out, and, where the gradient is
differentiated again, the gradient by the output."""


class ShapeError(ValueError):
    """A layer that cannot take its input; the message is one sentence.

    Attributes:
        path: of the inner layer that is meant, below the one that raises; empty for itself.
    """

    def __init__(self, sentence: str, path: Path = ()) -> None:
        super().__init__(sentence)
        self.path = path


class LayerSpec(Spec):
    """One layer of a stack."""

    title: ClassVar[str]
    group: ClassVar[str]
    takes_whole_numbers: ClassVar[bool] = False
    parts_field: ClassVar[str] = ""
    """The field that holds the layers which this one is made of; empty for most."""
    keeps: ClassVar[tuple[Kept, ...]] = ()
    """Which of the tensors around it its formula for the gradient reads."""
    is_view: ClassVar[bool] = False
    """Whether its output lies in the memory of its input."""

    kind: str

    @property
    def random(self) -> bool:
        """Whether it draws random numbers."""
        return False

    @property
    def parts(self) -> tuple[LayerSpec, ...]:
        """The layers that this one is made of; none for most."""
        return ()

    @property
    def kept_around(self) -> tuple[Kept, ...]:
        """What ``keeps`` says, or what the parts of such a layer make of it."""
        return self.keeps

    @property
    def functions(self) -> frozenset[str]:
        """The kinds whose functions it computes: its own, or those of its parts."""
        return frozenset((self.kind,))

    def rows(self, input_shape: Shape | None) -> tuple[LayerRow, ...]:
        """What is known of its parts."""
        del input_shape
        return ()

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

    def held_numbers(self, input_shape: Shape, order: int) -> int:
        """Numbers of the largest tensor that it certainly makes of one example.

        Args:
            input_shape: without the batch.
            order: how often it is differentiated.
        """
        del order
        return math.prod(self.output_shape(input_shape))

    def kept_within(self, input_shape: Shape, order: int) -> float:
        """Numbers that its graph keeps of one example beside the tensors that ``keeps`` names.

        In units of the run's number format; a share of one where they are smaller.

        Args:
            input_shape: without the batch.
            order: how often it is differentiated, 1 or 2.
        """
        del input_shape, order
        return 0

    def parameter_count(self, input_shape: Shape) -> int:
        """Number of trainable values."""
        return sum(math.prod(shape) for shape in self.parameter_shapes(input_shape).values())


@dataclass(frozen=True)
class LayerRow:
    """What is known of one layer before anything runs.

    Attributes:
        output_shape: without the batch; None where this layer or one above it is wrong.
        parameters: number of trainable values; None where the input shape is unknown.
        problem: one sentence, None where the layer is right.
        problem_path: of the part that the problem is of, below the layer; empty for itself.
    """

    index: int
    layer: LayerSpec
    input_shape: Shape | None
    output_shape: Shape | None
    parameters: int | None
    problem: str | None
    problem_path: Path = ()


def row_of(index: int, layer: LayerSpec, shape: Shape | None) -> LayerRow:
    """What is known of a layer with an input of this shape."""
    if shape is None:
        return LayerRow(index, layer, None, None, None, None)
    try:
        output_shape = layer.output_shape(shape)
    except ShapeError as error:
        return LayerRow(index, layer, shape, None, None, str(error), error.path)
    return LayerRow(index, layer, shape, output_shape, layer.parameter_count(shape), None)


def leaves(layers: Iterable[LayerSpec]) -> Iterator[LayerSpec]:
    """The layers in order, those that are made of others replaced by their parts."""
    for layer in layers:
        if layer.parts:
            yield from leaves(layer.parts)
        else:
            yield layer


def keyed(layers: Iterable[LayerSpec], path: Path) -> Iterator[tuple[Path, LayerSpec]]:
    """Every layer with its path, each before its parts.

    Args:
        path: of the list that the layers stand in.
    """
    for index, layer in enumerate(layers):
        yield (*path, index), layer
        yield from keyed(layer.parts, (*path, index, layer.parts_field))


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
