"""How the computation is measured."""

from __future__ import annotations

from typing import Literal

from core.spec.declaration import Spec, declare


class Measure(Spec):
    """Repetitions, warm-up and what is held fixed."""

    repetitions: Literal["auto"] | int = declare(
        "auto",
        label="Repetitions",
        help="Timed repetitions; auto stops when the median is known to 1 % or the time is up.",
        minimum=1,
        maximum=100_000,
    )
    warmup: Literal["auto"] | int = declare(
        "auto",
        label="Warm-up",
        help="Untimed repetitions before; auto stops when they no longer get faster.",
        minimum=0,
        maximum=100_000,
    )
    time_budget_s: float = declare(
        5.0,
        label="Time budget",
        help="Automatic repetitions end after this time.",
        unit="s",
        minimum=0.01,
        maximum=86_400,
        when={"ends_by_time": (True,)},
    )
    threads: int = declare(
        1, label="Threads", help="CPU threads of one operation.", minimum=1, maximum=1024
    )
    seed: int = declare(
        0,
        label="Seed",
        help="Start of every random number: weights, data and dropout.",
        minimum=0,
        maximum=2**63 - 1,
    )

    @property
    def ends_by_time(self) -> bool:
        """Whether the program chooses how often it repeats, or how long it warms up."""
        return "auto" in (self.repetitions, self.warmup)
