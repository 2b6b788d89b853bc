"""The processor's name, which Python does not tell on every system."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from pathlib import Path


@cache
def processor_name() -> str:
    """What the vendor calls this processor."""
    readers = {"Linux": _from_cpuinfo, "Darwin": _from_sysctl}
    reader = readers.get(platform.system(), platform.processor)
    return reader() or platform.machine()


def _from_cpuinfo() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None)


def _from_sysctl() -> str | None:
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
