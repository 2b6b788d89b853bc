"""Whether the parts of a spec fit together; each rule is one sentence at one key."""

from __future__ import annotations

import math
from collections.abc import Iterator

from core.spec.accumulation import accumulation_misfits
from core.spec.arrays_file import UnreadableArrays, read_arrays
from core.spec.compilation import compilation_misfits
from core.spec.data import (
    DIGIT_CLASSES,
    DIGIT_SHAPE,
    DIGITS,
    DIGITS_PER_CLASS,
    ArraysData,
    Data,
    DigitsData,
    SinusoidData,
)
from core.spec.declaration import Problem
from core.spec.layers import Shape, shape_text
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.python_model import PythonModel
from core.spec.workloads import Maml, NestedGradient, Workload

_DIGIT_INPUTS = ((64,), DIGIT_SHAPE, (1, *DIGIT_SHAPE))


def inconsistencies(
    model: Model, data: Data, loss: str, workload: Workload, mitigation: Mitigation
) -> tuple[Problem, ...]:
    """Every reason why these parts cannot run together, the layers' own first."""
    problems = [*_model(model, workload)]
    if not problems:
        output = model.output_shape
        if output is not None:
            problems += _loss(loss, output)
            problems += _data(data, model, output, loss, workload)
        problems += _held_out(data, workload)
        problems += _inputs(workload, model)
        problems += workload.misfits(model, mitigation)
        problems += _batch_norm(model, data, workload)
        problems += _mitigation(mitigation, model)
        problems += accumulation_misfits(model, data, workload, mitigation)
        problems += compilation_misfits(model, workload, mitigation)
    return tuple(problems)


def _model(model: Model, workload: Workload) -> Iterator[Problem]:
    if isinstance(model, PythonModel):
        yield from model.problems()
        return
    rows = model.trace()
    if not rows:
        yield Problem(("model", "layers"), "model.layers is empty; add at least one layer.")
        return
    for row in rows:
        if row.problem is not None:
            yield Problem(("model", "layers", row.index, *row.problem_path), row.problem)
    known = all(row.parameters is not None for row in rows)
    if known and not workload.by_inputs and not any(row.parameters for row in rows):
        yield Problem(
            ("model", "layers"),
            "No layer has parameters to differentiate by; add one, for example linear.",
        )


def _loss(loss: str, output: Shape) -> Iterator[Problem]:
    if loss == "cross_entropy" and (not output or output[0] < 2):
        yield Problem(
            ("loss",),
            f'loss: "cross_entropy" was given, but the output is {shape_text(output)}; it needs at '
            "least 2 classes on the first axis.",
        )


def _data(
    data: Data, model: Model, output: Shape, loss: str, workload: Workload
) -> Iterator[Problem]:
    if model.takes_whole_numbers and isinstance(data, SinusoidData | DigitsData):
        yield Problem(
            ("data", "kind"),
            f"data.kind: {data.kind} holds real numbers, an embedding takes whole ones.",
        )
    elif isinstance(data, SinusoidData):
        yield from _sinusoid(model, output, loss)
    elif isinstance(data, DigitsData):
        yield from _digits(data, model, output, loss, workload)
    elif isinstance(data, ArraysData):
        yield from _arrays(data, model, output, loss, workload)


def _sinusoid(model: Model, output: Shape, loss: str) -> Iterator[Problem]:
    if model.input_shape != (1,):
        yield Problem(
            ("model", "input_shape"),
            f"model.input_shape: {shape_text(model.input_shape)} was given; sinusoid data need 1.",
        )
    if output != (1,) or loss != "mse":
        yield Problem(
            ("data", "kind"),
            f"data.kind: sinusoid needs an output of size 1 and the loss mse, but the output is "
            f"{shape_text(output)} and the loss {loss}.",
        )


def _digits(
    data: DigitsData, model: Model, output: Shape, loss: str, workload: Workload
) -> Iterator[Problem]:
    if model.input_shape not in _DIGIT_INPUTS:
        allowed = ", ".join(shape_text(shape) for shape in _DIGIT_INPUTS)
        yield Problem(
            ("model", "input_shape"),
            f"model.input_shape: {shape_text(model.input_shape)} was given; digits come as "
            f"{allowed}.",
        )
    classes = data.ways if isinstance(workload, Maml) else DIGIT_CLASSES
    if loss == "cross_entropy" and output != (classes,):
        yield Problem(
            ("data", "kind"),
            f"data.kind: digits have {classes} classes here, but the output of the stack is "
            f"{shape_text(output)}.",
        )
    if loss != "cross_entropy":
        yield Problem(("loss",), f'loss: "{loss}" was given; digits need "cross_entropy".')
    if isinstance(workload, Maml):
        yield from _shots(data, workload)
    if workload.examples == "halves" and 2 * data.batch_size > DIGITS:
        yield Problem(
            ("data", "batch_size"),
            f"data.batch_size: {data.batch_size} was given; there are {DIGITS} digits to train and "
            f"to validate on, allowed: at most {DIGITS // 2}.",
        )


