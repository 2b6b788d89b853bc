"""A graph made into machine code by torch's compiler, inductor.

Nothing is taken from a cache and nothing stays behind: what compiling costs is part of what a run
measures.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import torch

from core.engine.compiling.tracing import CannotCompile, Tensors

Function = Callable[..., Sequence[torch.Tensor]]

_CACHE = "TORCHINDUCTOR_CACHE_DIR"
_FOLDER = "hogui-inductor-"


def made(graph: Any, inputs: Tensors, device: torch.device) -> Function:
    """The graph as a compiled function, which has been called once.

    Args:
        graph: a function of tensors.
        inputs: what it will be called with.
        device: where they live.

    Raises:
        CannotCompile: inductor does not manage.
    """
    with warnings.catch_warnings():
        # WORKAROUND: torch 2.13 builds parts of its compiler by what it calls deprecated itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        compile_fx = import_module("torch._inductor.compile_fx").compile_fx
    settings = import_module("torch._inductor.config")
    with _own_folder(), settings.patch(_settings(device)), torch.no_grad():
        try:
            function: Function = compile_fx(graph, list(inputs))
            function(*inputs)
        except Exception as error:
            if isinstance(error, MemoryError | torch.OutOfMemoryError):
                raise
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise CannotCompile(
                f"mitigation.compile: inductor could not compile the computation "
                f"({type(error).__name__}: {reason}); allowed: false."
            ) from error
    return function


def _settings(device: torch.device) -> dict[str, Any]:
    settings: dict[str, Any] = {
        # Processes that compile beside this one would outlive it.
        "compile_threads": 1,
        "fx_graph_cache": False,
    }
    if device.type == "cpu":
        # The calls of kernels in C++ too: they take 2.5 µs each in Python. It is one file, which
        # compiles faster than a file for each kernel, and for which headers need not be prepared.
        settings |= {"cpp_wrapper": True, "cpp_cache_precompile_headers": False}
        if platform.machine().lower() in ("x86_64", "amd64"):
            # What the processor says of its vectors is not tried out in a process of its own.
            settings["cpp.vec_isa_ok"] = True
    return settings


@contextmanager
def _own_folder() -> Iterator[None]:
    """Inductor's files go to an empty folder, which is deleted afterwards."""
    _sweep()
    before = os.environ.get(_CACHE)
    folder = tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-")
    os.environ[_CACHE] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CACHE]
        else:
            os.environ[_CACHE] = before
        # Windows does not delete a library that is loaded; the next run does.
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Deletes the folders of processes that were ended while they compiled."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        owner = re.match(rf"{_FOLDER}(\d+)-", folder.name)
        if owner is not None and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(folder, ignore_errors=True)
