"""The environment that a result is taken in."""

from __future__ import annotations

import os
import platform

import numpy
import torch

import core
from core.measure.machine.devices import cpu, describe
from core.measure.machine.driver_memory import driver_version
from core.measure.machine.processor import processor_name
from core.measure.machine.project import cpu_governor, git_revision, power_source
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
        numerics=_numerics(device),
        power_source=power_source(),
        cpu_governor=cpu_governor(),
        git_revision=git_revision(),
    )


def _driver(device: torch.device) -> str | None:
    """Version of ROCm or of the CUDA runtime that torch was built with, and of NVIDIA's driver."""
    if device.type != "cuda":
        return None
    if torch.version.hip:
        return f"ROCm {torch.version.hip}"
    version = driver_version()
    return f"CUDA {torch.version.cuda}" + (f", driver {version}" if version else "")


def _numerics(device: torch.device) -> str | None:
    """What decides, beside the precision of the spec, which kernels run and how exact they are."""
    if device.type != "cuda":
        return None
    tf32 = {
        "matrix products": torch.backends.cuda.matmul.allow_tf32,
        "convolutions": torch.backends.cudnn.allow_tf32,
    }
    allowed = " and ".join(name for name, is_allowed in tf32.items() if is_allowed)
    choice = "by trial" if torch.backends.cudnn.benchmark else "by rule"
    version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return (
        f"cuDNN {version}, its kernels chosen {choice}; "
        f"float32 shortened to TF32 in {allowed or 'nothing'}"
    )
