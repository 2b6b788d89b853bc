"""The layers of a stack: fields as in ``torch.nn``, shapes inferred without torch.

Shapes exclude the batch. Every kind knows its output shape and the shapes of its parameters, named
as ``torch.nn`` names them, so that a window can show both while the user types.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import override

from core.spec.declaration import (
    DeclaredField,
    InvalidSpec,
    Problem,
    Spec,
    declare,
    declared_fields,
    explain,
    whole,
)

Shape = tuple[int, ...]
Pair = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
Positive = Annotated[int, Field(ge=1)]
PositivePair = tuple[Positive, Positive]


class ShapeError(ValueError):
    """A layer that cannot take its input; the message is one sentence."""


class LayerSpec(Spec):
    """One layer of a stack."""

    title: ClassVar[str]
    group: ClassVar[str]
    random: ClassVar[bool] = False
    takes_whole_numbers: ClassVar[bool] = False
    kind: str

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output without the batch.

        Raises:
            ShapeError: the layer cannot take such an input.
        """

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shapes of the trainable tensors by their ``torch.nn`` names."""
        del input_shape
        return {}

    def buffer_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shapes of the running statistics by their ``torch.nn`` names."""
        del input_shape
        return {}

    def parameter_count(self, input_shape: Shape) -> int:
        """Number of trainable values."""
        return sum(math.prod(shape) for shape in self.parameter_shapes(input_shape).values())


