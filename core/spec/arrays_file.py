"""Reads the user's arrays; every failure is one sentence that names the file."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from core.spec.layers import Shape, shape_text


class UnreadableArrays(ValueError):
    """The file cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Arrays:
    """Examples along the first axis: ``x`` (n, *input_shape) and ``y`` (n, *output_shape)."""

    x: npt.NDArray[np.generic]
    y: npt.NDArray[np.generic]


def read_arrays(file: str, input_shape: Shape) -> Arrays:
    """Reads ``x`` and ``y`` from an .npz, or splits the columns of a .csv.

    Args:
        file: path of an .npz with arrays ``x`` and ``y``, or of a .csv with a header line whose
            first columns are the flattened inputs and whose remaining columns are the targets.
        input_shape: shape of one example, without the batch.

    Raises:
        UnreadableArrays: no such file, another format, missing or unequal arrays, text where
            numbers belong, infinite or missing values, or a shape that the model does not take.
    """
    if not file:
        raise UnreadableArrays("no file was given; allowed: the path of an .npz or a .csv.")
    try:
        path = Path(file).expanduser()
        state = path.stat()
    except (OSError, RuntimeError, ValueError):
        # No such file, no such user behind a tilde, no possible path.
        raise UnreadableArrays(f"{file} is not a file that can be opened.") from None
    if not S_ISREG(state.st_mode):
        raise UnreadableArrays(f"{file} is not a file that can be opened.")
    return _read(path, input_shape, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, input_shape: Shape, *_: int) -> Arrays:
    """Remembers the last files by their time and size, since a window asks at every key stroke."""
    readers = {".npz": _read_npz, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UnreadableArrays(f"{path} was given; allowed: a file that ends in .npz or .csv.")
    arrays = reader(path, input_shape)
    _check(arrays, str(path), input_shape)
    return arrays


def _read_npz(path: Path, input_shape: Shape) -> Arrays:
    del input_shape
    try:
        with path.open("rb") as stream:
            return _x_and_y(np.load(stream, allow_pickle=False), path)
    except UnreadableArrays:
        raise
    except OSError as error:
        raise UnreadableArrays(f"{path} cannot be read ({error.strerror or error}).") from None
    except Exception:
        # In a damaged file zlib, zipfile, numpy and the tokenizer of its headers each raise
        # errors of their own, and none of them documents all.
        raise UnreadableArrays(f"{path} is not a complete .npz file of plain numbers.") from None


def _x_and_y(loaded: object, path: Path) -> Arrays:
    if not isinstance(loaded, NpzFile):
        raise UnreadableArrays(f"{path} holds one array; it needs two, x and y.")
    found = {name: loaded[name] for name in ("x", "y") if name in loaded}
    for name in ("x", "y"):
        # A member that is no .npy comes as bytes.
        if not isinstance(found.get(name), np.ndarray):
            names = ", ".join(loaded.files) or "none"
            raise UnreadableArrays(
                f"{path} has no array {name}; it needs x and y and holds: {names}."
            )
    return Arrays(found["x"], found["y"])


def _read_csv(path: Path, input_shape: Shape) -> Arrays:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableArrays(f"{path} is not a readable .csv file ({error}).") from None
    inputs = math.prod(input_shape)
    if len(rows) < 2 or len(rows[0]) <= inputs:
        raise UnreadableArrays(
            f"{path} needs a header, at least one row, and {inputs} input columns followed by "
            "target columns."
        )
    if all(map(_is_number, rows[0])):
        raise UnreadableArrays(
            f"{path} begins with a row of numbers alone; its first row must name the columns."
        )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise UnreadableArrays(
                f"{path}: row {number} has {len(row)} values, the header {len(rows[0])}."
            )
    try:
        table = np.array(rows[1:], dtype=np.float64)
    except ValueError as error:
        raise UnreadableArrays(f"{path} holds something that is no number ({error}).") from None
    return Arrays(table[:, :inputs].reshape(-1, *input_shape), table[:, inputs:])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check(arrays: Arrays, file: str, input_shape: Shape) -> None:
    for name, array in (("x", arrays.x), ("y", arrays.y)):
        if array.dtype.kind not in "fiub":
            raise UnreadableArrays(f"{file}: {name} holds {array.dtype}; numbers are needed.")
        if not array.ndim or not len(array):
            raise UnreadableArrays(f"{file}: {name} holds no examples.")
        if not np.isfinite(array).all():
            raise UnreadableArrays(f"{file}: {name} holds infinite or missing values.")
    if len(arrays.x) != len(arrays.y):
        raise UnreadableArrays(
            f"{file}: x holds {len(arrays.x)} examples and y {len(arrays.y)}; they must be equal."
        )
    if arrays.x.shape[1:] != input_shape:
        raise UnreadableArrays(
            f"{file}: an example of x has shape {shape_text(arrays.x.shape[1:])}, "
            f"the model takes {shape_text(input_shape)}."
        )
