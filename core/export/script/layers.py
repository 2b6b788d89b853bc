"""Each kind of layer in PyTorch: the module that it is built from, and its function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.export.script import sequences
from core.export.script.source import INDENT, quoted, tuple_of
from core.spec import layers as spec
from core.spec.derivation import Derivation
from core.spec.layers import LayerSpec, Shape

RUNNING = "running"
"""Name of the list of running statistics in the script."""


@dataclass(frozen=True)
class Applied:
    """A layer's function as it is called on ``x``.

    Attributes:
        function: its name.
        arguments: of which ``{0}`` and ``{1}`` stand for the layer's own tensors.
        weights: number of the layer's own tensors.
        before: lines that precede the call where running statistics are updated.
    """

    function: str
    arguments: tuple[str, ...]
    weights: int = 0
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What the text of a layer depends on besides its fields.

    Attributes:
        shape: of its input, without the batch.
        way: how its output is differentiated.
        running: position of its first running statistic.
        updates: whether a variable ``update`` says if running statistics are updated.
    """

    shape: Shape
    way: Derivation
    running: int = 0
    updates: bool = False


def module(layer: LayerSpec, shape: Shape) -> str:
    """The expression that builds the torch module."""
    return _MODULES[type(layer)](layer, shape)


def applied(layer: LayerSpec, surroundings: Surroundings) -> Applied:
    """The call of the layer's function."""
    return _FUNCTIONS[type(layer)](layer, surroundings)


def is_tracked(layer: LayerSpec) -> bool:
    """Whether the layer has running statistics: a mean, a variance and a count."""
    return isinstance(layer, spec.BatchNorm) and layer.track_running_stats


def _named(layer: LayerSpec, names: str) -> tuple[str, ...]:
    """Fields that are not at their default, as keyword arguments."""
    found = []
    for name in names.split():
        value = getattr(layer, name)
        if value != type(layer).model_fields[name].default:
            text = quoted(value) if isinstance(value, str) else str(value)
            found.append(f"{name}={text}")
    return tuple(found)


def _new(name: str, *arguments: object) -> str:
    return f"nn.{name}({', '.join(map(str, arguments))})"


_WINDOW = "stride padding dilation groups"


def _convolution(name: str) -> Callable[[Any, Shape], str]:
    def build(layer: Any, shape: Shape) -> str:
        fields = _named(layer, f"{_WINDOW} bias")
        return _new(name, shape[0], layer.out_channels, layer.kernel_size, *fields)

    return build


def _composed(name: str, layer: spec.Composite, shape: Shape) -> str:
    """A class that the script defines, with the modules of the layer's parts."""
    parts = [module(row.layer, row.input_shape or ()) for row in layer.rows(shape)]
    return f"{name}({', '.join(parts)})"


def _batch_norm_module(layer: spec.BatchNorm, shape: Shape) -> str:
    fields = _named(layer, "eps momentum affine track_running_stats")
    return _new(f"BatchNorm{'2d' if len(shape) == 3 else '1d'}", shape[0], *fields)


def _trailing_module(name: str) -> Callable[[Any, Shape], str]:
    def build(layer: Any, shape: Shape) -> str:
        eps = (f"eps={layer.eps}",) if name == "RMSNorm" else _named(layer, "eps")
        axes = tuple_of(layer.normalized_shape(shape))
        return _new(name, axes, *eps, *_named(layer, "elementwise_affine"))

    return build


def _sequence_module(name: str, sizes: str, fields: str) -> Callable[[Any, Shape], str]:
    def build(layer: Any, shape: Shape) -> str:
        given = [getattr(layer, size) for size in sizes.split()]
        return _new(name, shape[1], *given, *_named(layer, fields), "batch_first=True")

    return build


