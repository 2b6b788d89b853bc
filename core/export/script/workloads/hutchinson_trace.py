"""Hutchinson's trace: ``compute()`` is the estimate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.export.script.model import Network
from core.export.script.parts import are_parts, parts
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
    text = _COMPUTE.replace("LOSS", network.loss).replace("NUMBER", str(seed))
    if not are_parts(spec):
        yield text
        return
    yield parts(spec, network)
    for whole, of_a_part in _CHANGES:
        assert whole in text
        text = text.replace(whole, of_a_part)
    yield text.replace("EXAMPLES", "x, y, seed" if network.random else "x, y")
    yield _IN_PARTS


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

_CHANGES = (
    ("def compute():", "def add_part(value, samples, share, EXAMPLES):"),
    (
        "    value = total.detach().clone()  # a copy, which does not keep what the total lies in",
        "    own = total.detach().clone()  # a copy, which does not keep what the total lies in",
    ),
    (
        "The loss, and the mean over the probes v of v times Hessian times v.",
        "Adds v times Hessian times v of a part's loss, for each probe v, times its share; both.",
    ),
    (
        "    samples = parameters[0].new_zeros(PROBES)",
        "    if samples is None:\n        samples = parameters[0].new_zeros(PROBES)",
    ),
    ("((v * h).sum())", "((v * h).sum(), alpha=share)"),
    ("    outputs, parts = zip(*pairs)", "    outputs, along = zip(*pairs)"),
    ("outputs, parameters, parts,", "outputs, parameters, along,"),
    ("del probe, pairs, outputs, parts,", "del probe, pairs, outputs, along,"),
    ("return value, [samples.mean()]", "return added(value, own, share), samples"),
)

_IN_PARTS = '''\
def compute():
    """The loss, and the mean over the probes, whose products are added up part after part."""
    value = samples = None
    for part, _, share in parts():
        value, samples = add_part(value, samples, share, *part)
    return value, [samples.mean()]'''
