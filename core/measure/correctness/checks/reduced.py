"""A small copy of a run: the same layers, workload and mitigations on less of everything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.engine.user_trial import completed
from core.spec.data import DigitsData, SyntheticData
from core.spec.declaration import declared_field, dotted
from core.spec.inner_segments import is_cut
from core.spec.layers import GRU, LSTM, Embedding, LayerSpec, TransformerEncoderLayer, keyed, leaves
from core.spec.layers.base import LayerRow
from core.spec.python_model import PythonModel, UserLayer
from core.spec.run import RunSpec
from core.spec.workloads import Maml

_BATCH = 8
"""Examples: of both sets together, where a network sees two."""

_PARTS = 3
"""Parts of a batch, which are not equal where it has as many examples as it may."""

_TASKS = 2
_INNER_STEPS = 3
_INNER_STEPS_OF_HIGH_ORDERS = 2
_INNER_SEGMENTS = 2
_CG_ITERATIONS = 4
_MOST: Mapping[str, Mapping[str, int]] = {
    "hvp": {"vectors": 3},
    "newton": {"steps": 2, "cg_iterations": 10},
    "adversarial": {"steps": 4, "training_steps": 0},
    "hutchinson_trace": {"probes": 3},
}
"""The same of what a kind of workload repeats."""

_VOCABULARY = 64
_OF_THE_STACK = len(("model", "layers", 0))
_SHRINKS = (1, 2, 4, 8, 16, 32, 64, 128)
_SHARES_OF_LAYERS = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)

_CHEAP_S = 0.1
"""A derivative that takes no longer than that is checked on the whole network."""

_AFFORDABLE_S = 0.5
"""A derivative that takes longer than that is not checked."""

_FEW_WEIGHTS = 4_000_000
_AFFORDABLE_WEIGHTS = 20_000_000
"""The same for memory, which holds some twenty numbers for each weight."""

_FLOPS = 8e9
_BYTES_PER_S = 4e9
_LAYER_S = 30e-6
_NORM_LAYERS = 3
_CELL_LAYERS = 4
_ENCODER_LAYERS = 20
_BY_POSITION = ("linear", "multihead_attention", "transformer_encoder_layer", "lstm", "gru")
"""Nominal speeds of one CPU thread, in which a norm takes as long as several other layers. They are
not measured: what is checked must not depend on the machine's mood."""

_GROWTH = (1.0, 2.5, 6.0, 15.0, 40.0, 150.0, 500.0)
"""How many times as long as a loss each order of its nested gradient takes, about."""


@dataclass(frozen=True)
class Copy:
    """The copy of a run.

    Attributes:
        spec: in 64 bits, without problems.
        extent: how it compares with the run, in words.
        loss_s: about how long its loss takes.
    """

    spec: RunSpec
    extent: str
    loss_s: float

    def gradient_s(self, times: int) -> float:
        """About how long a nested gradient of its loss takes; 0 times is the loss."""
        return self.loss_s * _GROWTH[times]

    @property
    def weights(self) -> int:
        """Trainable numbers."""
        return sum(row.parameters or 0 for row in self.spec.model.trace())

    @property
    def result_s(self) -> float:
        """About how long its result takes, without mitigations."""
        workload = self.spec.workload
        inside = workload.adapts and workload.derivative_order > 1
        once = self.gradient_s(workload.derivative_order - inside)
        return once * workload.units(self.weights)


def reduced(spec: RunSpec) -> Copy | None:
    """The largest copy that is cheap, else the cheapest; None where that is not affordable.

    Raises:
        core.engine.user_file.UserFileError: the user's own model cannot be used.
    """
    cheapest: Copy | None = None
    for candidate in _candidates(spec):
        if candidate.problems():
            continue
        copy = Copy(candidate, _extent(spec, candidate), _loss_s(candidate))
        if copy.result_s <= _CHEAP_S and copy.weights <= _FEW_WEIGHTS:
            return copy
        if cheapest is None or copy.result_s < cheapest.result_s:
            cheapest = copy
    if cheapest is None or cheapest.result_s > _AFFORDABLE_S:
        return None
    return cheapest if cheapest.weights <= _AFFORDABLE_WEIGHTS else None


def whole_or_reduced(spec: RunSpec) -> Copy | None:
    """The run itself in 64 bits where its exact answer is cheap, else what ``reduced`` gives.

    Raises:
        core.engine.user_file.UserFileError: the user's own model cannot be used.
    """
    whole = completed(spec.with_changes({"mitigation.precision": "float64"}))
    exactly = whole.model_copy(update={"workload": whole.workload.exactly()})
    is_cheap = all(
        not one.problems() and Copy(one, "", _loss_s(one)).result_s <= _CHEAP_S
        for one in (whole, exactly)
    )
    copy = Copy(whole, "the whole run", _loss_s(whole))
    return copy if is_cheap and copy.weights <= _FEW_WEIGHTS else reduced(spec)


