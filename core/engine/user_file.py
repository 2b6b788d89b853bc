"""The user's own Python file: run once in a process, and every failure a sentence that names it.

The file is the user's program; it may do whatever the user may. It is only ever loaded by a process
that measures, whose output goes into a log and which can be ended at any moment.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from torch import nn

from core.spec.python_model import PythonModel

PATIENCE_S: Final = 60.0
"""So long may loading a file, making its module or computing a first output take."""

T = TypeVar("T")
Batch = tuple[torch.Tensor, torch.Tensor]


class UserFileError(ValueError):
    """The file cannot be used; the message is one sentence that names it."""


@dataclass(frozen=True)
class UserFile:
    """What a file defines.

    Attributes:
        make: gives the module.
        loss: of a module and a batch, a tensor without axes; None where the spec's loss is meant.
        step: a computation of the user's own on a module and a batch, None where there is none.
    """

    make: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Batch], torch.Tensor] | None
    step: Callable[[nn.Module, Batch], object] | None


def load(model: PythonModel) -> UserFile:
    """Runs the file, unless this process has done so since it was last changed.

    Raises:
        UserFileError: it cannot be read, it raises, it does not come to an end, or it defines
            nothing of the name asked for.
    """
    path = Path(model.file).resolve()
    try:
        state = path.stat()
    except OSError as error:
        raise UserFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    names = _run(path, state.st_mtime_ns, state.st_size)
    make = names.get(model.callable)
    if not callable(make):
        raise UserFileError(
            f'model.callable: "{model.callable}" was given; {path.name} defines '
            f"{_callables(names) or 'nothing that can be called'}."
        )
    return UserFile(make, _function(names, "loss"), _function(names, "step"))


def built(model: PythonModel, seed: int) -> nn.Module:
    """The module with the weights that the seed gives, on the CPU.

    Raises:
        UserFileError: making it fails, or gives something else.
    """
    make = load(model).make

    def work() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make()

    module = attempted(Path(model.file), f"{model.callable}()", work)
    if not isinstance(module, nn.Module):
        raise UserFileError(
            f"{model.callable}() of {Path(model.file).name} gives "
            f"{type(module).__name__}; allowed: a torch.nn.Module."
        )
    return module


def attempted(path: Path, what: str, work: Callable[[], T]) -> T:
    """The value of work that the user's code does.

    Args:
        path: of the user's file.
        what: names the work in a sentence.
        work: what is done.

    Raises:
        UserFileError: it raises or exits.
    """
    try:
        return work()
    except UserFileError:
        raise
    except (Exception, SystemExit) as error:
        raise UserFileError(_sentence(path, what, error)) from error


def guarded(path: Path, what: str, work: Callable[[], T]) -> T:
    """The same, given up after ``PATIENCE_S``; its thread then ends with the process.

    Raises:
        UserFileError: it raises, exits, or does not come to an end.
    """
    values: list[T] = []
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            values.append(attempted(path, what, work))
        except Exception as error:  # raised again where somebody waits
            failures.append(error)

    thread = threading.Thread(target=attempt, name="user's file", daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if failures:
        raise failures[0]
    if not values:
        raise UserFileError(f"{path.name}: {what} has not come to an end after {PATIENCE_S:.0f} s.")
    return values[0]


@lru_cache(maxsize=4)
def _run(path: Path, *_: int) -> dict[str, Any]:
    """The names that a file defines; remembered by its time and size."""
    found = importlib.util.spec_from_file_location("user_file", path)
    if found is None or found.loader is None:
        raise UserFileError(f"{path.name} is no Python file.")
    module, loader = importlib.util.module_from_spec(found), found.loader
    # Its neighbours can be imported, as if it had been run by itself.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    # What pickles or inspects a class of the file looks its module up.
    sys.modules[found.name] = module
    guarded(path, "loading the file", lambda: loader.exec_module(module))
    return vars(module)


def _callables(names: dict[str, Any]) -> str:
    own = [
        name
        for name, value in names.items()
        if callable(value) and getattr(value, "__module__", None) == "user_file"
    ]
    return ", ".join(own)


def _function(names: dict[str, Any], name: str) -> Callable[..., Any] | None:
    value = names.get(name)
    return value if callable(value) else None


def _sentence(path: Path, what: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path.name}, line {error.lineno}: {error.msg}."
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    line = f", line {frames[-1].lineno}" if frames else ""
    words = " ".join(str(error).split()) or "without a message"
    return f"{path.name}{line}: {what} raised {type(error).__name__}: {words.rstrip('.')}."
