"""What would make a configuration cheaper: every sensible combination, foretold and ranked."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from core.results.forecast import Forecast
from core.spec.run import RunSpec


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AdvicePoint(_Value):
    """One combination of mitigations.

    Attributes:
        spec: the configuration, complete.
        changes: the dotted keys in which it differs from the one asked about, with their values.
        label: what it does, a phrase such as ``rematerialize, 8 segments``; ``as it is`` where
            nothing differs.
        forecast: its cost.
        fits: whether baseline and peak are within the budget; None where that is not known.
        on_front: whether no other point with the same answer needs both less memory and less time.
        approximates: what it computes in place of the exact result, a phrase; empty where it is
            exact. Such a point is never recommended.
        measured_s: of one repetition, where it was measured, beside its rivals or by a run.
        measured_bytes: baseline and peak of a run of it, where there was one.
    """

    spec: RunSpec
    changes: dict[str, Any]
    label: str
    forecast: Forecast
    fits: bool | None
    on_front: bool = False
    approximates: str = ""
    measured_s: float | None = None
    measured_bytes: int | None = None


class Impossible(_Value):
    """A combination that cannot work or cannot be foretold, and why, in a sentence."""

    label: str
    changes: dict[str, Any]
    reason: str


class Limit(_Value):
    """The largest value of a key that fits into the budget.

    Attributes:
        key: dotted, for example ``data.batch_size``.
        title: what it is called, for example ``Largest batch``.
        value: None where not even the smallest fits.
        spec: with that value.
        forecast: of that spec.
        note: what ends it, where it is not the budget; a sentence.
        measured_bytes: baseline and peak of a run with that value, where it was confirmed.
    """

    key: str
    title: str
    value: int | None
    spec: RunSpec | None = None
    forecast: Forecast | None = None
    note: str = ""
    measured_bytes: int | None = None


class Recommendation(_Value):
    """The fastest exact point that fits, and why it is taken, with figures, in a sentence.

    Attributes:
        label: that of its point.
        measured_bytes: baseline and peak of a run of it, where it was confirmed.
    """

    spec: RunSpec
    forecast: Forecast
    reason: str
    label: str = ""
    measured_bytes: int | None = None


class Advice(_Value):
    """The whole answer.

    Attributes:
        budget_bytes: what baseline and peak have to fit into.
        recommended: None where nothing fits; then ``sentences`` names the nearest point and what is
            missing.
        points: every combination that was foretold, the one asked about first.
        impossible: what was left out.
        limits: largest batch, most inner steps, highest order.
        sentences: what else there is to say, most important first.
    """

    budget_bytes: int
    recommended: Recommendation | None
    points: tuple[AdvicePoint, ...]
    impossible: tuple[Impossible, ...] = ()
    limits: tuple[Limit, ...] = ()
    sentences: tuple[str, ...] = ()


class Advising(_Value):
    """How far the answer is: a point that has just been foretold, or what is done after them.

    Attributes:
        doing: what begins now, in words; empty while points are foretold.
    """

    done: int
    of: int
    point: AdvicePoint | None = None
    doing: str = ""
