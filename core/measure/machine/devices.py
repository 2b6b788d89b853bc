"""The devices of this machine, through ``torch.accelerator``."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from core.measure.machine.processor import processor_name
from core.results.device import Device
from core.spec.declaration import InvalidSpec, Problem

_CGROUP = Path("/sys/fs/cgroup")


def devices() -> tuple[Device, ...]:
    """The accelerators, then the CPU."""
    return (*(_accelerator(device) for device in _accelerators()), cpu())


def cpu() -> Device:
    """The processor, with the memory that this process may use."""
    memory = psutil.virtual_memory()
    limit, used = _container_memory()
    return Device(
        name="cpu",
        title=processor_name(),
        memory_bytes=min(memory.total, limit) if limit else memory.total,
        available_bytes=min(memory.available, limit - used) if limit else memory.available,
    )


def resolve(name: str) -> torch.device:
    """The device that a spec names; ``auto`` is the first accelerator, else the CPU.

    Raises:
        InvalidSpec: this machine has no such device; the sentence lists those it has.
    """
    known = [*(str(device) for device in _accelerators()), "cpu"]
    if name == "auto":
        return torch.device(known[0])
    indexed = f"{name}:0" if f"{name}:0" in known else name
    if indexed not in known:
        sentence = f"device: {name} was given; allowed here: auto, {', '.join(known)}."
        raise InvalidSpec([Problem(("device",), sentence)])
    return torch.device(indexed)


def describe(device: torch.device) -> Device:
    """What is known of one device.

    Asks that one alone: the answer costs a process hundreds of MiB on each device that it asks.
    """
    return cpu() if device.type == "cpu" else _accelerator(device)


def _accelerators() -> tuple[torch.device, ...]:
    if not torch.accelerator.is_available():
        return ()
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    return tuple(
        torch.device(kind.type, index) for index in range(torch.accelerator.device_count())
    )


def _accelerator(device: torch.device) -> Device:
    available, total = _device_memory(device)
    return Device(
        name=str(device), title=_title(device), memory_bytes=total, available_bytes=available
    )


def _title(device: torch.device) -> str:
    if device.type == "mps":
        return processor_name()
    return str(torch.get_device_module(device).get_device_name(device))


def _device_memory(device: torch.device) -> tuple[int | None, int | None]:
    """Free and total bytes; Apple's devices share the memory of the processor."""
    if device.type == "mps":
        memory = psutil.virtual_memory()
        return memory.available, memory.total
    try:
        free, total = torch.accelerator.get_memory_info(device)
    except (RuntimeError, NotImplementedError):
        return None, None
    return free, total


def _container_memory() -> tuple[int | None, int]:
    """Limit and use of a control group (version 2), None where there is no limit."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        statistics = dict(
            line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines()
        )
    except (OSError, ValueError):
        return None, 0
    if not limit.isdigit():
        return None, 0
    # Files that were read and can be dropped at any time are counted as used.
    return int(limit), used - int(statistics.get("inactive_file", 0))
