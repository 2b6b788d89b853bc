"""The Hessian of a loss by several tensors as one symmetric matrix: products, rows, solutions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from core.engine.conjugate_gradient import Multiply
from core.engine.gradients import Gradients

Tensors = Sequence[torch.Tensor]


class Damped(NamedTuple):
    """The solution of a damped symmetric system.

    Attributes:
        vector: the solution.
        smallest: the smallest eigenvalue of the matrix without damping.
    """

    vector: torch.Tensor
    smallest: torch.Tensor


def flattened(parts: Gradients, like: Tensors) -> torch.Tensor:
    """All entries in one new vector without a graph; zeros for None.

    Args:
        parts: one for each of ``like``.
        like: tensors of the same shapes.
    """
    present = [
        torch.zeros_like(tensor) if part is None else part
        for part, tensor in zip(parts, like, strict=True)
    ]
    with torch.no_grad():
        return torch.cat([part.reshape(-1) for part in present])


def parted(vector: torch.Tensor, like: Tensors) -> list[torch.Tensor]:
    """The inverse of ``flattened``: views of the vector in the shapes of ``like``."""
    pieces = torch.split_with_sizes(vector, [tensor.numel() for tensor in like])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, like, strict=True)]


def products(gradients: Gradients, wrt: Tensors, damping: float = 0.0) -> Multiply:
    """The Hessian, plus a multiple of the identity, times flat vectors.

    Args:
        gradients: of the loss, with their graph, which lives as long as the function.
        wrt: what they were taken by.
        damping: the multiple.
    """
    curved = [
        (gradient, position)
        for position, gradient in enumerate(gradients)
        if gradient is not None and gradient.requires_grad
    ]

    def multiply(vector: torch.Tensor) -> torch.Tensor:
        found: Gradients = (None,) * len(wrt)
        if curved:
            parts = parted(vector, wrt)
            found = torch.autograd.grad(
                [gradient for gradient, _ in curved],
                wrt,
                [parts[position] for _, position in curved],
                retain_graph=True,
                allow_unused=True,
            )
        product = flattened(found, wrt)
        return product.add_(vector, alpha=damping) if damping else product

    return multiply


def dense(
    multiply: Multiply,
    like: torch.Tensor,
    rows: Iterable[int],
    matrix: torch.Tensor | None = None,
    share: float = 1.0,
) -> torch.Tensor:
    """The symmetric matrix that a function multiplies with, row by row.

    Args:
        multiply: the matrix times a vector.
        like: a vector of the right length.
        rows: which of them; zeros for the others.
        matrix: what a share of it is added to, zeros where there is none yet.
        share: the factor.
    """
    matrix = like.new_zeros(len(like), len(like)) if matrix is None else matrix
    unit = torch.zeros_like(like)
    for row in rows:
        unit[row].fill_(1)
        product = multiply(unit)
        matrix[row].copy_(product) if share == 1 else matrix[row].add_(product, alpha=share)
        del product  # not kept beside the next one
        unit[row].fill_(0)
    return matrix


def solve_damped(matrix: torch.Tensor, right: torch.Tensor, damping: float) -> Damped:
    """Solves (A + damping I) x = b by the eigenvalues of A.

    Where the damped matrix is not positive definite the absolute eigenvalues of A stand in for
    them, so that x leads downhill where b is a negative gradient (Dauphin et al. 2014,
    arXiv 1406.2572).

    Args:
        matrix: A, symmetric; its lower triangle is read.
        right: b.
        damping: not negative.
    """
    eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
    smallest = eigenvalues[0].clone()
    definite = smallest + damping > 0
    scales = torch.where(definite, eigenvalues, eigenvalues.abs()).add_(damping)
    return Damped(eigenvectors @ ((eigenvectors.T @ right) / scales), smallest)
