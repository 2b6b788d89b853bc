"""The implicit meta-gradient of iMAML (Rajeswaran et al. 2019, arXiv 1909.04630).

Where the inner loop ends at the minimum of the support loss plus ½λ‖φ - θ‖², the derivative of φ by
θ is (I + H/λ)⁻¹ with the Hessian H of the support loss at φ. Conjugate gradients multiply by it
without forming H.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from core.engine.gradients import Gradients

Parts = list[torch.Tensor]
"""A vector: one tensor for each weight, of its shape."""

Heard = Callable[[int, torch.Tensor], None]
"""Is told the residual after each iteration, relative to the right-hand side; without an axis."""


def solve(
    gradients: Gradients,
    weights: Sequence[torch.Tensor],
    right: Parts,
    regularisation: float,
    iterations: int,
    heard: Heard | None = None,
) -> Parts:
    """Solves (I + H/λ)x = right, beginning at 0 (Hestenes and Stiefel 1952).

    It looks at no number, so that it can be foretold: iterations after the residual has vanished,
    or after a direction in which the matrix is not positive, change nothing.

    Args:
        gradients: of the support loss, with their graph.
        weights: what they were taken by.
        right: the vector on the right; emptied.
        regularisation: λ.
        iterations: Hessian-vector products to spend.
        heard: told of each iteration.
    """
    with torch.no_grad():
        rest = [part.clone(memory_format=torch.contiguous_format) for part in right]
        right.clear()
        along = [part.clone() for part in rest]
        found = [torch.zeros_like(part) for part in rest]
        square = first = _dot(rest, rest)
        least = first * torch.finfo(first.dtype).eps ** 2
        nothing = torch.zeros_like(first)
        going = first > 0
        for number in range(1, iterations + 1):
            product = _product(gradients, weights, along, regularisation)
            curvature = _dot(along, product)
            going = going & (curvature > 0) & (square > least)
            length = torch.where(going, square / curvature, nothing)
            _add(found, along, length)
            _add(rest, product, -length)
            del product
            before, square = square, _dot(rest, rest)
            if heard is not None:
                heard(number, torch.where(first > 0, square / first, nothing).sqrt())
            if number < iterations:
                turn = torch.where(going, square / before, nothing)
                for part, left in zip(along, rest, strict=True):
                    part.mul_(turn).add_(left)
    return found


def _product(
    gradients: Gradients, weights: Sequence[torch.Tensor], along: Parts, regularisation: float
) -> Parts:
    """(I + H/λ) times a vector."""
    pairs = [
        (gradient, part)
        for gradient, part in zip(gradients, along, strict=True)
        if gradient is not None and gradient.requires_grad
    ]
    if not pairs:
        return [part.clone() for part in along]
    outputs, parts = zip(*pairs, strict=True)
    curved: Gradients = torch.autograd.grad(
        outputs, weights, parts, retain_graph=True, allow_unused=True
    )
    return [
        part.clone() if bent is None else torch.add(part, bent, alpha=1 / regularisation)
        for part, bent in zip(along, curved, strict=True)
    ]


def _dot(one: Parts, other: Parts) -> torch.Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()


def _add(total: Parts, parts: Parts, factor: torch.Tensor) -> None:
    for tensor, part in zip(total, parts, strict=True):
        tensor.addcmul_(part, factor)
