"""The network: its initial weights, and its forward pass as a function of any weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.export.script import sequences
from core.export.script.composites import Functions, classes, layer_lines, loop
from core.export.script.layers import RUNNING, Applied, is_tracked, module
from core.export.script.source import INDENT, WIDTH, call, laid_out, stretches
from core.export.script.written_out import definitions
from core.spec.layers import Embedding, leaves
from core.spec.model import StackModel
from core.spec.placement import segments_of
from core.spec.run import RunSpec
from core.spec.workloads import Maml, head_of


@dataclass(frozen=True)
class Network:
    """What the other parts of the script have to know of the network.

    Attributes:
        blocks: the source, one text for each definition.
        loss: the loss of a batch at the initial weights.
        random: whether a layer draws random numbers.
        tracked: whether there are running statistics.
        updates: whether ``loss`` takes ``update``, which says if running statistics are updated.
        head: the first layer of the head, where that has functions of its own; 0 elsewhere.
        head_random: whether one of its layers draws random numbers.
        replay: how ``again`` is given the random numbers of the first time.
        reset: the source of ``reset``, where it is not the usual one.
    """

    blocks: tuple[str, ...]
    loss: str
    random: bool
    tracked: bool
    updates: bool
    head: int = 0
    head_random: bool = False
    replay: str = "replayed(again)"
    reset: str = ""


def network(spec: RunSpec) -> Network:
    """The source of ``parameters``, ``running`` and, where modules do not do, ``loss(p, x, y)``."""
    model = _right_model(spec)
    tracked = any(map(is_tracked, model.leaves))
    random = model.is_random
    updates = tracked and (_computes_again(spec) or _leaves_statistics(spec))
    blocks = [*classes(model), _weights(spec, model, tracked)]
    way = spec.workload.derivation
    kinds = model.functions | {spec.loss}
    rewritten = sorted(kind for kind in kinds if way.rewrites(kind))
    by_modules = not (rewritten or _computes_again(spec) or _moves_weights(spec))
    by_modules &= not any(layer.kind in sequences.UNCHAINED for layer in model.leaves)
    # Autocast needs a function that it can be put around.
    is_cast = spec.mitigation.precision == "autocast"
    by_modules &= not is_cast
    by_modules &= not (way.by_math_kernel and "multihead_attention" in kinds)
    if by_modules:
        loss = f"{LOSSES[spec.loss]}(network(x), y)"
        return Network(tuple(blocks), loss, random, tracked, updates)
    blocks += definitions(rewritten, running=tracked)
    blocks += sequences.definitions(model.leaves, way, spec.device, is_cast=is_cast)
    functions = Functions(model, way, updates)
    blocks += functions.definitions
    head, written_out = _head(spec), spec.loss in rewritten
    for part in _parts(head, len(model.layers)):
        blocks += _forward(spec, functions.calls, updates, part)
    if not head:
        blocks.append(_loss(spec.loss, updates, written_out=written_out))
    else:
        staying = sum(function.weights for function in functions.calls[:head])
        blocks += _losses_of_a_head(spec.loss, updates, staying, written_out=written_out)
    head_random = any(leaf.random for leaf in leaves(model.layers[head:]))
    blocks = list(dict.fromkeys(blocks))  # a helper that two parts need
    return Network(
        tuple(blocks), "loss(parameters, x, y)", random, tracked, updates, head, head_random
    )


@dataclass(frozen=True)
class _Part:
    """Layers that make up one function."""

    name: str
    about: str
    layers: range

    @property
    def segment(self) -> str:
        """What a run of its layers is called."""
        return "segment" if self.name == "forward" else f"{self.name}_segment"


def _parts(head: int, layers: int) -> tuple[_Part, ...]:
    if not head:
        return (_Part("forward", "The output with the weights p.", range(layers)),)
    return (
        _Part("features", "What the layers before the head make of x.", range(head)),
        _Part("head", "What the head makes of features, with its weights p.", range(head, layers)),
    )


def _head(spec: RunSpec) -> int:
    """The first layer of the head, where the head alone adapts; 0 elsewhere."""
    is_anil = isinstance(spec.workload, Maml) and spec.workload.variant == "anil"
    model = spec.model
    return head_of(model) if is_anil and isinstance(model, StackModel) else 0


def _right_model(spec: RunSpec) -> StackModel:
    """Sparse embeddings made dense where torch would differentiate them wrongly."""
    assert isinstance(spec.model, StackModel)
    if not isinstance(spec.workload, Maml) or not spec.workload.needs_dense_gradients:
        return spec.model
    layers = tuple(
        layer.model_copy(update={"sparse": False}) if isinstance(layer, Embedding) else layer
        for layer in spec.model.layers
    )
    return spec.model.model_copy(update={"layers": layers})


def _computes_again(spec: RunSpec) -> bool:
    is_checkpointed = spec.mitigation.checkpointing.kind != "none"
    return is_checkpointed or rematerializes_steps(spec)


def rematerializes_steps(spec: RunSpec) -> bool:
    """Whether inner steps, or parts of them, are computed again."""
    unrolls = isinstance(spec.workload, Maml) and spec.workload.unrolls
    return unrolls and spec.mitigation.inner_loop != "standard"


def _moves_weights(spec: RunSpec) -> bool:
    """Whether the loss is asked for at other weights than the module's own."""
    return spec.workload.moves_weights


