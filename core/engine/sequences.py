"""Layers over sequences in torch: the modules that they are built from, and their functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional

from core.engine import norms, recurrent
from core.engine.attention import math_attention, self_attention, written_out_attention
from core.spec import layers as spec
from core.spec.derivation import Derivation
from core.spec.layers import Shape

Function = Callable[[Tensor, Sequence[Tensor]], Tensor]
"""Of the input and the layer's tensors in the order of their names."""


def build_attention(layer: spec.MultiheadAttention, shape: Shape) -> nn.Module:
    """The torch module of a self-attention."""
    return nn.MultiheadAttention(
        shape[1], layer.num_heads, layer.dropout, layer.bias, batch_first=True
    )


def build_encoder(layer: spec.TransformerEncoderLayer, shape: Shape) -> nn.Module:
    """The torch module of a transformer encoder layer."""
    return nn.TransformerEncoderLayer(
        shape[1],
        layer.nhead,
        layer.dim_feedforward,
        layer.dropout,
        layer.activation,
        layer.layer_norm_eps,
        batch_first=True,
        norm_first=layer.norm_first,
        bias=layer.bias,
    )


def build_recurrent(layer: spec.LSTM | spec.GRU, shape: Shape) -> nn.Module:
    """The torch module of an LSTM or a GRU."""
    module = nn.LSTM if isinstance(layer, spec.LSTM) else nn.GRU
    return module(
        shape[1],
        layer.hidden_size,
        layer.num_layers,
        layer.bias,
        batch_first=True,
        bidirectional=layer.bidirectional,
    )


def attention(layer: spec.MultiheadAttention, way: Derivation) -> Function:
    """Self-attention."""
    return _batch_first(_attention(layer.num_heads, layer.dropout, layer.bias, way))


def _batch_first(function: Function) -> Function:
    """The function with an output that lies in memory as others do.

    torch's lies there by sequence. Some layers keep that and others do not, depending on whether
    they are written out, so that dropout further on would not draw the same numbers by position.
    """
    return lambda x, own: function(x, own).contiguous()


def _attention(heads: int, dropout: float, bias: bool, way: Derivation) -> Function:
    # WORKAROUND: see why_rewritten.
    rewritten = way.rewrites("multihead_attention")
    attend = written_out_attention if rewritten else self_attention

    def apply(x: Tensor, own: Sequence[Tensor]) -> Tensor:
        in_weight, in_bias, out_weight, out_bias = own if bias else (own[0], None, own[1], None)
        with math_attention(way.order):
            return attend(x, in_weight, in_bias, out_weight, out_bias, heads, dropout)

    return apply


def encoder(layer: spec.TransformerEncoderLayer, way: Derivation) -> Function:
    """A transformer encoder layer."""
    bias, eps, p = layer.bias, layer.layer_norm_eps, layer.dropout
    attend = _attention(layer.nhead, p, bias, way)
    # WORKAROUND: see why_rewritten.
    normalise = norms.layer_norm if way.rewrites("layer_norm") else functional.layer_norm
    activate: Callable[[Tensor], Tensor] = (
        functional.gelu if layer.activation == "gelu" else functional.relu
    )
    each = 1 + bias

    def attended(x: Tensor, own: Sequence[Tensor]) -> Tensor:
        return functional.dropout(attend(x, own[: 2 * each]), p)

    def fed(x: Tensor, own: Sequence[Tensor]) -> Tensor:
        between = activate(functional.linear(x, *own[2 * each : 3 * each]))
        output = functional.linear(functional.dropout(between, p), *own[3 * each : 4 * each])
        return functional.dropout(output, p)

    def normal(x: Tensor, own: Sequence[Tensor], part: int) -> Tensor:
        weight, *offset = own[part * each : (part + 1) * each]
        return normalise(x, [x.shape[-1]], weight, offset[0] if bias else None, eps)

    def norms_first(x: Tensor, own: Sequence[Tensor]) -> Tensor:
        x = x + attended(normal(x, own, 4), own)
        return x + fed(normal(x, own, 5), own)

    def norms_last(x: Tensor, own: Sequence[Tensor]) -> Tensor:
        x = normal(x + attended(x, own), own, 4)
        return normal(x + fed(x, own), own, 5)

    return norms_first if layer.norm_first else norms_last


def lstm(layer: spec.LSTM, way: Derivation) -> Function:
    """An LSTM; its output are the states of all steps."""
    return _recurrent(layer, way, recurrent.lstm, recurrent.lstm_step_by_step)


def gru(layer: spec.GRU, way: Derivation) -> Function:
    """A GRU; its output are the states of all steps."""
    return _recurrent(layer, way, recurrent.gru, recurrent.gru_step_by_step)


_Recurrence = Callable[[Tensor, Sequence[Tensor], recurrent.Form], Tensor]


def _recurrent(
    layer: spec.LSTM | spec.GRU, way: Derivation, torchs: _Recurrence, step_by_step: _Recurrence
) -> Function:
    form = recurrent.Form(layer.hidden_size, layer.num_layers, layer.bias, layer.bidirectional)

    def apply(x: Tensor, own: Sequence[Tensor]) -> Tensor:
        if way.order < 2 and not recurrent.onednn_refuses(x.device):
            return torchs(x, own, form)
        if x.device.type != "cpu":
            # WORKAROUND: what accelerators bring, such as cuDNN, has no second derivative, by
            # design (pytorch/pytorch#5261).
            return step_by_step(x, own, form)
        with recurrent.without_onednn():
            return torchs(x, own, form)

    return _batch_first(apply)
