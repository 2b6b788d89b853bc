"""Attention that can be differentiated as often as asked."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch.nn.attention import SDPBackend, sdpa_kernel


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
