"""The user's own Python file: what it defines, and every failure a sentence that names it.

The file is the user's program; it may do whatever the user may. It is only ever loaded by a process
that measures, whose output goes into a log and which can be ended at any moment.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, Final, TypeVar

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes
from typing_extensions import override

from core.spec.python_model import PythonModel

PATIENCE_S: Final = 60.0
"""So long may loading a file, making its module or computing a first output take."""

_NAME: Final = "user_file"

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
        names: all of its names.
    """

    make: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Batch], torch.Tensor] | None
    step: Callable[[nn.Module, Batch], object] | None
    names: dict[str, Any]


def load(model: PythonModel, patience_s: float = PATIENCE_S) -> UserFile:
    """Runs the file, unless this process has done so since it was last changed.

    Raises:
        UserFileError: it cannot be read, it raises, it does not come to an end, or it defines
            nothing of the name asked for.
    """
    state = model.state
    if state is None:
        raise UserFileError(f"{model.file} cannot be read.")
    return _defined(model, _run_once(model.path, state, patience_s))


def load_anew(model: PythonModel) -> UserFile:
    """Runs the file once more, so that nothing which it keeps of earlier computations is left.

    Raises:
        UserFileError: it raises, or defines nothing of the name asked for.
    """
    with _disable_current_modes():
        return _defined(model, attempted(model.path, _LOADING, lambda: _run(model.path)))


def built(model: PythonModel, file: UserFile, seed: int) -> nn.Module:
    """The module with the weights that the seed gives, on the CPU.

    Args:
        model: what was loaded.
        file: as what.
        seed: of torch's random numbers.

    Raises:
        UserFileError: making it fails, gives something else, or gives the same module again.
    """

    def work() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return file.make()

    module = attempted(model.path, f"{model.callable}()", work)
    if not isinstance(module, nn.Module):
        raise UserFileError(
            f"{model.callable}() of {model.path.name} gives {described(module)}; allowed: a "
            "torch.nn.Module."
        )
    weights = {id(weight) for weight in module.parameters()}
    if any(id(weight) in weights for other in _made for weight in other.parameters()):
        raise UserFileError(
            f"{model.callable}() of {model.path.name} gives the same weights again; allowed: a "
            "module that is new at each call."
        )
    _made.add(module)
    return module


_made: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""All modules that are alive. Nothing may refer to weights weakly: torch then cannot convert
them."""


def attempted(path: Path, what: str, work: Callable[[], T]) -> T:
    """The value of work that the user's code does.

    Args:
        path: of the user's file.
        what: names the work in a sentence.
        work: what is done.

    Raises:
        UserFileError: it raises or exits.
        MemoryError: there is no room for it; torch.OutOfMemoryError on a device.
    """
    try:
        return work()
    except (UserFileError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise UserFileError(raised_sentence(path, what, error)) from error


def guarded(path: Path, what: str, work: Callable[[], T], patience_s: float) -> T:
    """The same, given up after some seconds; its thread then ends with the process.

    Raises:
        UserFileError: it raises, exits, or does not come to an end.
        MemoryError: there is no room for it.
    """
    values: list[T] = []
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            values.append(attempted(path, what, work))
        except (UserFileError, MemoryError) as error:
            failures.append(error)
        except BaseException as error:  # whatever it is must reach whoever waits
            failures.append(UserFileError(raised_sentence(path, what, error)))

    thread = threading.Thread(target=attempt, name="user's file", daemon=True)
    thread.start()
    thread.join(patience_s)
    if failures:
        raise failures[0]
    if not values:
        raise UserFileError(f"{path.name}: {what} has not come to an end after {patience_s:g} s.")
    return values[0]


def raised_sentence(path: Path, what: str, error: BaseException) -> str:
    """What was raised, and in which line of the user's file."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path.name}, line {error.lineno}: {error.msg}."
    line = line_of(path, error)
    place = path.name if line is None else f"{path.name}, line {line}"
    words = " ".join(str(error).split()) or "without a message"
    return f"{place}: {what} raised {type(error).__name__}: {words.rstrip('.')}."


def line_of(path: Path, error: BaseException) -> int | None:
    """The line of the file that an error passed through last, None where it did not."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return frames[-1].lineno if frames else None


def described(value: object) -> str:
    """A value as a sentence names it."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


_LOADING: Final = "loading the file"


@lru_cache(maxsize=4)
def _run_once(path: Path, _: tuple[int, int], patience_s: float) -> dict[str, Any]:
    """The names that a file defines; remembered by its time and size."""
    return guarded(path, _LOADING, lambda: _run(path), patience_s)


def _run(path: Path) -> dict[str, Any]:
    loader = _SourceLoader(_NAME, str(path))
    found = importlib.util.spec_from_file_location(_NAME, path, loader=loader)
    assert found is not None
    module = importlib.util.module_from_spec(found)
    # Its neighbours can be imported, as if it had been run by itself.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    # What pickles or inspects a class of the file looks its module up.
    sys.modules[_NAME] = module
    loader.exec_module(module)
    return vars(module)


class _SourceLoader(SourceFileLoader):
    """Neither leaves a compiled file nor believes one: these tell versions apart by whole
    seconds."""

    @override
    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        code: CodeType = self.source_to_code(source, self.path)
        return code


def _defined(model: PythonModel, names: dict[str, Any]) -> UserFile:
    make = names.get(model.callable)
    if isinstance(make, nn.Module):
        raise UserFileError(
            f'model.callable: "{model.callable}" was given; in {model.path.name} it is a module '
            "itself; allowed: a class or function that makes one."
        )
    if not callable(make):
        raise UserFileError(
            f'model.callable: "{model.callable}" was given; {model.path.name} defines '
            f"{_callables(names) or 'nothing that could be called'}."
        )
    return UserFile(make, _function(names, "loss"), _function(names, "step"), names)


def _callables(names: dict[str, Any]) -> str:
    own = [
        name
        for name, value in names.items()
        if callable(value)
        and getattr(value, "__module__", None) == _NAME
        and not isinstance(value, nn.Module)
        and name not in ("loss", "step")
    ]
    return ", ".join(own)


def _function(names: dict[str, Any], name: str) -> Callable[..., Any] | None:
    value = names.get(name)
    return value if callable(value) else None
