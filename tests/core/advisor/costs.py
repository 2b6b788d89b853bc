"""What configurations cost in the tests of the advisor: made-up figures with a simple rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.advisor import advise
from core.results.advice import Advice, AdvicePoint, Advising
from core.results.forecast import Forecast, Outlook
from core.spec.presets import preset
from core.spec.run import RunSpec

NESTED = preset("deep-mlp").spec.with_changes({"device": "cpu"})
META = preset("sinusoid-maml").spec.with_changes({"device": "cpu"})

Cost = Callable[[RunSpec], tuple[int, float | None]]
"""Bytes above a baseline of 100, and seconds."""


def rule(spec: RunSpec) -> tuple[int, float]:
    """Rematerialization into n segments: 1000 · (1/n + n/50) bytes an example, 2.5 times as long;
    an inner step costs as much as an example. Accumulation takes time and saves nothing."""
    checkpointing = spec.mitigation.checkpointing
    count = {"auto": 8}.get(str(checkpointing.segments), checkpointing.segments)
    share, factor = 1.0, 1.0
    if checkpointing.kind == "rematerialize":
        share, factor = 1 / int(count) + int(count) / 50, 2.5 + int(count) / 1000
    if checkpointing.kind == "torch":
        share, factor = 1.1, 1.5
    factor *= 1 + spec.mitigation.accumulation / 10
    steps = int(spec.flatten().get("workload.inner_steps", 1))
    order = int(spec.flatten().get("workload.order", 2))
    examples = spec.data.batch_size + (spec.flatten().get("workload.support") or 0)
    return round(1000 * share * examples * steps * 3.0 ** (order - 2)), factor * steps


class Told:
    """Answers by a rule, the last question first; keeps what it was asked."""

    def __init__(self, cost: Cost = rule, absent: str = "", **more: Any) -> None:
        self._cost, self._absent, self._more = cost, absent, more
        self.asked: list[RunSpec] = []

    def __call__(
        self, specs: Sequence[RunSpec], *, learn_s: float | None = None
    ) -> Iterator[tuple[int, Outlook]]:
        for place in reversed(range(len(specs))):
            self.asked.append(specs[place])
            yield place, self._answer(specs[place])

    def _answer(self, spec: RunSpec) -> Outlook:
        if self._absent and spec.mitigation.checkpointing.kind == self._absent:
            return Outlook(forecast=None, absent="It depends on the numbers.")
        peak, seconds = self._cost(spec)
        told = Forecast(peak_bytes=peak, exact=True, seconds=seconds, baseline_bytes=100)
        return Outlook(forecast=told.model_copy(update=self._more))


def advised(spec: RunSpec, budget: int, ask: Told | None = None, **options: Any) -> Advice:
    """The end of an advice."""
    *_, last = advise(spec, budget, ask or Told(), **options)
    assert isinstance(last, Advice)
    return last


def points_told(spec: RunSpec, budget: int, ask: Told) -> list[AdvicePoint | None]:
    """The points in the order in which they are told."""
    seen = advise(spec, budget, ask)
    return [each.point for each in seen if isinstance(each, Advising) and not each.doing]


def needs(point: AdvicePoint) -> int:
    return (point.forecast.baseline_bytes or 0) + point.forecast.peak_bytes
