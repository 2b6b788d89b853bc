"""What is done to spend less memory, and how exactly the numbers are kept."""

from __future__ import annotations

from typing import Final, Literal, get_args

from core.spec.declaration import Spec, declare

InnerLoop = Literal[
    "standard", "checkpoint", "saved_gradient", "segments", "segments_saved_gradient"
]
INNER_LOOPS: Final[tuple[InnerLoop, ...]] = get_args(InnerLoop)
IN_SEGMENTS: Final = ("segments", "segments_saved_gradient")
"""Inner loops that are cut into runs of steps."""


class Checkpointing(Spec):
    """Which activations are dropped and computed again."""

    kind: Literal["none", "torch", "rematerialize"] = declare(
        "none",
        label="Checkpointing",
        help="none keeps every activation; torch drops them for the first backward only; "
        "rematerialize drops them at every order.",
    )
    segments: Literal["auto"] | int = declare(
        "auto",
        label="Segments",
        help="Into how many runs of layers the stack is cut; auto chooses how many, and "
        "where, by what the layers keep.",
        minimum=1,
        when={"kind": ("torch", "rematerialize")},
    )


class Mitigation(Spec):
    """Everything that trades time for memory, or precision for both."""

    checkpointing: Checkpointing = Checkpointing()
    inner_loop: InnerLoop = declare(
        "standard",
        label="Inner loop",
        help="standard keeps the graph of every inner step; checkpoint keeps the weights alone "
        "and computes each step again; saved_gradient does the same for the gradient, whose "
        "derivative is one Hessian-vector product; segments keep the weights of some steps alone "
        "and walk the steps between again, with or without their graphs. Used by MAML.",
        when={"workload.adapts": (True,)},
    )
    inner_segments: Literal["auto"] | int = declare(
        "auto",
        label="Inner segments",
        help="Into how many runs the inner steps are cut, the earlier ones longer; auto is what "
        "needs the least memory, from the sizes of the weights and of a step's graph.",
        minimum=1,
        when={"workload.adapts": (True,), "inner_loop": IN_SEGMENTS},
    )
    accumulation: int = declare(
        1,
        label="Accumulation",
        help="Into how many parts the batch is cut; they are computed one after the other and "
        "added up, which gives the same result.",
        minimum=1,
        when={"workload.accumulates": (True,)},
    )
    precision: Literal["float32", "float64", "bfloat16", "autocast"] = declare(
        "float32",
        label="Precision",
        help="Number format of weights, data and gradients; autocast keeps them in float32 and "
        "computes the expensive operations of the forward pass in bfloat16.",
    )
    compile: bool = declare(
        False,
        label="Compile",
        help="Traces the whole computation once, every derivative included, and compiles it with "
        "inductor, torch's compiler; that takes seconds to minutes, once a run.",
    )
