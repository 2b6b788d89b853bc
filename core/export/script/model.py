"""The network: its initial weights, and its forward pass as a function of any weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.export.script.layers import (
    RUNNING,
    Applied,
    Surroundings,
    applied,
    is_tracked,
    module,
)
from core.export.script.source import INDENT, WIDTH, call, stretches
from core.export.script.written_out import definitions
from core.spec.derivation import FIRST_WRONG_ORDER, Derivation
from core.spec.layers import Embedding
from core.spec.mitigations import Checkpointing
from core.spec.model import StackModel
from core.spec.run import RunSpec
from core.spec.workloads import Maml

_STATISTICS = 3
"""Running mean, variance and count of a batch norm."""


@dataclass(frozen=True)
class Network:
    """What the other parts of the script have to know of the network.

    Attributes:
        blocks: the source, one text for each definition.
        loss: the loss of a batch at the initial weights.
        random: whether a layer draws random numbers.
        tracked: whether there are running statistics.
        updates: whether ``loss`` takes ``update``, which says if running statistics are updated.
        replay: how ``again`` is given the random numbers of the first time.
        reset: the source of ``reset``, where it is not the usual one.
    """

    blocks: tuple[str, ...]
    loss: str
    random: bool
    tracked: bool
    updates: bool
    replay: str = "replayed(again)"
    reset: str = ""


def network(spec: RunSpec) -> Network:
    """The source of ``parameters``, ``running`` and, where modules do not do, ``loss(p, x, y)``."""
    model = _right_model(spec)
    tracked = any(map(is_tracked, model.layers))
    random = any(layer.random for layer in model.layers)
    updates = tracked and (_computes_again(spec) or _leaves_statistics(spec))
    blocks = [_weights(spec, model, tracked)]
    way = spec.workload.derivation
    kinds = {layer.kind for layer in model.layers} | {spec.loss}
    rewritten = sorted(kind for kind in kinds if way.rewrites(kind))
    by_modules = not (rewritten or _computes_again(spec) or _moves_weights(spec))
    if by_modules:
        loss = f"{LOSSES[spec.loss]}(network(x), y)"
        return Network(tuple(blocks), loss, random, tracked, updates)
    blocks += definitions(rewritten, running=tracked)
    functions = _functions(model, way, updates)
    blocks += _forward(model, functions, spec.mitigation.checkpointing, updates)
    blocks.append(_loss(spec.loss, updates, written_out=spec.loss in rewritten))
    return Network(tuple(blocks), "loss(parameters, x, y)", random, tracked, updates)


def _right_model(spec: RunSpec) -> StackModel:
    """Sparse embeddings made dense where torch would differentiate them wrongly."""
    assert isinstance(spec.model, StackModel)
    if not isinstance(spec.workload, Maml) or spec.workload.order < FIRST_WRONG_ORDER:
        return spec.model
    layers = tuple(
        layer.model_copy(update={"sparse": False}) if isinstance(layer, Embedding) else layer
        for layer in spec.model.layers
    )
    return spec.model.model_copy(update={"layers": layers})


def _computes_again(spec: RunSpec) -> bool:
    is_checkpointed = spec.mitigation.checkpointing.kind != "none"
    inner = spec.workload.adapts and spec.mitigation.inner_loop == "checkpoint"
    return is_checkpointed or inner


def _moves_weights(spec: RunSpec) -> bool:
    """Whether the loss is asked for at other weights than the module's own."""
    return spec.workload.moves_weights


def _leaves_statistics(spec: RunSpec) -> bool:
    """Whether the loss is asked for once more without a trace in the running statistics."""
    return spec.workload.moves_weights and not spec.workload.adapts


def _functions(model: StackModel, way: Derivation, updates: bool) -> list[Applied]:
    found, running = [], 0
    for row in model.trace():
        around = Surroundings(row.input_shape or (), way, running, updates)
        found.append(applied(row.layer, around))
        running += _STATISTICS * is_tracked(row.layer)
    return found


