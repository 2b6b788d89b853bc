"""What the evaluation of a function depends on besides its arguments, to have it the same again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Surroundings:
    """What an evaluation depends on besides its inputs."""

    autocast: tuple[tuple[str, bool, torch.dtype], ...]
    random_states: tuple[tuple[torch.device, Tensor], ...]

    @classmethod
    def of(cls, tensors: Sequence[Tensor], *, random: bool = False) -> Self:
        """Those of this moment, random states only where they are asked for."""
        devices = {torch.device("cpu"), *(t.device for t in tensors if t.device.type != "meta")}
        kinds = {device.type for device in devices}
        return cls(
            autocast=tuple(
                (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
                for kind in sorted(kinds)
                if torch.amp.is_autocast_available(kind)
            ),
            random_states=_random_states(devices) if random else (),
        )

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """As they were; afterwards the random states are as if nothing had been drawn."""
        before = _random_states(device for device, _ in self.random_states)
        _set_random_states(self.random_states)
        try:
            with self.autocast_restored():
                yield
        finally:
            _set_random_states(before)

    @contextlib.contextmanager
    def autocast_restored(self) -> Iterator[None]:
        """Without autocast's cache, which would keep the casts of each evaluation."""
        with contextlib.ExitStack() as contexts:
            for kind, is_enabled, dtype in self.autocast:
                if is_enabled or torch.is_autocast_enabled(kind):
                    contexts.enter_context(
                        torch.autocast(kind, dtype=dtype, enabled=is_enabled, cache_enabled=False)
                    )
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
