"""Hutchinson's trace: ``compute()`` is the estimate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.export.script.model import Network
from core.spec.run import RunSpec
from core.spec.workloads import HutchinsonTrace

PROBES = 2
"""Tells the random numbers of probes from those of examples."""


def about(spec: RunSpec) -> str:
    """What is computed."""
    del spec
    return "trace of the Hessian, estimated from random probes"


def constants(spec: RunSpec) -> Iterator[str]:
    """How many probes."""
    workload = spec.workload
    assert isinstance(workload, HutchinsonTrace)
    yield f"PROBES = {workload.probes}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that the estimate needs; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, HutchinsonTrace)
    seed = np.random.SeedSequence((spec.measure.seed, PROBES)).generate_state(1)[0]
    yield _DRAW.replace("DRAWN", _DRAWN[workload.distribution])
    yield _COMPUTE.replace("LOSS", network.loss).replace("NUMBER", str(seed))


_DRAWN = {
    "rademacher": "torch.randint(2, w.shape, generator=generator, dtype=torch.float32)"
    ".mul_(2).sub_(1)",
    "gaussian": "torch.randn(w.shape, generator=generator)",
}

_DRAW = '''\
def draw(w, generator):
    """A part of a probe."""
    part = DRAWN
    return part.to(DEVICE, DTYPE)'''

_COMPUTE = '''\
def compute():
    """The loss, and the mean over the probes v of v times Hessian times v."""
    generator = torch.Generator().manual_seed(NUMBER)
    total = LOSS
    gradients = torch.autograd.grad(total, parameters, create_graph=True)
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    del total
    samples = parameters[0].new_zeros(PROBES)
    for i in range(PROBES):
        probe = [draw(w, generator) for w in parameters]
        pairs = [(g, v) for g, v in zip(gradients, probe) if g.requires_grad]
        outputs, parts = zip(*pairs)
        product = torch.autograd.grad(
            outputs, parameters, parts, retain_graph=i < PROBES - 1, allow_unused=True
        )
        for v, h in zip(probe, product):
            if h is not None:
                samples[i].add_((v * h).sum())
        del probe, pairs, outputs, parts, product, v, h
    return value, [samples.mean()]'''
