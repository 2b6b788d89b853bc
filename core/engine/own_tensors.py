"""Tensors that a workload has before it begins, beside weights and examples: drawn by its seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from core.spec.declaration import Spec
from core.spec.run import RunSpec
from core.spec.workloads import HutchinsonTrace, Hvp

VECTORS, PROBES = 1, 2
"""Tell the random numbers of vectors and probes from those of examples, which have a 0 there."""

Tensors = dict[str, torch.Tensor]


def own_tensors(spec: RunSpec, parameters: Mapping[str, torch.Tensor]) -> Tensors:
    """What the workload of a spec brings along, by name; empty for most.

    Args:
        spec: a run without problems.
        parameters: the weights, by name, where and as they are computed with.
    """
    draw = _OWN.get(type(spec.workload))
    return {} if draw is None else draw(spec, parameters)


def vector_seed(seed: int, purpose: int = VECTORS) -> int:
    """The seed of a run's vectors."""
    return int(np.random.SeedSequence((seed, purpose)).generate_state(1)[0])


def probes(spec: RunSpec, weights: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Random vectors without end, a tensor for each weight; the same ones for the same seed.

    Drawn on the CPU in 32 bits, so that every device and precision has the same ones.

    Args:
        spec: a run of Hutchinson's trace.
        weights: whose shapes, device and number format the tensors have.
    """
    workload = spec.workload
    assert isinstance(workload, HutchinsonTrace)
    draw = _DISTRIBUTIONS[workload.distribution]
    generator = torch.Generator().manual_seed(vector_seed(spec.measure.seed, PROBES))
    while True:
        yield [draw(weight.shape, generator).to(weight) for weight in weights]


def probes_by_name(spec: RunSpec, parameters: Mapping[str, torch.Tensor]) -> Tensors:
    """The probes of a trace: for each weight all of them, their axis first; empty elsewhere."""
    workload = spec.workload
    if not isinstance(workload, HutchinsonTrace):
        return {}
    drawn = probes(spec, list(parameters.values()))
    each = list(itertools.islice(drawn, workload.probes))
    return {
        f"probes/{name}": torch.stack([probe[position] for probe in each])
        for position, name in enumerate(parameters)
    }


def _signs(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(2, shape, generator=generator, dtype=torch.float32).mul_(2).sub_(1)


def _normal(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator)


_DISTRIBUTIONS: dict[str, Callable[[torch.Size, torch.Generator], torch.Tensor]] = {
    "rademacher": _signs,
    "gaussian": _normal,
}


def _vectors(spec: RunSpec, parameters: Mapping[str, torch.Tensor]) -> Tensors:
    """Normal random numbers: for each weight all vectors, their axis first.

    Drawn on the CPU in 32 bits, so that every device and precision has the same ones.
    """
    workload = spec.workload
    assert isinstance(workload, Hvp)
    generator = torch.Generator().manual_seed(vector_seed(spec.measure.seed))
    return {
        f"vectors/{name}": torch.randn((workload.vectors, *weight.shape), generator=generator).to(
            weight
        )
        for name, weight in parameters.items()
    }


_OWN: dict[type[Spec], Callable[[RunSpec, Mapping[str, torch.Tensor]], Tensors]] = {
    Hvp: _vectors,
}
