"""Layers that change the shape and have no weights."""

from __future__ import annotations

import math
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


class _Pool2d(LayerSpec):
    group: ClassVar[str] = "Shape and pooling"
    kernel_size: int | Pair = declare(
        2, label="Kernel", help="Height and width of the window.", minimum=1
    )
    stride: int | Pair | None = declare(
        None,
        label="Stride",
        help="Step of the window; none means the kernel size.",
        minimum=1,
        advanced=True,
    )
    padding: int | Pair = declare(
        0, label="Padding", help="Border added at every side.", minimum=0, advanced=True
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        name = self.kind
        require_rank(name, input_shape, "channels, height, width")
        kernel, padding = pair(self.kernel_size), pair(self.padding)
        stride = kernel if self.stride is None else pair(self.stride)
        if any(2 * pad > size for pad, size in zip(padding, kernel, strict=True)):
            raise ShapeError(f"{name} takes a padding of at most half its kernel size.")
        sizes = tuple(
            window(size, kernel[axis], stride[axis], padding[axis])
            for axis, size in enumerate(input_shape[1:])
        )
        require_window_fits(name, sizes, input_shape)
        return (input_shape[0], *sizes)


class MaxPool2d(_Pool2d):
    """Maximum over windows."""

    title: ClassVar[str] = "Max pool 2d"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["max_pool2d"] = "max_pool2d"

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        del order
        return 2 * math.prod(self.output_shape(input_shape))  # positions, whole numbers of 64 bits


class AvgPool2d(_Pool2d):
    """Mean over windows."""

    title: ClassVar[str] = "Average pool 2d"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["avg_pool2d"] = "avg_pool2d"


class AdaptiveAvgPool2d(LayerSpec):
    """Mean over windows sized so that the output has a given shape."""

    title: ClassVar[str] = "Adaptive average pool 2d"
    group: ClassVar[str] = "Shape and pooling"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    kind: Literal["adaptive_avg_pool2d"] = "adaptive_avg_pool2d"
    output_size: int | Pair = declare(
        1, label="Output size", help="Height and width of the output.", minimum=1
    )

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        require_rank(self.kind, input_shape, "channels, height, width")
        return (input_shape[0], *pair(self.output_size))


class Flatten(LayerSpec):
    """All axes but the batch joined into one."""

    title: ClassVar[str] = "Flatten"
    group: ClassVar[str] = "Shape and pooling"
    is_view: ClassVar[bool] = True
    kind: Literal["flatten"] = "flatten"

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    @override
    def held_numbers(self, input_shape: Shape, order: int) -> int:
        # A view has no memory of its own.
        return 0
