"""The true peak: what the allocator itself counted, scratch memory of the kernels included.

The CPU has no allocator statistics; there the profiler's ``[memory]`` events of a clean pass are
the truth (one event an allocation or release, with the bytes). On CUDA it is
``max_memory_allocated`` after a reset, which counts in blocks: 512 bytes are the least, and up to
1 MiB of a large one may lie idle. Devices with neither have no true peak.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.autograd.profiler import profile, record_function
from typing_extensions import override

from core.engine.recorder import SILENT, Recorder, Silent

_MARK = "hogui phase "


@dataclass(frozen=True)
class AllocatorPeak:
    """Bytes above what lived before the pass.

    Attributes:
        phases: highest total while each phase ran.
    """

    peak_bytes: int
    phases: dict[str, int]


def allocator_peak(
    device: torch.device,
    compute: Callable[[Recorder], object],
    reset: Callable[[], None] = lambda: None,
) -> AllocatorPeak | None:
    """Runs ``compute`` and asks the allocator; None where the device cannot tell.

    What ``compute`` needs must exist before, since the release of older tensors is not counted.
    ``reset`` comes before each computation, of which accelerators need two; the last one is seen.
    """
    if device.type == "cpu":
        reset()
        gc.collect()
        return _from_profiler(compute)
    if device.type in ("cuda", "xpu"):
        # The first products and convolutions of a thread take workspaces that stay for good, and
        # blocks left over from other passes are larger than what is put into them: neither counts.
        reset()
        compute(SILENT)
        reset()
        gc.collect()
        return _from_statistics(device, compute)
    return None


class _ProfilerMarks(Silent):
    @override
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        with record_function(_MARK + name):
            yield


def _from_profiler(compute: Callable[[Recorder], object]) -> AllocatorPeak:
    # Not torch.profiler, whose start loads the compiler: a second or two.
    with profile(profile_memory=True) as profiler:
        compute(_ProfilerMarks())
    results = profiler.kineto_results
    assert results is not None
    changes: list[tuple[int, int]] = []
    spans: list[tuple[int, int, str]] = []
    for event in results.events():
        name = event.name()
        if name == "[memory]":
            changes.append((event.start_ns(), event.nbytes()))
        elif name.startswith(_MARK):
            spans.append((event.start_ns(), event.end_ns(), name.removeprefix(_MARK)))
    return _highest(sorted(changes, key=lambda change: change[0]), sorted(spans))


def _highest(changes: list[tuple[int, int]], spans: list[tuple[int, int, str]]) -> AllocatorPeak:
    """Running total of the changes; a phase begins with what the one before left alive."""
    total = peak = position = 0
    phases: dict[str, int] = {}
    for start, end, name in spans:
        while position < len(changes) and changes[position][0] < start:
            total += changes[position][1]
            peak = max(peak, total)
            position += 1
        highest = total
        while position < len(changes) and changes[position][0] <= end:
            total += changes[position][1]
            highest = max(highest, total)
            position += 1
        phases[name] = highest
        peak = max(peak, highest)
    for _, nbytes in changes[position:]:
        total += nbytes
        peak = max(peak, total)
    return AllocatorPeak(peak_bytes=peak, phases=phases)


class _CounterMarks(Silent):
    """Resets the device's peak counter at each phase, so that phases have peaks of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.start_bytes = torch.accelerator.memory_allocated(device)
        self.peak_bytes = 0
        self.phases: dict[str, int] = {}

    @override
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.read()
        yield
        self.phases[name] = self.read()

    def read(self) -> int:
        """Highest total since the last call, above the start."""
        torch.accelerator.synchronize(self._device)
        highest = torch.accelerator.max_memory_allocated(self._device) - self.start_bytes
        torch.accelerator.reset_peak_memory_stats(self._device)
        self.peak_bytes = max(self.peak_bytes, highest)
        return highest


def _from_statistics(device: torch.device, compute: Callable[[Recorder], object]) -> AllocatorPeak:
    torch.accelerator.synchronize(device)
    torch.accelerator.empty_cache()
    torch.accelerator.reset_peak_memory_stats(device)
    marks = _CounterMarks(device)
    computed = compute(marks)
    marks.read()
    del computed
    return AllocatorPeak(peak_bytes=marks.peak_bytes, phases=marks.phases)
