"""The top of the script: what it is, what it needs, and what a reader may want to change."""

from __future__ import annotations

import re

from core.export.script.precision import number_format
from core.export.script.source import quoted
from core.export.script.workloads import WORKLOADS, WorkloadSource
from core.spec.run import RunSpec

_LONGEST_NAME = 60
_FEW, _MANY = 5, 200

_STANDARD = (
    "base64",
    "csv",
    "gc",
    "importlib.util",
    "itertools",
    "json",
    "math",
    "os",
    "statistics",
    "sys",
    "tempfile",
    "time",
    "weakref",
    "zlib",
)
_PATHS = ("FILE = ", "MODEL_FILE = ")
_PARTIAL = "from functools import partial"
_OTHERS = (
    (r"\bnp\.", "import numpy as np"),
    (r"\btorch\.", "import torch"),
    (r"\bnn\.", "from torch import nn"),
    (r"\bsaved_tensors_hooks\(", "from torch.autograd.graph import saved_tensors_hooks"),
    (r"\bconfig\.patch\(", "from torch._inductor import config"),
    (r"\bcompile_fx\(", "from torch._inductor.compile_fx import compile_fx"),
    (r"\bprofile\(", "from torch.autograd.profiler import profile"),
    (r"\bfunctional_call\(", "from torch.func import functional_call"),
    (r"\bmake_fx\(", "from torch.fx.experimental.proxy_tensor import make_fx"),
    (r"\bF\.", "from torch.nn import functional as F"),
    (r"\bsdpa_kernel\(", "from torch.nn.attention import SDPBackend, sdpa_kernel"),
    (r"\bforward_ad\.", "from torch.autograd import forward_ad"),
    (r"\bcheckpoint\(", "from torch.utils.checkpoint import checkpoint"),
)


def docstring(spec: RunSpec, about: str | None = None) -> str:
    """What the script computes and prints.

    Args:
        spec: a run without problems.
        about: what is computed, where that is not the workload.
    """
    printable = "".join(character for character in spec.name if character.isprintable())
    name = " ".join(printable.translate({ord("\\"): "/", ord('"'): "'"}).split())
    title = name[:_LONGEST_NAME] or "Untitled"
    return (
        f'"""{title}: {about or _kind(spec).about(spec)}.\n\n'
        "Written by HoGUI and independent of it. Prints the median time, every sample, and the "
        "peak and\nbaseline of memory in bytes, as JSON.\n"
        '"""'
    )


def _kind(spec: RunSpec) -> WorkloadSource:
    return WORKLOADS[type(spec.workload)]


def imports(text: str) -> str:
    """The import statements that a text needs, sorted."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith(_PATHS))
    standard = [f"import {name}" for name in _STANDARD if re.search(rf"\b{name}\.", code)]
    if re.search(r"\bpartial\(", code):
        standard.append(_PARTIAL)
    others = [line for pattern, line in _OTHERS if re.search(pattern, code)]
    return "\n".join([*standard, "", *others])


def constants(spec: RunSpec) -> str:
    """Seeds, device, precision, the workload's sizes, and how often it is measured."""
    lines = [*_device(spec.device), f"DTYPE = torch.{number_format(spec)}"]
    lines += [f"SEED = {spec.measure.seed}", *_kind(spec).constants(spec)]
    if spec.mitigation.accumulation > 1:
        lines.append(f"PARTS = {spec.mitigation.accumulation}")
    lines += _measure(spec)
    lines += ["", f"torch.set_num_threads({spec.measure.threads})"]
    return "\n".join(lines)


def _device(name: str) -> list[str]:
    if name == "auto":
        accelerator = "torch.accelerator.current_accelerator(check_available=True)"
        return [f'DEVICE = {accelerator} or torch.device("cpu")']
    lines = [f"DEVICE = torch.device({quoted(name)})"]
    if name.partition(":")[2] not in ("", "0"):
        lines.append("torch.accelerator.set_device_index(DEVICE.index)")
    return lines


def _measure(spec: RunSpec) -> list[str]:
    measure = spec.measure
    lines = [f"WARM_UP = {_FEW if measure.warmup == 'auto' else measure.warmup}"]
    if measure.repetitions != "auto":
        return [*lines, f"REPETITIONS = {measure.repetitions}"]
    return [*lines, f"REPETITIONS = {_MANY}  # at most", f"TIME_BUDGET_S = {measure.time_budget_s}"]
