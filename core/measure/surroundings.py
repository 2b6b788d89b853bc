"""The environment that a result is taken in."""

from __future__ import annotations

import os
import platform

import numpy
import torch

import core
from core.measure.devices import cpu, describe
from core.measure.processor import processor_name
from core.results.environment import Environment


def environment(device: torch.device, threads: int) -> Environment:
    """What is known of this machine, its versions and the device."""
    described = describe(device)
    return Environment(
        hogui=core.__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        numpy=str(numpy.__version__),
        platform=platform.platform(),
        cpu=processor_name(),
        cpu_count=os.cpu_count() or 1,
        threads=threads,
        memory_bytes=cpu().memory_bytes or 0,
        device=described.name,
        device_name=described.title,
        device_memory_bytes=described.memory_bytes,
        driver=_driver(device),
    )


def _driver(device: torch.device) -> str | None:
    """Version of the CUDA runtime or of ROCm that torch was built with."""
    if device.type != "cuda":
        return None
    return f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
