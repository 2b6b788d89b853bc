"""Layers that are made of others: their torch modules, and their functions made of those of the
parts.

In the names of tensors a part has its position, as in ``torch.nn.Sequential``: ``2.0.weight`` is
the weight of the first part of the third layer. The weights of a choice are called ``alpha``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from typing_extensions import override

from core.spec.layers import ALPHA

_SMALL = 1e-3
"""Standard deviation of a choice's first weights (Liu et al. 2019, arXiv 1806.09055)."""

Tensors = Mapping[str, torch.Tensor]
Part = Callable[[Tensors, Tensors, torch.Tensor, bool], torch.Tensor]


class Residual(nn.Sequential):
    """The input plus what the parts, one after the other, make of it."""

    @override
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        output = input
        for part in self:
            output = part(output)
        return input + output


class Mixed(nn.Sequential):
    """All parts of the same input, weighed by the softmax of ``alpha``."""

    def __init__(self, *candidates: nn.Module) -> None:
        super().__init__(*candidates)
        self.alpha = nn.Parameter(_SMALL * torch.randn(len(candidates)))

    @override
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        first, *others = zip(torch.softmax(self.alpha, 0).unbind(), self, strict=True)
        total: torch.Tensor = first[0] * first[1](input)
        for share, candidate in others:
            total = total + share * candidate(input)
        return total


def residual(parts: Sequence[Part]) -> Part:
    """x + f(x)."""

    def apply(
        parameters: Tensors, buffers: Tensors, x: torch.Tensor, update_statistics: bool
    ) -> torch.Tensor:
        output = x
        for part in parts:
            output = part(parameters, buffers, output, update_statistics)
        return x + output

    return apply


def mixed(
    parts: Sequence[Part], prefix: str, softmax: Callable[[torch.Tensor, int], torch.Tensor]
) -> Part:
    """The sum of all parts of x, each times its share.

    Args:
        parts: at least one.
        prefix: what the name of the layer's own tensor starts with.
        softmax: of a tensor along an axis.
    """
    alpha = prefix + ALPHA
    first, *others = parts

    def apply(
        parameters: Tensors, buffers: Tensors, x: torch.Tensor, update_statistics: bool
    ) -> torch.Tensor:
        shares = softmax(parameters[alpha], 0).unbind()
        total = shares[0] * first(parameters, buffers, x, update_statistics)
        for share, part in zip(shares[1:], others, strict=True):
            total = total + share * part(parameters, buffers, x, update_statistics)
        return total

    return apply
