"""Memory that NVIDIA's driver counts for a process, asked from outside that process.

It holds what no allocator tells: the CUDA context, the workspaces of libraries, cached blocks.
The library that asks, nvidia-ml-py, is optional; without it there is a reason instead of a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Protocol, cast

NOT_INSTALLED = "nvidia-ml-py is not installed (pip install 'hogui[cuda]')"
NOT_LISTED = (
    "the driver lists no process of that number (in a container it may know them by other numbers)"
)
NOT_COUNTED = "the driver does not count memory by process here"


class NvmlProcess(Protocol):
    """A process that computes on a device; bytes are None where the driver does not count them."""

    pid: int
    usedGpuMemory: int | None  # noqa: N815 - NVIDIA's name


class Nvml(Protocol):
    """What is used of the module ``pynvml``; every function raises ``NVMLError``."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802 - NVIDIA's names
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlSystemGetDriverVersion(self) -> str: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> object: ...  # noqa: N802
    def nvmlDeviceGetComputeRunningProcesses(  # noqa: N802
        self, handle: object
    ) -> Sequence[NvmlProcess]: ...


def installed_nvml() -> Nvml | None:
    """NVIDIA's library, None where it is not installed."""
    try:
        return cast(Nvml, import_module("pynvml"))
    except ImportError:
        return None


def driver_version(find: Callable[[], Nvml | None] = installed_nvml) -> str | None:
    """Version of NVIDIA's driver, None where it cannot be asked."""
    nvml = find()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
        try:
            return nvml.nvmlSystemGetDriverVersion()
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError:
        return None


class DriverMemory:
    """Follows one process.

    Args:
        pid: its number.
        find: where the library comes from.

    Attributes:
        problem: why there is no figure, None as long as none was wanted and once there was one.
    """

    def __init__(self, pid: int, find: Callable[[], Nvml | None] = installed_nvml) -> None:
        self._pid = pid
        self._answered = False
        self.problem: str | None = None
        self._nvml = find()
        if self._nvml is None:
            self.problem = NOT_INSTALLED
            return
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            self.problem = str(error)
            self._nvml = None

    def used_bytes(self) -> int | None:
        """Bytes of the process on all devices, None where the driver does not tell.

        The sum, since a measuring process computes on one device only and the driver numbers
        devices otherwise than CUDA does (``CUDA_VISIBLE_DEVICES``, ``CUDA_DEVICE_ORDER``).
        """
        if self._nvml is None:
            return None
        used, problem = self._by_device(self._nvml)
        known = [count for count in used if count is not None]
        if known:
            self._answered, self.problem = True, None
            return sum(known)
        if not self._answered:
            self.problem = problem
        return None

    def close(self) -> None:
        """Lets go of the driver; there are no figures afterwards."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _by_device(self, nvml: Nvml) -> tuple[list[int | None], str]:
        """What the process uses where it is listed, and what to say if that is no figure."""
        used: list[int | None] = []
        problem = NOT_LISTED
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            return used, str(error)
        for index in range(count):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            except nvml.NVMLError as error:
                problem = str(error)  # say, a device of other users; ours may be another one
                continue
            used += [process.usedGpuMemory for process in processes if process.pid == self._pid]
        return used, NOT_COUNTED if used else problem