def _shots(data: DigitsData, workload: Maml) -> Iterator[Problem]:
    for name, count in (("support", workload.support), ("query", workload.query)):
        if count % data.ways:
            yield Problem(
                ("workload", name),
                f"workload.{name}: {count} was given; allowed: a multiple of data.ways, "
                f"{data.ways}.",
            )
    shots = (workload.support + workload.query) // data.ways
    if shots > DIGITS_PER_CLASS:
        yield Problem(
            ("workload", "support"),
            f"workload.support and workload.query need {shots} examples of a class; there are "
            f"{DIGITS_PER_CLASS}.",
        )


def _arrays(
    data: ArraysData, model: Model, output: Shape, loss: str, workload: Workload
) -> Iterator[Problem]:
    try:
        arrays = read_arrays(data.file, model.input_shape)
    except UnreadableArrays as error:
        yield Problem(("data", "file"), f"data.file: {error}")
        return
    count = len(arrays.x)
    target = arrays.y.shape[1:]
    if loss == "mse" and math.prod(target) != math.prod(output):
        yield Problem(
            ("data", "file"),
            f"data.file: a target has shape {shape_text(target)}, the output of the stack is "
            f"{shape_text(output)}.",
        )
    if loss == "cross_entropy":
        yield from _classes(arrays.y.astype("float64").ravel().tolist(), target, output)
    if model.vocabulary is not None and model.takes_whole_numbers:
        low, high = float(arrays.x.min()), float(arrays.x.max())
        if low < 0 or high >= model.vocabulary or (arrays.x % 1).any():
            yield Problem(
                ("data", "file"),
                f"data.file: x holds values from {low:g} to {high:g}; the embedding takes whole "
                f"numbers from 0 to {model.vocabulary - 1}.",
            )
    needed = data.batch_size * (2 if workload.examples == "halves" else 1)
    key: tuple[str, str] = ("data", "batch_size")
    if isinstance(workload, Maml):
        needed, key = workload.support + workload.query, ("workload", "support")
    if needed > count:
        yield Problem(
            key,
            f"{'.'.join(key)}: {needed} examples are needed at once; the file holds {count}.",
        )


def _classes(labels: list[float], target: Shape, output: Shape) -> Iterator[Problem]:
    if math.prod(target) != math.prod(output[1:]):
        yield Problem(
            ("data", "file"),
            f"data.file: a target has shape {shape_text(target)}; cross_entropy needs one class "
            "for each output position.",
        )
    elif any(label % 1 or not 0 <= label < output[0] for label in labels):
        yield Problem(
            ("data", "file"),
            f"data.file: y must hold whole numbers from 0 to {output[0] - 1}, the classes of the "
            "output.",
        )


def _held_out(data: Data, workload: Workload) -> Iterator[Problem]:
    asked = isinstance(workload, Maml) and workload.test_tasks
    if asked and not isinstance(data, SinusoidData | DigitsData):
        yield Problem(
            ("workload", "test_tasks"),
            f"workload.test_tasks: {asked} was given; data.kind {data.kind} has the same tasks at "
            "every outer step and no others; allowed: 0.",
        )


def _inputs(workload: Workload, model: Model) -> Iterator[Problem]:
    if not workload.by_inputs or not model.takes_whole_numbers:
        return
    if isinstance(workload, NestedGradient):
        yield Problem(
            ("workload", "wrt"),
            'workload.wrt: "inputs" was given; the inputs of an embedding are whole numbers, '
            'allowed: "parameters".',
        )
    else:
        yield Problem(
            ("workload", "kind"),
            f'workload.kind: "{workload.kind}" was given, which differentiates by the inputs; '
            "those of an embedding are whole numbers.",
        )


def _batch_norm(model: Model, data: Data, workload: Workload) -> Iterator[Problem]:
    """A variance needs two values."""
    batches: tuple[tuple[tuple[str, str], int], ...] = ((("data", "batch_size"), data.batch_size),)
    if isinstance(workload, Maml):
        batches = (
            (("workload", "support"), workload.support),
            (("workload", "query"), workload.query),
        )
    for place, row in model.outline():
        for path, count in batches:
            positions = math.prod((row.input_shape or (1,))[1:])
            if row.layer.kind == "batch_norm" and count * positions < 2:
                yield Problem(
                    path,
                    f"{'.'.join(path)}: {count} was given; batch_norm (layer {place[0] + 1}) "
                    "needs at least 2 values a channel.",
                )


def _mitigation(mitigation: Mitigation, model: Model) -> Iterator[Problem]:
    kind, segments = mitigation.checkpointing.kind, mitigation.checkpointing.segments
    if isinstance(model, PythonModel):
        if kind != "none":
            yield Problem(
                ("mitigation", "checkpointing", "kind"),
                f'mitigation.checkpointing.kind: "{kind}" was given; a model of your own is not '
                'cut into segments, allowed: "none".',
            )
        return
    if kind != "none" and segments != "auto" and segments > len(model.layers):
        yield Problem(
            ("mitigation", "checkpointing", "segments"),
            f"mitigation.checkpointing.segments: {segments} was given; allowed: at most the number "
            f"of layers, {len(model.layers)}.",
        )
