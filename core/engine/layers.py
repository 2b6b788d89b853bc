"""The layers in torch: for each kind the module it is built from and its pure function.

The module gives the initial weights and their names; computed is with the function alone, on
explicit tensors, so that the same layer runs on fast weights and inside recomputed segments.
Dropout is active and batch norm uses the batch: a stack is always in training mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.nn import functional

from core.engine import composites, norms, sequences, written_out
from core.engine.direct import BatchNorm, Direct, Forward
from core.spec import layers as spec
from core.spec.derivation import Derivation
from core.spec.layers import LayerSpec, Shape

L = TypeVar("L", bound=LayerSpec)


@dataclass(frozen=True)
class LayerKind(Generic[L]):
    """How a kind of layer is built and computed.

    Attributes:
        build: the torch module for an input of this shape, without the batch.
        forward: the function for the tensors whose names start with this prefix, which is
            differentiated right in this way.
    """

    build: Callable[[L, Shape], nn.Module]
    forward: Callable[[L, str, Derivation], Forward]


def build(layer: LayerSpec, input_shape: Shape) -> nn.Module:
    """The torch module of a layer, with torch's own initial weights."""
    return _KINDS[type(layer)].build(layer, input_shape)


def forward(layer: LayerSpec, index: int, way: Derivation) -> Forward:
    """The layer as a function of explicit tensors.

    Args:
        layer: what to compute.
        index: its place in the stack, which its tensors' names start with.
        way: how the result will be differentiated.
    """
    return _KINDS[type(layer)].forward(layer, f"{index}.", way)


def _plain(function: Callable[..., torch.Tensor], *settings: object) -> Forward:
    """A layer without tensors of its own."""
    return Direct(function, (), settings)


def _weighted(
    function: Callable[..., torch.Tensor], prefix: str, tensors: int, *settings: object
) -> Forward:
    """A layer of the input, a weight, a bias and settings, in the order that a function takes them.

    Args:
        function: takes None for a tensor that the layer has not.
        prefix: what the names of the layer's tensors start with.
        tensors: how many of weight and bias the layer has.
        settings: the function's further arguments.
    """
    names = (prefix + "weight", prefix + "bias")
    return Direct(function, names[:tensors], (None,) * (2 - tensors) + settings)


def _linear(layer: spec.Linear, prefix: str, way: Derivation) -> Forward:
    del way
    return _weighted(functional.linear, prefix, 1 + layer.bias)


def _conv1d(layer: spec.Conv1d, prefix: str, way: Derivation) -> Forward:
    del way
    settings = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return _weighted(functional.conv1d, prefix, 1 + layer.bias, *settings)


def _conv2d(layer: spec.Conv2d, prefix: str, way: Derivation) -> Forward:
    del way
    settings = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return _weighted(functional.conv2d, prefix, 1 + layer.bias, *settings)


def _embedding(layer: spec.Embedding, prefix: str, way: Derivation) -> Forward:
    del way
    return _weighted(partial(functional.embedding, sparse=layer.sparse), prefix, 1)


def _layer_norm(layer: spec.LayerNorm, prefix: str, way: Derivation) -> Forward:
    axes, eps = layer.normalized_dims, layer.eps
    # WORKAROUND: see why_rewritten.
    normalise = norms.layer_norm if way.rewrites(layer.kind) else functional.layer_norm
    return _weighted(
        lambda x, weight, bias: normalise(x, list(x.shape[-axes:]), weight, bias, eps),
        prefix,
        2 * layer.elementwise_affine,
    )


def _rms_norm(layer: spec.RMSNorm, prefix: str, way: Derivation) -> Forward:
    del way
    axes, eps = layer.normalized_dims, layer.eps
    return _weighted(
        lambda x, weight, _: functional.rms_norm(x, list(x.shape[-axes:]), weight, eps),
        prefix,
        int(layer.elementwise_affine),
    )


def _group_norm(layer: spec.GroupNorm, prefix: str, way: Derivation) -> Forward:
    groups, eps = layer.num_groups, layer.eps
    # WORKAROUND: see why_rewritten.
    normalise = norms.group_norm if way.rewrites(layer.kind) else functional.group_norm
    return _weighted(
        lambda x, weight, bias: normalise(x, groups, weight, bias, eps),
        prefix,
        2 * layer.affine,
    )