_MODULES: dict[type[LayerSpec], Callable[[Any, Shape], str]] = {
    spec.Linear: lambda layer, shape: _new(
        "Linear", shape[-1], layer.out_features, *_named(layer, "bias")
    ),
    spec.Conv1d: _convolution("Conv1d"),
    spec.Conv2d: _convolution("Conv2d"),
    spec.MaxPool2d: lambda layer, shape: _new(
        "MaxPool2d", layer.kernel_size, *_named(layer, "stride padding")
    ),
    spec.AvgPool2d: lambda layer, shape: _new(
        "AvgPool2d", layer.kernel_size, *_named(layer, "stride padding")
    ),
    spec.AdaptiveAvgPool2d: lambda layer, shape: _new("AdaptiveAvgPool2d", layer.output_size),
    spec.Flatten: lambda layer, shape: _new("Flatten"),
    spec.Identity: lambda layer, shape: _new("Identity"),
    spec.ReLU: lambda layer, shape: _new("ReLU"),
    spec.LeakyReLU: lambda layer, shape: _new("LeakyReLU", layer.negative_slope),
    spec.GELU: lambda layer, shape: _new("GELU", *_named(layer, "approximate")),
    spec.SiLU: lambda layer, shape: _new("SiLU"),
    spec.Tanh: lambda layer, shape: _new("Tanh"),
    spec.Sigmoid: lambda layer, shape: _new("Sigmoid"),
    spec.Softplus: lambda layer, shape: _new("Softplus", *_named(layer, "beta threshold")),
    spec.Softmax: lambda layer, shape: _new("Softmax", layer.dim),
    spec.Dropout: lambda layer, shape: _new("Dropout", layer.p),
    spec.BatchNorm: _batch_norm_module,
    spec.LayerNorm: _trailing_module("LayerNorm"),
    spec.RMSNorm: _trailing_module("RMSNorm"),
    spec.GroupNorm: lambda layer, shape: _new(
        "GroupNorm", layer.num_groups, shape[0], *_named(layer, "eps affine")
    ),
    spec.InstanceNorm: lambda layer, shape: _new(
        f"InstanceNorm{'2d' if len(shape) == 3 else '1d'}", shape[0], *_named(layer, "eps affine")
    ),
    spec.Embedding: lambda layer, shape: _new(
        "Embedding", layer.num_embeddings, layer.embedding_dim, *_named(layer, "sparse")
    ),
    spec.Residual: lambda layer, shape: _composed("Residual", layer, shape),
    spec.Mixed: lambda layer, shape: _composed("Mixed", layer, shape),
    spec.MultiheadAttention: _sequence_module("MultiheadAttention", "num_heads", "dropout bias"),
    spec.TransformerEncoderLayer: _sequence_module(
        "TransformerEncoderLayer",
        "nhead dim_feedforward",
        "dropout activation layer_norm_eps norm_first bias",
    ),
    spec.LSTM: _sequence_module("LSTM", "hidden_size", "num_layers bias bidirectional"),
    spec.GRU: _sequence_module("GRU", "hidden_size", "num_layers bias bidirectional"),
}


def _plain(function: str, *arguments: str) -> Applied:
    return Applied(function, ("x", *arguments))


def _weighted(function: str, weights: int, *arguments: str) -> Applied:
    """A function of the input, the layer's own tensors and settings."""
    own = ("{0}", "{1}")[:weights]
    return Applied(function, ("x", *own, *arguments), weights)


def _own_or_torch(layer: LayerSpec, around: Surroundings) -> str:
    """A function that is written out where torch's own does not stand the way."""
    return layer.kind if around.way.rewrites(layer.kind) else f"F.{layer.kind}"


def _convolve(function: str) -> Callable[[Any, Surroundings], Applied]:
    return lambda layer, _: _weighted(function, 1 + layer.bias, *_named(layer, _WINDOW))


def _pool(function: str) -> Callable[[Any, Surroundings], Applied]:
    return lambda layer, _: _plain(
        function, str(layer.kernel_size), *_named(layer, "stride padding")
    )


def _layer_norm(layer: spec.LayerNorm, around: Surroundings) -> Applied:
    weights, eps = 2 * layer.elementwise_affine, _named(layer, "eps")
    own = ("{0}", "{1}")[:weights]
    if around.way.rewrites(layer.kind):
        rank = len(around.shape) + 1
        axes = tuple_of(range(rank - layer.normalized_dims, rank))
        return Applied("normalize", ("x", axes, *own, *eps), weights)
    shape = tuple_of(layer.normalized_shape(around.shape))
    return Applied("F.layer_norm", ("x", shape, *own, *eps), weights)


def _rms_norm(layer: spec.RMSNorm, around: Surroundings) -> Applied:
    weights = int(layer.elementwise_affine)
    shape = tuple_of(layer.normalized_shape(around.shape))
    return Applied("F.rms_norm", ("x", shape, *("{0}",)[:weights], f"eps={layer.eps}"), weights)


def _group_norm(layer: spec.GroupNorm, around: Surroundings) -> Applied:
    weights = 2 * layer.affine
    own = ("{0}", "{1}")[:weights]
    arguments = ("x", str(layer.num_groups), *own, *_named(layer, "eps"))
    rewritten = around.way.rewrites(layer.kind)
    return Applied("group_normalize" if rewritten else "F.group_norm", arguments, weights)