def _candidates(spec: RunSpec) -> Iterator[RunSpec]:
    few = _few_examples(spec)
    if isinstance(spec.model, PythonModel):
        # What the user's module is made of is its own affair.
        return iter((completed(few),))
    return _smaller(few)


def _few_examples(spec: RunSpec) -> RunSpec:
    changes: dict[str, Any] = {"mitigation.precision": "float64", "mitigation.compile": False}
    workload = spec.workload
    if isinstance(workload, Maml):
        ways = spec.data.ways if isinstance(spec.data, DigitsData) else 1
        steps = _INNER_STEPS if workload.order <= 2 else _INNER_STEPS_OF_HIGH_ORDERS
        most = math.ceil(_BATCH / ways / 2) * ways
        changes |= {
            "workload.support": min(workload.support, most),
            "workload.query": min(workload.query, most),
            "workload.tasks": min(workload.tasks, _TASKS),
            "workload.inner_steps": min(workload.inner_steps, steps),
            "workload.cg_iterations": min(workload.cg_iterations, _CG_ITERATIONS),
        }
        if is_cut(spec):
            # One run at least is walked twice.
            changes["mitigation.inner_segments"] = min(workload.inner_steps, _INNER_SEGMENTS)
    else:
        changes["data.batch_size"] = min(spec.data.batch_size, _BATCH)
        changes["mitigation.accumulation"] = min(spec.mitigation.accumulation, _PARTS)
        for name, most in _MOST.get(workload.kind, {}).items():
            changes[f"workload.{name}"] = min(getattr(workload, name), most)
    return spec.with_changes(changes)


def _smaller(spec: RunSpec) -> Iterator[RunSpec]:
    """The spec, then narrower ones with smaller inputs, then shallower ones too.

    Not all of them fit together.
    """
    narrower = spec
    for shrink in _SHRINKS:
        for narrower in _narrowed(spec, shrink):
            yield narrower
    for share in _SHARES_OF_LAYERS:
        shallower = _shallower(narrower, share)
        if shallower is not None:
            yield shallower


def _narrowed(spec: RunSpec, shrink: int) -> Iterator[RunSpec]:
    free = isinstance(spec.data, SyntheticData)
    layers = _narrow_layers(spec, shrink, free) if shrink > 1 else {}
    yield spec.with_changes(layers)
    if free and shrink > 1:
        first, *others = spec.model.input_shape
        smaller = [math.ceil(size / shrink) for size in others]
        yield spec.with_changes(layers | {"model.input_shape": [first, *smaller]})
        narrow = _shrunk(first, shrink, _divisor(spec))
        yield spec.with_changes(layers | {"model.input_shape": [narrow, *smaller]})


def _shallower(spec: RunSpec, share: float) -> RunSpec | None:
    """The first and the last layers; None where that leaves out a kind of layer."""
    layers = spec.model.layers
    half = max(round(len(layers) * share / 2), 1)
    kept = (*layers[:half], *layers[half:][-half:])
    if _kinds(kept) != _kinds(layers):
        return None
    checkpointing = spec.mitigation.checkpointing
    if checkpointing.segments != "auto":
        segments = min(checkpointing.segments, len(kept))
        checkpointing = checkpointing.model_copy(update={"segments": segments})
    mitigation = spec.mitigation.model_copy(update={"checkpointing": checkpointing})
    model = spec.model.model_copy(update={"layers": kept})
    return spec.model_copy(update={"model": model, "mitigation": mitigation})


def _kinds(layers: Iterable[LayerSpec]) -> set[str]:
    return {layer.kind for layer in (*layers, *leaves(layers))}


