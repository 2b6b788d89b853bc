"""Normalisation, and dropout."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import declare
from core.spec.layers.base import (
    Elementwise,
    Kept,
    LayerSpec,
    Shape,
    ShapeError,
    shape_text,
)


class Dropout(Elementwise):
    """Zeros at random, in training mode."""

    title: ClassVar[str] = "Dropout"
    group: ClassVar[str] = "Norms and noise"
    kind: Literal["dropout"] = "dropout"
    p: float = declare(
        0.5, label="Probability", help="Share of values set to zero.", minimum=0, maximum=0.999
    )

    @property
    @override
    def random(self) -> bool:
        return self.p > 0

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        del order
        return math.prod(input_shape) if self.random else 0  # the mask


class _Norm(LayerSpec):
    group: ClassVar[str] = "Norms and noise"
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    eps: float = declare(
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
    momentum: float = declare(
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
    normalized_dims: int = declare(
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

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        # torch computes it in elementary operations.
        return (4 if order >= 2 else 1) * math.prod(input_shape)


class GroupNorm(_Norm):
    """Normalises groups of channels of each example (Wu and He 2018)."""

    title: ClassVar[str] = "Group norm"
    kind: Literal["group_norm"] = "group_norm"
    num_groups: int = declare(
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