def _by_channel(weights: int, shape: Shape) -> tuple[str, ...]:
    """A norm's own tensors, which belong to axis 1, in a form that multiplies its input."""
    ones = "".join(", 1" for _ in shape[1:])
    return tuple(f"{{{i}}}.view(-1{ones})" if ones else f"{{{i}}}" for i in range(weights))


def _instance_norm(layer: spec.InstanceNorm, around: Surroundings) -> Applied:
    weights, eps = 2 * layer.affine, _named(layer, "eps")
    if around.way.rewrites(layer.kind):
        axes = tuple_of(range(2, len(around.shape) + 1))
        return Applied("normalize", ("x", axes, *_by_channel(weights, around.shape), *eps), weights)
    own = ("weight={0}", "bias={1}")[:weights]
    return Applied("F.instance_norm", ("x", *own, *eps), weights)


def _batch_norm(layer: spec.BatchNorm, around: Surroundings) -> Applied:
    weights, eps, first = 2 * layer.affine, _named(layer, "eps"), around.running
    statistics = (f"{RUNNING}[{first}]", f"{RUNNING}[{first + 1}]")
    momentum = _named(layer, "momentum")
    before: tuple[str, ...] = (f"{RUNNING}[{first + 2}].add_(1)",)
    if not is_tracked(layer):
        before = ()
    elif around.updates:
        before = ("if update:", f"{INDENT}{before[0]}")
        momentum = (f"momentum={layer.momentum} if update else 0.0",)
    if not is_tracked(layer):
        statistics, momentum = ("None", "None"), ()
    if around.way.rewrites(layer.kind):
        axes = tuple_of([0, *range(2, len(around.shape) + 1)])
        own = _by_channel(weights, around.shape)
        if is_tracked(layer):
            momentum = (f"running=({', '.join(statistics)})", *momentum)
        return Applied("normalize", ("x", axes, *own, *eps, *momentum), weights, before)
    own = ("{0}", "{1}")[:weights]
    settings = ("training=True", *momentum, *eps)
    return Applied("F.batch_norm", ("x", *statistics, *own, *settings), weights, before)


def _of_sequences(
    function: str, arguments: Callable[[Any], tuple[str, ...]]
) -> Callable[[Any, Surroundings], Applied]:
    return lambda layer, around: Applied(
        function, arguments(layer), len(layer.parameter_shapes(around.shape))
    )


_FUNCTIONS: dict[type[LayerSpec], Callable[[Any, Surroundings], Applied]] = {
    spec.Linear: lambda layer, _: _weighted("F.linear", 1 + layer.bias),
    spec.Conv1d: _convolve("F.conv1d"),
    spec.Conv2d: _convolve("F.conv2d"),
    spec.MaxPool2d: _pool("F.max_pool2d"),
    spec.AvgPool2d: _pool("F.avg_pool2d"),
    spec.AdaptiveAvgPool2d: lambda layer, _: _plain(
        "F.adaptive_avg_pool2d", str(layer.output_size)
    ),
    spec.Flatten: lambda layer, _: Applied("x.flatten", ("1",)),
    spec.Identity: lambda layer, _: Applied("", ()),
    spec.ReLU: lambda layer, _: _plain("F.relu"),
    spec.LeakyReLU: lambda layer, _: _plain("F.leaky_relu", str(layer.negative_slope)),
    spec.GELU: lambda layer, _: _plain("F.gelu", *_named(layer, "approximate")),
    spec.SiLU: lambda layer, around: _plain(_own_or_torch(layer, around)),
    spec.Tanh: lambda layer, _: _plain("torch.tanh"),
    spec.Sigmoid: lambda layer, _: _plain("torch.sigmoid"),
    # Written out: torch's default for beta is a whole number, which costs a conversion.
    spec.Softplus: lambda layer, _: _plain("F.softplus", str(layer.beta), str(layer.threshold)),
    spec.Softmax: lambda layer, around: _plain(_own_or_torch(layer, around), str(layer.dim)),
    spec.Dropout: lambda layer, _: _plain("F.dropout", str(layer.p)),
    spec.BatchNorm: _batch_norm,
    spec.LayerNorm: _layer_norm,
    spec.RMSNorm: _rms_norm,
    spec.GroupNorm: _group_norm,
    spec.InstanceNorm: _instance_norm,
    spec.Embedding: lambda layer, _: _weighted("F.embedding", 1, *_named(layer, "sparse")),
    spec.MultiheadAttention: _of_sequences("attention", sequences.attention_arguments),
    spec.TransformerEncoderLayer: _of_sequences("encoder_layer", sequences.encoder_arguments),
    spec.LSTM: _of_sequences("lstm", sequences.recurrent_arguments),
    spec.GRU: _of_sequences("gru", sequences.recurrent_arguments),
}
