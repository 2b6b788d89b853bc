"""An advice once there are runs: what they measured takes the place of what was foretold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.advisor.combinations import mitigations_of
from core.advisor.front import eligible, fastest, fits, with_front
from core.advisor.sentences import reason, sentences
from core.results.advice import Advice, AdvicePoint, Recommendation
from core.results.measurement import Measurement
from core.spec.run import RunSpec


def with_measured(
    points: Sequence[AdvicePoint], budget_bytes: int, runs: Mapping[RunSpec, Measurement]
) -> list[AdvicePoint]:
    """The points with what is known best of each: whether it fits, and the front of these figures.

    Args:
        points: of one question, whatever its budget was.
        budget_bytes: what baseline and peak have to fit into.
        runs: by the configuration without its name.
    """
    return with_front([_with_run(point, budget_bytes, runs) for point in points])


def _with_run(
    point: AdvicePoint, budget_bytes: int, runs: Mapping[RunSpec, Measurement]
) -> AdvicePoint:
    # Hashing hundreds of configurations takes a while.
    run = runs.get(point.spec.model_copy(update={"name": ""})) if runs else None
    needed, seconds = point.measured_bytes, point.measured_s
    if run is not None:
        needed = needed if run.memory is None else run.memory.total_bytes
        seconds = seconds if run.time is None else run.time.median_s
    fit = fits(point.forecast, budget_bytes) if needed is None else needed <= budget_bytes
    return point.model_copy(update={"measured_bytes": needed, "measured_s": seconds, "fits": fit})


def revised(advice: Advice, points: Sequence[AdvicePoint]) -> Advice:
    """The advice that these figures give.

    What is recommended stays, unless a run has shown that it does not fit, or that another that
    was measured too is faster.

    Args:
        advice: the answer.
        points: those of the answer, with what was measured since.
    """
    if list(map(_found, points)) == list(map(_found, advice.points)):
        return advice
    asked = points[0] if points and not points[0].changes else None
    before = _recommended(advice, points)
    taken = _taken(points, before, asked)
    recommended = None
    if taken is not None:
        recommended = Recommendation(
            spec=taken.spec,
            forecast=taken.forecast,
            label=taken.label,
            reason=reason(taken, asked or taken, advice.budget_bytes, _beside(advice, taken)),
            measured_bytes=taken.measured_bytes,
        )
    return advice.model_copy(
        update={
            "points": tuple(points),
            "recommended": recommended,
            "sentences": _sentences(advice, points, before, taken, asked),
        }
    )


def _found(point: AdvicePoint) -> tuple[int | None, float | None, bool | None]:
    return point.measured_bytes, point.measured_s, point.fits


def _recommended(advice: Advice, points: Sequence[AdvicePoint]) -> AdvicePoint | None:
    spec = advice.recommended.spec if advice.recommended is not None else None
    return next((point for point in points if point.spec == spec), None)


def _taken(
    points: Sequence[AdvicePoint], before: AdvicePoint | None, asked: AdvicePoint | None
) -> AdvicePoint | None:
    candidates = eligible(points)
    measured = [point for point in candidates if point.measured_s is not None]
    stays = before is not None and any(point is before for point in candidates)
    if before is not None and stays and before.measured_s is None:
        # The runs of others say nothing of its time.
        return before
    simplicity = {
        point.label: mitigations_of(point.spec)
        + (asked is not None and point.spec.workload != asked.spec.workload)
        for point in candidates
    }
    # What was measured is compared with what was measured; where nothing of that is recommended any
    # more, what was foretold is as good as ever.
    return fastest(measured if stays else candidates, simplicity)


def _beside(advice: Advice, taken: AdvicePoint) -> int:
    """How many took turns with it when the advice was made."""
    rivals = [point.label for point in advice.points if point.measured_s is not None]
    return len(rivals) - 1 if taken.label in rivals else 0


def _sentences(
    advice: Advice,
    points: Sequence[AdvicePoint],
    before: AdvicePoint | None,
    taken: AdvicePoint | None,
    asked: AdvicePoint | None,
) -> tuple[str, ...]:
    """What the figures of now say, and what does not depend on them."""
    told: list[str] = []
    if before is not None and (taken is None or taken.label != before.label):
        told.append(f"Before the runs, {before.label} was recommended.")
    old_asked = None if asked is None else advice.points[0]
    old_taken = _recommended(advice, advice.points)
    budget = advice.budget_bytes
    said = set(sentences(advice.points, old_taken, old_asked, budget, 0))
    told += sentences(points, taken, asked, budget, 0)
    return (*told, *(each for each in advice.sentences if each not in said))
