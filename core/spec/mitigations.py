"""What is done to spend less memory, and how exactly the numbers are kept."""

from __future__ import annotations

from typing import Literal

from core.spec.declaration import Spec, declare


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
    inner_loop: Literal["standard", "checkpoint"] = declare(
        "standard",
        label="Inner loop",
        help="standard keeps the graph of every inner step; checkpoint keeps the weights alone "
        "and computes each step again. Used by MAML.",
        when={"workload.adapts": (True,)},
    )
    accumulation: Literal[1] = declare(
        1, label="Accumulation", help="Parts of the batch computed one after the other."
    )
    precision: Literal["float32", "float64"] = declare(
        "float32", label="Precision", help="Number format of weights, data and gradients."
    )
    compile: Literal[False] = declare(
        False, label="Compile", help="Traces and compiles the whole computation."
    )
