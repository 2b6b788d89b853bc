"""The examples of a run: drawn from its seed alone, the same on every device.

They are drawn first and converted to the precision asked for afterwards, so that runs of different
precision see the same examples.
"""

from __future__ import annotations

import math
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

import resources
from core.spec.arrays_file import Arrays, read_arrays
from core.spec.data import DIGIT_CLASSES, ArraysData, DigitsData, SinusoidData, SyntheticData
from core.spec.layers import Shape
from core.spec.run import RunSpec
from core.spec.workloads import Maml

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, math.pi)
POSITION = (-5.0, 5.0)
"""Ranges of the sine curves (Finn et al. 2017, arXiv 1703.03400, section 5.1)."""

_DARKEST = 16
"""The largest value of a pixel of the digits (resources/data/README.md)."""

_HELD_OUT = 1
"""Tells the random numbers of held-out tasks from those of others, which have a 0 in this place."""

Array = npt.NDArray[Any]


class Batch(NamedTuple):
    """Examples ``x`` (batch, *input_shape) and their targets ``y``."""

    x: torch.Tensor
    y: torch.Tensor


class Tasks(NamedTuple):
    """Examples to adapt to and examples to judge by, both (tasks, examples, ...)."""

    support_x: torch.Tensor
    support_y: torch.Tensor
    query_x: torch.Tensor
    query_y: torch.Tensor


class Halves(NamedTuple):
    """Examples to train on and as many to validate on."""

    train_x: torch.Tensor
    train_y: torch.Tensor
    validation_x: torch.Tensor
    validation_y: torch.Tensor


def draw_batch(spec: RunSpec, device: torch.device, dtype: torch.dtype) -> Batch:
    """One batch for a workload without tasks.

    Args:
        spec: a run without problems.
        device: where the tensors are to live.
        dtype: of real numbers; classes and indices are int64.

    Raises:
        core.spec.arrays_file.UnreadableArrays: the user's file changed since it was checked.
    """
    source = _Source(spec, device, dtype, step=0)
    return _examples(source, spec.data.batch_size)


def draw_halves(spec: RunSpec, device: torch.device, dtype: torch.dtype) -> Halves:
    """A batch to train on and one to validate on, each of the spec's batch size.

    Args:
        spec: a run without problems.
        device: where the tensors are to live.
        dtype: of real numbers; classes and indices are int64.

    Raises:
        core.spec.arrays_file.UnreadableArrays: the user's file changed since it was checked.
    """
    count = spec.data.batch_size
    both = _examples(_Source(spec, device, dtype, step=0), 2 * count)
    return Halves(
        both.x[:count].clone(),
        both.y[:count].clone(),
        both.x[count:].clone(),
        both.y[count:].clone(),
    )


def draw_tasks(
    spec: RunSpec,
    device: torch.device,
    dtype: torch.dtype,
    step: int = 0,
    *,
    held_out: bool = False,
) -> Tasks:
    """The tasks of one outer step: fresh ones of sinusoids and digits, otherwise always the same.

    Args:
        spec: a run of MAML without problems.
        device: where the tensors are to live.
        dtype: of real numbers; classes and indices are int64.
        step: number of the outer step.
        held_out: whether they are to be others than those of every outer step.

    Raises:
        core.spec.arrays_file.UnreadableArrays: the user's file changed since it was checked.
    """
    assert isinstance(spec.workload, Maml)
    fresh = isinstance(spec.data, SinusoidData | DigitsData)
    source = _Source(spec, device, dtype, step if fresh else 0, _HELD_OUT if held_out else 0)
    support, query = spec.workload.support, spec.workload.query
    batches = [_task(source, support, query) for _ in range(spec.workload.tasks)]
    x = torch.stack([batch.x for batch in batches])
    y = torch.stack([batch.y for batch in batches])
    # Separate tensors: a view would keep the other half alive and hide which of them is used.
    return Tasks(
        x[:, :support].clone(),
        y[:, :support].clone(),
        x[:, support:].clone(),
        y[:, support:].clone(),
    )


