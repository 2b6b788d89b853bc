"""Layers one after the other as a function without loops and look-ups, as it is written by hand.

A forward pass of a small network is a few kernels, and between two kernels the processor's caches
are cold: a loop over layers that look their tensors up takes 5 µs where straight code takes 1.
So the code is put together once, as ``dataclasses`` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from core.engine.direct import Forward, Tensors, Written
from core.engine.losses import Loss

Straight = Callable[[Any, Tensors, torch.Tensor, bool], torch.Tensor]
"""Of the weights, all buffers, the input, and whether running statistics are updated."""
Segment = Callable[..., torch.Tensor]
"""Of the input and the weights, each an argument."""
SegmentOf = Callable[[Tensors, bool], Segment]
"""The segment, of all buffers and whether running statistics are updated."""
WeightsLoss = Callable[[Any], torch.Tensor]
"""Of the weights."""
LossOf = Callable[[torch.Tensor | None, torch.Tensor, Loss, Tensors, bool], WeightsLoss]
"""The loss of the weights, of an input, its target, what is judged by, all buffers, and whether
running statistics are updated."""

_SEGMENT = """
def of(buffers, update):
    def segment(x, *p):
{lines}
        return x
    return segment
"""
_LOSS = """
def of(inputs, target, criterion, buffers, update):
    def loss(p):
        x = inputs
{lines}
        return criterion(x, target)
    return loss
"""
_LOSS_BESIDE = _LOSS.replace("x = inputs", "x = p[-1]")
_FORWARD = """
def of(p, buffers, x, update):
{lines}
        return x
"""


def straight(layers: Sequence[Forward]) -> Straight:
    """Layers as one function of weights by name."""
    return cast(Straight, _made(_FORWARD, layers, None))


def straight_segment(layers: Sequence[Forward], names: Sequence[str]) -> SegmentOf:
    """Layers as one function of weights in the order of these names."""
    return cast(SegmentOf, _made(_SEGMENT, layers, names))


def straight_loss(
    layers: Sequence[Forward], names: Sequence[str], *, beside: bool = False
) -> LossOf:
    """The loss of layers as one function of the weights alone.

    Args:
        layers: in order.
        names: of the weights, in the order in which they are given.
        beside: whether the input stands behind the weights, and is not known beforehand.
    """
    return cast(LossOf, _made(_LOSS_BESIDE if beside else _LOSS, layers, names))


def _made(form: str, layers: Sequence[Forward], names: Sequence[str] | None) -> object:
    """What the form defines, with the layers in its place for lines."""
    keys = None if names is None else {name: position for position, name in enumerate(names)}
    known: dict[str, Any] = {"names": names}
    lines, by_name = list[str](), "p"

    def weight(name: str) -> str:
        return f"p[{(name if keys is None else keys[name])!r}]"

    for place, layer in enumerate(layers):
        if isinstance(layer, Written):
            lines.extend(layer.written(str(place), weight, known))
        else:
            by_name = "p" if keys is None else "own"
            known[f"f{place}"] = layer
            lines.append(f"x = f{place}({by_name}, buffers, x, update)")
    if by_name == "own":
        lines.insert(0, "own = dict(zip(names, p))")  # there may be an input behind the weights
    exec(form.format(lines="\n".join(f"        {line}" for line in lines)), known)
    return known["of"]
