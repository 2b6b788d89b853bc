"""A network trained a little before a workload begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

RATE = 0.01
"""Step size of Adam."""


def train(
    loss: Callable[[Mapping[str, torch.Tensor]], torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    steps: int,
) -> None:
    """Changes weights in place by steps of Adam.

    Args:
        loss: of any weights, by name.
        parameters: where it begins and where it ends.
        steps: how many.
    """
    weights = {
        name: parameter.detach().clone().requires_grad_() for name, parameter in parameters.items()
    }
    optimizer = torch.optim.Adam(weights.values(), lr=RATE)
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(weights), list(weights.values()), allow_unused=True)
        for weight, gradient in zip(weights.values(), gradients, strict=True):
            weight.grad = gradient
        optimizer.step()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
