"""What inductor needs beside torch to make programs: a C++ compiler and headers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

import torch

_COMPILERS: Final = {"win32": ("cl",), "darwin": ("clang++",)}
"""What inductor looks for, where the variable CXX names none (``torch._inductor.config.cpp``)."""


def what_is_missing(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device here, one sentence; None where it can."""
    named = os.environ.get("CXX")
    candidates = (named,) if named else _COMPILERS.get(sys.platform, ("g++",))
    if not any(map(shutil.which, candidates)):
        what = f"CXX names {named}, which is not there" if named else f"no {candidates[0]} is here"
        return (
            f"mitigation.compile: {what}; inductor needs a C++ compiler, allowed without one: "
            "false."
        )
    # torch's own package, and not what a packaged program has of it.
    if not (Path(torch.__file__).parent / "include" / "ATen").is_dir():
        return (
            "mitigation.compile: this program comes without torch's headers, which inductor needs; "
            "use HoGUI from an installed Python with torch, allowed here: false."
        )
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return (
            "mitigation.compile: the headers of Python (Python.h, in a package such as python3-dev)"
            " are missing, which inductor needs; allowed without them: false."
        )
    if device.type != "cpu" and importlib.util.find_spec("triton") is None:
        return (
            f"mitigation.compile: inductor needs triton for {device.type}, which is not installed; "
            "allowed without it: false."
        )
    return None
