"""The model: a stack of layers, traced row by row without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from core.spec.declaration import Spec, declare
from core.spec.layers import Layer, LayerSpec, Shape, ShapeError


@dataclass(frozen=True)
class LayerRow:
    """What is known of one layer before anything runs.

    Attributes:
        output_shape: without the batch; None where this layer or one above it is wrong.
        parameters: number of trainable values; None where the input shape is unknown.
        problem: one sentence, None where the layer is right.
    """

    index: int
    layer: LayerSpec
    input_shape: Shape | None
    output_shape: Shape | None
    parameters: int | None
    problem: str | None


class StackModel(Spec):
    """Layers applied one after the other."""

    title: ClassVar[str] = "Layers"
    kind: Literal["stack"] = "stack"
    input_shape: tuple[int, ...] = declare(
        label="Input shape", help="Sizes of one example, without the batch.", minimum=1
    )
    layers: tuple[Layer, ...] = ()

    def trace(self) -> tuple[LayerRow, ...]:
        """Infers shapes from the input on; after a wrong layer the rest is unknown."""
        rows: list[LayerRow] = []
        shape: Shape | None = self.input_shape
        for index, layer in enumerate(self.layers):
            row = _row(index, layer, shape, whole_numbers=_holds_whole_numbers(self, index))
            rows.append(row)
            shape = row.output_shape
        return tuple(rows)

    @property
    def output_shape(self) -> Shape | None:
        """Shape of one output, None where a layer is wrong."""
        rows = self.trace()
        return rows[-1].output_shape if rows else self.input_shape

    @property
    def takes_whole_numbers(self) -> bool:
        """True where the inputs are indices into an embedding."""
        return bool(self.layers) and _holds_whole_numbers(self, 0)

    @property
    def vocabulary(self) -> int | None:
        """Number of distinct whole numbers that the inputs may hold, None for real inputs."""
        for layer in self.layers:
            if layer.kind == "embedding":
                return layer.num_embeddings
        return None


def _holds_whole_numbers(model: StackModel, index: int) -> bool:
    """Inputs are whole numbers up to the first embedding, if only flatten stands before it."""
    for layer in model.layers[index:]:
        if layer.takes_whole_numbers:
            return all(earlier.kind == "flatten" for earlier in model.layers[:index])
        if layer.kind != "flatten":
            return False
    return False


def _row(index: int, layer: LayerSpec, shape: Shape | None, *, whole_numbers: bool) -> LayerRow:
    if shape is None:
        return LayerRow(index, layer, None, None, None, None)
    if layer.takes_whole_numbers and not whole_numbers:
        problem = "embedding takes whole numbers, so it stands first, or after flatten alone."
        return LayerRow(index, layer, shape, None, None, problem)
    try:
        output_shape = layer.output_shape(shape)
    except ShapeError as error:
        return LayerRow(index, layer, shape, None, None, str(error))
    return LayerRow(index, layer, shape, output_shape, layer.parameter_count(shape), None)
