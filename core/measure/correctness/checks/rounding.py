"""How large rounding errors may be: what a last digit changes, and what cancels."""

from __future__ import annotations

import math

import torch

from core.measure.correctness.checks.oracles.oracle import Chain, Oracle, chain

EPSILON = torch.finfo(torch.float64).eps


class Rounding:
    """Estimates for a function and its nested gradients at a point.

    An error has two sources. The point's own last digits are changed at random to see what that
    does. And a number that is small because large ones cancel is as wrong as those were: the
    gradient of a function of size N by a tensor of length L may be wrong by a rounding error of
    N / L. Where it is zero throughout, so seem all higher ones; their terms are taken to grow from
    order to order as the first gradient did.
    """

    def __init__(self, oracle: Oracle, exact: Chain, generator: torch.Generator) -> None:
        """Evaluates the function once more.

        Args:
            oracle: the function.
            exact: its gradients at the point.
            generator: of the changes.
        """
        self._oracle, self._exact = oracle, exact
        self._shaken = chain(oracle, _shaken(oracle, generator), oracle.times)
        sizes = [exact.size(times) for times in range(oracle.times + 1)]
        growth = sizes[1] / sizes[0] if sizes[0] else 0.0
        self._sizes = sizes[:1]
        for size in sizes[1:]:
            self._sizes.append(max(size, self._sizes[-1] * growth))

    def of_total(self, times: int) -> float:
        """Of the value, or of the sum of all entries of a gradient."""
        change = abs(self._shaken.total(times) - self._exact.total(times))
        return change + EPSILON * self._sizes[times]

    def of_gradient(self, times: int, name: str) -> float:
        """Of a gradient by one tensor: length of the error."""
        exact = self._exact.gradients[times - 1][name]
        change = self._shaken.gradients[times - 1][name] - exact
        return float(change.norm()) + EPSILON * float(exact.norm())

    def of_cancelled(self, times: int, name: str) -> float:
        """Of a gradient by one tensor where larger numbers cancel."""
        return EPSILON * self._sizes[times - 1] / self._oracle.sizes[name]


def _shaken(oracle: Oracle, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The point with the last digit of every number changed."""
    moved = {}
    for name, tensor in oracle.point.items():
        signs = torch.randint(2, tensor.shape, generator=generator).to(tensor) * 2 - 1
        typical = oracle.sizes[name] / math.sqrt(tensor.numel())
        moved[name] = tensor + EPSILON * signs * (tensor.abs() + typical)
    return moved
