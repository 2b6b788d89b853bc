"""What a user should know of a spec before it runs, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from core.spec.derivation import FIRST_WRONG_ORDER
from core.spec.layers import Embedding
from core.spec.run import RunSpec
from core.spec.workloads import Maml

_WRITTEN_OUT: Final = (
    "it is computed from elementary operations, which is right; memory and time differ from those "
    "of torch."
)

OWN_STEP: Final = (
    "The file defines step(module, batch): that is what is measured, in place of the workload."
)


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
    if spec.mitigation.inner_loop != "standard" and not workload.adapts:
        yield Notice(
            "warning",
            None,
            f"mitigation.inner_loop has no effect here: {workload.title} has no inner loop.",
        )
    if isinstance(workload, Maml) and workload.inner_lr == 0:
        yield Notice("warning", None, "workload.inner_lr is 0: the inner steps change nothing.")


def _of_layers(spec: RunSpec) -> Iterator[Notice]:
    derivation = spec.workload.derivation
    why = derivation.why_rewritten(spec.loss)
    if why is not None:
        yield Notice("note", None, f"loss: {why}, so {_WRITTEN_OUT}")
    for index, layer in enumerate(spec.model.layers):
        why = derivation.why_rewritten(layer.kind)
        if why is not None:
            yield Notice("note", index, f"{layer.kind}: {why}, so {_WRITTEN_OUT}")
        elif isinstance(layer, Embedding) and layer.sparse and _is_wrongly_sparse(spec):
            yield Notice(
                "note",
                index,
                f"{layer.kind}: torch's sparse gradient is wrong under MAML from order "
                f"{FIRST_WRONG_ORDER} on, so a dense one is used, which is right.",
            )


def _is_wrongly_sparse(spec: RunSpec) -> bool:
    return isinstance(spec.workload, Maml) and spec.workload.order >= FIRST_WRONG_ORDER
