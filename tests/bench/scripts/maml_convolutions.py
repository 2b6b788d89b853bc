"""One meta-gradient of MAML with convolutions, 5-way 1-shot, written by hand. Nothing of HoGUI.

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

TASKS, WAYS, SHOTS, QUERIES, STEPS, RATE, CHANNELS = 4, 5, 1, 5, 5, 0.01, 32
REPETITIONS = 10

torch.set_num_threads(1)
torch.manual_seed(0)


def layer(*shape: int) -> list[Tensor]:
    """Weight and bias as torch.nn draws them."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return [torch.empty(s).uniform_(-bound, bound).requires_grad_() for s in (shape, shape[:1])]


weights = [
    *layer(CHANNELS, 1, 3, 3),
    *layer(CHANNELS, CHANNELS, 3, 3),
    *layer(WAYS, CHANNELS * 5 * 5),
]
support = torch.randn(TASKS, WAYS * SHOTS, 1, 20, 20)
query = torch.randn(TASKS, WAYS * QUERIES, 1, 20, 20)
support_classes = torch.arange(WAYS).repeat(TASKS, SHOTS)
query_classes = torch.arange(WAYS).repeat(TASKS, QUERIES)
numbers = [*weights, support, support_classes, query, query_classes]


def loss(w: list[Tensor], x: Tensor, classes: Tensor) -> Tensor:
    x = functional.conv2d(x, w[0], w[1], padding=1)
    x = functional.max_pool2d(functional.relu(x), 2)
    x = functional.conv2d(x, w[2], w[3], padding=1)
    x = functional.max_pool2d(functional.relu(x), 2)
    return functional.cross_entropy(functional.linear(x.flatten(1), w[4], w[5]), classes)


def adapt(w: list[Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    gradients = torch.autograd.grad(loss(w, x, y), w, create_graph=True)
    return [torch.add(v, g, alpha=-RATE) for v, g in zip(w, gradients, strict=True)]


def query_loss(task: int) -> Tensor:
    adapted = weights
    for _ in range(STEPS):
        adapted = adapt(adapted, support[task], support_classes[task])
    return loss(adapted, query[task], query_classes[task]) / TASKS


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