def _weights(spec: RunSpec, model: StackModel, tracked: bool) -> str:
    lines = ["torch.manual_seed(SEED)", "network = nn.Sequential("]
    modules = [module(row.layer, row.input_shape or ()) for row in model.trace()]
    for stretch in stretches(modules):
        if stretch.times == 1:
            lines += [f"{INDENT}{text}," for text in stretch.block]
        elif len(stretch.block) == 1:
            lines.append(f"{INDENT}*({stretch.block[0]} for _ in range({stretch.times})),")
        else:
            lines += _repeated_modules(stretch.block, stretch.times)
    lines.append(").to(DEVICE, DTYPE)")
    if spec.workload.by_inputs:
        lines.append("network.requires_grad_(False)")
    lines.append("parameters = list(network.parameters())")
    if tracked:
        lines.append(f"{RUNNING} = list(network.buffers())")
        lines.append(f"initial = [statistic.clone() for statistic in {RUNNING}]")
    return "\n".join(lines)


def _repeated_modules(block: Sequence[str], times: int) -> list[str]:
    line = f"{INDENT}*(layer for _ in range({times}) for layer in ({', '.join(block)})),"
    if len(line) <= WIDTH:
        return [line]
    inner = INDENT * 2
    layers = f"{inner}for layer in ({', '.join(block)})"
    split = [f"{inner}for layer in (", *(f"{inner}{INDENT}{one}," for one in block), f"{inner})"]
    return [
        f"{INDENT}*(",
        f"{inner}layer",
        f"{inner}for _ in range({times})",
        *([layers] if len(layers) <= WIDTH else split),
        f"{INDENT}),",
    ]


LOSSES = {"mse": "F.mse_loss", "cross_entropy": "F.cross_entropy"}


def _loss(kind: str, updates: bool, *, written_out: bool) -> str:
    function = kind if written_out else LOSSES[kind]
    head, more = ("p, x, y, update=True", ", update") if updates else ("p, x, y", "")
    return f"def loss({head}):\n{INDENT}return {function}(forward(p, x{more}), y)"


# ------------------------------------------------------------------------------ forward pass


def _forward(
    model: StackModel, functions: list[Applied], checkpointing: Checkpointing, updates: bool
) -> Iterator[str]:
    signature = "p, x, update=True" if updates else "p, x"
    opening = [f"def forward({signature}):", f'{INDENT}"""The output with the weights p."""']
    if checkpointing.kind == "none":
        yield "\n".join([*opening, *_layers(functions, 1), f"{INDENT}return x"])
        return
    segments = _segments(model, functions, checkpointing)
    names: dict[tuple[Applied, ...], str] = {}
    for segment in segments:
        names.setdefault(segment.functions, f"segment_{len(names) + 1}")
    if len(names) == 1:
        names = dict.fromkeys(names, "segment")
    form = _FORMS[checkpointing.kind]
    for layers, name in names.items():
        head = f"def {name}(x, *p, update=True):" if updates else f"def {name}(x, *p):"
        yield "\n".join([head, *_layers(layers, 1), f"{INDENT}return {form.returned}"])
    calls = [_Call(names[segment.functions], segment) for segment in segments]
    if form.helper and updates:
        yield form.helper
    yield "\n".join([*opening, *_calls(calls, form, updates), f"{INDENT}return x"])


def _layers(functions: Sequence[Applied], depth: int) -> list[str]:
    """The layers one after the other, on the weights from ``p[0]`` on."""
    lines, weight = [], 0
    for stretch in stretches(functions):
        own = sum(function.weights for function in stretch.block)
        if stretch.times == 1:
            lines += _block(stretch.block, [f"p[{weight + i}]" for i in range(own)], depth)
        else:
            lines.append(INDENT * depth + _loop(weight, own, stretch.times))
            names = ["p[i]", *(f"p[i + {i}]" for i in range(1, own))]
            lines += _block(stretch.block, names, depth + 1)
        weight += own * stretch.times
    return lines


