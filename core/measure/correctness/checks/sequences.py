"""Layers over sequences a second time, in elementary operations; nothing of the engine is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from core.spec import layers as spec

Tensors = Mapping[str, Tensor]


def attention(layer: spec.MultiheadAttention, own: Tensors, x: Tensor) -> Tensor:
    """Softmax of the scaled products of queries and keys, times values, for each head."""
    return _attended(layer.num_heads, layer.dropout, own, x).contiguous()


def _attended(heads: int, dropout: float, own: Tensors, x: Tensor) -> Tensor:
    batch, length, width = x.shape
    size = width // heads
    projected = _affine(x, own["in_proj_weight"], own.get("in_proj_bias"))
    query, key, value = (
        part.reshape(batch, length, heads, size) for part in projected.chunk(3, -1)
    )
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(size)
    shares = torch.exp(scores - scores.logsumexp(-1, keepdim=True)).contiguous()
    shares = functional.dropout(shares, dropout)
    found = torch.einsum("bhqk,bkhd->bqhd", shares, value)
    # Dropout draws in the order of memory, where torch has the sequence first.
    found = found.transpose(0, 1).reshape(length, batch, width)
    return _affine(found, own["out_proj.weight"], own.get("out_proj.bias")).transpose(0, 1)


def encoder(layer: spec.TransformerEncoderLayer, own: Tensors, x: Tensor) -> Tensor:
    """Attention and two affine maps, each added to its input, with norms before or after."""

    def attended(x: Tensor) -> Tensor:
        prefix = "self_attn."
        parts = {
            name.removeprefix(prefix): part for name, part in own.items() if name.startswith(prefix)
        }
        return functional.dropout(_attended(layer.nhead, layer.dropout, parts, x), layer.dropout)

    def fed(x: Tensor) -> Tensor:
        between = _affine(x, own["linear1.weight"], own.get("linear1.bias"))
        if layer.activation == "gelu":
            between = between / 2 * (1 + torch.erf(between / math.sqrt(2)))
        else:
            between = torch.where(between > 0, between, 0)
        between = functional.dropout(between, layer.dropout)
        output = _affine(between, own["linear2.weight"], own.get("linear2.bias"))
        return functional.dropout(output, layer.dropout)

    def normal(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        spread = torch.sqrt((centred * centred).mean(-1, keepdim=True) + layer.layer_norm_eps)
        scaled = centred / spread * own[f"{name}.weight"]
        return scaled + own[f"{name}.bias"] if layer.bias else scaled

    if layer.norm_first:
        x = x + attended(normal(x, "norm1"))
        return x + fed(normal(x, "norm2"))
    x = normal(x + attended(x), "norm1")
    return normal(x + fed(x), "norm2")


def lstm(layer: spec.LSTM, own: Tensors, x: Tensor) -> Tensor:
    """The equations of torch.nn.LSTM's page, one step after the other."""

    def step(given: Tensor, held: Tensor, before: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        size = layer.hidden_size
        total = given + held
        enter, forget, leave = (
            torch.sigmoid(total[:, first : first + size]) for first in (0, size, 3 * size)
        )
        memory = forget * before[1] + enter * torch.tanh(total[:, 2 * size : 3 * size])
        return leave * torch.tanh(memory), memory

    return _stacked(layer, own, x, step)


def gru(layer: spec.GRU, own: Tensors, x: Tensor) -> Tensor:
    """The equations of torch.nn.GRU's page, one step after the other."""

    def step(given: Tensor, held: Tensor, before: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        size = layer.hidden_size
        reset = torch.sigmoid(given[:, :size] + held[:, :size])
        keep = torch.sigmoid(given[:, size : 2 * size] + held[:, size : 2 * size])
        new = torch.tanh(given[:, 2 * size :] + reset * held[:, 2 * size :])
        return (1 - keep) * new + keep * before[0], before[1]

    return _stacked(layer, own, x, step)


_Step = Callable[[Tensor, Tensor, tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]


def _stacked(layer: spec.LSTM | spec.GRU, own: Tensors, x: Tensor, step: _Step) -> Tensor:
    for number in range(layer.num_layers):
        ways = [""] if not layer.bidirectional else ["", "_reverse"]
        x = torch.cat([_read(layer, own, x, f"l{number}{way}", step) for way in ways], -1)
    return x


def _read(layer: spec.LSTM | spec.GRU, own: Tensors, x: Tensor, place: str, step: _Step) -> Tensor:
    backwards = place.endswith("_reverse")
    if backwards:
        x = x.flip(1)
    output = x.new_zeros(len(x), layer.hidden_size)
    memory, outputs = output, []
    for position in range(x.shape[1]):
        given = _affine(x[:, position], own[f"weight_ih_{place}"], own.get(f"bias_ih_{place}"))
        held = _affine(output, own[f"weight_hh_{place}"], own.get(f"bias_hh_{place}"))
        output, memory = step(given, held, (output, memory))
        outputs.append(output)
    states = torch.stack(outputs, 1)
    return states.flip(1) if backwards else states


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    output = x @ weight.T
    return output if bias is None else output + bias
