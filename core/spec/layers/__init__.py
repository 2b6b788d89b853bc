"""The layers of a stack: fields as in ``torch.nn``, shapes inferred without torch.

Every kind knows its output shape and the shapes of its parameters, named as ``torch.nn`` names
them, so that a window can show both while the user types.
"""

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
from core.spec.layers.base import (
    LayerSpec,
    Pair,
    Shape,
    ShapeError,
    shape_text,
)
from core.spec.layers.kinds import LAYER_KINDS, Layer
from core.spec.layers.norms import BatchNorm, Dropout, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from core.spec.layers.pooling import AdaptiveAvgPool2d, AvgPool2d, Flatten, MaxPool2d
from core.spec.layers.settings import describe_settings, layer_from, parse_settings
from core.spec.layers.weights import Conv1d, Conv2d, Embedding, Linear

__all__ = [
    "GELU",
    "LAYER_KINDS",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LayerSpec",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Pair",
    "RMSNorm",
    "ReLU",
    "Shape",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "describe_settings",
    "layer_from",
    "parse_settings",
    "shape_text",
]
