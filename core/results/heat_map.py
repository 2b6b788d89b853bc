"""A matrix as a picture: few cells that stand for many entries."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

MOST_CELLS: Final = 64
"""Along each side."""


class Block(BaseModel):
    """Rows, and as many columns, that belong together.

    Attributes:
        name: for example that of a parameter.
        start: the first of its rows, in entries of the matrix.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    start: int


class HeatMap(BaseModel):
    """A square matrix, coarse enough to be drawn.

    Attributes:
        title: two or three words.
        size: rows of the matrix.
        cells: rows of cells, from the top; each is the entry with the largest absolute value among
            those that it stands for, with its sign; None where one is not finite.
        blocks: in order; the first begins at 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    size: int
    cells: tuple[tuple[float | None, ...], ...]
    blocks: tuple[Block, ...] = ()


def bounds(size: int) -> list[int]:
    """The first entry of each cell along a side, and the end: as even as whole numbers allow."""
    count = min(size, MOST_CELLS)
    return [size * position // count for position in range(count + 1)]
