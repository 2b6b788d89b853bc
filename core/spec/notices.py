"""What a user should know of a spec before it runs, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from core.spec.layers import Embedding
from core.spec.run import RunSpec
from core.spec.workloads import Maml, NestedGradient

REWRITTEN_NORMS: Final = ("layer_norm", "batch_norm", "instance_norm")
FIRST_WRONG_ORDER: Final = 3
"""From this order on torch 2.13 differentiates these norms wrongly (pytorch/pytorch#198017)."""


@dataclass(frozen=True)
class Notice:
    """A choice that works but surprises.

    Attributes:
        severity: a ``warning`` where it is not what it seems, a ``note`` of what the engine does by
            itself.
        layer: position of the layer, None where the whole configuration is meant.
        sentence: begins with the key, or the kind of the layer, where it is about one.
    """

    severity: Literal["warning", "note"]
    layer: int | None
    sentence: str


def notices(spec: RunSpec) -> tuple[str, ...]:
    """The sentences of ``layer_notices``, each once."""
    return tuple(dict.fromkeys(notice.sentence for notice in layer_notices(spec)))


def layer_notices(spec: RunSpec) -> tuple[Notice, ...]:
    """Choices that work but surprise, those of the whole configuration first."""
    return (*_of_mitigations(spec), *_of_layers(spec))


def _of_mitigations(spec: RunSpec) -> Iterator[Notice]:
    workload = spec.workload
    if spec.mitigation.checkpointing.kind == "torch" and workload.derivative_order >= 2:
        yield Notice(
            "warning",
            None,
            "torch's checkpointing frees activations for the first backward only: from order 2 on "
            "it saves little or costs memory. rematerialize saves at every order.",
        )
    if spec.mitigation.inner_loop != "standard" and isinstance(workload, NestedGradient):
        yield Notice(
            "warning",
            None,
            "mitigation.inner_loop has no effect here: a nested gradient has no inner loop.",
        )
    if isinstance(workload, Maml) and workload.inner_lr == 0:
        yield Notice("warning", None, "workload.inner_lr is 0: the inner steps change nothing.")


def _of_layers(spec: RunSpec) -> Iterator[Notice]:
    if spec.workload.derivative_order < FIRST_WRONG_ORDER:
        return
    for index, layer in enumerate(spec.model.layers):
        if layer.kind in REWRITTEN_NORMS:
            yield Notice(
                "note",
                index,
                f"{layer.kind}: torch's own derivative is wrong from order {FIRST_WRONG_ORDER} on "
                "(pytorch/pytorch#198017), so a written-out norm is used, which is right; memory "
                "and time differ from those of torch.",
            )
        elif isinstance(layer, Embedding) and layer.sparse and isinstance(spec.workload, Maml):
            yield Notice(
                "note",
                index,
                f"{layer.kind}: torch's sparse gradient is wrong under MAML from order "
                f"{FIRST_WRONG_ORDER} on, so a dense one is used, which is right.",
            )
