"""Accelerators that compute nothing but keep time and books as CUDA's do.

Work is queued and takes device time; the caller goes on at once, and knows when a device is done
only after ``synchronize``. The allocator counts a current and a highest total for each device. Each
thread has a current device, the first one. What asks a device for its memory opens a context on it.
"""

from collections.abc import Sequence

import torch


class FakeTime:
    """Stands for the module ``time``: seconds pass when somebody lets them."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def perf_counter(self) -> float:
        return self.now_s


class FakeDevice:
    def __init__(self, title: str, total_bytes: int) -> None:
        self.title = title
        self.total_bytes = total_bytes
        self.current = self.highest = self.cached = 0
        self.busy_until_s = 0.0
        self.has_context = False


class FakeStream:
    def __init__(self, device: torch.device) -> None:
        self.device = device


class FakeAccelerator:
    """Stands for ``torch.accelerator`` and for the module of the device's kind."""

    def __init__(self, titles: Sequence[str], total_bytes: int = 1000, kind: str = "cuda") -> None:
        self.kind = kind
        self.time = FakeTime()
        self.devices = [FakeDevice(title, total_bytes) for title in titles]

    # What torch.accelerator offers.

    def is_available(self) -> bool:
        return bool(self.devices)

    def current_accelerator(self) -> torch.device | None:
        return torch.device(self.kind) if self.devices else None

    def device_count(self) -> int:
        return len(self.devices)

    def current_stream(self, device: torch.device) -> FakeStream:
        self._of(device)
        return FakeStream(device)

    def synchronize(self, device: torch.device) -> None:
        self.time.now_s = max(self.time.now_s, self._of(device).busy_until_s)

    def get_memory_info(self, device: torch.device) -> tuple[int, int]:
        found = self._of(device)
        found.has_context = True
        return found.total_bytes - found.current, found.total_bytes

    def memory_allocated(self, device: torch.device) -> int:
        return self._of(device).current

    def max_memory_allocated(self, device: torch.device) -> int:
        return self._of(device).highest

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self._of(device).highest = self._of(device).current

    def empty_cache(self) -> None:
        for device in self.devices:
            device.cached = 0

    # What the module of a kind offers.

    def get_device_name(self, device: torch.device) -> str:
        return self._of(device).title

    # What computations do.

    def launch(self, device: torch.device, seconds: float) -> None:
        """Queues work; the caller spends a microsecond on it."""
        found = self._of(device)
        self.time.now_s += 1e-6
        found.busy_until_s = max(found.busy_until_s, self.time.now_s) + seconds

    def allocate(self, device: torch.device, nbytes: int) -> None:
        """Takes, or with a negative number gives back."""
        found = self._of(device)
        if found.current + nbytes > found.total_bytes:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {nbytes} bytes.")
        found.current += nbytes
        found.highest = max(found.highest, found.current)
        found.cached += max(-nbytes, 0)

    def event(self, device: torch.device, *, enable_timing: bool = False) -> "FakeEvent":
        """Stands for ``torch.Event``."""
        return FakeEvent(self, device, enable_timing)

    def _of(self, device: torch.device) -> FakeDevice:
        assert device.type == self.kind
        return self.devices[device.index or 0]


class FakeEvent:
    """Like torch's: knows the kind of its device only, and records on the stream it is given, else
    on the current device."""

    def __init__(self, owner: FakeAccelerator, device: torch.device, enable_timing: bool) -> None:
        self._owner = owner
        self._kind = device.type
        self._enable_timing = enable_timing
        self._stamp_s: float | None = None

    def record(self, stream: FakeStream | None = None) -> None:
        device = stream.device if stream else torch.device(self._kind, 0)
        busy_until_s = self._owner.devices[device.index].busy_until_s
        self._stamp_s = max(self._owner.time.now_s, busy_until_s)

    def elapsed_time(self, other: "FakeEvent") -> float:
        """Milliseconds from this event to a later one."""
        if not (self._enable_timing and other._enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._stamp_s is None or other._stamp_s is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if max(self._stamp_s, other._stamp_s) > self._owner.time.now_s:
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return (other._stamp_s - self._stamp_s) * 1000
