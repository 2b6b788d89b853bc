"""Rematerialization where torch runs backward passes in a thread of the device."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

# Run in a process of its own: a registered kind of device stays.
ERRORS_BY_ORDER = """
import json
import threading
import torch
from core.engine.rematerialize import rematerialize
from tests.core.measure.machine.pretend_device import DEVICE, leave

threads = set()

def segment(x, weight):
    threads.add(threading.get_ident())
    return torch.sin(torch.sin(x * weight) * weight)

def gradients(device, order, apply):
    torch.manual_seed(0)
    weights = [torch.randn(4, 4, dtype=torch.float64).to(device) for _ in range(4)]
    weights = [weight.requires_grad_() for weight in weights]
    hidden = torch.ones(4, 4, dtype=torch.float64).to(device)
    for weight in weights:
        hidden = apply(hidden, weight)
    total = hidden.sum()
    for k in range(1, order + 1):
        found = torch.autograd.grad(total, weights, create_graph=k < order)
        if k < order:
            total = sum(gradient.sum() for gradient in found)
    return [gradient.detach() for gradient in found]

errors = []
for order in (1, 2, 3, 4):
    plain = gradients(torch.device("cpu"), order, segment)
    threads.clear()
    again = gradients(DEVICE, order, lambda *tensors: rematerialize(segment, *tensors))
    assert len(threads) == 2, "some evaluations are in the device's thread"
    pairs = zip(plain, again, strict=True)
    errors.append(max(((a - b.held).norm() / a.norm()).item() for a, b in pairs))
leave(json.dumps(errors))
"""


def test_that_every_order_is_right_although_segments_differentiate_in_the_devices_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ERRORS_BY_ORDER], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) == 4
    assert max(errors) < 1e-12
