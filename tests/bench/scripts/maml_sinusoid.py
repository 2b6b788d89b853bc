"""One meta-gradient of MAML on sine curves (Finn et al. 2017), written by hand. Nothing of HoGUI.

Prints the median time and the peak of memory above what lives before, as JSON.
"""

import gc
import json
import math
import statistics
import time

import torch
from torch import Tensor
from torch.autograd.profiler import profile
from torch.nn import functional

TASKS, SHOTS, STEPS, RATE, WIDTH = 4, 10, 5, 0.01, 40
REPETITIONS = 30

torch.set_num_threads(1)
torch.manual_seed(0)


def parameter(*shape: int) -> Tensor:
    return (torch.randn(shape) / math.sqrt(shape[-1])).requires_grad_()


weights = [
    parameter(WIDTH, 1),
    parameter(WIDTH),
    parameter(WIDTH, WIDTH),
    parameter(WIDTH),
    parameter(1, WIDTH),
    parameter(1),
]
curves = [(torch.rand(1) * 4.9 + 0.1, torch.rand(1) * math.pi) for _ in range(TASKS)]
positions = torch.rand(2, TASKS, SHOTS, 1) * 10 - 5
values = torch.stack([a * torch.sin(positions[:, i] - p) for i, (a, p) in enumerate(curves)], 1)
numbers = [*weights, positions[0], values[0], positions[1], values[1]]


def loss(w: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    hidden = functional.relu(functional.linear(x, w[0], w[1]))
    hidden = functional.relu(functional.linear(hidden, w[2], w[3]))
    return functional.mse_loss(functional.linear(hidden, w[4], w[5]), y)


def adapt(w: list[Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    gradients = torch.autograd.grad(loss(w, x, y), w, create_graph=True)
    return [torch.add(v, g, alpha=-RATE) for v, g in zip(w, gradients, strict=True)]


def query_loss(task: int) -> Tensor:
    adapted = weights
    for _ in range(STEPS):
        adapted = adapt(adapted, positions[0, task], values[0, task])
    return loss(adapted, positions[1, task], values[1, task]) / TASKS


def compute() -> list[Tensor]:
    sums = [torch.zeros_like(weight) for weight in weights]
    for task in range(TASKS):
        gradients = torch.autograd.grad(query_loss(task), weights)
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient
        del gradients, gradient
    return sums


def seconds() -> float:
    gc.disable()
    start = time.perf_counter()
    result = compute()
    elapsed = time.perf_counter() - start
    gc.enable()
    del result
    return elapsed


def peak_on_cpu() -> int:
    with profile(profile_memory=True) as profiler:
        compute()
    assert profiler.kineto_results is not None
    events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


if __name__ == "__main__":
    peak = peak_on_cpu()
    samples = [seconds() for _ in range(REPETITIONS)]
    print(json.dumps({"median_s": statistics.median(samples), "peak_bytes": peak}))
