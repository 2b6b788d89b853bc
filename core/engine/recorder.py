"""What a computation tells whoever watches it: its phases, layers and results.

Workloads speak to a ``Recorder`` and do not know whether memory, time or nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from typing_extensions import override

ignored: Final[Callable[..., Any]] = "".format
"""Takes any arguments and does nothing, without entering a Python function: between two kernels,
with the processor's caches cold, each one entered takes 1 to 2 µs."""


class Recorder(Protocol):
    """Listens to one execution of a workload."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Marks a part of the workload, such as ``gradient 2``. Phases do not nest."""
        ...

    def born(self, category: str) -> None:
        """From now on new tensors are of this category, until their fate says otherwise."""
        ...

    def layer(self, index: int) -> None:
        """The forward computation of a layer begins; -1 ends the last one."""
        ...

    def hold(self, category: str, tensors: Iterable[torch.Tensor]) -> None:
        """These tensors are of this category whatever their birth, for example gradients."""
        ...

    def result(self, tensors: Iterable[torch.Tensor]) -> None:
        """What the current phase computed; its norm is shown beside the phase."""
        ...

    def number(self, tensor: torch.Tensor) -> float | None:
        """The number in a tensor without axes, to decide by; None where tensors have no numbers,
        and then what is repeated is repeated as often as it may be."""
        ...


class Unmarked:
    """A context that does nothing, without entering a Python function: a phase that nobody hears
    of."""

    if TYPE_CHECKING:

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...
    else:
        __enter__ = __exit__ = ignored


UNMARKED: Final = Unmarked()

_unmarked: Final[Callable[..., Unmarked]] = partial(next, repeat(UNMARKED))
"""Takes a name and gives the same phase each time, without entering a Python function: the name is
for when there are none left."""


class Silent:
    """Records nothing; the base of recorders that listen to a part only."""

    if TYPE_CHECKING:

        def phase(self, name: str) -> AbstractContextManager[None]:
            """Ignored."""

        def born(self, category: str) -> None:
            """Ignored."""

        def layer(self, index: int) -> None:
            """Ignored."""

        def hold(self, category: str, tensors: Iterable[torch.Tensor]) -> None:
            """Ignored."""

        def result(self, tensors: Iterable[torch.Tensor]) -> None:
            """Ignored."""

        def number(self, tensor: torch.Tensor) -> float | None:
            """The number."""
    else:
        phase = staticmethod(_unmarked)  # a method by itself from Python 3.14 on
        born = layer = hold = result = ignored
        number = staticmethod(torch.Tensor.item)


SILENT: Final = Silent()
"""Hears nothing."""


class _Within(Silent):
    """Hears of everything but phases and results."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @override
    def born(self, category: str) -> None:
        self._recorder.born(category)

    @override
    def layer(self, index: int) -> None:
        self._recorder.layer(index)

    @override
    def hold(self, category: str, tensors: Iterable[torch.Tensor]) -> None:
        self._recorder.hold(category, tensors)

    @override
    def number(self, tensor: torch.Tensor) -> float | None:
        return self._recorder.number(tensor)


class _DeafPrefixed(Silent):
    """Hears of phases alone, under longer names."""

    def __init__(self, recorder: Recorder, prefix: str) -> None:
        self._recorder, self._prefix = recorder, prefix

    @override
    def phase(self, name: str) -> AbstractContextManager[None]:
        return self._recorder.phase(f"{self._prefix}{name}")

    @override
    def number(self, tensor: torch.Tensor) -> float | None:
        return self._recorder.number(tensor)


class _Prefixed(_Within):
    """Hears of everything, of phases under longer names."""

    def __init__(self, recorder: Recorder, prefix: str) -> None:
        super().__init__(recorder)
        self._prefix = prefix

    @override
    def phase(self, name: str) -> AbstractContextManager[None]:
        return self._recorder.phase(f"{self._prefix}{name}")

    @override
    def result(self, tensors: Iterable[torch.Tensor]) -> None:
        self._recorder.result(tensors)


def is_deaf(recorder: Recorder) -> bool:
    """Whether the recorder would ignore it if it were told of a layer."""
    return recorder.layer is ignored


def within(recorder: Recorder) -> Recorder:
    """The same listener for what repeats within one phase: it is told of no phases and results."""
    return SILENT if is_deaf(recorder) else _Within(recorder)


def prefixed(recorder: Recorder, prefix: str) -> Recorder:
    """The same listener for one of several like parts, after which its phases are named."""
    if not prefix or recorder is SILENT:
        return recorder
    return (_DeafPrefixed if is_deaf(recorder) else _Prefixed)(recorder, prefix)