def _loop(first: int, own: int, times: int) -> str:
    if not own:
        return f"for _ in range({times}):"
    bounds = f"{first}, {first + own * times}"
    if own == 1:
        return f"for i in range({bounds}):" if first else f"for i in range({times}):"
    return f"for i in range({bounds}, {own}):"


def _block(functions: Sequence[Applied], weights: Sequence[str], depth: int) -> list[str]:
    lines, taken = [], 0
    for function in functions:
        own = weights[taken : taken + function.weights]
        taken += function.weights
        lines += [f"{INDENT * depth}{line}" for line in function.before]
        arguments = [argument.format(*own) for argument in function.arguments]
        lines += call("x = ", function.function, arguments, depth)
    return lines


@dataclass(frozen=True)
class _Segment:
    """Layers that are computed again together.

    Attributes:
        weight: position of the first of its weights.
        random: whether a layer draws random numbers.
    """

    functions: tuple[Applied, ...]
    weight: int
    random: bool

    @property
    def weights(self) -> int:
        return sum(function.weights for function in self.functions)


@dataclass(frozen=True)
class _Call:
    name: str
    segment: _Segment

    @property
    def key(self) -> tuple[str, bool]:
        return self.name, self.segment.random


def _segments(
    model: StackModel, functions: Sequence[Applied], checkpointing: Checkpointing
) -> list[_Segment]:
    """The stack cut into runs of about equal length."""
    layers = len(functions)
    wanted = checkpointing.segments
    count = round(math.sqrt(layers)) if wanted == "auto" else wanted
    bounds = [math.ceil(layers * position / count) for position in range(count + 1)]
    found, weight = [], 0
    for first, end in itertools.pairwise(bounds):
        random = any(layer.random for layer in model.layers[first:end])
        segment = _Segment(tuple(functions[first:end]), weight, random)
        weight += segment.weights
        found.append(segment)
    return found


def _calls(calls: Sequence[_Call], form: _Form, updates: bool) -> list[str]:
    lines: list[str] = []
    for stretch in stretches([one.key for one in calls]):
        first = calls[stretch.first].segment
        own = first.weights
        if stretch.times == 1 or len(stretch.block) > 1:
            for one in calls[stretch.first : stretch.first + len(stretch.block) * stretch.times]:
                begin, end = one.segment.weight, one.segment.weight + one.segment.weights
                weights = f"*p[{begin}:{end}]" if end > begin else ""
                lines += form.call(one, weights, updates, 1)
        else:
            lines.append(INDENT + _loop(first.weight, own, stretch.times))
            weights = f"*p[i : i + {own}]" if own else ""
            lines += form.call(calls[stretch.first], weights, updates, 2)
    return lines


@dataclass(frozen=True)
class _Form:
    """How a way of checkpointing is written.

    Attributes:
        returned: what a segment returns.
        before: what stands in front of the call.
        function: what takes the segment and its tensors.
        helper: a function that the segment is wrapped in where it updates statistics.
    """

    returned: str
    before: str
    function: str
    helper: str

    def call(self, one: _Call, weights: str, updates: bool, depth: int) -> list[str]:
        name, more = one.name, list[str]()
        if self.function == "checkpoint":
            name = f"updating_once({name}, update)" if updates else name
            more = ["use_reentrant=False", f"preserve_rng_state={one.segment.random}"]
        else:
            again = f"partial({name}, update=False)" if updates else name
            again = f"replayed({again})" if one.segment.random else again
            more = [f"again={again}"] if again != name else []
            name = f"partial({name}, update=update)" if updates else name
        arguments = [name, "x", *([weights] if weights else []), *more]
        return call(self.before, self.function, arguments, depth)


_UPDATING_ONCE = '''\
def updating_once(segment, update):
    """The segment, which leaves running statistics alone when it is computed again."""
    updates = iter([update])
    return lambda *tensors: segment(*tensors, update=next(updates, False))'''

_FORMS = {
    "torch": _Form("x", "x = ", "checkpoint", _UPDATING_ONCE),
    "rematerialize": _Form("(x,)", "(x,) = ", "rematerialize", ""),
}
