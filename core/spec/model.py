"""The model: a stack of layers, traced row by row without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from core.spec.declaration import Spec, declare
from core.spec.layers import Layer, LayerRow, LayerSpec, Shape, leaves, row_of

__all__ = ["LayerRow", "Place", "StackModel"]

Place = tuple[int, ...]
"""Positions of a layer and of what it lies in, the outermost first."""


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

    def outline(self) -> tuple[tuple[Place, LayerRow], ...]:
        """Every layer with its place, each before the layers that it is made of."""
        return tuple(_outline(self.trace(), ()))

    @property
    def leaves(self) -> tuple[LayerSpec, ...]:
        """The layers in order, those that are made of others replaced by their parts."""
        return tuple(leaves(self.layers))

    @property
    def functions(self) -> frozenset[str]:
        """The kinds whose functions the layers compute."""
        return frozenset().union(*(layer.functions for layer in self.layers))

    @property
    def is_random(self) -> bool:
        """Whether a layer draws random numbers."""
        return any(layer.random for layer in leaves(self.layers))

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
    if shape is not None and layer.takes_whole_numbers and not whole_numbers:
        problem = "embedding takes whole numbers, so it stands first, or after flatten alone."
        return LayerRow(index, layer, shape, None, None, problem)
    return row_of(index, layer, shape)


def _outline(rows: Iterable[LayerRow], place: Place) -> Iterator[tuple[Place, LayerRow]]:
    for row in rows:
        here = (*place, row.index)
        yield here, row
        yield from _outline(row.layer.rows(row.input_shape), here)
