"""What results are judged by: closed forms, differences, and the allocator's own account."""

import gc
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Tensors = Sequence[torch.Tensor]


def flat(tensors: Tensors) -> torch.Tensor:
    """All entries in one vector, sparse tensors too."""
    dense = (tensor.to_dense() if tensor.is_sparse else tensor for tensor in tensors)
    return torch.cat([tensor.detach().reshape(-1) for tensor in dense])


def relative_error(found: Tensors, right: Tensors) -> float:
    """Distance over length, both Euclidean; infinite where shapes differ."""
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in right]:
        return math.inf
    difference, length = (flat(found) - flat(right)).norm().item(), flat(right).norm().item()
    return difference / length if length else difference


def exponential(x: torch.Tensor, rate: float, order: int) -> torch.Tensor:
    """Derivative of exp(rate · x)."""
    return rate**order * torch.exp(rate * x)


def hyperbolic_tangent(x: torch.Tensor, order: int) -> torch.Tensor:
    """Derivative of tanh: with t = tanh x, that of a polynomial P(t) is P'(t)(1 - t²)."""
    polynomial = np.polynomial.Polynomial([0, 1])
    for _ in range(order):
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([1, 0, -1])
    return torch.from_numpy(polynomial(np.tanh(x.detach().numpy())))


def power_of_sum(weights: torch.Tensor, x: torch.Tensor, degree: int, order: int) -> torch.Tensor:
    """Nested gradient of u^degree with u = Σ wᵢxᵢ: a falling factorial · (Σw)^(order - 1) · w."""
    u, total = (weights * x).sum(), weights.sum()
    factor = math.perm(degree, order)
    return factor * u ** (degree - order) * total ** (order - 1) * weights


def difference_along(
    function: Callable[[Tensors], float], point: Tensors, direction: Tensors, step: float
) -> float:
    """Derivative along a direction by central differences of fourth order, from values alone."""

    def at(distance: float) -> float:
        with torch.no_grad():
            moved = [a + distance * b for a, b in zip(point, direction, strict=True)]
        return function([tensor.requires_grad_() for tensor in moved])

    near, far = at(step) - at(-step), at(2 * step) - at(-2 * step)
    return (8 * near - far) / (12 * step)


def in_turn(modules: nn.Sequential, x: Tensor) -> Tensor:
    """The output of torch's modules one after the other, of those that return more the first."""
    for module in modules:
        is_attention = isinstance(module, nn.MultiheadAttention)
        output = module(x, x, x, need_weights=False) if is_attention else module(x)
        x = output[0] if isinstance(output, tuple) else output
    return x


def peak_bytes(function: Callable[[], object]) -> int:
    """Highest total that the CPU allocator had handed out, above what it had at the start."""
    return max(_live_bytes(function))


def kept_bytes(function: Callable[[], object]) -> int:
    """What the CPU allocator had handed out when the function returned and not taken back."""
    return _live_bytes(function)[-1]


def _live_bytes(function: Callable[[], object]) -> list[int]:
    """Totals after each allocation and each release, from 0 on."""
    function()  # what is made once, the first time, is not part of it
    gc.collect()
    gc.disable()  # what only the collector finds counts as kept
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            outcome = function()
        del outcome
    finally:
        gc.enable()
    events = [
        event
        for event in recorded.profiler.kineto_results.events()
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU
    ]
    events.sort(key=lambda event: event.start_ns())
    return [0, *itertools.accumulate(event.nbytes() for event in events)]
