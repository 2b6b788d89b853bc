"""Layers that are mostly weights: linear maps, convolutions, embeddings."""

from __future__ import annotations

from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import declare
from core.spec.layers.base import (
    Kept,
    LayerSpec,
    Pair,
    Shape,
    ShapeError,
    pair,
    require_rank,
    require_window_fits,
    window,
)


class Linear(LayerSpec):
    """Affine map of the last axis."""

    title: ClassVar[str] = "Linear"
    group: ClassVar[str] = "Weights"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["linear"] = "linear"
    out_features: int = declare(
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
    out_channels: int = declare(
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
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["conv1d"] = "conv1d"
    kernel_size: int = declare(3, label="Kernel", help="Length of the filter.", minimum=1)
    stride: int = declare(1, label="Stride", help="Step of the filter.", minimum=1, advanced=True)
    padding: int = declare(0, label="Padding", help="Zeros added at both ends.", minimum=0)
    dilation: int = declare(
        1, label="Dilation", help="Distance between filter taps.", minimum=1, advanced=True
    )
    groups: int = declare(
        1, label="Groups", help="Channel groups that do not mix.", minimum=1, advanced=True
    )
    bias: bool = declare(
        True, label="Bias", help="Adds a trainable offset to every channel.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        require_rank(self.kind, input_shape, "channels, length")
        channels, length = input_shape
        self._check_groups(self.groups, channels)
        size = window(length, self.kernel_size, self.stride, self.padding, self.dilation)
        require_window_fits(self.kind, (size,), input_shape)
        return (self.out_channels, size)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = {"weight": (self.out_channels, input_shape[0] // self.groups, self.kernel_size)}
        return weight | ({"bias": (self.out_channels,)} if self.bias else {})


class Conv2d(_Convolution):
    """Convolution over two axes."""

    title: ClassVar[str] = "Conv 2d"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["conv2d"] = "conv2d"
    kernel_size: int | Pair = declare(
        3, label="Kernel", help="Height and width of the filter.", minimum=1
    )
    stride: int | Pair = declare(
        1, label="Stride", help="Step of the filter.", minimum=1, advanced=True
    )
    padding: int | Pair = declare(0, label="Padding", help="Zeros added at every side.", minimum=0)
    dilation: int | Pair = declare(
        1, label="Dilation", help="Distance between filter taps.", minimum=1, advanced=True
    )
    groups: int = declare(
        1, label="Groups", help="Channel groups that do not mix.", minimum=1, advanced=True
    )
    bias: bool = declare(
        True, label="Bias", help="Adds a trainable offset to every channel.", advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        require_rank(self.kind, input_shape, "channels, height, width")
        self._check_groups(self.groups, input_shape[0])
        sizes = tuple(
            window(size, kernel, stride, padding, dilation)
            for size, kernel, stride, padding, dilation in zip(
                input_shape[1:],
                pair(self.kernel_size),
                pair(self.stride),
                pair(self.padding),
                pair(self.dilation),
                strict=True,
            )
        )
        require_window_fits(self.kind, sizes, input_shape)
        return (self.out_channels, *sizes)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        kernel = pair(self.kernel_size)
        weight = {"weight": (self.out_channels, input_shape[0] // self.groups, *kernel)}
        return weight | ({"bias": (self.out_channels,)} if self.bias else {})


class Embedding(LayerSpec):
    """A trainable vector for each whole number."""

    title: ClassVar[str] = "Embedding"
    group: ClassVar[str] = "Weights"
    takes_whole_numbers: ClassVar[bool] = True
    kind: Literal["embedding"] = "embedding"
    num_embeddings: int = declare(1000, label="Vocabulary", help="Number of vectors.", minimum=1)
    embedding_dim: int = declare(64, label="Dimension", help="Size of each vector.", minimum=1)
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