def _instance_norm(layer: spec.InstanceNorm, prefix: str, way: Derivation) -> Forward:
    eps = layer.eps
    # WORKAROUND: see why_rewritten.
    normalise = norms.instance_norm if way.rewrites(layer.kind) else functional.instance_norm
    return _weighted(
        lambda x, weight, bias: normalise(x, weight=weight, bias=bias, eps=eps),
        prefix,
        2 * layer.affine,
    )


def _batch_norm(layer: spec.BatchNorm, prefix: str, way: Derivation) -> Forward:
    # WORKAROUND: see why_rewritten.
    normalise = norms.batch_norm if way.rewrites(layer.kind) else functional.batch_norm
    return BatchNorm(normalise, prefix, layer)


def _max_pool2d(layer: spec.MaxPool2d, prefix: str, way: Derivation) -> Forward:
    del prefix, way
    kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
    return _plain(functional.max_pool2d, kernel, stride, padding)


def _avg_pool2d(layer: spec.AvgPool2d, prefix: str, way: Derivation) -> Forward:
    del prefix, way
    kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
    return _plain(functional.avg_pool2d, kernel, stride, padding)


def _adaptive_avg_pool2d(layer: spec.AdaptiveAvgPool2d, prefix: str, way: Derivation) -> Forward:
    del prefix, way
    size = layer.output_size
    return _plain(functional.adaptive_avg_pool2d, size)


def _leaky_relu(layer: spec.LeakyReLU, prefix: str, way: Derivation) -> Forward:
    del prefix, way
    slope = layer.negative_slope
    return _plain(functional.leaky_relu, slope)


def _gelu(layer: spec.GELU, prefix: str, way: Derivation) -> Forward:
    del prefix, way
    return _plain(partial(functional.gelu, approximate=layer.approximate))


def _softplus(layer: spec.Softplus, prefix: str, way: Derivation) -> Forward:
    del prefix, way
    beta, threshold = layer.beta, layer.threshold
    return _plain(functional.softplus, beta, threshold)


def _softmax(layer: spec.Softmax, prefix: str, way: Derivation) -> Forward:
    del prefix
    dim = layer.dim
    # WORKAROUND: see why_rewritten.
    normalise = written_out.softmax if way.rewrites(layer.kind) else functional.softmax
    return _plain(normalise, dim)


def _silu(layer: spec.SiLU, prefix: str, way: Derivation) -> Forward:
    del prefix
    # WORKAROUND: see why_rewritten.
    return _plain(written_out.silu if way.rewrites(layer.kind) else functional.silu)


def _residual(layer: spec.Residual, prefix: str, way: Derivation) -> Forward:
    return composites.residual(_parts(layer, prefix, way))


def _mixed(layer: spec.Mixed, prefix: str, way: Derivation) -> Forward:
    # WORKAROUND: see why_rewritten.
    softmax = written_out.softmax if way.rewrites("softmax") else functional.softmax
    return composites.mixed(_parts(layer, prefix, way), prefix, softmax)


def _parts(layer: spec.Composite, prefix: str, way: Derivation) -> list[Forward]:
    return [
        _KINDS[type(part)].forward(part, f"{prefix}{index}.", way)
        for index, part in enumerate(layer.parts)
    ]


def _modules(layer: spec.Composite, shape: Shape) -> list[nn.Module]:
    return [build(row.layer, row.input_shape or ()) for row in layer.rows(shape)]


def _dropout(layer: spec.Dropout, prefix: str, way: Derivation) -> Forward:
    del prefix, way
    p = layer.p
    return _plain(functional.dropout, p)


def _of_sequences(
    build: Callable[[L, Shape], nn.Module],
    function: Callable[[L, Derivation], sequences.Function],
) -> LayerKind[L]:
    """A layer of many tensors, which its function takes in the order of their names."""

    def forward(layer: L, prefix: str, way: Derivation) -> Forward:
        apply = function(layer, way)
        # Names do not depend on sizes.
        names = [prefix + name for name in layer.parameter_shapes((1, 1))]
        return lambda parameters, buffers, x, update_statistics: apply(
            x, [parameters[name] for name in names]
        )

    return LayerKind(build, forward)


def _without_settings(
    module: type[nn.Module], function: Callable[[torch.Tensor], torch.Tensor]
) -> LayerKind[Any]:
    return LayerKind(lambda layer, shape: module(), lambda layer, prefix, way: _plain(function))


