"""Runs of layers whose activations are dropped and computed again, and the ways of doing so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.utils.checkpoint

from core.engine.rematerialize import rematerialize

Segment = Callable[..., torch.Tensor]
"""A run of layers as a function of all tensors that it reads."""

Strategy = Callable[[Segment, Segment, Sequence[torch.Tensor], bool], torch.Tensor]
"""Computes a segment of the given tensors.

Called with the segment, the same one without side effects for computing it again, its tensors, and
whether it draws random numbers.
"""


def dropped_once(
    segment: Segment, again: Segment, tensors: Sequence[torch.Tensor], random: bool
) -> torch.Tensor:
    """torch's checkpointing: activations are dropped until the first backward pass needs them."""
    calls = iter((segment,))

    def first_then_again(*arguments: torch.Tensor) -> torch.Tensor:
        return next(calls, again)(*arguments)

    called = segment if segment is again else first_then_again
    output: torch.Tensor = torch.utils.checkpoint.checkpoint(
        called, *tensors, use_reentrant=False, preserve_rng_state=random
    )
    return output


def dropped_always(
    segment: Segment, again: Segment, tensors: Sequence[torch.Tensor], random: bool
) -> torch.Tensor:
    """Rematerialization: no order of differentiation keeps more than the segment's inputs."""
    return rematerialize(segment, *tensors, recompute=again, random=random, closed=True)


STRATEGIES: dict[str, Strategy] = {"torch": dropped_once, "rematerialize": dropped_always}
