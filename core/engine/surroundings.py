"""What the evaluation of a function depends on besides its arguments, to have it the same again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

import torch
from torch import Tensor

from core.engine.recorder import UNMARKED

_CPU: Final = torch.device("cpu")
_has_autocast: Final = cache(torch.amp.is_autocast_available)
"""Answers a kind of device from memory, without entering a Python function."""


@dataclass(frozen=True)
class Surroundings:
    """What an evaluation depends on besides its inputs."""

    autocast: tuple[tuple[str, bool, torch.dtype], ...]
    random_states: tuple[tuple[torch.device, Tensor], ...]

    @classmethod
    def of(cls, tensors: Sequence[Tensor], *, random: bool = False) -> Self:
        """Those of this moment, random states only where they are asked for."""
        devices = {_CPU, *[tensor.device for tensor in tensors if not tensor.is_meta]}
        kinds = sorted({device.type for device in devices})
        autocast = [
            (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
            for kind in kinds
            if _has_autocast(kind)
        ]
        return cls(tuple(autocast), _random_states(devices) if random else ())

    def restored(self) -> AbstractContextManager[None]:
        """As they were; afterwards the random states are as if nothing had been drawn."""
        return self._all_restored() if self.random_states else self.autocast_restored()

    @contextlib.contextmanager
    def _all_restored(self) -> Iterator[None]:
        before = _random_states(device for device, _ in self.random_states)
        _set_random_states(self.random_states)
        try:
            with self.autocast_restored():
                yield
        finally:
            _set_random_states(before)

    def autocast_restored(self) -> AbstractContextManager[None]:
        """Without autocast's cache, which would keep the casts of each evaluation."""
        contexts = [
            torch.autocast(kind, dtype=dtype, enabled=is_enabled, cache_enabled=False)
            for kind, is_enabled, dtype in self.autocast
            if is_enabled or torch.is_autocast_enabled(kind)
        ]
        return _entered(contexts) if contexts else UNMARKED


@contextlib.contextmanager
def _entered(contexts: Iterable[AbstractContextManager[object]]) -> Iterator[None]:
    """All of them."""
    with contextlib.ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def _random_states(devices: Iterable[torch.device]) -> tuple[tuple[torch.device, Tensor], ...]:
    return tuple((device, _generators(device).get_rng_state(*_index(device))) for device in devices)


def _set_random_states(states: Iterable[tuple[torch.device, Tensor]]) -> None:
    for device, state in states:
        _generators(device).set_rng_state(state, *_index(device))


def _generators(device: torch.device) -> Any:
    return torch if device.type == "cpu" else torch.get_device_module(device)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    """The device as an argument, for the kinds of which there may be several."""
    return () if device.type in ("cpu", "mps") else (device,)
