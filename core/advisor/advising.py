"""From a configuration and a budget to an advice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from core.advisor.asking import Ask, Settle, refusal
from core.advisor.combinations import MOST, Combination, combinations
from core.advisor.front import eligible, fastest, fits, with_front
from core.advisor.limits import limits
from core.advisor.more_parts import PATIENCE_S, in_more_parts
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
    asking = _Points(spec, list(found.impossible), budget_bytes)
    yield from asking.ask(found.possible, ask)
    yield from asking.go_on(ask)
    points, simplicity = asking.points(), asking.simplicity
    asked = points[0] if points and not points[0].changes else None
    candidates = eligible(points)
    rivals = _rivals(candidates, asked) if settle is not None else []
    if settle is not None and rivals:
        yield asking.doing(f"measuring the {len(rivals)} that may be the fastest")
        measured = _measured(rivals, settle)
        points = with_front([measured.get(point.label, point) for point in points])
        candidates = [point for point in measured.values() if point.measured_s is not None]
        asked = None if asked is None else measured.get(asked.label, asked)
        candidates = candidates or eligible(points)
    taken = fastest(candidates, simplicity)
    known: tuple[Limit, ...] = ()
    exact = [point for point in points if not point.approximates]
    grown = taken or min(exact, key=lambda point: point.forecast.total_bytes, default=None)
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
        sentences=tuple(
            sentences(points, taken, asked, budget_bytes, found.left_out, asking.least_unasked)
        ),
    )


class _Points:
    """Asks about every combination."""

    def __init__(
        self,
        spec: RunSpec,
        impossible: list[Impossible],
        budget_bytes: int,
    ) -> None:
        self._spec, self._budget_bytes = spec, budget_bytes
        self._asked: list[Combination] = []
        self._seen: dict[int, AdvicePoint] = {}
        self.impossible = impossible
        self._is_slow = False
        self.least_unasked: int | None = None
        """The number of parts at which the search for one that fits was given up; None where it
        was not."""

    @property
    def simplicity(self) -> dict[str, int]:
        """How many mitigations each point has, by its label."""
        return {each.label: each.mitigations for each in self._asked}

    def doing(self, words: str) -> Advising:
        """What begins after all points are known."""
        return Advising(done=len(self._asked), of=len(self._asked), doing=words)

    def ask(self, combinations: Sequence[Combination], ask: Ask) -> Iterator[Advising]:
        """Yields each point as soon as it is known."""
        first = len(self._asked)
        self._asked += combinations
        answers = ask([each.spec for each in combinations])
        for done, (place, outlook) in enumerate(answers, first + 1):
            each, point, why = combinations[place], None, refusal(outlook)
            if why:
                self._leave_out(each, why)
            else:
                point = self._point(each, outlook)
                self._seen[first + place] = point
            yield Advising(done=done, of=len(self._asked), point=point)

    def go_on(self, ask: Ask) -> Iterator[Advising]:
        """Asks about more parts for as long as nothing exact fits."""
        known = [(self._asked[place], point) for place, point in self._seen.items()]
        rounds = in_more_parts(self._spec, known)
        while not eligible(list(self._seen.values())):
            more = next(rounds, None)
            if more is None:
                return
            if self._is_slow:
                self.least_unasked = more[0].spec.mitigation.accumulation
                return
            began = time.perf_counter()
            yield from self.ask(more, ask)
            self._is_slow = time.perf_counter() - began > PATIENCE_S

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


def _rivals(candidates: Sequence[AdvicePoint], asked: AdvicePoint | None) -> list[AdvicePoint]:
    """The points that may be the fastest, the fastest first, as far as measuring them takes no
    longer than it may; none where there is nothing to decide.

    A forecast of time may be off, so that the configuration asked about is among them whatever its
    forecast says, where it may be recommended: what is advised in its place has been seen to be
    faster.
    """
    seconds = {point.label: point.forecast.seconds for point in candidates}
    # What this machine has no room for is not tried.
    timed = [
        (taken, point)
        for point in candidates
        if (taken := seconds[point.label]) is not None and point.forecast.fits is not False
    ]
    timed.sort(key=lambda pair: pair[0])
    near = [pair for pair in timed if pair[0] <= timed[0][0] * RIVAL]
    own = [pair for pair in timed if asked is not None and pair[1].label == asked.label]
    rivals: list[tuple[float, AdvicePoint]] = []
    left_s = SETTLE_S
    # Most important first: the fastest, the one asked about, the others.
    for taken, point in (*near[:1], *own, *near[1:]):
        if any(point is rival for _, rival in rivals):
            continue
        if len(rivals) == MOST_RIVALS:
            break
        if taken * _REPETITIONS <= left_s:
            left_s -= taken * _REPETITIONS
            rivals.append((taken, point))
    rivals.sort(key=lambda pair: pair[0])
    return [point for _, point in rivals] if len(rivals) > 1 else []


def _measured(rivals: Sequence[AdvicePoint], settle: Settle) -> dict[str, AdvicePoint]:
    taken = settle([point.spec for point in rivals])
    return {
        point.label: point.model_copy(update={"measured_s": seconds})
        for point, seconds in zip(rivals, taken, strict=True)
    }
