"""What becomes of an advice once there are runs, by hand on three points."""

from __future__ import annotations

import random

import pytest

from core.advisor import known_bytes, known_seconds, revised, with_measured
from core.advisor.front import with_front
from core.results.advice import Advice, AdvicePoint, Recommendation
from core.results.forecast import Forecast
from core.results.measurement import Measurement, Memory, Timing
from core.results.outcome import Outcome
from core.spec.run import RunSpec
from tests.core.advisor.costs import NESTED, Told, advised, rule
from tests.fake_core import ENVIRONMENT

MIB = 2**20
BUDGET = 100 * MIB
PLAIN, PARTS, SEGMENTS = "as it is", "in 8 parts", "rematerialize, 4 segments"
CHANGES = {
    PLAIN: {},
    PARTS: {"mitigation.accumulation": 8},
    SEGMENTS: {
        "mitigation.checkpointing.kind": "rematerialize",
        "mitigation.checkpointing.segments": 4,
    },
}


def point(label: str, mib: int, seconds: float | None, *, exact: bool = True) -> AdvicePoint:
    forecast = Forecast(peak_bytes=mib * MIB, exact=exact, seconds=seconds)
    fits = mib * MIB <= BUDGET if exact or mib * MIB > BUDGET else None
    spec = NESTED.with_changes({**CHANGES[label], "name": f"x, {label}"})
    return AdvicePoint(spec=spec, changes=CHANGES[label], label=label, forecast=forecast, fits=fits)


def run(
    label: str, mib: float | None = None, seconds: float | None = None
) -> tuple[RunSpec, Measurement]:
    """A run under another name, as tabs have names of their own."""
    spec = NESTED.with_changes({**CHANGES[label], "name": "a tab"})
    memory = time = None
    if mib is not None:
        memory = Memory(baseline_bytes=MIB, peak_bytes=round((mib - 1) * MIB), by_category={})
    if seconds is not None:
        time = Timing(
            median_s=seconds,
            interval_s=(seconds, seconds),
            samples_s=(seconds,),
            first_s=None,
            verdict="stable",
        )
    result = Measurement(
        run_id=label,
        started_at="2026-01-01T00:00:00Z",
        spec=spec,
        environment=ENVIRONMENT,
        outcome=Outcome.FINISHED,
        memory=memory,
        time=time,
    )
    return spec.with_changes({"name": ""}), result


def answer(*points: AdvicePoint, taken: str | None = PARTS, more: str = "") -> Advice:
    best = next((one for one in points if one.label == taken), None)
    recommended = None
    if best is not None:
        recommended = Recommendation(
            spec=best.spec, forecast=best.forecast, label=best.label, reason="As foretold."
        )
    return Advice(
        budget_bytes=BUDGET,
        recommended=recommended,
        points=tuple(with_front(points)),
        sentences=(more,) if more else (),
    )


THREE = (point(PLAIN, 214, 11.3), point(PARTS, 52, 1.7), point(SEGMENTS, 88, 26.0))


def revise(advice: Advice, *runs: tuple[RunSpec, Measurement]) -> Advice:
    return revised(advice, with_measured(advice.points, advice.budget_bytes, dict(runs)))


def test_that_without_a_run_an_advice_stays_as_it_is() -> None:
    advice = answer(*THREE)
    assert revise(advice) is advice
    assert revise(answer(), *()) == answer()


def test_that_an_advice_of_forecasts_alone_is_what_these_forecasts_say() -> None:
    """The points of a whole advice, judged again without a run, are the same."""
    plain, _ = rule(NESTED)
    advice = advised(NESTED, plain // 2, Told())
    assert tuple(with_measured(advice.points, advice.budget_bytes, {})) == advice.points


def test_that_measured_figures_take_the_place_of_foretold_ones_and_say_so() -> None:
    found = revise(answer(*THREE), run(PLAIN, 214, 2.0), run(PARTS, 53, 2.2))
    plain, parts, segments = found.points
    assert (known_bytes(plain), known_seconds(plain)) == (214 * MIB, 2.0)
    assert (known_bytes(parts), known_seconds(parts)) == (53 * MIB, 2.2)
    assert (known_bytes(segments), known_seconds(segments)) == (88 * MIB, 26.0)
    assert found.recommended is not None
    assert found.recommended.reason == (
        "In 8 parts: 53.0 MiB instead of 214, 1.1× time, as measured; the fastest exact one that "
        "fits."
    )
    assert found.recommended.measured_bytes == 53 * MIB
    assert found.sentences[0] == (
        "As it is, it needs 214 MiB as measured, 114 MiB more than there is."
    )


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (
            [run(PARTS, 53, 2.2)],
            "53.0 MiB as measured instead of 214 as foretold, 0.15× time as foretold",
        ),
        (
            [run(PLAIN, 213, 2.0)],
            "52.0 MiB as foretold instead of 213 as measured, 0.15× time as foretold",
        ),
        (
            [run(PLAIN, 213, 2.0), run(PARTS, 53)],
            "53.0 MiB instead of 213 as measured, 0.15× time as foretold",
        ),
    ],
)
def test_that_what_is_measured_of_one_alone_is_told_apart(
    runs: list[tuple[RunSpec, Measurement]], words: str
) -> None:
    found = revise(answer(*THREE), *runs)
    assert found.recommended is not None
    assert words in found.recommended.reason


