"""Attention that can be differentiated as often as asked."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.engine.written_out import softmax


def math_attention(order: int) -> AbstractContextManager[None]:
    """Makes attention use torch's math kernel while it is entered.

    WORKAROUND: the fused kernels, which torch chooses by default, have no second derivative
    (pytorch/pytorch#116350).

    Args:
        order: how often the result will be differentiated; at order 1 torch may choose.
    """
    if order < 2:
        return nullcontext()
    kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return kernel


def self_attention(
    x: Tensor,
    in_weight: Tensor,
    in_bias: Tensor | None,
    out_weight: Tensor,
    out_bias: Tensor | None,
    heads: int,
    dropout: float,
) -> Tensor:
    """What ``torch.nn.MultiheadAttention`` computes of a sequence alone, without the shares.

    Args:
        x: (batch, sequence, features).
        in_weight: of queries, keys and values, below each other.
        in_bias: of the same.
        out_weight: of what the heads found together.
        out_bias: of the same.
        heads: into how many parts the features are divided.
        dropout: share of attention set to zero at random.

    Returns:
        The same shape; in memory the sequence comes first, and with it random numbers drawn later.
    """
    sequence = x.transpose(0, 1)
    output, _ = functional.multi_head_attention_forward(
        sequence,
        sequence,
        sequence,
        x.shape[-1],
        heads,
        in_weight,
        in_bias,
        None,
        None,
        False,
        dropout,
        out_weight,
        out_bias,
        need_weights=False,
    )
    return output.transpose(0, 1)


def written_out_attention(
    x: Tensor,
    in_weight: Tensor,
    in_bias: Tensor | None,
    out_weight: Tensor,
    out_bias: Tensor | None,
    heads: int,
    dropout: float,
) -> Tensor:
    """The same in elementary operations."""
    projected = functional.linear(x, in_weight, in_bias).view(*x.shape[:2], 3, heads, -1)
    query, key, value = projected.permute(2, 0, 3, 1, 4).unbind()
    # What "/" makes of the number would be kept as a tensor.
    scores = torch.ops.aten.div.Scalar(query @ key.transpose(-2, -1), math.sqrt(key.shape[-1]))
    shares = functional.dropout(softmax(scores, -1), dropout)
    found = (shares @ value).permute(2, 0, 1, 3).flatten(2)
    return functional.linear(found, out_weight, out_bias).transpose(0, 1)
