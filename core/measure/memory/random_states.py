"""The generator's state as a tensor, which checkpointing keeps and no dispatch mode sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def random_states_seen(see: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Hands every state of the CPU's generator that is asked for to ``see``.

    WORKAROUND: the generator makes its 5,056 bytes without the dispatcher, so that a mode misses
    them. Asked for by ``torch.utils.checkpoint`` and by rematerialization.
    """
    original = torch.random.get_rng_state

    def seen() -> torch.Tensor:
        state = original()
        see(state)
        return state

    torch.random.get_rng_state = torch.get_rng_state = seen
    try:
        yield
    finally:
        torch.random.get_rng_state = torch.get_rng_state = original
