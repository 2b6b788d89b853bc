"""The handwritten digits that a run draws, packed into text."""

from __future__ import annotations

import base64
import textwrap
import zlib
from functools import cache

import numpy as np
import numpy.typing as npt

import resources
from core.spec.data import DIGIT_CLASSES, DigitsData
from core.spec.run import RunSpec
from core.spec.workloads import Maml

Bytes = npt.NDArray[np.uint8]
_LINE = 96


def drawn_digits(spec: RunSpec) -> tuple[Bytes, Bytes]:
    """Images (n, 8, 8) of 0 to 16 and labels (n,) of a run, by its seed; of tasks one by one."""
    assert isinstance(spec.data, DigitsData)
    images, labels = _digits()
    numbers = np.random.default_rng((spec.measure.seed, 0))
    if isinstance(spec.workload, Maml):
        ways, shots = spec.data.ways, spec.workload.support + spec.workload.query
        tasks = [_task(numbers, labels, ways, shots // ways) for _ in range(spec.workload.tasks)]
        chosen = np.concatenate(tasks)
    else:
        halves = 1 + (spec.workload.examples == "halves")
        chosen = np.resize(numbers.permutation(len(labels)), halves * spec.data.batch_size)
    return images[chosen], labels[chosen]


def packed(values: Bytes) -> str:
    """Compressed, as lines of printable characters."""
    text = base64.b85encode(zlib.compress(values.tobytes(), 9)).decode("ascii")
    return "\n".join(textwrap.wrap(text, _LINE))


def _task(numbers: np.random.Generator, labels: Bytes, ways: int, each: int) -> Bytes:
    """Rows of some classes in turn, ``each`` of a class."""
    classes = numbers.permutation(DIGIT_CLASSES)[:ways]
    rows = [numbers.permutation(np.flatnonzero(labels == one))[:each] for one in classes]
    return np.stack(rows, axis=1).ravel()


@cache
def _digits() -> tuple[Bytes, Bytes]:
    with np.load(resources.path("data/digits.npz")) as archive:
        return archive["images"], archive["labels"]
