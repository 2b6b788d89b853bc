"""From a configuration and a budget to an advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from core.advisor.combinations import MOST, Combination, combinations
from core.advisor.front import eligible, fastest, fits, with_front
from core.results.advice import Advice, AdvicePoint, Advising, Impossible, Recommendation
from core.results.forecast import Outlook
from core.spec.run import RunSpec

Ask = Callable[[Sequence[RunSpec]], Iterator[tuple[int, Outlook]]]
"""Forecasts of many runs, in any order, each with the place of its run in the sequence."""

Settle = Callable[[Sequence[RunSpec]], Sequence[float | None]]
"""Seconds that runs take, measured side by side; None where one could not be measured."""


def advise(
    spec: RunSpec,
    budget_bytes: int,
    ask: Ask,
    *,
    settle: Settle | None = None,
    most: int = MOST,
) -> Iterator[Advising | Advice]:
    """Foretells every sensible combination and says which to take.

    Args:
        spec: a run without problems.
        budget_bytes: what baseline and peak have to fit into.
        ask: forecasts.
        settle: measures the points that are about as fast by forecast; without it the forecast
            decides.
        most: how many combinations are asked about at most.

    Yields:
        An Advising for every point, in the order of the answers, then one Advice.

    Raises:
        core.spec.declaration.InvalidSpec: this machine cannot run it.
    """
    found = combinations(spec, most)
    impossible = list(found.impossible)
    seen: dict[int, AdvicePoint] = {}
    asked = found.possible
    for done, (place, outlook) in enumerate(ask([each.spec for each in asked]), 1):
        if outlook.forecast is None:
            impossible.append(_unforetold(asked[place], outlook))
            yield Advising(done=done, of=len(asked))
            continue
        each = asked[place]
        seen[place] = AdvicePoint(
            spec=each.spec,
            changes=each.changes,
            label=each.label,
            forecast=outlook.forecast,
            fits=fits(outlook.forecast, budget_bytes),
            approximates=each.approximates,
        )
        yield Advising(done=done, of=len(asked), point=seen[place])
    points = with_front([seen[place] for place in sorted(seen)])
    simplicity = {each.label: each.mitigations for each in asked}
    taken = fastest(eligible(points), simplicity)
    recommended = None
    if taken is not None:
        recommended = Recommendation(
            spec=taken.spec, forecast=taken.forecast, reason=f"{taken.label} fits"
        )
    yield Advice(
        budget_bytes=budget_bytes,
        recommended=recommended,
        points=tuple(points),
        impossible=tuple(impossible),
    )


def _unforetold(combination: Combination, outlook: Outlook) -> Impossible:
    return Impossible(
        label=combination.label,
        changes=combination.changes,
        reason=outlook.absent or "There is no forecast.",
    )