def test_that_the_front_is_that_of_the_best_known_figures() -> None:
    """Against the definition; every other point is measured."""
    numbers = random.Random(1)
    for _ in range(50):
        drawn = [
            THREE[0].model_copy(
                update={
                    "forecast": Forecast(
                        peak_bytes=numbers.randint(1, 6), exact=True, seconds=numbers.randint(1, 6)
                    ),
                    "measured_bytes": numbers.randint(1, 6) if number % 2 else None,
                    "measured_s": float(numbers.randint(1, 6)) if number % 2 else None,
                }
            )
            for number in range(12)
        ]
        costs = [
            (one.measured_bytes, one.measured_s)
            if number % 2
            else (one.forecast.peak_bytes, one.forecast.seconds)
            for number, one in enumerate(drawn)
        ]
        for mine, marked in zip(costs, with_front(drawn), strict=True):
            beaten = any(
                other[0] <= mine[0] and other[1] <= mine[1] and other != mine for other in costs
            )
            assert marked.on_front is not beaten


def test_that_another_that_was_measured_faster_is_recommended() -> None:
    found = revise(answer(*THREE), run(PARTS, 52, 3.0), run(SEGMENTS, 88, 2.0))
    assert found.recommended is not None
    assert found.recommended.label == SEGMENTS
    assert found.sentences[0] == "Before the runs, in 8 parts was recommended."


def test_that_a_run_of_another_alone_does_not_change_what_is_recommended() -> None:
    """Nothing was measured of the recommended one: it may be as much faster."""
    found = revise(answer(*THREE), run(SEGMENTS, 88, 1.0))
    assert found.recommended is not None
    assert found.recommended.label == PARTS
    assert not any(each.startswith("Before the runs") for each in found.sentences)


def test_that_what_is_measured_not_to_fit_is_not_recommended() -> None:
    found = revise(answer(*THREE), run(PARTS, 101, 1.7))
    assert [one.fits for one in found.points] == [False, False, True]
    assert found.recommended is not None
    assert found.recommended.label == SEGMENTS
    alone = revise(answer(*THREE[:2]), run(PARTS, 101, 1.7))
    assert alone.recommended is None
    assert alone.sentences[:2] == (
        "Before the runs, in 8 parts was recommended.",
        "Nothing exact fits into 100 MiB: the nearest is in 8 parts with 101 MiB as measured, and "
        "1.00 MiB are missing.",
    )


def test_that_a_run_settles_what_a_lower_bound_left_open() -> None:
    bound = point(PARTS, 52, 1.7, exact=False)
    found = revise(answer(THREE[0], bound), run(PARTS, 60, 1.7))
    assert [one.fits for one in found.points] == [False, True]
    assert found.recommended is not None
    assert "if the lower bound" not in found.recommended.reason
    assert not any("Not known to fit" in each for each in found.sentences)


def test_that_what_does_not_depend_on_the_figures_is_still_said() -> None:
    told = "7 combinations that do more at once were not asked about."
    found = revise(answer(*THREE, more=told), run(PARTS, 53, 2.2))
    assert found.sentences[-1] == told


def test_that_another_budget_judges_the_same_points_anew() -> None:
    judged = with_measured(THREE, 60 * MIB, dict([run(SEGMENTS, 59, 26.0)]))
    assert [one.fits for one in judged] == [False, True, True]
    judged = with_measured(THREE, 214 * MIB, {})
    assert [one.fits for one in judged] == [True, True, True]


def test_that_times_measured_beside_rivals_count_for_the_front() -> None:
    """The forecast takes two segments for the fastest; measured, eight are."""

    def settle(specs: list[RunSpec]) -> list[float | None]:
        return [0.2 if spec.mitigation.checkpointing.segments == 8 else 0.3 for spec in specs]

    plain, _ = rule(NESTED)
    told = Told(lambda spec: (rule(spec)[0], rule(spec)[1] / 10))
    advice = advised(NESTED, plain // 2, told, settle=settle)
    assert advice.recommended is not None
    assert advice.recommended.label == "rematerialize, 8 segments"
    best = next(one for one in advice.points if one.label == advice.recommended.label)
    assert best.on_front
    larger = [
        one
        for one in advice.points
        if one.measured_s == 0.3 and known_bytes(one) > known_bytes(best)
    ]
    assert any((one.forecast.seconds or 9) < (best.forecast.seconds or 0) for one in larger)
    assert not any(one.on_front for one in larger), "as foretold some would be"


def test_that_a_slow_run_does_not_take_the_place_of_one_that_did_not_fit() -> None:
    """That it is the only one measured says nothing against those that are foretold as faster."""
    quick = point(PLAIN, 90, 2.0)
    advice = answer(quick, point(PARTS, 52, 1.7), point(SEGMENTS, 88, 26.0))
    found = revise(advice, run(PARTS, 120, 1.7), run(SEGMENTS, 88, 26.0))
    assert found.recommended is not None
    assert found.recommended.label == PLAIN
