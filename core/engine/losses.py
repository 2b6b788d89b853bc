"""What a stack's output is judged by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of an output and its target, both with the batch first; the mean, without an axis."""


def mse(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error; the target has the shape of the output."""
    return functional.mse_loss(output, target)


def cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of scores (batch, classes, ...) against classes (batch, ...)."""
    return functional.cross_entropy(output, target)


LOSSES: dict[str, Loss] = {"mse": mse, "cross_entropy": cross_entropy}
