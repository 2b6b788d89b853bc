"""Layers that are made of other layers."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from core.spec.layers.base import Kept, LayerRow, LayerSpec, Shape, ShapeError, row_of, shape_text

ALPHA = "alpha"
"""Name of what a choice among candidates is weighed by."""

DEEPEST = 8
"""So many layers may lie within each other."""

_WHOLE_NUMBERS = "takes whole numbers, so it cannot be a part of another layer."


class Composite(LayerSpec):
    """A layer whose parts are named by their position, as in ``torch.nn.Sequential``."""

    group: ClassVar[str] = "Blocks"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")

    @property
    @override
    def functions(self) -> frozenset[str]:
        return frozenset().union(*(part.functions for part in self.parts))

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {
            f"{row.index}.{name}": shape
            for row in self.rows(input_shape)
            if row.input_shape is not None
            for name, shape in row.layer.parameter_shapes(row.input_shape).items()
        }

    @override
    def buffer_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {
            f"{row.index}.{name}": shape
            for row in self.rows(input_shape)
            if row.input_shape is not None
            for name, shape in row.layer.buffer_shapes(row.input_shape).items()
        }

    def known_rows(self, input_shape: Shape) -> tuple[LayerRow, ...]:
        """The parts, of which none is wrong.

        Raises:
            ShapeError: of the first part that is.
        """
        rows = self.rows(input_shape)
        for row in rows:
            if row.layer.takes_whole_numbers:
                self._refuse(row, f"{row.layer.kind} {_WHOLE_NUMBERS}")
            if row.problem is not None:
                self._refuse(row, row.problem)
        return rows

    def _refuse(self, row: LayerRow, sentence: str) -> None:
        raise ShapeError(sentence, (self.parts_field, row.index, *row.problem_path))


def in_a_chain(layers: tuple[LayerSpec, ...], shape: Shape | None) -> tuple[LayerRow, ...]:
    """What is known of layers that follow each other; after a wrong one the rest is unknown."""
    rows: list[LayerRow] = []
    for index, layer in enumerate(layers):
        rows.append(row_of(index, layer, shape))
        shape = rows[-1].output_shape
    return tuple(rows)


def sum_shape(layer: Composite, input_shape: Shape) -> Shape:
    """Of the input and what the parts, one after the other, make of it."""
    rows = layer.known_rows(input_shape)
    if not rows:
        raise ShapeError(f"{layer.kind} has no {layer.parts_field}; add at least one.")
    output = rows[-1].output_shape
    if output != input_shape:
        raise ShapeError(
            f"{layer.kind} adds what its layers give to what it gets, but it gets "
            f"{shape_text(input_shape)} and its last layer, {rows[-1].layer.kind}, gives "
            f"{shape_text(output or ())}."
        )
    return input_shape


def common_shape(layer: Composite, input_shape: Shape) -> Shape:
    """Of what each part makes of the input."""
    rows = layer.known_rows(input_shape)
    if len(rows) < 2:
        raise ShapeError(
            f"{layer.kind} chooses among at least 2 {layer.parts_field}, but has {len(rows)}."
        )
    first = rows[0]
    for row in rows:
        if row.output_shape != first.output_shape:
            raise ShapeError(
                f"{layer.kind} needs {layer.parts_field} of one output shape, but "
                f"{first.layer.kind} gives {shape_text(first.output_shape or ())} and "
                f"{row.layer.kind} (candidate {row.index + 1}) gives "
                f"{shape_text(row.output_shape or ())}."
            )
    return first.output_shape or ()


def depth(layer: LayerSpec) -> int:
    """How many layers lie within each other, itself included."""
    return 1 + max((depth(part) for part in layer.parts), default=0)
