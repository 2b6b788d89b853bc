"""A ledger of a run that is not computed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from typing_extensions import override

from core.measure.memory.ledger import Ledger


class Predicted(Ledger):
    """A ledger on tensors without numbers. Its clock counts operations."""

    def __init__(self, device: torch.device, block_bytes: int) -> None:
        super().__init__(0.0, device, block_bytes=block_bytes)

    @override
    def now(self) -> float:
        """Operations so far."""
        return float(len(self._made))

    @override
    def result(self, tensors: Iterable[torch.Tensor]) -> None:
        """There are no numbers to take a norm of."""

    @override
    def number(self, tensor: torch.Tensor) -> float | None:
        """There are none."""
        return None
