"""How the computation is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.spec.declaration import Spec, declare, whole


class Measure(Spec):
    """Repetitions, warm-up and what is held fixed."""

    repetitions: Literal["auto"] | Annotated[int, whole(1, 100_000)] = declare(
        "auto",
        label="Repetitions",
        help="Timed repetitions; auto stops when the median is known to 1 % or the time is up.",
        minimum=1,
        maximum=100_000,
    )
    warmup: Literal["auto"] | Annotated[int, whole(0, 100_000)] = declare(
        "auto",
        label="Warm-up",
        help="Untimed repetitions before; auto stops when they no longer get faster.",
        minimum=0,
        maximum=100_000,
    )
    time_budget_s: Annotated[float, Field(gt=0, le=86_400)] = declare(
        5.0,
        label="Time budget",
        help="Automatic repetitions end after this time.",
        unit="s",
        minimum=0.01,
        maximum=86_400,
    )
    threads: Annotated[int, Field(ge=1, le=1024)] = declare(
        1, label="Threads", help="CPU threads of one operation.", minimum=1, maximum=1024
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = declare(
        0,
        label="Seed",
        help="Start of every random number: weights, data and dropout.",
        minimum=0,
        maximum=2**63 - 1,
    )
