"""Tensors that a workload has before it begins, beside weights and examples: drawn by its seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from core.spec.declaration import Spec
from core.spec.run import RunSpec
from core.spec.workloads import Hvp

VECTORS = 1
"""Tells the random numbers of vectors from those of examples, which have a 0 in this place."""

Tensors = dict[str, torch.Tensor]


def own_tensors(spec: RunSpec, parameters: Mapping[str, torch.Tensor]) -> Tensors:
    """What the workload of a spec brings along, by name; empty for most.

    Args:
        spec: a run without problems.
        parameters: the weights, by name, where and as they are computed with.
    """
    draw = _OWN.get(type(spec.workload))
    return {} if draw is None else draw(spec, parameters)


def vector_seed(seed: int) -> int:
    """The seed of a run's vectors."""
    return int(np.random.SeedSequence((seed, VECTORS)).generate_state(1)[0])


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
