"""Every layer kind, in the order in which menus list them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.spec.layers.activations import (
    GELU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from core.spec.layers.base import LayerSpec
from core.spec.layers.norms import BatchNorm, Dropout, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from core.spec.layers.pooling import AdaptiveAvgPool2d, AvgPool2d, Flatten, MaxPool2d
from core.spec.layers.weights import Conv1d, Conv2d, Embedding, Linear

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
