"""Weights beside the given ones, which nobody keeps: they are made again whenever they are used.

A copy of the weights a step away would live as long as autograd needs it, from a layer's forward to
its backward computation; all of them at once weigh as much as a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from weakref import ref

import torch
from torch.autograd.graph import saved_tensors_hooks
from typing_extensions import override

from core.engine.recorder import Recorder


class _Part(NamedTuple):
    """What autograd keeps of a moved weight: which one, and which part of it was saved."""

    name: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class MovedWeights(Mapping[str, torch.Tensor]):
    """The weights plus a step times a vector, by name.

    A gradient by them is the gradient by the weights that they are made from.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        along: Sequence[torch.Tensor],
        step: torch.Tensor,
        recorder: Recorder,
    ) -> None:
        """Makes nothing yet.

        Args:
            weights: by name.
            along: a vector, one tensor for each of them in their order.
            step: how far, without an axis.
            recorder: hears of what is made.
        """
        self._weights, self._step, self._recorder = weights, step, recorder
        self._along = dict(zip(weights, along, strict=True))
        self._made: dict[int, tuple[ref[torch.Tensor], str]] = {}

    @override
    def __getitem__(self, name: str) -> torch.Tensor:
        moved = self._moved(name)
        self._made[moved.untyped_storage()._cdata] = ref(moved), name
        return moved

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    @override
    def __len__(self) -> int:
        return len(self._weights)

    @contextmanager
    def forgotten(self) -> Iterator[None]:
        """While it is entered, autograd keeps of these weights what it takes to make them again.

        What it saves then can be differentiated once.
        """
        with saved_tensors_hooks(self._pack, self._unpack):
            yield

    def _moved(self, name: str) -> torch.Tensor:
        moved = torch.addcmul(self._weights[name], self._along[name], self._step)
        self._recorder.hold("fast_weights", (moved,))
        return moved

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor | _Part:
        weak, name = self._made.get(tensor.untyped_storage()._cdata, (None, ""))
        # A storage has the address of a dead one now and then, never that of a living one.
        if weak is None or weak() is None:
            # Not the tensor itself: an output that the node of its own making keeps would never go.
            return tensor.detach()
        return _Part(name, tensor.size(), tensor.stride(), int(tensor.storage_offset()))

    def _unpack(self, kept: torch.Tensor | _Part) -> torch.Tensor:
        if isinstance(kept, torch.Tensor):
            return kept
        with torch.no_grad():
            return self._moved(kept.name).as_strided(kept.size, kept.stride, kept.offset)