def _build_batch_norm(layer: spec.BatchNorm, shape: Shape) -> nn.Module:
    module = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return module(shape[0], layer.eps, layer.momentum, layer.affine, layer.track_running_stats)


def _build_instance_norm(layer: spec.InstanceNorm, shape: Shape) -> nn.Module:
    module = nn.InstanceNorm2d if len(shape) == 3 else nn.InstanceNorm1d
    return module(shape[0], layer.eps, affine=layer.affine)


_KINDS: dict[type[LayerSpec], LayerKind[Any]] = {
    spec.Linear: LayerKind(
        lambda layer, shape: nn.Linear(shape[-1], layer.out_features, layer.bias), _linear
    ),
    spec.Conv1d: LayerKind(
        lambda layer, shape: nn.Conv1d(
            shape[0],
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            layer.bias,
        ),
        _conv1d,
    ),
    spec.Conv2d: LayerKind(
        lambda layer, shape: nn.Conv2d(
            shape[0],
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            layer.bias,
        ),
        _conv2d,
    ),
    spec.MaxPool2d: LayerKind(
        lambda layer, shape: nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding),
        _max_pool2d,
    ),
    spec.AvgPool2d: LayerKind(
        lambda layer, shape: nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding),
        _avg_pool2d,
    ),
    spec.AdaptiveAvgPool2d: LayerKind(
        lambda layer, shape: nn.AdaptiveAvgPool2d(layer.output_size), _adaptive_avg_pool2d
    ),
    spec.Flatten: LayerKind(lambda layer, shape: nn.Flatten(), lambda *_: _plain(torch.flatten, 1)),
    spec.Identity: _without_settings(nn.Identity, lambda x: x),
    spec.ReLU: _without_settings(nn.ReLU, torch.relu),
    spec.LeakyReLU: LayerKind(lambda layer, shape: nn.LeakyReLU(layer.negative_slope), _leaky_relu),
    spec.GELU: LayerKind(lambda layer, shape: nn.GELU(layer.approximate), _gelu),
    spec.SiLU: LayerKind(lambda layer, shape: nn.SiLU(), _silu),
    spec.Tanh: _without_settings(nn.Tanh, torch.tanh),
    spec.Sigmoid: _without_settings(nn.Sigmoid, torch.sigmoid),
    spec.Softplus: LayerKind(
        lambda layer, shape: nn.Softplus(layer.beta, layer.threshold), _softplus
    ),
    spec.Softmax: LayerKind(lambda layer, shape: nn.Softmax(layer.dim), _softmax),
    spec.Dropout: LayerKind(lambda layer, shape: nn.Dropout(layer.p), _dropout),
    spec.BatchNorm: LayerKind(_build_batch_norm, _batch_norm),
    spec.LayerNorm: LayerKind(
        lambda layer, shape: nn.LayerNorm(
            layer.normalized_shape(shape), layer.eps, layer.elementwise_affine
        ),
        _layer_norm,
    ),
    spec.RMSNorm: LayerKind(
        lambda layer, shape: nn.RMSNorm(
            list(layer.normalized_shape(shape)), layer.eps, layer.elementwise_affine
        ),
        _rms_norm,
    ),
    spec.GroupNorm: LayerKind(
        lambda layer, shape: nn.GroupNorm(layer.num_groups, shape[0], layer.eps, layer.affine),
        _group_norm,
    ),
    spec.InstanceNorm: LayerKind(_build_instance_norm, _instance_norm),
    spec.Embedding: LayerKind(
        lambda layer, shape: nn.Embedding(
            layer.num_embeddings, layer.embedding_dim, sparse=layer.sparse
        ),
        _embedding,
    ),
    spec.Residual: LayerKind(
        lambda layer, shape: composites.Residual(*_modules(layer, shape)), _residual
    ),
    spec.Mixed: LayerKind(lambda layer, shape: composites.Mixed(*_modules(layer, shape)), _mixed),
    spec.MultiheadAttention: _of_sequences(sequences.build_attention, sequences.attention),
    spec.TransformerEncoderLayer: _of_sequences(sequences.build_encoder, sequences.encoder),
    spec.LSTM: _of_sequences(sequences.build_recurrent, sequences.lstm),
    spec.GRU: _of_sequences(sequences.build_recurrent, sequences.gru),
}
