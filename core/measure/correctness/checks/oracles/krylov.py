"""A linear system with a Hessian, solved as well as some products with it can tell."""

from __future__ import annotations

import torch
from torch import Tensor

from core.measure.correctness.checks.network import Tensors

_EXHAUSTED = 1e-12
"""Share of a vector that is left once all earlier directions are taken out of it, below which it
holds no new one."""


def solved(
    slopes: Tensors, weights: Tensors, right: Tensors, regularisation: float, products: int
) -> dict[str, Tensor]:
    """Solves (I + H/λ)x = right within the span of right, H·right, H·H·right, ...

    That is what conjugate gradients find by recurrences. Here the span has an orthonormal basis,
    and the system within it is solved directly. The span ends before a direction in which the
    matrix is not positive.

    Args:
        slopes: the gradient of what H is the Hessian of, with its graph.
        weights: what it was taken by.
        right: the vector on the right.
        regularisation: λ.
        products: how many times H may be applied.
    """

    def applied(vector: Tensor) -> Tensor:
        parts = dict(zip(weights, torch.split(vector, counts), strict=True))
        outputs = [slope for slope in slopes.values() if slope.requires_grad]
        along = [
            parts[name].view_as(slope) for name, slope in slopes.items() if slope.requires_grad
        ]
        bent = torch.autograd.grad(
            outputs,
            list(weights.values()),
            along,
            retain_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )
        return vector + _flat(bent) / regularisation

    counts = [weight.numel() for weight in weights.values()]
    target = _flat(list(right.values()))
    length = target.norm()
    basis: list[Tensor] = []
    images: list[Tensor] = []
    best = torch.zeros_like(target)
    follow = target / length if length > 0 else None
    while follow is not None and len(basis) < products:
        basis.append(follow)
        images.append(applied(follow))
        columns = torch.stack(basis, 1)
        within = columns.T @ torch.stack(images, 1)
        within = (within + within.T) / 2
        if torch.linalg.eigvalsh(within)[0] <= 0:
            break
        best = columns @ torch.linalg.solve(within, columns.T @ target)
        follow = _beyond(basis, images[-1])
    split = torch.split(best, counts)
    return {
        name: part.view_as(weight)
        for (name, weight), part in zip(weights.items(), split, strict=True)
    }


def _beyond(basis: list[Tensor], vector: Tensor) -> Tensor | None:
    """What of a vector is orthogonal to the basis, of length 1; None where nothing is left."""
    rest = vector
    for _ in range(2):  # once more for what rounding left
        for direction in basis:
            rest = rest - (direction @ rest) * direction
    length = rest.norm()
    return rest / length if length > _EXHAUSTED * vector.norm() else None


def _flat(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
