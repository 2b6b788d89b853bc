"""One operation alone, on made-up numbers: what it takes and what it allocates."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch.autograd.profiler import profile, record_function
from torch.utils._python_dispatch import _disable_current_modes

from core.measure.memory.calls import Call, TensorLike, rebuild
from core.measure.timing.own_time import OwnTime

SLOW_S = 0.1
"""A call this slow is repeated once."""

REPETITIONS = 3
MOST, LONG_ENOUGH_S = 6, 2e-4
"""Small operations are called more often, which costs nothing."""

MOST_TOGETHER, MOST_BYTES_TOGETHER = 16, 4 * 2**20
"""Calls that take turns, and their tensors: more than the nearest caches hold."""

_MARK = "hogui kernel"
POINTWISE = frozenset(
    """
    abs add add_ clamp clamp_min clone cos div div_ eq exp expm1 fill_ full_like ge gelu gt
    leaky_relu leaky_relu_backward le log log1p lt maximum minimum mul mul_ ne neg neg_
    ones_like pow reciprocal relu rsqrt sigmoid sigmoid_backward sign silu silu_backward sin
    softplus softplus_backward sqrt sub sub_ tanh tanh_backward threshold_backward where
    zeros_like
    """.split()  # noqa: SIM905, one name a line would fill a page
)
"""Operations entry by entry: their scratch memory is that of their scalars, whatever the size.

Not ``gelu_backward``, which copies operands with gaps.
"""

_MADE_SMALL = 2
_REFUSALS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)
"""Whatever an operation says to made-up numbers: then it is not known."""

_CPU = torch.device("cpu")


class Allocated(NamedTuple):
    """What a call allocates.

    Attributes:
        scratch_bytes: highest total while it runs, beyond what it returns.
        returned_bytes: of each storage that it makes and returns.
    """

    scratch_bytes: int
    returned_bytes: tuple[int, ...]


def made_small(call: Call) -> Call:
    """The same call on small tensors, where its scratch memory does not depend on the size."""
    sparse = any(tensor.entries is not None for tensor in call.tensors())
    # Operands of other formats than the result's are copied as a whole before it is computed.
    real = [tensor for tensor in call.tensors() if tensor.size and tensor.dtype.is_floating_point]
    mixed = len({tensor.dtype for tensor in real}) > 1
    if sparse or mixed or call.base_name not in POINTWISE:
        return call
    return Call(
        call.operation,
        tuple(_small(argument) for argument in call.arguments),
        tuple((name, _small(value)) for name, value in call.keywords),
    )


def _small(value: Any) -> Any:
    if isinstance(value, TensorLike) and value.size:
        size = (_MADE_SMALL,) * len(value.size)
        return TensorLike(size, _contiguous(size), value.dtype)
    return value


def _contiguous(size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(size[position + 1 :]) for position in range(len(size)))


class alone:  # noqa: N801, a context manager reads as a word
    """Unwatched, without gradients, and without leaving traces in torch's random numbers."""

    def __enter__(self) -> None:
        self._modes = _disable_current_modes()
        self._modes.__enter__()
        self._gradients = torch.no_grad()
        self._gradients.__enter__()
        self._state = torch.get_rng_state()

    def __exit__(self, *raised: Any) -> None:
        torch.set_rng_state(self._state)
        self._gradients.__exit__(*raised)
        self._modes.__exit__(*raised)


def seconds_of(
    calls: Sequence[Call], device: torch.device, company: Sequence[Call] = ()
) -> list[float | None]:
    """What each of the calls takes: the second fastest of a few.

    They are called in turns. Called over and over, an operation finds its own code and numbers in
    the nearest caches, as it never does in a run: there a convolution of 60 µs takes 25 µs longer.

    Args:
        calls: few enough that their tensors fit into memory together.
        device: where they run.
        company: other calls that take turns with them.

    Returns:
        None where an operation refuses made-up numbers.
    """
    ready = [_ready(call, device) for call in [*calls, *company]]
    taken: list[list[float]] = [[] for _ in ready]
    for turn in range(1 + MOST):
        for position, once in enumerate(ready):
            if once is None or not _due(turn, taken[position]):
                continue
            try:
                taken[position].append(once())
            except _REFUSALS:
                ready[position] = None
    return [
        None if once is None else sorted(seconds[1:])[min(1, len(seconds) - 2)]
        for once, seconds in zip(ready[: len(calls)], taken, strict=False)
    ]


