"""The highest point of many quadratic models, each within a ball, from products alone.

Each model is looked at in the Krylov space of its slope (Gould, Lucidi, Roma and Toint 1999): there
it is small enough for its eigenvalues. All models are computed at once, the first axis theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

Multiply = Callable[[torch.Tensor], torch.Tensor]
"""Each model's symmetric matrix times its row of a tensor (models, size)."""

_HALVINGS = 60
"""Of an interval that a multiplier lies in: to the last digit of doubles."""

_NOTHING = 100
"""A direction that is so many rounding errors long is none."""


class Space(NamedTuple):
    """Krylov spaces.

    Attributes:
        basis: orthonormal rows (models, dimensions, size); zeros where a space has fewer.
        matrix: the symmetric matrices within (models, dimensions, dimensions), in their upper
            triangles; below all others on the diagonal where a space has no such dimension.
        rest: how far the last product leads out of each space (models,).
    """

    basis: torch.Tensor
    matrix: torch.Tensor
    rest: torch.Tensor


def krylov_space(
    multiply: Multiply, start: torch.Tensor, dimensions: int, positions: Iterable[int]
) -> Space:
    """The spaces of a vector, its product, the product's product, ...

    Args:
        multiply: called once for each dimension.
        start: the vectors (models, size).
        dimensions: of the spaces.
        positions: 0, 1, ...: which of them are filled; the others hold zeros.
    """
    models, size = start.shape
    basis = start.new_zeros(models, dimensions, size)
    matrix = start.new_zeros(models, dimensions, dimensions)
    least = _NOTHING * torch.finfo(start.dtype).eps
    fresh, rest = _unit(start, torch.zeros_like(start[:, :1]))
    largest = torch.zeros_like(rest)
    for position in positions:
        basis[:, position].copy_(fresh)
        missing = fresh.square().sum(1) == 0
        image = multiply(fresh)
        largest = torch.maximum(largest, _lengths(image))
        shares = torch.bmm(basis, image.unsqueeze(2))
        matrix[:, :, position].copy_(shares.squeeze(2))
        first = matrix[:, 0, 0]
        below = torch.where(missing, first - first.abs() - 1, matrix[:, position, position])
        matrix[:, position, position].copy_(below)
        for _ in range(2):  # once leaves rounding errors of what it takes away
            image.sub_(torch.bmm(shares.mT, basis).squeeze(1))
            shares = torch.bmm(basis, image.unsqueeze(2))
        fresh, rest = _unit(image, least * largest)
        del image, shares, below, missing, first  # not kept beside the next product
    return Space(basis, matrix, rest.squeeze(1))


def _unit(vectors: torch.Tensor, least: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The vectors at length 1, zeros where they are no longer than the least; and their lengths."""
    lengths = _lengths(vectors)
    exists = lengths > least
    units = torch.where(exists, vectors / torch.where(exists, lengths, 1), 0)
    return units, torch.where(exists, lengths, 0)


def highest_in_ball(matrix: torch.Tensor, slope: torch.Tensor, radius: float) -> torch.Tensor:
    """The highest points of slope·x + x·Ax / 2 over all x no longer than the radius.

    Where the slope has no share in the steepest direction of curvature (the hard case), that
    direction fills what is left of the radius.

    Args:
        matrix: A, in the upper triangles (models, size, size).
        slope: (models, size).
        radius: of all balls, above 0.
    """
    values, vectors = torch.linalg.eigh(matrix, UPLO="U")
    shares = torch.bmm(vectors.mT, slope.unsqueeze(2)).squeeze(2)
    base = values[:, -1:].clamp(min=0)
    gaps = base - values
    low = torch.zeros_like(base)
    high = _lengths(slope) / radius
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        outside = _lengths(_over(shares, gaps + middle)) > radius
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    inner = _over(shares, gaps + high)
    length = _lengths(inner)
    on_border = inner * (radius / torch.where(length > 0, length, 1))
    others = inner[:, :-1].square().sum(1, keepdim=True)
    filling = (radius**2 - others).clamp(min=0).sqrt()
    filled = torch.cat([inner[:, :-1], torch.where(inner[:, -1:] < 0, -filling, filling)], 1)
    points = torch.where(low > 0, on_border, torch.where(values[:, -1:] > 0, filled, inner))
    return torch.bmm(vectors, points.unsqueeze(2)).squeeze(2)


def _lengths(rows: torch.Tensor) -> torch.Tensor:
    """Euclidean lengths (models, 1)."""
    lengths: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return lengths


def _over(numerators: torch.Tensor, denominators: torch.Tensor) -> torch.Tensor:
    """Quotients; 0 where a denominator is."""
    there = denominators > 0
    return torch.where(there, numerators / torch.where(there, denominators, 1), 0)
