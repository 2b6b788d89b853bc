"""Layers one after the other as a function without loops and look-ups, as it is written by hand.

A forward pass of a small network is a few kernels, and between two kernels the processor's caches
are cold: a loop over layers that look their tensors up takes 5 µs where straight code takes 1.
So the code is put together once, as ``dataclasses`` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch

from core.engine.layers import Direct, Forward

Tensors = Mapping[str, torch.Tensor]
Straight = Callable[[Any, Tensors, torch.Tensor, bool], torch.Tensor]
"""Of the weights, all buffers, the input, and whether running statistics are updated."""


def straight(layers: Sequence[Forward], names: Sequence[str] | None = None) -> Straight:
    """One function of several layers.

    Args:
        layers: in order.
        names: of the weights, which are then given in this order; by default they are given by
            name.
    """
    keys = None if names is None else {name: position for position, name in enumerate(names)}
    known: dict[str, Any] = {"names": names}
    lines, by_name = list[str](), "p"
    for place, layer in enumerate(layers):
        if isinstance(layer, Direct):
            tensors = [f"p[{(name if keys is None else keys[name])!r}]" for name in layer.names]
            settings = [f"s{place}_{position}" for position in range(len(layer.settings))]
            known |= {
                f"f{place}": layer.function,
                **dict(zip(settings, layer.settings, strict=True)),
            }
            lines.append(f"    x = f{place}({', '.join(['x', *tensors, *settings])})")
        else:
            by_name = "p" if keys is None else "own"
            known[f"f{place}"] = layer
            lines.append(f"    x = f{place}({by_name}, buffers, x, update)")
    if by_name == "own":
        lines.insert(0, "    own = dict(zip(names, p, strict=True))")
    exec("\n".join(["def forward(p, buffers, x, update):", *lines, "    return x"]), known)
    return cast(Straight, known["forward"])
