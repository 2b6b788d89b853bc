"""Linear equations from products with their matrix alone (Hestenes and Stiefel 1952)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch

Multiply = Callable[[torch.Tensor], torch.Tensor]
"""A matrix times a vector, which it leaves as it is; a new tensor."""

Number = Callable[[torch.Tensor], float | None]
"""The number in a tensor without axes; None where tensors have no numbers."""

Verdict = Literal["converged", "negative curvature", "too few iterations"]


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    Attributes:
        vector: the solution, or how far they came.
        residuals: what is left after each iteration, relative to the right side; as many as
            iterations changed the vector, none where tensors have no numbers.
        verdict: why they ended.
    """

    vector: torch.Tensor
    residuals: tuple[float, ...]
    verdict: Verdict


def conjugate_gradient(
    multiply: Multiply,
    right: torch.Tensor,
    *,
    iterations: Iterable[int],
    tolerance: float,
    number: Number,
) -> Solution:
    """Solves A x = b for a symmetric A, from x = 0.

    Where a direction of negative or no curvature is met, what was found before it is returned, or
    b itself where that is the first one (Nocedal and Wright 2006, algorithm 7.1): both lead
    downhill where b is a negative gradient. At least one product is taken.

    Args:
        multiply: A times a vector.
        right: b, one axis.
        iterations: one of them for each product at most.
        tolerance: of the residual's length relative to that of b.
        number: reads what is decided by.
    """
    vector, residual = torch.zeros_like(right), right.clone()
    direction, square = residual.clone(), torch.dot(residual, residual)
    first = number(square)
    residuals: list[float] = []
    for _ in iterations:
        product = multiply(direction)
        curvature = torch.dot(direction, product)
        bend = number(curvature)
        if bend is not None and bend <= 0:
            if not first:
                return Solution(vector, (), "converged")
            if not residuals:
                vector.copy_(right)
            return Solution(vector, tuple(residuals), "negative curvature")
        length = square / curvature
        del curvature
        vector.addcmul_(direction, length)
        residual.addcmul_(product, length, value=-1)
        del product, length  # not kept beside the next ones
        before, square = square, torch.dot(residual, residual)
        left = number(square)
        if left is not None and first is not None:
            residuals.append(math.sqrt(left / first))
            if residuals[-1] <= tolerance:
                return Solution(vector, tuple(residuals), "converged")
        direction.mul_(square / before).add_(residual)
        del before
    return Solution(vector, tuple(residuals), "too few iterations")
