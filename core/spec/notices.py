"""What a user should know of a spec before it runs, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from core.spec.layers import Embedding
from core.spec.run import RunSpec
from core.spec.workloads import Maml, NestedGradient

REWRITTEN_NORMS = ("layer_norm", "batch_norm", "instance_norm")
FIRST_WRONG_ORDER = 3
"""From this order on torch 2.13 differentiates these norms wrongly (pytorch/pytorch#198017)."""


def notices(spec: RunSpec) -> tuple[str, ...]:
    """Sentences about choices that work but surprise."""
    return tuple(_notices(spec))


def _notices(spec: RunSpec) -> Iterator[str]:
    workload, checkpointing = spec.workload, spec.mitigation.checkpointing
    if checkpointing.kind == "torch" and workload.derivative_order >= 2:
        yield (
            "torch's checkpointing frees activations for the first backward only: from order 2 on "
            "it saves little or costs memory. rematerialize saves at every order."
        )
    if spec.mitigation.inner_loop != "standard" and isinstance(workload, NestedGradient):
        yield "mitigation.inner_loop has no effect here: a nested gradient has no inner loop."
    kinds = {layer.kind for layer in spec.model.layers}
    rewritten = [kind for kind in REWRITTEN_NORMS if kind in kinds]
    if rewritten and workload.derivative_order >= FIRST_WRONG_ORDER:
        yield (
            f"{', '.join(rewritten)}: torch's own derivative is wrong from order "
            f"{FIRST_WRONG_ORDER} on, so a written-out norm is used, which is right; memory and "
            "time differ from those of torch."
        )
    sparse = any(isinstance(layer, Embedding) and layer.sparse for layer in spec.model.layers)
    if sparse and isinstance(workload, Maml) and workload.order >= FIRST_WRONG_ORDER:
        yield (
            "embedding: torch's sparse gradient is wrong under MAML from order "
            f"{FIRST_WRONG_ORDER} on, so a dense one is used, which is right."
        )
    if isinstance(workload, Maml) and workload.inner_lr == 0:
        yield "workload.inner_lr is 0: the inner steps change nothing."