def _narrow_layers(spec: RunSpec, shrink: int, free: bool) -> dict[str, Any]:
    """Sizes of all layers but the last with weights, whose output belongs to the targets.

    Equal sizes stay equal, as the layers within a layer need them.
    """
    divisor = _divisor(spec)
    sizes = {
        (path, name): int(getattr(layer, name))
        for path, layer in keyed(spec.model.layers, ("model", "layers"))
        for name in ("out_features", "out_channels", "embedding_dim", "hidden_size")
        if name in type(layer).model_fields
    }
    if not free and sizes:
        (path, _), last = sizes.popitem()
        if len(path) > _OF_THE_STACK:
            sizes = {place: size for place, size in sizes.items() if size != last}
    widths = {
        dotted((*path, name)): _shrunk(size, shrink, divisor)
        for (path, name), size in sizes.items()
    }
    widths |= {
        dotted((*path, "dim_feedforward")): _shrunk(layer.dim_feedforward, shrink, 1)
        for path, layer in keyed(spec.model.layers, ("model", "layers"))
        if isinstance(layer, TransformerEncoderLayer)
    }
    if free:
        widths |= {
            f"model.layers.{index}.num_embeddings": min(layer.num_embeddings, _VOCABULARY)
            for index, layer in enumerate(spec.model.layers)
            if isinstance(layer, Embedding)
        }
    return widths


def _divisor(spec: RunSpec) -> int:
    """What widths stay a multiple of: all groups of channels, all heads."""
    groups = [
        getattr(layer, name)
        for layer in spec.model.leaves
        for name in ("groups", "num_groups", "num_heads", "nhead")
        if name in type(layer).model_fields
    ]
    return math.lcm(*groups)


def _shrunk(size: int, shrink: int, divisor: int) -> int:
    """A smaller multiple of the divisor, at least 2 so that classes and norms keep a meaning."""
    smaller = max(size // shrink, 2)
    return min(size, math.ceil(smaller / divisor) * divisor)


def _loss_s(spec: RunSpec) -> float:
    """About how long the loss takes, for MAML that after the inner steps."""
    operations, parameters, layers = 0.0, 0, 0
    for _, row in spec.model.outline():
        if row.layer.parts:
            continue
        shape, output = row.input_shape or (), row.output_shape or ()
        kind = row.layer.kind
        positions = 1
        if kind in _BY_POSITION:
            positions = math.prod(shape[:-1])
        elif kind in ("conv1d", "conv2d"):
            positions = math.prod(output[1:])
        elif isinstance(row.layer, UserLayer):
            positions = max(math.prod(output) // max(output, default=1), 1)
        if kind != "embedding":
            operations += 2.0 * (row.parameters or 0) * positions
        operations += 20.0 * math.prod(output)
        parameters += row.parameters or 0
        layers += _as_many_layers(row)
    weights_s = parameters * 8 / _BYTES_PER_S + layers * _LAYER_S
    workload = spec.workload
    if not isinstance(workload, Maml):
        return spec.data.batch_size * operations / _FLOPS + weights_s
    inner_s = _GROWTH[1] * (workload.support * operations / _FLOPS + weights_s)
    query_s = workload.query * operations / _FLOPS + weights_s
    return workload.tasks * (workload.inner_steps * inner_s + query_s)


def _as_many_layers(row: LayerRow) -> int:
    """How many plain layers take as long, where what is computed is little."""
    layer = row.layer
    if isinstance(layer, LSTM | GRU):
        steps = (row.input_shape or (0,))[0] * layer.num_layers * layer.directions
        return steps * _CELL_LAYERS
    if isinstance(layer, TransformerEncoderLayer):
        return _ENCODER_LAYERS
    return _NORM_LAYERS if layer.kind.endswith("norm") else 1


def _extent(spec: RunSpec, copy: RunSpec) -> str:
    words = ["whole network" if spec.model == copy.model else "narrowed network"]
    if len(copy.model.layers) < len(spec.model.layers):
        words.append(_share(len(copy.model.layers), len(spec.model.layers), "layers"))
    if isinstance(spec.workload, Maml):
        names = ["tasks", "inner_steps", "support", "query"]
        names += ["cg_iterations"] if spec.workload.variant == "imaml" else []
        words += [
            _share(getattr(copy.workload, name), getattr(spec.workload, name), name)
            for name in names
        ]
    else:
        words.append(_share(copy.data.batch_size, spec.data.batch_size, "batch"))
        if spec.mitigation.accumulation > 1:
            parts = copy.mitigation.accumulation
            words.append(_share(parts, spec.mitigation.accumulation, "parts"))
        for name in _in_effect(spec):
            words.append(_share(getattr(copy.workload, name), getattr(spec.workload, name), name))
    return ", ".join(words)


def _in_effect(spec: RunSpec) -> list[str]:
    """What the workload repeats, as far as it matters now."""
    workload = spec.workload
    return [
        name
        for name in _MOST.get(workload.kind, {})
        if declared_field(type(workload), name).takes_effect(workload, spec)
    ]


def _share(part: int, whole: int, name: str) -> str:
    of = f" of {whole}" if part < whole else ""
    return f"{name.replace('_', ' ')} {part}{of}"
