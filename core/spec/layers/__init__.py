"""The layers of a stack: fields as in ``torch.nn``, shapes inferred without torch.

Every kind knows its output shape and the shapes of its parameters, named as ``torch.nn`` names
them, so that a window can show both while the user types.
"""

from core.spec.layers.activations import (
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from core.spec.layers.base import (
    LayerRow,
    LayerSpec,
    Pair,
    Shape,
    ShapeError,
    keyed,
    leaves,
    row_of,
    shape_text,
)
from core.spec.layers.composites import ALPHA, DEEPEST, Composite
from core.spec.layers.kinds import LAYER_KINDS, Layer, Mixed, Residual
from core.spec.layers.norms import BatchNorm, Dropout, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from core.spec.layers.pooling import AdaptiveAvgPool2d, AvgPool2d, Flatten, MaxPool2d
from core.spec.layers.sequences import GRU, LSTM, MultiheadAttention, TransformerEncoderLayer
from core.spec.layers.settings import describe_settings, layer_from, parse_settings
from core.spec.layers.weights import Conv1d, Conv2d, Embedding, Linear

__all__ = [
    "ALPHA",
    "DEEPEST",
    "GELU",
    "GRU",
    "LAYER_KINDS",
    "LSTM",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm",
    "Composite",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LayerRow",
    "LayerSpec",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Mixed",
    "MultiheadAttention",
    "Pair",
    "RMSNorm",
    "ReLU",
    "Residual",
    "Shape",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TransformerEncoderLayer",
    "describe_settings",
    "keyed",
    "layer_from",
    "leaves",
    "parse_settings",
    "row_of",
    "shape_text",
]
