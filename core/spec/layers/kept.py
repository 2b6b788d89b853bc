"""What the graph of layers that follow each other keeps, counted from their shapes.

A tensor between two layers is kept once, whether the one that made it needs it or the one that
reads it. Where the gradient is differentiated again, so is the gradient by that tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.spec.layers.base import LayerRow

GROWTH = 2.7
"""By how much the graph of a layer grows with each order from the third on: 2 to 3.8 were measured,
the least for linear maps and the most for norms."""


def kept_by_length(rows: Sequence[LayerRow], order: int) -> list[float]:
    """Numbers that the graph keeps of one example: of none of the layers, the first, the first two,
    and so on. The input is left out, and the output too where the last layer does not need it.

    Args:
        rows: of layers without problems.
        order: how often their output is differentiated.
    """
    growth = GROWTH ** max(order - 2, 0)
    return [growth * total for total, _ in _counts(rows, order)]


def kept_and_output(rows: Sequence[LayerRow], order: int) -> float:
    """The same for all layers and, where it is not their input, their output.

    Args:
        rows: of layers without problems.
        order: 1 or 2.
    """
    return sum(_counts(rows, order)[-1])


def _counts(rows: Sequence[LayerRow], order: int) -> list[tuple[float, float]]:
    """By number of layers, what is kept and what there is of their output that is not."""
    found, total, unkept = [(0.0, 0.0)], 0.0, 0.0
    for row in rows:
        layer, shape = row.layer, row.input_shape or ()
        if layer.is_view:
            found.append((total, unkept))
            continue
        if "input" in layer.kept_around:
            total += unkept
        size = math.prod(row.output_shape or ())
        unkept = size
        total += layer.kept_within(shape, min(order, 2))
        if "output" in layer.kept_around:
            total += unkept
            unkept = 0.0
        if order >= 2 and "cotangent" in layer.kept_around:
            total += size
        found.append((total, unkept))
    return found
