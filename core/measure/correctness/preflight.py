"""What would fail or be wrong, said before anything is computed, layer by layer.

Each layer, and the loss, is looked at on its own: the operations that it comes to on fake tensors
are looked up among the known faults, and it is differentiated as often as the workload will be, on
a copy of a few numbers or else on fake tensors; so what raises is told by the layer that it belongs
to. Layers are remembered, so that typing in one of them asks for that one alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from typing_extensions import override

from core.engine.attention import math_attention
from core.engine.compiling.toolchain import what_is_missing
from core.engine.layers import forward
from core.engine.losses import loss_of
from core.engine.problem import DTYPES, prepare
from core.engine.recorder import SILENT, Recorder, Silent
from core.engine.user_file import UserFileError
from core.engine.user_trial import completed
from core.engine.workloads.nested_gradient import nested_gradients
from core.measure.correctness.known_faults import Mode, Operation, Severity, Use, findings_for
from core.measure.correctness.operations import Operations
from core.measure.machine.devices import resolve
from core.results.forecast import Finding
from core.spec.declaration import InvalidSpec
from core.spec.derivation import Derivation, Tangents
from core.spec.layers import Embedding, LayerSpec, Shape, ShapeError
from core.spec.notices import OWN_STEP, Notice, device_notices, layer_notices
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

_EXAMPLES: Final = 2
"""Batch norm needs two."""

_HIGHEST_ORDER_RUN: Final = 3
"""What differentiates three times does so ever after: formulas then consist of plain operations."""

_CAPS: Final = (4, 8, 16, 32)
_MOST_VALUES: Final = 2**15

_MODES: Final[dict[Tangents, Mode]] = {
    "none": "reverse_over_reverse",
    "outside": "forward_over_reverse",
    "inside": "reverse_over_forward",
}

_UNFORESEEABLE: Final = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)


@dataclass(frozen=True)
class Failure:
    """Why a computation cannot be seen to its end without values.

    Attributes:
        severity: an ``error`` raises, a ``warning`` only has no forecast.
        sentence: does not name the layer.
    """

    severity: Severity
    sentence: str


@dataclass(frozen=True)
class Observation:
    """What a computation was seen to do: the operations of its forward pass, and how it failed."""

    operations: tuple[str, ...]
    failure: Failure | None


def preflight(spec: RunSpec) -> tuple[Finding, ...]:
    """What would fail, be wrong or surprise, the whole configuration first, then by layer.

    Takes no memory to speak of, and leaves the random numbers as they are.

    Args:
        spec: a run without problems.
    """
    found = dict.fromkeys(_findings(spec))
    return tuple(sorted(found, key=lambda finding: -1 if finding.layer is None else finding.layer))


def _findings(asked: RunSpec) -> Iterator[Finding]:
    spec = asked.as_computed()
    elsewhere = tuple[Notice, ...]()
    try:
        elsewhere = tuple(device_notices(spec, resolve(spec.device).type))
    except InvalidSpec as error:
        for problem in error.problems:
            yield Finding(severity="error", layer=None, sentence=problem.sentence)
    for notice in (*layer_notices(asked), *elsewhere):
        yield Finding(severity=notice.severity, layer=notice.layer, sentence=notice.sentence)
    way = spec.workload.derivation
    use = Use(spec.workload.derivative_order, _MODES[way.tangents])
    if spec.mitigation.compile:
        yield from _of_compiling(spec)
    if isinstance(spec.model, PythonModel):
        yield from _of_own_model(spec, use)
        return
    kinds = tuple(layer.kind for layer in spec.model.layers)
    for layer, seen in _observations(spec):
        operations = [Operation(layer, name) for name in seen.operations]
        known = findings_for(operations, use, kinds)
        yield from known
        explained = any(finding.severity == "error" for finding in known)
        if seen.failure is not None and not explained:
            part = f"loss {spec.loss}" if layer is None else kinds[layer]
            sentence = f"{part}: {seen.failure.sentence}"
            yield Finding(severity=seen.failure.severity, layer=layer, sentence=sentence)


def _of_own_model(spec: RunSpec, use: Use) -> Iterator[Finding]:
    """What is found about a model of the user's, whose file this runs."""
    try:
        known = completed(spec)
    except UserFileError as error:
        yield Finding(severity="error", layer=None, sentence=str(error))
        return
    problems = known.problems()
    for problem in problems:
        yield Finding(severity="error", layer=None, sentence=problem.sentence)
    if known.is_own_step:
        yield Finding(severity="note", layer=None, sentence=OWN_STEP)
    if problems or known.is_own_step:
        return
    operations = Operations()
    failure = _failure_of(lambda: _own_part(known, operations), 0, operations)
    if failure is None:
        failure = _failure_of(lambda: _own_part(known, SILENT), use.order)
    kinds = [row.layer.kind for row in known.model.trace()]
    found = findings_for(operations.seen, use, kinds)
    yield from found
    if failure is not None and not any(finding.severity == "error" for finding in found):
        yield Finding(severity=failure.severity, layer=None, sentence=f"model: {failure.sentence}")


