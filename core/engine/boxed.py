"""What a node of autograd's is asked and given while a backward pass leads through it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node


def is_reached(node: Node | None) -> bool:
    """Whether the running backward pass leads through ``node``.

    ``ctx.needs_input_grad`` tells only what could ever be differentiated: it would have all
    gradients by parameters computed where the gradient by the network's input is asked for.
    """
    if node is None:
        return False
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:
        return True  # torch says so of a leaf among the inputs of torch.autograd.grad


def take_cotangents(received: tuple[Any, ...]) -> dict[int, Tensor]:
    """The cotangents by the position of their output, of which nobody else keeps a list."""
    boxed = received[0] if isinstance(received[0], list) else list(received)
    cotangents = {i: cotangent for i, cotangent in enumerate(boxed) if cotangent is not None}
    boxed.clear()
    return cotangents
