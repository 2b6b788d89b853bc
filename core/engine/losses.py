"""What a stack's output is judged by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from core.engine import written_out
from core.spec.derivation import Derivation

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of an output and its target, both with the batch first; the mean, without an axis."""


LOSSES: dict[str, Loss] = {
    "mse": functional.mse_loss,
    "cross_entropy": functional.cross_entropy,
}
"""Mean squared error of an output and a target of its shape; cross-entropy of scores (batch,
classes, ...) against classes (batch, ...)."""

_WRITTEN_OUT: dict[str, Loss] = {
    "mse": written_out.mse_loss,
    "cross_entropy": written_out.cross_entropy,
}


def loss_of(kind: str, way: Derivation) -> Loss:
    """The loss of that name, in a form that is differentiated right in this way."""
    return _WRITTEN_OUT[kind] if way.rewrites(kind) else LOSSES[kind]