def _pair(value: int | Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _window(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output size of a sliding window (torch.nn.Conv2d, formula of its documentation page)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _rank(kind: str, shape: Shape, axes: str) -> None:
    wanted = len(axes.split(", "))
    if len(shape) != wanted:
        raise ShapeError(f"{kind} takes an input of shape ({axes}), but gets {shape_text(shape)}.")


def _at_least_one(kind: str, sizes: Shape, input_shape: Shape) -> None:
    if min(sizes) < 1:
        raise ShapeError(f"{kind} has a window larger than its input {shape_text(input_shape)}.")


def shape_text(shape: Shape) -> str:
    """A shape as people write it, for example ``3×32×32``."""
    return "×".join(str(size) for size in shape) if shape else "a single number"


class Linear(LayerSpec):
    """Affine map of the last axis."""

    title: ClassVar[str] = "Linear"
    group: ClassVar[str] = "Weights"
    kind: Literal["linear"] = "linear"
    out_features: Positive = declare(
        64, label="Out features", help="Size of the last axis of the output.", minimum=1
    )
    bias: bool = declare(
        True, label="Bias", help="Adds a trainable offset to every output.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ShapeError("linear takes an input with at least one axis.")
        return (*input_shape[:-1], self.out_features)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = {"weight": (self.out_features, input_shape[-1])}
        return weight | ({"bias": (self.out_features,)} if self.bias else {})


class _Convolution(LayerSpec):
    group: ClassVar[str] = "Weights"
    out_channels: Positive = declare(
        16, label="Out channels", help="Number of filters, the channels of the output.", minimum=1
    )

    def _check_groups(self, groups: int, channels: int) -> None:
        if channels % groups or self.out_channels % groups:
            raise ShapeError(
                f"groups {groups} must divide both the input channels {channels} "
                f"and out_channels {self.out_channels}."
            )


class Conv1d(_Convolution):
    """Convolution over one axis."""

    title: ClassVar[str] = "Conv 1d"
    kind: Literal["conv1d"] = "conv1d"
    kernel_size: Positive = declare(3, label="Kernel", help="Length of the filter.", minimum=1)
    stride: Positive = declare(
        1, label="Stride", help="Step of the filter.", minimum=1, advanced=True
    )
    padding: Annotated[int, whole(0)] = declare(
        0, label="Padding", help="Zeros added at both ends.", minimum=0
    )
    dilation: Positive = declare(
        1, label="Dilation", help="Distance between filter taps.", minimum=1, advanced=True
    )
    groups: Positive = declare(
        1, label="Groups", help="Channel groups that do not mix.", minimum=1, advanced=True
    )
    bias: bool = declare(
        True, label="Bias", help="Adds a trainable offset to every channel.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        _rank(self.kind, input_shape, "channels, length")
        channels, length = input_shape
        self._check_groups(self.groups, channels)
        size = _window(length, self.kernel_size, self.stride, self.padding, self.dilation)
        _at_least_one(self.kind, (size,), input_shape)
        return (self.out_channels, size)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = {"weight": (self.out_channels, input_shape[0] // self.groups, self.kernel_size)}
        return weight | ({"bias": (self.out_channels,)} if self.bias else {})


class Conv2d(_Convolution):
    """Convolution over two axes."""

    title: ClassVar[str] = "Conv 2d"
    kind: Literal["conv2d"] = "conv2d"
    kernel_size: Positive | PositivePair = declare(
        3, label="Kernel", help="Height and width of the filter.", minimum=1
    )
    stride: Positive | PositivePair = declare(
        1, label="Stride", help="Step of the filter.", minimum=1, advanced=True
    )
    padding: Annotated[int, whole(0)] | Pair = declare(
        0, label="Padding", help="Zeros added at every side.", minimum=0
    )
    dilation: Positive | PositivePair = declare(
        1, label="Dilation", help="Distance between filter taps.", minimum=1, advanced=True
    )
    groups: Positive = declare(
        1, label="Groups", help="Channel groups that do not mix.", minimum=1, advanced=True
    )
    bias: bool = declare(
        True, label="Bias", help="Adds a trainable offset to every channel.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        _rank(self.kind, input_shape, "channels, height, width")
        self._check_groups(self.groups, input_shape[0])
        sizes = tuple(
            _window(size, kernel, stride, padding, dilation)
            for size, kernel, stride, padding, dilation in zip(
                input_shape[1:],
                _pair(self.kernel_size),
                _pair(self.stride),
                _pair(self.padding),
                _pair(self.dilation),
                strict=True,
            )
        )
        _at_least_one(self.kind, sizes, input_shape)
        return (self.out_channels, *sizes)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        kernel = _pair(self.kernel_size)
        weight = {"weight": (self.out_channels, input_shape[0] // self.groups, *kernel)}
        return weight | ({"bias": (self.out_channels,)} if self.bias else {})


class _Pool2d(LayerSpec):
    group: ClassVar[str] = "Shape and pooling"
    kernel_size: Positive | PositivePair = declare(
        2, label="Kernel", help="Height and width of the window.", minimum=1
    )
    stride: Positive | PositivePair | None = declare(
        None,
        label="Stride",
        help="Step of the window; none means the kernel size.",
        minimum=1,
        advanced=True,
    )
    padding: Annotated[int, whole(0)] | Pair = declare(
        0, label="Padding", help="Border added at every side.", minimum=0, advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        name = self.kind
        _rank(name, input_shape, "channels, height, width")
        kernel, padding = _pair(self.kernel_size), _pair(self.padding)
        stride = kernel if self.stride is None else _pair(self.stride)
        if any(2 * pad > size for pad, size in zip(padding, kernel, strict=True)):
            raise ShapeError(f"{name} takes a padding of at most half its kernel size.")
        sizes = tuple(
            _window(size, kernel[axis], stride[axis], padding[axis])
            for axis, size in enumerate(input_shape[1:])
        )
        _at_least_one(name, sizes, input_shape)
        return (input_shape[0], *sizes)


class MaxPool2d(_Pool2d):
    """Maximum over windows."""

    title: ClassVar[str] = "Max pool 2d"
    kind: Literal["max_pool2d"] = "max_pool2d"


class AvgPool2d(_Pool2d):
    """Mean over windows."""

    title: ClassVar[str] = "Average pool 2d"
    kind: Literal["avg_pool2d"] = "avg_pool2d"


class AdaptiveAvgPool2d(LayerSpec):
    """Mean over windows sized so that the output has a given shape."""

    title: ClassVar[str] = "Adaptive average pool 2d"
    group: ClassVar[str] = "Shape and pooling"
    kind: Literal["adaptive_avg_pool2d"] = "adaptive_avg_pool2d"
    output_size: Positive | PositivePair = declare(
        1, label="Output size", help="Height and width of the output.", minimum=1
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        _rank(self.kind, input_shape, "channels, height, width")
        return (input_shape[0], *_pair(self.output_size))


class Flatten(LayerSpec):
    """All axes but the batch joined into one."""

    title: ClassVar[str] = "Flatten"
    group: ClassVar[str] = "Shape and pooling"
    kind: Literal["flatten"] = "flatten"

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)


class _Elementwise(LayerSpec):
    group: ClassVar[str] = "Activations"

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


class ReLU(_Elementwise):
    """max(0, x)."""

    title: ClassVar[str] = "ReLU"
    kind: Literal["relu"] = "relu"


class LeakyReLU(_Elementwise):
    """x, or a fraction of x below zero."""

    title: ClassVar[str] = "Leaky ReLU"
    kind: Literal["leaky_relu"] = "leaky_relu"
    negative_slope: float = declare(
        0.01, label="Negative slope", help="Slope below zero.", advanced=True
    )


class GELU(_Elementwise):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016)."""

    title: ClassVar[str] = "GELU"
    kind: Literal["gelu"] = "gelu"
    approximate: Literal["none", "tanh"] = declare(
        "none", label="Approximation", help="Exact, or by tanh.", advanced=True
    )


class SiLU(_Elementwise):
    """x · sigmoid(x)."""

    title: ClassVar[str] = "SiLU"
    kind: Literal["silu"] = "silu"


class Tanh(_Elementwise):
    """Hyperbolic tangent."""

    title: ClassVar[str] = "Tanh"
    kind: Literal["tanh"] = "tanh"


class Sigmoid(_Elementwise):
    """Logistic function."""

    title: ClassVar[str] = "Sigmoid"
    kind: Literal["sigmoid"] = "sigmoid"


class Softplus(_Elementwise):
    """log(1 + exp(βx)) / β, linear above the threshold."""

    title: ClassVar[str] = "Softplus"
    kind: Literal["softplus"] = "softplus"
    beta: Annotated[float, Field(gt=0)] = declare(
        1.0, label="Beta", help="Sharpness; above 0.", minimum=1e-9, advanced=True
    )
    threshold: float = declare(
        20.0, label="Threshold", help="Above βx of this, linear.", advanced=True
    )


class Softmax(_Elementwise):
    """Exponentials that sum to one over an axis."""

    title: ClassVar[str] = "Softmax"
    kind: Literal["softmax"] = "softmax"
    dim: int = declare(
        -1, label="Axis", help="Axis counted from the batch (0); -1 is the last.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        rank = len(input_shape) + 1
        if not -rank <= self.dim < rank:
            raise ShapeError(
                f"softmax has no axis {self.dim}: its input has axes {-rank} to {rank - 1}, "
                "the batch included."
            )
        return input_shape


class Dropout(_Elementwise):
    """Zeros at random, in training mode."""

    title: ClassVar[str] = "Dropout"
    group: ClassVar[str] = "Norms and noise"
    random: ClassVar[bool] = True
    kind: Literal["dropout"] = "dropout"
    p: Annotated[float, Field(ge=0, lt=1)] = declare(
        0.5, label="Probability", help="Share of values set to zero.", minimum=0, maximum=0.999
    )


class _Norm(LayerSpec):
    group: ClassVar[str] = "Norms and noise"
    eps: Annotated[float, Field(gt=0)] = declare(
        1e-5,
        label="Epsilon",
        help="Added to the variance; above 0.",
        minimum=1e-12,
        advanced=True,
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


class BatchNorm(_Norm):
    """Normalises each channel over the batch (Ioffe and Szegedy 2015)."""

    title: ClassVar[str] = "Batch norm"
    kind: Literal["batch_norm"] = "batch_norm"
    momentum: Annotated[float, Field(ge=0, le=1)] = declare(
        0.1,
        label="Momentum",
        help="Share of the new batch in the running statistics.",
        minimum=0,
        maximum=1,
        advanced=True,
    )
    affine: bool = declare(True, label="Affine", help="Trainable scale and offset.", advanced=True)
    track_running_stats: bool = declare(
        True, label="Running statistics", help="Keeps running mean and variance.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        if not 1 <= len(input_shape) <= 3:
            raise ShapeError(
                "batch_norm takes an input of shape (channels), (channels, length) or "
                f"(channels, height, width), but gets {shape_text(input_shape)}."
            )
        return input_shape

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        channels = (input_shape[0],)
        return {"weight": channels, "bias": channels} if self.affine else {}

    @override
    def buffer_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        channels = (input_shape[0],)
        if not self.track_running_stats:
            return {}
        return {"running_mean": channels, "running_var": channels, "num_batches_tracked": ()}


class _TrailingNorm(_Norm):
    normalized_dims: Positive = declare(
        1,
        label="Trailing axes",
        help="Number of last axes that are normalised together.",
        minimum=1,
        advanced=True,
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        if self.normalized_dims > len(input_shape):
            raise ShapeError(
                f"normalized_dims {self.normalized_dims} is more than the "
                f"{len(input_shape)} axes of the input {shape_text(input_shape)}."
            )
        return input_shape

    def normalized_shape(self, input_shape: Shape) -> Shape:
        """The trailing sizes that are normalised together, as ``torch.nn`` takes them."""
        return input_shape[len(input_shape) - self.normalized_dims :]


class LayerNorm(_TrailingNorm):
    """Normalises each example over its last axes (Ba et al. 2016)."""

    title: ClassVar[str] = "Layer norm"
    kind: Literal["layer_norm"] = "layer_norm"
    elementwise_affine: bool = declare(
        True, label="Affine", help="Trainable scale and offset.", advanced=True
    )

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        shape = self.normalized_shape(input_shape)
        return {"weight": shape, "bias": shape} if self.elementwise_affine else {}


class RMSNorm(_TrailingNorm):
    """Divides each example by the root mean square of its last axes (Zhang and Sennrich 2019)."""

    title: ClassVar[str] = "RMS norm"
    kind: Literal["rms_norm"] = "rms_norm"
    elementwise_affine: bool = declare(True, label="Affine", help="Trainable scale.", advanced=True)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": self.normalized_shape(input_shape)} if self.elementwise_affine else {}


class GroupNorm(_Norm):
    """Normalises groups of channels of each example (Wu and He 2018)."""

    title: ClassVar[str] = "Group norm"
    kind: Literal["group_norm"] = "group_norm"
    num_groups: Positive = declare(
        4, label="Groups", help="Number of groups; divides the channels.", minimum=1
    )
    affine: bool = declare(True, label="Affine", help="Trainable scale and offset.", advanced=True)

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape or input_shape[0] % self.num_groups:
            raise ShapeError(
                f"num_groups {self.num_groups} must divide the channels of the input "
                f"{shape_text(input_shape)}."
            )
        return input_shape

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        channels = (input_shape[0],)
        return {"weight": channels, "bias": channels} if self.affine else {}


class InstanceNorm(_Norm):
    """Normalises each channel of each example (Ulyanov et al. 2016)."""

    title: ClassVar[str] = "Instance norm"
    kind: Literal["instance_norm"] = "instance_norm"
    affine: bool = declare(False, label="Affine", help="Trainable scale and offset.", advanced=True)

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) not in (2, 3):
            raise ShapeError(
                "instance_norm takes an input of shape (channels, length) or "
                f"(channels, height, width), but gets {shape_text(input_shape)}."
            )
        if math.prod(input_shape[1:]) < 2:
            raise ShapeError("instance_norm needs more than one value a channel.")
        return input_shape

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        channels = (input_shape[0],)
        return {"weight": channels, "bias": channels} if self.affine else {}


class Embedding(LayerSpec):
    """A trainable vector for each whole number."""

    title: ClassVar[str] = "Embedding"
    group: ClassVar[str] = "Weights"
    takes_whole_numbers: ClassVar[bool] = True
    kind: Literal["embedding"] = "embedding"
    num_embeddings: Positive = declare(
        1000, label="Vocabulary", help="Number of vectors.", minimum=1
    )
    embedding_dim: Positive = declare(64, label="Dimension", help="Size of each vector.", minimum=1)
    sparse: bool = declare(
        False,
        label="Sparse gradient",
        help="Stores only the rows that were used.",
        advanced=True,
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.embedding_dim)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.num_embeddings, self.embedding_dim)}


Layer = Annotated[
    Linear
    | Conv1d
    | Conv2d
    | MaxPool2d
    | AvgPool2d
    | AdaptiveAvgPool2d
    | Flatten
    | ReLU
    | LeakyReLU
    | GELU
    | SiLU
    | Tanh
    | Sigmoid
    | Softplus
    | Softmax
    | Dropout
    | BatchNorm
    | LayerNorm
    | GroupNorm
    | RMSNorm
    | InstanceNorm
    | Embedding,
    Field(discriminator="kind"),
]

_CLASSES: tuple[type[LayerSpec], ...] = Layer.__origin__.__args__  # type: ignore[attr-defined]
LAYER_KINDS: dict[str, type[LayerSpec]] = {
    str(cls.model_fields["kind"].default): cls for cls in _CLASSES
}


def describe_settings(layer: LayerSpec) -> str:
    """The settings in one line: the first field by its value, others where they differ.

    ``parse_settings`` reads the same line back.
    """
    words = []
    for position, field in enumerate(declared_fields(type(layer))):
        value = getattr(layer, field.name)
        if position == 0 and not field.advanced:
            words.append(_word(value))
        elif value != field.default or not field.advanced:
            words.append(f"{field.name}={_word(value)}")
    return ", ".join(words)


def parse_settings(kind: str, text: str) -> LayerSpec:
    """Reads a line such as ``16, kernel_size=3, padding=1``.

    Args:
        kind: a key of ``LAYER_KINDS``.
        text: ``key=value`` pairs divided by commas; a first value without a key is the first field.

    Raises:
        InvalidSpec: the text names an unknown key or a value that the field does not take.
    """
    cls = LAYER_KINDS[kind]
    fields = declared_fields(cls)
    values: dict[str, object] = {"kind": kind}
    for position, word in enumerate(_split(text)):
        name, separator, value = word.partition("=")
        if not separator:
            if position or not fields:
                allowed = ", ".join(field.name for field in fields) or "none, it has no settings"
                sentence = f"{kind}: {word} needs a key, as in key=value; allowed keys: {allowed}."
                raise InvalidSpec([Problem((), sentence)])
            name, value = fields[0].name, word
        values[name.strip()] = _value(value.strip(), fields, name.strip())
    return layer_from(cls, values)


def layer_from(cls: type[LayerSpec], values: dict[str, object]) -> LayerSpec:
    """Validates plain values into a layer.

    Raises:
        InvalidSpec: with one sentence for each wrong value.
    """
    try:
        return TypeAdapter(cls).validate_json(json.dumps(values))
    except ValidationError as error:
        raise InvalidSpec(explain(error, cls)) from None


def _split(text: str) -> list[str]:
    """Words at commas, but not at those inside brackets."""
    words, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            words.append("")
        else:
            words[-1] += character
    return [word.strip() for word in words if word.strip()]


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(str(part) for part in value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)


def _value(text: str, fields: tuple[DeclaredField, ...], name: str) -> object:
    if "×" in text or "x" in text.strip("0123456789 "):
        parts = text.replace("×", "x").split("x")
        if len(parts) == 2 and all(part.strip().isdigit() for part in parts):
            return [int(part) for part in parts]
    try:
        return json.loads(text.replace("(", "[").replace(")", "]"))
    except json.JSONDecodeError:
        lowered = text.lower()
        words: dict[str, object] = {"yes": True, "no": False, "true": True, "false": False}
        return words.get(lowered, None if lowered == "none" and _optional(fields, name) else text)


def _optional(fields: tuple[DeclaredField, ...], name: str) -> bool:
    return any(field.name == name and not field.choices for field in fields)
