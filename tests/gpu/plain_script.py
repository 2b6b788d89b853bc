"""Nested gradients of an MLP as one writes them by hand; nothing of HoGUI.

    python plain_script.py DEPTH WIDTH BATCH ORDER

Prints the bytes that one computation takes above what lives before it, as JSON.
"""

import gc
import json
import sys

import torch
from torch import nn

depth, width, batch, order = map(int, sys.argv[1:])
blocks = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())]
network = nn.Sequential(*blocks).cuda()
parameters = list(network.parameters())
x, y = torch.randn(batch, width).cuda(), torch.randn(batch, width).cuda()


def once() -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    totals = [nn.functional.mse_loss(network(x), y)]
    loss = totals[0].detach().clone()
    gradients: tuple[torch.Tensor, ...] = ()
    for k in range(1, order + 1):
        if k > 1:
            totals = [gradient.sum() for gradient in gradients]
            gradients = ()
        gradients = torch.autograd.grad(totals, parameters, create_graph=k < order)
    return gradients, loss


once()
gc.collect()
torch.cuda.synchronize()
torch.cuda.empty_cache()
torch.cuda.reset_peak_memory_stats()
before = torch.cuda.memory_allocated()
result = once()
torch.cuda.synchronize()
print(json.dumps({"peak_bytes": torch.cuda.max_memory_allocated() - before}))
