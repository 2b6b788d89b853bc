"""A stack of layers a second time, in elementary operations where that is possible.

Nothing of ``core.engine`` is used, so that a mistake there is not repeated here. Norms are written
out, because torch's own are differentiated wrongly from order 3 on (pytorch/pytorch#198017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from core.measure.correctness.checks import sequences
from core.spec import layers as spec
from core.spec.layers import LayerSpec
from core.spec.model import StackModel

Tensors = Mapping[str, Tensor]
_Plain = Callable[[Any, Tensors, Tensor], Tensor]


def output_of(
    model: StackModel, parameters: Tensors, x: Tensor, part: slice = slice(None)
) -> Tensor:
    """The output of a stack in training mode.

    Args:
        model: a stack without problems.
        parameters: by the names of the torch module, for example ``0.weight``.
        x: the batch, its axis first.
        part: which of the layers are applied.
    """
    for index, layer in list(enumerate(model.layers))[part]:
        x = _part(index, layer, parameters, x)
    return x


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean over all entries."""
    return ((output - target) ** 2).mean()


def cross_entropy(output: Tensor, classes: Tensor) -> Tensor:
    """Minus the mean logarithm of the share of the right class; axis 1 holds the scores."""
    right = output.gather(1, classes.unsqueeze(1)).squeeze(1)
    return (output.logsumexp(1) - right).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mean_squared_error,
    "cross_entropy": cross_entropy,
}


def _one_after_the_other(layers: Sequence[LayerSpec], own: Tensors, x: Tensor) -> Tensor:
    for index, layer in enumerate(layers):
        x = _part(index, layer, own, x)
    return x


def _part(index: int, layer: LayerSpec, own: Tensors, x: Tensor) -> Tensor:
    """One of several layers, whose tensors' names start with its position."""
    prefix = f"{index}."
    inner = {
        name.removeprefix(prefix): tensor for name, tensor in own.items() if name.startswith(prefix)
    }
    return _LAYERS[type(layer)](layer, inner, x)


def _mixed(layer: spec.Mixed, own: Tensors, x: Tensor) -> Tensor:
    odds = torch.exp(own["alpha"] - own["alpha"].detach().amax())
    candidates = [_part(index, one, own, x) for index, one in enumerate(layer.candidates)]
    output: Tensor = torch.tensordot(odds / odds.sum(), torch.stack(candidates), dims=1)
    return output


def _linear(layer: spec.Linear, own: Tensors, x: Tensor) -> Tensor:
    output = x @ own["weight"].T
    return output + own["bias"] if layer.bias else output


def _conv(layer: spec.Conv1d | spec.Conv2d, own: Tensors, x: Tensor) -> Tensor:
    convolve = functional.conv1d if isinstance(layer, spec.Conv1d) else functional.conv2d
    output: Tensor = convolve(
        x,
        own["weight"],
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    return output + _by_channel(own["bias"], output) if layer.bias else output


def _softplus(layer: spec.Softplus, own: Tensors, x: Tensor) -> Tensor:
    del own
    scaled = layer.beta * x
    curved = torch.logaddexp(scaled, torch.zeros_like(scaled)) / layer.beta
    return torch.where(scaled > layer.threshold, x, curved)


def _gelu(layer: spec.GELU, own: Tensors, x: Tensor) -> Tensor:
    del own
    if layer.approximate == "tanh":
        return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + torch.erf(x / math.sqrt(2)))


def _softmax(layer: spec.Softmax, own: Tensors, x: Tensor) -> Tensor:
    del own
    shares = torch.exp(x - x.detach().amax(layer.dim, keepdim=True))
    return shares / shares.sum(layer.dim, keepdim=True)


def _layer_norm(layer: spec.LayerNorm, own: Tensors, x: Tensor) -> Tensor:
    output = _standardised(x, range(-layer.normalized_dims, 0), layer.eps)
    return output * own["weight"] + own["bias"] if own else output


def _rms_norm(layer: spec.RMSNorm, own: Tensors, x: Tensor) -> Tensor:
    axes = tuple(range(-layer.normalized_dims, 0))
    output = x / torch.sqrt((x * x).mean(axes, keepdim=True) + layer.eps)
    return output * own["weight"] if own else output


def _batch_norm(layer: spec.BatchNorm, own: Tensors, x: Tensor) -> Tensor:
    axes = [axis for axis in range(x.ndim) if axis != 1]
    return _scaled(_standardised(x, axes, layer.eps), own)


def _instance_norm(layer: spec.InstanceNorm, own: Tensors, x: Tensor) -> Tensor:
    return _scaled(_standardised(x, range(2, x.ndim), layer.eps), own)


def _group_norm(layer: spec.GroupNorm, own: Tensors, x: Tensor) -> Tensor:
    groups = x.reshape(len(x), layer.num_groups, -1)
    return _scaled(_standardised(groups, (2,), layer.eps).reshape(x.shape), own)


def _standardised(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    centred = x - x.mean(tuple(axes), keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(tuple(axes), keepdim=True) + eps)


def _scaled(x: Tensor, own: Tensors) -> Tensor:
    return x * _by_channel(own["weight"], x) + _by_channel(own["bias"], x) if own else x


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.ndim - 2))


_LAYERS: dict[type[LayerSpec], _Plain] = {
    spec.Linear: _linear,
    spec.Conv1d: _conv,
    spec.Conv2d: _conv,
    spec.MaxPool2d: lambda layer, own, x: functional.max_pool2d(
        x, layer.kernel_size, layer.stride, layer.padding
    ),
    spec.AvgPool2d: lambda layer, own, x: functional.avg_pool2d(
        x, layer.kernel_size, layer.stride, layer.padding
    ),
    spec.AdaptiveAvgPool2d: lambda layer, own, x: functional.adaptive_avg_pool2d(
        x, layer.output_size
    ),
    spec.Flatten: lambda layer, own, x: x.reshape(len(x), -1),
    spec.Identity: lambda layer, own, x: x,
    spec.ReLU: lambda layer, own, x: torch.where(x > 0, x, 0),
    spec.LeakyReLU: lambda layer, own, x: torch.where(x > 0, x, layer.negative_slope * x),
    spec.GELU: _gelu,
    spec.SiLU: lambda layer, own, x: x * torch.sigmoid(x),
    spec.Tanh: lambda layer, own, x: torch.tanh(x),
    spec.Sigmoid: lambda layer, own, x: torch.sigmoid(x),
    spec.Softplus: _softplus,
    spec.Softmax: _softmax,
    spec.Dropout: lambda layer, own, x: functional.dropout(x, layer.p),
    spec.BatchNorm: _batch_norm,
    spec.LayerNorm: _layer_norm,
    spec.RMSNorm: _rms_norm,
    spec.GroupNorm: _group_norm,
    spec.InstanceNorm: _instance_norm,
    spec.Embedding: lambda layer, own, x: own["weight"][x],
    spec.Residual: lambda layer, own, x: x + _one_after_the_other(layer.layers, own, x),
    spec.Mixed: _mixed,
    spec.MultiheadAttention: sequences.attention,
    spec.TransformerEncoderLayer: sequences.encoder,
    spec.LSTM: sequences.lstm,
    spec.GRU: sequences.gru,
}