class _Source:
    """Random numbers of one step, and what the examples have to fit."""

    def __init__(
        self,
        spec: RunSpec,
        device: torch.device,
        dtype: torch.dtype,
        step: int,
        stream: int = 0,
    ) -> None:
        output_shape = spec.model.output_shape
        assert output_shape is not None
        seeds = np.random.SeedSequence((spec.measure.seed, step, stream))
        self.spec = spec
        self.device = device
        self.dtype = dtype
        self.output_shape: Shape = output_shape
        self.numbers = np.random.default_rng(seeds)
        self.torch = torch.Generator().manual_seed(int(seeds.generate_state(1)[0]))

    @cached_property
    def arrays(self) -> Arrays:
        """The user's file."""
        assert isinstance(self.spec.data, ArraysData)
        return read_arrays(self.spec.data.file, self.spec.model.input_shape)

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs as the first layer takes them."""
        whole = self.spec.model.takes_whole_numbers
        x = x.reshape(-1, *self.spec.model.input_shape)
        return x.to(self.device, torch.int64 if whole else self.dtype)

    def targets(self, y: torch.Tensor) -> torch.Tensor:
        """Targets as the loss takes them."""
        if self.spec.loss == "cross_entropy":
            return y.reshape(-1, *self.output_shape[1:]).to(self.device, torch.int64)
        return y.reshape(-1, *self.output_shape).to(self.device, self.dtype)

    def batch(self, x: Array, y: Array) -> Batch:
        """Arrays as tensors."""
        return Batch(
            self.inputs(torch.from_numpy(np.ascontiguousarray(x))),
            self.targets(torch.from_numpy(np.ascontiguousarray(y))),
        )


def _examples(source: _Source, count: int) -> Batch:
    """Examples in no order of a task."""
    data = source.spec.data
    if isinstance(data, SyntheticData):
        return _synthetic(source, count)
    if isinstance(data, SinusoidData):
        return _sinusoid(source, count)
    if isinstance(data, DigitsData):
        images, labels = _digits()
        chosen = np.resize(source.numbers.permutation(len(labels)), count)
        return source.batch(images[chosen], labels[chosen])
    return _arrays(source, np.arange(count))


def _task(source: _Source, support: int, query: int) -> Batch:
    """The support set and behind it the query set; no example is in both."""
    data = source.spec.data
    if isinstance(data, DigitsData):
        return _digit_task(source, data.ways, support // data.ways, query // data.ways)
    if isinstance(data, ArraysData):
        rows = source.numbers.permutation(len(source.arrays.x))
        return _arrays(source, rows[: support + query])
    return _examples(source, support + query)


def _synthetic(source: _Source, count: int) -> Batch:
    model, generator = source.spec.model, source.torch
    shape = (count, *model.input_shape)
    if model.takes_whole_numbers:
        assert model.vocabulary is not None
        x = torch.randint(model.vocabulary, shape, generator=generator)
    else:
        x = torch.randn(shape, generator=generator)
    if source.spec.loss == "cross_entropy":
        classes, *positions = source.output_shape
        y = torch.randint(classes, (count, *positions), generator=generator)
    else:
        y = torch.randn((count, *source.output_shape), generator=generator)
    return Batch(source.inputs(x), source.targets(y))


def _sinusoid(source: _Source, count: int) -> Batch:
    amplitude = source.numbers.uniform(*AMPLITUDE)
    phase = source.numbers.uniform(*PHASE)
    x = source.numbers.uniform(*POSITION, size=(count, 1))
    return source.batch(x, amplitude * np.sin(x - phase))


@cache
def _digits() -> tuple[Array, Array]:
    with np.load(resources.path("data/digits.npz")) as archive:
        return archive["images"].astype(np.float32) / _DARKEST, archive["labels"]


def _digit_task(source: _Source, ways: int, support: int, query: int) -> Batch:
    """Some classes under new numbers from 0 on, with as many examples of each.

    Args:
        source: the random numbers.
        ways: number of classes.
        support: examples of a class to adapt to.
        query: examples of a class to judge by.
    """
    images, labels = _digits()
    digits = source.numbers.permutation(DIGIT_CLASSES)[:ways]
    chosen = np.stack(
        [
            source.numbers.permutation(np.flatnonzero(labels == digit))[: support + query]
            for digit in digits
        ],
        axis=1,
    )
    classes = np.broadcast_to(np.arange(ways), chosen.shape)
    return source.batch(images[chosen.ravel()], classes.ravel())


def _arrays(source: _Source, rows: Array) -> Batch:
    """Rows of the user's file, in whatever number format it holds."""
    x, y = source.arrays.x[rows], source.arrays.y[rows]
    return source.batch(x.astype(np.float64), y.astype(np.float64))
