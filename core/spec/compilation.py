"""Which computations can be traced once and compiled; each rule is one sentence at one key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from core.spec.declaration import Problem
from core.spec.layers import Embedding
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.python_model import PythonModel
from core.spec.workloads import HutchinsonTrace, Newton, Workload

_GIVEN: Final = "mitigation.compile: true was given; "

COMPILED_BUFFERS: Final = (
    "mitigation.compile: buffers within compiled code cannot be told apart; they are among the "
    "kernel temporaries, and there is one phase a call."
)
COMPUTED_ONCE: Final = (
    "mitigation.compile: compiled code computes again what was dropped, but early, so that this "
    "takes time and saves less memory than uncompiled, or none; measure both."
)


def compilation_misfits(
    model: Model, workload: Workload, mitigation: Mitigation
) -> Iterator[Problem]:
    """Why the whole computation cannot be compiled, one sentence each."""
    if not mitigation.compile:
        return
    path = ("mitigation", "compile")
    if isinstance(model, PythonModel):
        yield Problem(
            path,
            f"{_GIVEN}a model of your own may do anything beside computing, which is lost when it "
            "is traced, allowed: false.",
        )
        return
    if isinstance(workload, Newton):
        yield Problem(
            path,
            f"{_GIVEN}{workload.title} decides by numbers that it finds on the way, so that no two "
            "steps are the same program, allowed: false.",
        )
    if isinstance(workload, HutchinsonTrace):
        yield Problem(
            path,
            f"{_GIVEN}the probes of {workload.title} are drawn anew in each repetition, which "
            "compiled code does not do in torch's order; allowed: false, or workload.kind hvp, "
            "whose vectors are there beforehand.",
        )
    drawing = [row.layer.kind for _, row in model.outline() if row.layer.random]
    if drawing:
        yield Problem(
            path,
            f"{_GIVEN}compiled code draws other random numbers than torch, so that {drawing[0]} "
            "would make another result, allowed: false.",
        )
    if any(isinstance(layer, Embedding) and layer.sparse for layer in model.leaves):
        yield Problem(
            path,
            f"{_GIVEN}inductor compiles no sparse gradients, allowed: false, or an embedding with "
            "sparse false.",
        )
    if mitigation.checkpointing.kind == "torch":
        yield Problem(
            ("mitigation", "checkpointing", "kind"),
            'mitigation.checkpointing.kind: "torch" was given, which cannot be traced for '
            'mitigation.compile; allowed: "none" or "rematerialize".',
        )


def recomputes(mitigation: Mitigation) -> bool:
    """Whether something is dropped to be computed again."""
    return mitigation.checkpointing.kind != "none" or mitigation.inner_loop != "standard"
