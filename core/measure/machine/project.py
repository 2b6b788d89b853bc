"""The project that a run is made in, and the power that the machine runs on."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import psutil

_PATIENCE_S: Final = 2.0
_ROOT: Final = Path("/")
_GOVERNOR: Final = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


def git_revision(folder: Path | None = None) -> str | None:
    """Short revision of the git project around ``folder``, ``-dirty`` after it where files differ.

    None where there is no project, no git, or no answer in time.
    """
    command = ["git", "-c", "core.fsmonitor=false", "describe", "--always", "--dirty"]
    # Without a tag's name, which says less than the revision.
    command += ["--exclude=*", "--abbrev=10"]
    try:
        answer = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return answer.stdout.strip() or None


def power_source() -> Literal["mains", "battery"] | None:
    """What feeds the machine, None where it does not tell, as those without a battery do not."""
    sensors = getattr(psutil, "sensors_battery", None)
    if sensors is None:
        return None
    with suppress(OSError, RuntimeError, NotImplementedError, ValueError, psutil.Error):
        battery = sensors()
        if battery is not None and battery.power_plugged is not None:
            return "mains" if battery.power_plugged else "battery"
    return None


def cpu_governor(root: Path = _ROOT) -> str | None:
    """How Linux chooses the clock speed, for example ``performance``; None where not told."""
    with suppress(OSError, UnicodeDecodeError):
        return (root / _GOVERNOR).read_text().strip() or None
    return None
