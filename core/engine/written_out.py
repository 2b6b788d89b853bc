"""Functions in elementary operations, for ways of differentiating that torch's own do not stand.

They take and return what their namesakes in ``torch.nn.functional`` do.
"""

from __future__ import annotations

import torch
from torch import Tensor


def silu(input: Tensor) -> Tensor:
    """x times its sigmoid."""
    return input * torch.sigmoid(input)


def softmax(input: Tensor, dim: int) -> Tensor:
    """Exponentials over their sum along an axis; the largest is 1, so that none is infinite."""
    shares = torch.exp(input - input.detach().amax(dim, keepdim=True))
    return shares / shares.sum(dim, keepdim=True)


def mse_loss(input: Tensor, target: Tensor) -> Tensor:
    """Mean of the squared differences."""
    return (input - target).square().mean()


def cross_entropy(input: Tensor, target: Tensor) -> Tensor:
    """Mean of what the right class is worse than all together; scores on axis 1."""
    highest = input.detach().amax(1, keepdim=True)
    below = input - highest
    total = torch.exp(below).sum(1).log()
    return (total - below.gather(1, target.unsqueeze(1)).squeeze(1)).mean()
