"""NVIDIA's library with made-up devices and processes; stands for the module ``pynvml``."""

from dataclasses import dataclass, field


class FakeNvmlError(Exception):
    """What its functions raise."""


@dataclass
class Process:
    pid: int
    usedGpuMemory: int | None  # noqa: N815 - NVIDIA's name


@dataclass
class FakeNvml:
    """A driver.

    Attributes:
        devices: the processes that compute on each device; None where they may not be asked for.
        missing: why there is no driver at all.
        users: how many have initialised it and not shut it down.
    """

    devices: list[list[Process] | None] = field(default_factory=list)
    missing: str | None = None
    users: int = 0
    NVMLError: type[Exception] = FakeNvmlError

    def nvmlInit(self) -> None:
        if self.missing is not None:
            raise FakeNvmlError(self.missing)
        self.users += 1

    def nvmlShutdown(self) -> None:
        self._ready()
        self.users -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        self._ready()
        return "570.86.15"

    def nvmlDeviceGetCount(self) -> int:
        self._ready()
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:
        self._ready()
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> list[Process]:
        self._ready()
        assert isinstance(handle, int)
        processes = self.devices[handle]
        if processes is None:
            raise FakeNvmlError("Insufficient Permissions")
        return processes

    def _ready(self) -> None:
        if self.users < 1:
            raise FakeNvmlError("Uninitialized")
