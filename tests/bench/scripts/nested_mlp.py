"""The gradient of the sum of a gradient, of an MLP, as one writes it by hand. Nothing of HoGUI.

Prints the median time and the peak of memory above what lives before, as JSON.
"""

import gc
import json
import statistics
import time

import torch
from torch import nn
from torch.autograd.profiler import profile

DEPTH, WIDTH, BATCH = 8, 128, 256
REPETITIONS = 30

torch.set_num_threads(1)
torch.manual_seed(0)
layers = [layer for _ in range(DEPTH) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
model = nn.Sequential(*layers)
weights = list(model.parameters())
x, y = torch.randn(BATCH, WIDTH), torch.randn(BATCH, WIDTH)
numbers = [*weights, x, y]


def compute() -> tuple[torch.Tensor, ...]:
    loss = nn.functional.mse_loss(model(x), y)
    first = torch.autograd.grad(loss, weights, create_graph=True)
    totals = [gradient.sum() for gradient in first]
    del loss, first
    return torch.autograd.grad(totals, weights)


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
