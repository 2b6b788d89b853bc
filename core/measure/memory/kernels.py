"""What single operations cost: scratch memory that no tensor shows, and time.

Both depend on the operation, its shapes, strides and types, the device, the number of threads and
torch's version alone, so each is learned once, by running the operation on made-up numbers.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler import profile, record_function
from torch.utils._python_dispatch import _disable_current_modes

from core.measure.machine.devices import describe
from core.measure.memory.calls import Call, TensorLike, rebuild
from core.measure.memory.work import work

FILE_NAME = "kernels.jsonl"
LARGEST_BYTES = 2**30
"""Operations on more than this are not run for the sake of a forecast."""

MOST_WORK = {"cpu": 5e10}
MOST_WORK_ELSEWHERE = 1e13
"""Nor are those that would take a second or more: floating-point operations by kind of device."""

SLOW_S = 0.1
"""A call this slow is repeated once."""

LONGEST_FILE_BYTES = 16 * 2**20
REPETITIONS = 3
MOST, LONG_ENOUGH_S = 6, 2e-4
"""Small operations are called more often: their fastest call is known sooner, and costs nothing."""

_MARK = "hogui kernel"
_POINTWISE = frozenset(
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

_OPAQUE = frozenset(["mkldnn_rnn_layer_backward"])
"""Operations that read memory as their forward pass has laid it out: on anything else they end the
process."""

_MADE_SMALL = 2
_REFUSALS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)
"""Whatever an operation says to made-up numbers: then it is not known."""


@dataclass(frozen=True)
class Kernel:
    """What one operation costs when it runs alone.

    Attributes:
        scratch_bytes: highest total while it runs, beyond what it returns.
        seconds: of one warm call.
        returned_bytes: of each storage that it makes and returns, which may be larger than its
            tensor; None where they are as large as their tensors.
    """

    scratch_bytes: int
    seconds: float
    returned_bytes: tuple[int, ...] | None = None


class Kernels:
    """What is known of operations on one device, kept in a file that processes share.

    Args:
        device: where operations run.
        threads: how many threads they run on.
        file: None keeps nothing.
    """

    def __init__(self, device: torch.device, threads: int, file: Path | None = None) -> None:
        self._device = device
        self._where = f"{torch.__version__} {device.type} {threads} {describe(device).title}"
        self._file = file
        self._known: dict[str, Kernel] = {}
        self._failed: set[str] = set()
        self._timed: dict[str, float | None] = {}
        self._read = 0
        self._start_over_when_too_long()
        self.refresh()

    def _start_over_when_too_long(self) -> None:
        """What was learned of configurations long gone is not read for ever."""
        with suppress(OSError):
            if self._file is not None and self._file.stat().st_size > LONGEST_FILE_BYTES:
                self._file.unlink()

    def refresh(self) -> None:
        """Reads what other processes have learned since."""
        if self._file is None:
            return
        with suppress(OSError), self._file.open("rb") as stream:
            stream.seek(self._read)
            content = stream.read()
            # The last line may be half written.
            whole = content[: content.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.splitlines():
                self._add(line)

    def _add(self, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if entry["where"] == self._where:
                returned = entry["returned_bytes"]
                kernel = Kernel(
                    int(entry["scratch_bytes"]),
                    float(entry["seconds"]),
                    None if returned is None else tuple(map(int, returned)),
                )
                self._known[str(entry["call"])] = kernel

    def known(self, call: Call) -> Kernel | None:
        """What is known of an operation, None where nothing is."""
        return self._known.get(call.key)

    def learn(self, calls: Iterable[Call], budget_s: float = math.inf) -> tuple[Call, ...]:
        """Runs what is not known yet, each operation alone.

        Args:
            calls: in any number.
            budget_s: no further operation is begun after these seconds.

        Returns:
            What is still not known, for want of time or because it cannot run alone.
        """
        end = time.perf_counter() + budget_s
        missing = {call.key: call for call in calls if self.known(call) is None}
        learned: dict[str, Kernel] = {}
        for key, call in missing.items():
            if time.perf_counter() > end:
                break
            if key in self._failed:
                continue
            kernel = self._learned(call)
            if kernel is None:
                self._failed.add(key)
            else:
                learned[key] = kernel
        self._known |= learned
        self._write(learned)
        return tuple(call for key, call in missing.items() if key not in learned)

    def seconds(self, call: Call) -> float | None:
        """What an operation takes alone; run for that where it is not known, and not kept.

        None where it cannot run alone.
        """
        kernel = self.known(call)
        if kernel is not None:
            return kernel.seconds
        key = call.key
        if key not in self._timed:
            self._timed[key] = self._alone_seconds(call)
        return self._timed[key]

    def _alone_seconds(self, call: Call) -> float | None:
        if call.base_name in _OPAQUE:
            return None
        try:
            with _alone():
                return _seconds(call, self._device)
        except _REFUSALS:
            return None

    def impossible(self, call: Call) -> bool:
        """Whether it was tried and cannot run alone."""
        return call.key in self._failed

    def _learned(self, call: Call) -> Kernel | None:
        if self._cannot_run(call):
            return None
        try:
            with _alone():
                seconds = _seconds(call, self._device)
                small = made_small(call)
                scratch, returned = _allocated(small, self._device)
        except _REFUSALS:
            return None
        return Kernel(scratch, seconds, returned if small is call else None)

    def _cannot_run(self, call: Call) -> bool:
        if call.base_name in _OPAQUE:
            return True
        most = MOST_WORK.get(self._device.type, MOST_WORK_ELSEWHERE)
        nbytes = sum(tensor.nbytes for tensor in call.tensors())
        return nbytes > LARGEST_BYTES or work(call) > most

    def _write(self, learned: dict[str, Kernel]) -> None:
        if self._file is None or not learned:
            return
        lines = [
            json.dumps(
                {
                    "where": self._where,
                    "call": key,
                    "scratch_bytes": kernel.scratch_bytes,
                    "seconds": float(f"{kernel.seconds:.4g}"),
                    "returned_bytes": kernel.returned_bytes,
                }
            )
            + "\n"
            for key, kernel in learned.items()
        ]
        # One write at the end of the file, so that processes do not mix their lines. What cannot
        # be kept is learned again.
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, "".join(lines).encode())
            finally:
                os.close(descriptor)


def made_small(call: Call) -> Call:
    """The same call on small tensors, where its scratch memory does not depend on the size."""
    sparse = any(tensor.entries is not None for tensor in call.tensors())
    if sparse or call.base_name not in _POINTWISE:
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


class _alone:  # noqa: N801, a context manager reads as a word
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


def _seconds(call: Call, device: torch.device) -> float:
    """The fastest of a few calls, after one that loads and compiles what a process needs once."""
    arguments, keywords = rebuild(call, device)

    def once() -> float:
        _wait(device)
        start = time.perf_counter()
        output = call.operation(*arguments, **keywords)
        _wait(device)
        seconds = time.perf_counter() - start
        del output
        return seconds

    first = once()
    if first > SLOW_S:
        return min(first, once())
    taken: list[float] = []
    while len(taken) < REPETITIONS or (len(taken) < MOST and sum(taken) < LONG_ENOUGH_S):
        taken.append(once())
    return min(taken)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _allocated(call: Call, device: torch.device) -> tuple[int, tuple[int, ...]]:
    """Bytes of scratch memory, and of each storage that is returned."""
    arguments, keywords = rebuild(call, device)
    if device.type == "cpu":
        with profile(profile_memory=True) as profiler, record_function(_MARK):
            output = call.operation(*arguments, **keywords)
        highest = _highest(profiler)
    else:
        _wait(device)
        torch.accelerator.reset_peak_memory_stats(device)
        before = torch.accelerator.memory_allocated(device)
        output = call.operation(*arguments, **keywords)
        _wait(device)
        highest = torch.accelerator.max_memory_allocated(device) - before
    returned = _new_bytes(output, [*arguments, *keywords.values()])
    return max(highest - sum(returned), 0), returned


def _highest(profiler: profile) -> int:
    results = profiler.kineto_results
    assert results is not None
    changes = [
        (event.start_ns(), event.nbytes())  # type: ignore[attr-defined]
        for event in results.events()
        if event.name() == "[memory]"
    ]
    total = highest = 0
    for _, nbytes in sorted(changes, key=lambda change: change[0]):
        total += nbytes
        highest = max(highest, total)
    return highest


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
