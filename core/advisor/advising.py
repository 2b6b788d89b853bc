"""From a configuration and a budget to an advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from core.advisor.asking import Ask, Settle
from core.advisor.combinations import MOST, Combination, combinations
from core.advisor.front import eligible, fastest, fits, needed_bytes, with_front
from core.advisor.limits import limits
from core.advisor.sentences import reason, saves_nothing, sentences
from core.results.advice import (
    Advice,
    AdvicePoint,
    Advising,
    Impossible,
    Limit,
    Recommendation,
)
from core.results.forecast import Outlook
from core.spec.run import RunSpec

RIVAL: Final = 1.6
"""Points foretold to take at most this many times the fastest one's time may be the fastest."""

MOST_RIVALS: Final = 12
SETTLE_S: Final = 10.0
"""So long may three repetitions of every rival take, or fewer rivals are measured."""

_REPETITIONS: Final = 3


def advise(
    spec: RunSpec,
    budget_bytes: int,
    ask: Ask,
    *,
    settle: Settle | None = None,
    most: int = MOST,
    grow: bool = True,
) -> Iterator[Advising | Advice]:
    """Foretells every sensible combination and says which to take.

    Args:
        spec: a run without problems.
        budget_bytes: what baseline and peak have to fit into.
        ask: forecasts.
        settle: measures the points that may be the fastest; without it the forecast decides.
        most: how many combinations are asked about at most.
        grow: whether the largest batch, most inner steps and highest order are searched.

    Yields:
        An Advising for every point, in the order of the answers, and for what is done after them;
        then one Advice.

    Raises:
        core.spec.declaration.InvalidSpec: this machine cannot run it.
    """
    found = combinations(spec, most)
    asking = _Points(spec, found.possible, list(found.impossible), budget_bytes)
    yield from asking.ask(ask)
    points, simplicity = asking.points(), asking.simplicity
    asked = points[0] if points and not points[0].changes else None
    candidates = eligible(points)
    rivals = _rivals(candidates) if settle is not None else []
    if settle is not None and rivals:
        yield asking.doing(f"measuring the {len(rivals)} that may be the fastest")
        measured = _measured(rivals, settle)
        points = [measured.get(point.label, point) for point in points]
        candidates = [point for point in measured.values() if point.measured_s is not None]
        asked = None if asked is None else measured.get(asked.label, asked)
        candidates = candidates or eligible(points)
    taken = fastest(candidates, simplicity)
    known: tuple[Limit, ...] = ()
    grown = taken or min(points, key=lambda point: needed_bytes(point.forecast), default=None)
    if grow and grown is not None:
        yield asking.doing("searching the largest that fit")
        for so_far in limits(grown.spec, grown.forecast, budget_bytes, ask):
            known = so_far
            yield asking.doing("searching the largest that fit")
    recommended = None
    if taken is not None:
        others = len(candidates) - 1 if taken.measured_s is not None else 0
        recommended = Recommendation(
            spec=taken.spec,
            forecast=taken.forecast,
            label=taken.label,
            reason=reason(taken, asked or taken, budget_bytes, others),
        )
    yield Advice(
        budget_bytes=budget_bytes,
        recommended=recommended,
        points=tuple(points),
        impossible=tuple(asking.impossible),
        limits=known,
        sentences=tuple(sentences(points, taken, asked, budget_bytes, found.left_out)),
    )


class _Points:
    """Asks about every combination."""

    def __init__(
        self,
        spec: RunSpec,
        asked: Sequence[Combination],
        impossible: list[Impossible],
        budget_bytes: int,
    ) -> None:
        self._spec, self._asked, self._budget_bytes = spec, asked, budget_bytes
        self._seen: dict[int, AdvicePoint] = {}
        self.impossible = impossible

    @property
    def simplicity(self) -> dict[str, int]:
        """How many mitigations each point has, by its label."""
        return {each.label: each.mitigations for each in self._asked}

    def doing(self, words: str) -> Advising:
        """What begins after all points are known."""
        return Advising(done=len(self._asked), of=len(self._asked), doing=words)

    def ask(self, ask: Ask) -> Iterator[Advising]:
        """Yields each point as soon as it is known."""
        specs = [each.spec for each in self._asked]
        for done, (place, outlook) in enumerate(ask(specs), 1):
            each = self._asked[place]
            faults = [found.sentence for found in outlook.findings if found.severity == "error"]
            point = None
            if outlook.forecast is None or faults:
                why = faults[0] if faults else outlook.absent or "There is no forecast."
                self._leave_out(each, why)
            else:
                point = self._point(each, outlook)
                self._seen[place] = point
            yield Advising(done=done, of=len(specs), point=point)

    def _point(self, each: Combination, outlook: Outlook) -> AdvicePoint:
        assert outlook.forecast is not None
        return AdvicePoint(
            spec=each.spec,
            changes=each.changes,
            label=each.label,
            forecast=outlook.forecast,
            fits=fits(outlook.forecast, self._budget_bytes),
            approximates=each.approximates,
        )

    def points(self) -> list[AdvicePoint]:
        """All that make sense, in the order in which they were asked about."""
        for place, why in self._useless():
            del self._seen[place]
            self._leave_out(self._asked[place], why)
        return with_front([self._seen[place] for place in sorted(self._seen)])

    def _useless(self) -> list[tuple[int, str]]:
        """Where torch's checkpointing saves nothing, and why."""
        plain = {
            _but_checkpointing(point.spec): point
            for point in self._seen.values()
            if point.spec.mitigation.checkpointing.kind == "none"
        }
        found = []
        for place, point in self._seen.items():
            other = plain.get(_but_checkpointing(point.spec))
            torchs = point.spec.mitigation.checkpointing.kind == "torch"
            if torchs and point.changes and not point.approximates and other is not None:
                why = saves_nothing(self._spec, other, point)
                found += [(place, why)] if why else []
        return found

    def _leave_out(self, each: Combination, why: str) -> None:
        """Each reason is said once."""
        if why not in {known.reason for known in self.impossible}:
            self.impossible.append(Impossible(label=each.label, changes=each.changes, reason=why))


def _but_checkpointing(spec: RunSpec) -> object:
    others = spec.mitigation.model_dump(exclude={"checkpointing"})
    return spec.workload, tuple(others.items())


def _rivals(candidates: Sequence[AdvicePoint]) -> list[AdvicePoint]:
    """The points that may be the fastest, the fastest first, as far as measuring them takes no
    longer than it may; none where there is nothing to decide."""
    seconds = {point.label: point.forecast.seconds for point in candidates}
    timed = [(taken, point) for point in candidates if (taken := seconds[point.label]) is not None]
    timed.sort(key=lambda pair: pair[0])
    rivals: list[AdvicePoint] = []
    left_s = SETTLE_S
    for taken, point in timed[:MOST_RIVALS]:
        left_s -= taken * _REPETITIONS
        # What this machine has no room for is not tried.
        if left_s < 0 or taken > timed[0][0] * RIVAL or point.forecast.fits is False:
            break
        rivals.append(point)
    return rivals if len(rivals) > 1 else []


def _measured(rivals: Sequence[AdvicePoint], settle: Settle) -> dict[str, AdvicePoint]:
    taken = settle([point.spec for point in rivals])
    return {
        point.label: point.model_copy(update={"measured_s": seconds})
        for point, seconds in zip(rivals, taken, strict=True)
    }
