"""What does not go through a backward pass of several vectors at once (torch's vmap)."""

from __future__ import annotations

from collections.abc import Iterator

from core.spec.declaration import Problem
from core.spec.layers import Embedding
from core.spec.mitigations import Mitigation
from core.spec.models import Model


def batching_misfits(
    model: Model, mitigation: Mitigation, key: str, given: str, instead: str
) -> Iterator[Problem]:
    """Why several vectors cannot be multiplied at once, one sentence each.

    Args:
        model: a stack without problems.
        mitigation: what else is chosen.
        key: the field of the workload that asks for it.
        given: its value, as it is written in JSON.
        instead: what to choose in its place.
    """
    path = ("workload", key)
    if any(isinstance(layer, Embedding) and layer.sparse for layer in model.layers):
        yield Problem(
            path,
            f"workload.{key}: {given} was given; the sparse gradient of an embedding takes one "
            f"vector at a time, allowed: {instead}, or sparse false.",
        )
    kind = mitigation.checkpointing.kind
    if kind != "none" and model.is_random:
        yield Problem(
            path,
            f"workload.{key}: {given} was given; dropout cannot be computed again for several "
            f'vectors at once, allowed: {instead}, or mitigation.checkpointing.kind "none".',
        )