def _own_part(spec: RunSpec, recorder: Recorder) -> Part:
    """The loss of the user's own model, differentiated as the workload does."""
    problem = prepare(spec, torch.device("cpu"))
    x, y = problem.examples
    wrt = [x] if spec.workload.by_inputs else list(problem.parameters.values())
    return Part(lambda: problem.loss(problem.parameters, x, y, recorder), wrt)


def _of_compiling(spec: RunSpec) -> Iterator[Finding]:
    """What inductor needs and this machine has not."""
    try:
        missing = what_is_missing(resolve(spec.device))
    except InvalidSpec:
        return  # said already
    if missing is not None:
        yield Finding(severity="error", layer=None, sentence=missing)


def _observations(spec: RunSpec) -> Iterator[tuple[int | None, Observation]]:
    way, dtype = spec.workload.derivation, DTYPES[spec.mitigation.precision]
    by_inputs = spec.workload.by_inputs
    output = spec.model.output_shape
    assert output is not None
    yield None, _observed_loss(spec.loss, output, way, dtype)
    differentiable = by_inputs
    for row in spec.model.trace():
        assert row.input_shape is not None
        yield (
            row.index,
            _observed_layer(row.layer, row.input_shape, way, dtype, not by_inputs, differentiable),
        )
        differentiable = differentiable or bool(row.parameters)


@lru_cache(maxsize=1024)
def _observed_layer(
    layer: LayerSpec,
    input_shape: Shape,
    way: Derivation,
    dtype: torch.dtype,
    by_parameters: bool,
    by_input: bool,
) -> Observation:
    """A layer on its own, differentiated by its parameters, its input or both."""
    apply, order = forward(layer, 0, way), way.order

    def part(shape: Shape) -> Part:
        parameters = {
            f"0.{name}": torch.zeros(size, dtype=dtype).requires_grad_(by_parameters)
            for name, size in layer.parameter_shapes(shape).items()
        }
        buffers = {
            f"0.{name}": torch.zeros(size, dtype=dtype)
            for name, size in layer.buffer_shapes(shape).items()
        }
        whole = layer.takes_whole_numbers
        x = torch.zeros((_EXAMPLES, *shape), dtype=torch.int64 if whole else dtype)
        x.requires_grad_(by_input and not whole)
        wrt = [tensor for tensor in (*parameters.values(), x) if tensor.requires_grad]
        return Part(lambda: apply(parameters, buffers, x, True), wrt)

    if not by_input and not (by_parameters and layer.parameter_shapes(input_shape)):
        # No derivative passes through it, so that its operations do not matter.
        return Observation((), _failure_of(lambda: part(input_shape), order=0))
    if isinstance(layer, Embedding) and layer.sparse:
        # WORKAROUND: fake tensors lose the rows of a sparse gradient and then refuse its
        # derivatives, which torch has at every order.
        order = 1
    small = _small_shape(layer, input_shape)
    return observe(lambda: part(input_shape), order, None if small is None else lambda: part(small))


