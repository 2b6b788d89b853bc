"""What is told while two configurations take turns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.results.conditions import Conditions
from core.results.time_comparison import TimeComparison


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WarmedUp(_Event):
    """A repetition that is not counted ended; ``of`` says whose."""

    type: Literal["warmed_up"] = "warmed_up"
    of: Literal["a", "b"]
    seconds: float


class PairTimed(_Event):
    """One repetition of each ended.

    Attributes:
        index: counts pairs from 0.
        left_s: the longest that it can still take.
    """

    type: Literal["pair"] = "pair"
    index: int
    a_s: float
    b_s: float
    left_s: float


class Compared(_Event):
    """The last event.

    Attributes:
        time: None where there is none, and ``absent`` says why.
        a_samples_s: seconds of the reference, in order; b_samples_s[k] was taken right after
            where k is even and right before where it is odd.
        conditions: what went on meanwhile.
    """

    type: Literal["compared"] = "compared"
    time: TimeComparison | None
    absent: str | None = None
    a_samples_s: tuple[float, ...] = ()
    b_samples_s: tuple[float, ...] = ()
    conditions: Conditions | None = None


InterleavedEvent = WarmedUp | PairTimed | Compared

INTERLEAVED_EVENT: TypeAdapter[InterleavedEvent] = TypeAdapter(
    Annotated[InterleavedEvent, Field(discriminator="type")]
)
