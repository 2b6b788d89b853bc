"""Clock speed of what computes, and whether the hardware holds it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, cast

import torch

ROOT: Final = Path("/")

NO_SPEED = "This system does not tell the current clock speed of its processor."
NOMINAL_SPEED = (
    "The system tells the nominal clock speed of its processor only, as virtual machines do."
)
NO_THROTTLING = "This system does not count how often its processor slows itself down."
NO_NVML = "nvidia-ml-py is not installed (pip install 'hogui[cuda]'), so the GPU is not watched."
NOT_NVIDIA = "The clock speed of {device} is not told by its driver."


class Speed(Protocol):
    """Asked again and again between repetitions."""

    @property
    def absent(self) -> Sequence[str]:
        """Why figures could not be had, one sentence each."""
        ...

    def mhz(self) -> float | None:
        """The clock speed now, None where it cannot be had."""
        ...

    def throttled(self) -> bool | None:
        """Whether the hardware has slowed itself down since the last question."""
        ...

    def close(self) -> None:
        """Lets go of the driver."""
        ...


class ProcessorSpeed:
    """Of the core that this process runs on, from Linux's ``/sys`` and ``/proc`` under ``root``."""

    def __init__(self, root: Path = ROOT) -> None:
        self._cores, self._proc = root / "sys/devices/system/cpu", root / "proc"
        self.absent: list[str] = []
        if self.mhz() is None:
            self.absent.append(NOMINAL_SPEED if self._names_a_speed() else NO_SPEED)
        self._count = self._throttle_count()
        if self._count is None:
            self.absent.append(NO_THROTTLING)

    def mhz(self) -> float | None:
        core = self._core()
        with suppress(OSError, ValueError):
            file = self._cores / f"cpu{core}" / "cpufreq" / "scaling_cur_freq"
            return int(file.read_text()) / 1000
        blocks = self._processors()
        if core >= len(blocks) or "aperfmperf" not in blocks[core].get("flags", "").split():
            return None
        with suppress(KeyError, ValueError):
            return float(blocks[core]["cpu MHz"])
        return None

    def throttled(self) -> bool | None:
        before, self._count = self._count, self._throttle_count()
        if before is None or self._count is None:
            return None
        return self._count > before

    def close(self) -> None:
        """Nothing is held."""

    def _core(self) -> int:
        """The core that ran this process last; the first one where that is not told."""
        try:
            # The second field is a name in brackets that may hold spaces; the 39th is the core.
            after_name = (self._proc / "self/stat").read_text().rpartition(")")[2]
            return int(after_name.split()[36])
        except (OSError, ValueError, IndexError):
            return 0

    def _processors(self) -> list[dict[str, str]]:
        try:
            text = (self._proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        lines = ([line.partition(":") for line in part.splitlines()] for part in text.split("\n\n"))
        return [{key.strip(): value.strip() for key, _, value in part} for part in lines if part]

    def _names_a_speed(self) -> bool:
        return any("cpu MHz" in processor for processor in self._processors())

    def _throttle_count(self) -> int | None:
        counts = []
        for file in self._cores.glob("cpu*/thermal_throttle/*_throttle_count"):
            with suppress(OSError, ValueError):
                counts.append(int(file.read_text()))
        return sum(counts) if counts else None


class ClockNvml(Protocol):
    """What is used of the module ``pynvml`` here; every function raises ``NVMLError``."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802 - NVIDIA's names
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object: ...  # noqa: N802
    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int: ...  # noqa: N802
    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int: ...  # noqa: N802


_SM_CLOCK: Final = 1
_HELD_BACK: Final = 0x04 | 0x08 | 0x20 | 0x40 | 0x80
"""Power cap, hardware slowdown, heat by software and by hardware, power brake (nvml.h)."""


def _installed() -> ClockNvml | None:
    try:
        return cast(ClockNvml, import_module("pynvml"))
    except ImportError:
        return None


class GraphicsSpeed:
    """Of an NVIDIA device, as its driver tells it.

    Args:
        uuid: the device, by the name that the driver and CUDA agree on: their numbers differ.
        find: where NVIDIA's library comes from.
    """

    def __init__(self, uuid: str, find: Callable[[], ClockNvml | None] = _installed) -> None:
        self.absent: list[str] = []
        self._nvml = find()
        self._handle: object = None
        if self._nvml is None:
            self.absent.append(NO_NVML)
            return
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        except self._nvml.NVMLError as error:
            self._give_up(error)

    def mhz(self) -> float | None:
        nvml = self._nvml
        if nvml is None:
            return None
        try:
            return float(nvml.nvmlDeviceGetClockInfo(self._handle, _SM_CLOCK))
        except nvml.NVMLError as error:
            self._note(error)
            return None

    def throttled(self) -> bool | None:
        nvml = self._nvml
        if nvml is None:
            return None
        try:
            return bool(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle) & _HELD_BACK)
        except nvml.NVMLError as error:
            self._note(error)
            return None

    def close(self) -> None:
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _give_up(self, error: Exception) -> None:
        self._note(error)
        self.close()

    def _note(self, error: Exception) -> None:
        sentence = f"NVIDIA's driver does not tell the clock speed or throttling: {error}."
        if sentence not in self.absent:
            self.absent.append(sentence)


class UnknownSpeed:
    """Of a device whose driver is not asked."""

    def __init__(self, device: str) -> None:
        self.absent = (NOT_NVIDIA.format(device=device),)

    def mhz(self) -> float | None:
        return None

    def throttled(self) -> bool | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def speed_of(device: torch.device) -> Speed:
    """Where to ask for the clock speed of a device."""
    if device.type == "cpu":
        return ProcessorSpeed()
    if device.type == "cuda" and not torch.version.hip:
        uuid = torch.cuda.get_device_properties(device).uuid
        return GraphicsSpeed(f"GPU-{uuid}")
    return UnknownSpeed(str(device))