def _leaves_statistics(spec: RunSpec) -> bool:
    """Whether the loss is asked for once more without a trace in the running statistics."""
    workload = spec.workload
    is_implicit = isinstance(workload, Maml) and workload.variant == "imaml"
    return workload.moves_weights and (is_implicit or not workload.adapts)


def _weights(spec: RunSpec, model: StackModel, tracked: bool) -> str:
    lines = ["torch.manual_seed(SEED)", "network = nn.Sequential("]
    modules = [module(row.layer, row.input_shape or ()) for row in model.trace()]
    for stretch in stretches(modules):
        if stretch.times == 1:
            lines += [line for text in stretch.block for line in laid_out(text, 1, ",")]
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


def _losses_of_a_head(
    kind: str, updates: bool, staying: int, *, written_out: bool
) -> Iterator[str]:
    """By the head's weights on features, and by all weights."""
    function = kind if written_out else LOSSES[kind]
    head, more = ("p, x, y, update=True", ", update") if updates else ("p, x, y", "")
    yield f"def head_loss({head}):\n{INDENT}return {function}(head(p, x{more}), y)"
    yield (
        f"def loss({head}):\n"
        f"{INDENT}return head_loss(p[{staying}:], features(p[:{staying}], x{more}), y{more})"
    )


# ------------------------------------------------------------------------------ forward pass


def _forward(spec: RunSpec, functions: list[Applied], updates: bool, part: _Part) -> Iterator[str]:
    checkpointing = spec.mitigation.checkpointing
    signature = "p, x, update=True" if updates else "p, x"
    opening = [f"def {part.name}({signature}):", f'{INDENT}"""{part.about}"""']
    if checkpointing.kind == "none":
        mine = functions[part.layers.start : part.layers.stop]
        yield "\n".join([*opening, *layer_lines(mine, 1), f"{INDENT}return x"])
        return
    segments = _segments(spec, functions, part.layers)
    names: dict[tuple[Applied, ...], str] = {}
    for segment in segments:
        names.setdefault(segment.functions, f"{part.segment}_{len(names) + 1}")
    if len(names) == 1:
        names = dict.fromkeys(names, part.segment)
    form = _FORMS[checkpointing.kind]
    for layers, name in names.items():
        head = f"def {name}(x, *p, update=True):" if updates else f"def {name}(x, *p):"
        yield "\n".join([head, *layer_lines(layers, 1), f"{INDENT}return {form.returned}"])
    calls = [_Call(names[segment.functions], segment) for segment in segments]
    if form.helper and updates:
        yield form.helper
    yield "\n".join([*opening, *_calls(calls, form, updates), f"{INDENT}return x"])


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


def _segments(spec: RunSpec, functions: Sequence[Applied], part: range) -> list[_Segment]:
    """The stack cut into its runs, as far as they are of a part."""
    assert isinstance(spec.model, StackModel)
    found, weight = [], 0
    for run in segments_of(spec):
        first, end = max(run.start, part.start), min(run.stop, part.stop)
        if first >= end:
            continue
        random = any(leaf.random for leaf in leaves(spec.model.layers[first:end]))
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
            lines.append(INDENT + loop(first.weight, own, stretch.times))
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