@lru_cache(maxsize=64)
def _observed_loss(name: str, shape: Shape, way: Derivation, dtype: torch.dtype) -> Observation:
    criterion = loss_of(name, way)

    def part(shape: Shape) -> Part:
        output = torch.zeros((_EXAMPLES, *shape), dtype=dtype).requires_grad_()
        target = torch.zeros_like(output)
        if name == "cross_entropy":
            target = torch.zeros((_EXAMPLES, *shape[1:]), dtype=torch.int64)
        return Part(lambda: criterion(output, target), [output])

    small = tuple(min(size, _CAPS[0]) for size in shape)
    return observe(lambda: part(shape), way.order, lambda: part(small))


def _small_shape(layer: LayerSpec, input_shape: Shape) -> Shape | None:
    """A shape of the same kind that takes no time to compute with, None where there is none."""
    for cap in _CAPS:
        shape = tuple(min(size, cap) for size in input_shape)
        try:
            output = layer.output_shape(shape)
        except ShapeError:
            continue
        values = layer.parameter_count(shape) + _EXAMPLES * (math.prod(shape) + math.prod(output))
        return shape if values <= _MOST_VALUES else None
    return None


class Part(NamedTuple):
    """A part of a workload on tensors of its own, and those that it is differentiated by."""

    computation: Callable[[], torch.Tensor]
    wrt: Sequence[torch.Tensor]


def observe(
    part: Callable[[], Part], order: int, small: Callable[[], Part] | None = None
) -> Observation:
    """Looks at a part of a workload without computing it.

    Args:
        part: makes the part; its tensors become fakes.
        order: how often it is differentiated.
        small: makes one with the same operations that may be computed.
    """
    operations = Operations()
    with math_attention(order):
        failure = _failure_of(part, 0, operations)
        if failure is None and not (small is not None and _differentiates(small, order)):
            failure = _failure_of(part, order)
    return Observation(tuple(name for _, name in operations.seen), failure)


def _differentiates(small: Callable[[], Part], order: int) -> bool:
    """Fake tensors take 0.1 ms an operation; computing a few numbers takes a tenth of that."""
    with torch.random.fork_rng(devices=[]):
        try:
            _differentiate(small(), order, SILENT)
        except Exception:  # asked again with fake tensors, whose answer counts
            return False
    return True


def _failure_of(
    part: Callable[[], Part], order: int, operations: Operations | None = None
) -> Failure | None:
    """How the part fails when it is differentiated; at order 0 only its forward pass is seen."""
    progress = _Progress()
    with FakeTensorMode(allow_non_fake_inputs=True):
        try:
            computation, wrt = part()
            if order:
                _differentiate(Part(computation, wrt), order, progress)
            else:
                with operations or nullcontext():
                    computation()
        except Exception as error:  # whatever would end the run is what is asked for
            return _failure(error, progress.phase_name)
    return None


def _differentiate(part: Part, order: int, recorder: Recorder) -> None:
    nested_gradients(
        lambda: part.computation().square().sum(),
        part.wrt,
        min(order, _HIGHEST_ORDER_RUN),
        recorder,
    )


class _Progress(Silent):
    """Remembers how far a computation came."""

    def __init__(self) -> None:
        self.phase_name = "forward"

    @override
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.phase_name = name
        yield


def _failure(error: Exception, phase: str) -> Failure:
    message = str(error).strip().partition("\n")[0].rstrip(".")
    if isinstance(error, _UNFORESEEABLE):
        return Failure(
            "warning",
            "there is no forecast, because what it does depends on the values of a tensor "
            f"({message}); it can be measured.",
        )
    remedy = "; use another operation or a lower order" if phase != "forward" else ""
    return Failure("error", f"{phase} fails ({message}){remedy}.")