def _due(turn: int, seconds: Sequence[float]) -> bool:
    """Whether a call is wanted once more; the first loads what a process needs once."""
    if turn < 2:
        return True
    if seconds[1] > SLOW_S:
        return False
    return turn <= REPETITIONS or sum(seconds[1:]) < LONG_ENOUGH_S


def _ready(call: Call, device: torch.device) -> Callable[[], float] | None:
    """A function that calls it and says how long that took."""
    try:
        arguments, keywords = rebuild(call, device)
    except _REFUSALS:
        return None

    def once() -> float:
        _wait(device)
        watch = OwnTime(device)
        output = call.run(arguments, keywords)
        _wait(device)
        seconds = watch.stop()
        del output
        return seconds

    return once


def in_groups(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """Calls that take turns: many small ones, or one that is large."""
    group: list[Call] = []
    nbytes = 0
    for call in calls:
        own = sum(tensor.nbytes for tensor in call.tensors())
        if group and (len(group) == MOST_TOGETHER or nbytes + own > MOST_BYTES_TOGETHER):
            yield group
            group, nbytes = [], 0
        group.append(call)
        nbytes += own
    if group:
        yield group


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def allocated_by(calls: Sequence[Call], device: torch.device) -> list[Allocated | None]:
    """What each of the calls allocates, None where it refuses made-up numbers."""
    if device.type != "cpu":
        return [_allocated_on(device, call) for call in calls]
    # Once for all, since starting a profiler takes longer than most operations.
    with profile(profile_memory=True) as profiler:
        returned = [_marked(call) for call in calls]
    return [
        None if sizes is None else Allocated(max(highest - sum(sizes), 0), sizes)
        for sizes, highest in zip(returned, _highest(profiler), strict=True)
    ]


def _marked(call: Call) -> tuple[int, ...] | None:
    """Bytes of each storage that is returned."""
    with suppress(*_REFUSALS):
        arguments, keywords = rebuild(call, _CPU)
        with record_function(_MARK):
            output = call.run(arguments, keywords)
        return _new_bytes(output, [*arguments, *keywords.values()])
    return None


def _highest(profiler: profile) -> list[int]:
    """The highest total within each mark."""
    results = profiler.kineto_results
    assert results is not None
    changes: list[tuple[int, int]] = []
    marks: list[tuple[int, int]] = []
    for event in results.events():
        if event.name() == "[memory]":
            changes.append((event.start_ns(), event.nbytes()))  # type: ignore[attr-defined]
        elif event.name() == _MARK:
            marks.append((event.start_ns(), event.end_ns()))
    changes.sort(key=itemgetter(0))
    moments = [moment for moment, _ in changes]
    return [
        max(
            accumulate(
                nbytes
                for _, nbytes in changes[bisect_left(moments, start) : bisect_right(moments, end)]
            ),
            default=0,
        )
        for start, end in sorted(marks)
    ]


def _allocated_on(device: torch.device, call: Call) -> Allocated | None:
    with suppress(*_REFUSALS):
        arguments, keywords = rebuild(call, device)
        _wait(device)
        torch.accelerator.reset_peak_memory_stats(device)
        before = torch.accelerator.memory_allocated(device)
        output = call.run(arguments, keywords)
        _wait(device)
        highest = torch.accelerator.max_memory_allocated(device) - before
        returned = _new_bytes(output, [*arguments, *keywords.values()])
        return Allocated(max(highest - sum(returned), 0), returned)
    return None


def _new_bytes(output: object, arguments: list[Any]) -> tuple[int, ...]:
    """Bytes of each storage that was not there before."""
    old = {storage._cdata for storage in _storages(arguments)}
    new = {storage._cdata: storage.nbytes() for storage in _storages(output)}
    return tuple(nbytes for place, nbytes in new.items() if place not in old)


def _storages(value: object) -> list[torch.UntypedStorage]:
    if isinstance(value, torch.Tensor):
        if value.layout == torch.sparse_coo:
            return _storages([value._indices(), value._values()])
        return [value.untyped_storage()]
    if isinstance(value, list | tuple):
        return [storage for item in value for storage in _storages(item)]
    return []
