"""From forecasts to an advice: what fits, the front, what is recommended, and in which words."""

import random
from collections.abc import Sequence

import pytest

from core.advisor.front import with_front
from core.results.advice import AdvicePoint
from core.results.forecast import Forecast, Outlook
from core.spec.run import RunSpec
from tests.core.advisor.costs import META, NESTED, Told, advised, needs, points_told, rule

PLENTY = 10**12


def point(peak: int, seconds: float | None, approximates: str = "") -> AdvicePoint:
    forecast = Forecast(peak_bytes=peak, exact=True, seconds=seconds)
    return AdvicePoint(
        spec=NESTED,
        changes={},
        label=f"{peak} {seconds}",
        forecast=forecast,
        fits=True,
        approximates=approximates,
    )


def test_that_the_front_is_what_nothing_beats_in_both() -> None:
    """Against the definition, on points many of which are equal in one or both."""
    numbers = random.Random(0)
    for _ in range(50):
        drawn = [point(numbers.randint(1, 6), numbers.randint(1, 6)) for _ in range(12)]
        for one, marked in zip(drawn, with_front(drawn), strict=True):
            beaten = any(
                other.forecast.peak_bytes <= one.forecast.peak_bytes
                and other.forecast.seconds <= one.forecast.seconds
                and (other.forecast.peak_bytes, other.forecast.seconds)
                != (one.forecast.peak_bytes, one.forecast.seconds)
                for other in drawn
            )
            assert marked.on_front is not beaten


def test_that_an_approximation_beats_nothing_exact() -> None:
    exact, near, worse = with_front([point(5, 5), point(1, 1, "near"), point(2, 2, "near")])
    assert (exact.on_front, near.on_front, worse.on_front) == (True, True, False)


def test_that_a_time_nobody_knows_beats_none() -> None:
    known, unknown, smaller = with_front([point(5, 5.0), point(5, None), point(4, None)])
    assert (known.on_front, unknown.on_front, smaller.on_front) == (True, False, True)


def test_that_every_point_is_told_as_soon_as_it_is_known_and_the_asked_one_comes_first() -> None:
    ask = Told()
    told = points_told(NESTED, PLENTY, ask)
    advice = advised(NESTED, PLENTY)
    assert len(told) == len({one.label for one in told if one is not None})
    assert advice.points[0].label == "as it is"
    assert advice.points[0].changes == {}
    assert advice.points[0].spec == NESTED


def test_that_what_fits_is_judged_by_baseline_and_peak_together() -> None:
    bytes_, _ = rule(NESTED)
    for budget, fits in ((bytes_ + 100, True), (bytes_ + 99, False)):
        assert advised(NESTED, budget).points[0].fits is fits


def test_that_a_lower_bound_within_the_budget_says_nothing_and_above_it_says_no() -> None:
    bytes_, _ = rule(NESTED)
    bound = Told(exact=False)
    assert advised(NESTED, PLENTY, bound).points[0].fits is None
    assert advised(NESTED, bytes_ // 2, bound).points[0].fits is False


def test_that_with_room_for_all_it_stays_as_it_is() -> None:
    recommended = advised(NESTED, PLENTY).recommended
    assert recommended is not None
    assert recommended.spec == NESTED
    assert recommended.reason.startswith("As it is: it fits")


def test_that_the_fastest_exact_one_that_fits_is_recommended_with_its_figures() -> None:
    plain, _ = rule(NESTED)
    budget = plain // 2
    advice = advised(NESTED, budget)
    fitting = [one for one in advice.points if one.fits and not one.approximates]
    fastest = min(fitting, key=lambda one: one.forecast.seconds or 0)
    assert advice.recommended is not None
    assert advice.recommended.forecast.seconds == pytest.approx(fastest.forecast.seconds, rel=0.03)
    assert needs(fastest) <= budget < plain
    # 2048 examples of 1000 bytes are 1.95 MiB.
    assert " instead of 1.95, 2.5× time" in advice.recommended.reason
    assert any("As it is, it needs 1.95 MiB" in sentence for sentence in advice.sentences)


def test_that_an_approximation_is_never_recommended_but_told_with_its_figures() -> None:
    def cheap_if_first_order(spec: RunSpec) -> tuple[int, float]:
        exact = spec.workload == META.workload
        return (1000, 2.0) if exact else (10, 0.1)

    advice = advised(META, 500, Told(cheap_if_first_order))
    assert advice.recommended is None
    assert any(one.fits and one.approximates for one in advice.points)
    assert any(
        sentence.startswith("Not the same answer: first-order MAML (")
        for sentence in advice.sentences
    )


def test_that_a_budget_that_nothing_meets_names_the_nearest_point_and_what_is_missing() -> None:
    advice = advised(NESTED, 1000)
    nearest = min(map(needs, advice.points))
    assert advice.recommended is None
    first = advice.sentences[0]
    assert first.startswith("Nothing exact fits into 1000 bytes: the nearest is rematerialize, ")
    assert f"{(nearest - 1000) / 2**10:,.0f} KiB are missing." in first


def test_that_of_equally_fast_ones_the_simplest_is_taken() -> None:
    def all_alike(spec: RunSpec) -> tuple[int, float]:
        mitigated = spec.mitigation.checkpointing.kind != "none"
        return (500 if mitigated else 1000), (0.99 if mitigated else 1.0)

    recommended = advised(NESTED, PLENTY, Told(all_alike)).recommended
    assert recommended is not None
    assert recommended.label == "as it is"


def test_that_without_times_the_simplest_that_fits_is_taken() -> None:
    recommended = advised(NESTED, PLENTY, Told(lambda spec: (rule(spec)[0], None))).recommended
    assert recommended is not None
    assert recommended.label == "as it is"


def test_that_the_measured_times_decide_between_rivals() -> None:
    """The forecast takes the fewest segments for the fastest; measured, eight are."""
    measured: list[RunSpec] = []

    def settle(specs: Sequence[RunSpec]) -> list[float | None]:
        measured.extend(specs)
        return [1.0 if spec.mitigation.checkpointing.segments == 8 else 2.0 for spec in specs]

    plain, _ = rule(NESTED)
    advice = advised(
        NESTED, plain // 2, Told(lambda spec: (rule(spec)[0], rule(spec)[1] / 10)), settle=settle
    )
    assert advice.recommended is not None
    assert advice.recommended.label == "rematerialize, 8 segments"
    assert f"measured beside {len(measured) - 1} others" in advice.recommended.reason
    times = [one.measured_s for one in advice.points if one.measured_s is not None]
    assert len(times) == len(measured)
    assert all(one.fits for one in advice.points if one.measured_s is not None)


def test_that_rivals_which_cannot_be_measured_leave_it_to_the_forecast() -> None:
    plain, _ = rule(NESTED)
    trusting = advised(NESTED, plain // 2)
    failing = advised(NESTED, plain // 2, settle=lambda specs: [None] * len(specs))
    assert failing.recommended == trusting.recommended


def test_that_nothing_is_measured_for_longer_than_it_may() -> None:
    def never(specs: Sequence[RunSpec]) -> list[float | None]:
        raise AssertionError("these take minutes")

    slow = Told(lambda spec: (rule(spec)[0], 100 * rule(spec)[1]))
    assert advised(NESTED, PLENTY, slow, settle=never).recommended is not None


def test_that_what_has_no_forecast_is_left_out_with_its_reason() -> None:
    advice = advised(NESTED, PLENTY, Told(absent="rematerialize"))
    assert {one.spec.mitigation.checkpointing.kind for one in advice.points} == {"none"}
    assert "It depends on the numbers." in {one.reason for one in advice.impossible}


def test_that_torchs_checkpointing_is_left_out_with_figures_where_it_saves_nothing() -> None:
    advice = advised(NESTED, PLENTY)
    (why,) = [one.reason for one in advice.impossible if one.label.startswith("torch's")]
    assert "first gradient only, and there are 2 here: it needs 2.15 MiB, 1.95 without." in why
    first_order = advised(NESTED.with_changes({"workload.order": 1}), PLENTY)
    assert any(one.label.startswith("torch's") for one in first_order.points)


def test_that_without_growing_nothing_larger_is_asked_about() -> None:
    ask = Told()
    advice = advised(NESTED, PLENTY, ask, grow=False)
    assert advice.limits == ()
    assert {spec.data.batch_size for spec in ask.asked} == {NESTED.data.batch_size}


def in_parts(spec: RunSpec) -> tuple[int, float]:
    """A part of the batch at a time, over 1000 bytes that stay; each part takes a second."""
    parts = spec.mitigation.accumulation
    share = 1.0 if spec.mitigation.checkpointing.kind == "none" else 0.5
    return round(1000 + 2048 * 1000 * share / parts), 1.0 * parts


@pytest.mark.parametrize("parts", [32, 64, 256, 2048])
def test_that_more_parts_are_tried_before_nothing_is_said_to_fit(parts: int) -> None:
    budget = round(1100 + 1024 * 1000 / parts)
    ask = Told(in_parts)
    advice = advised(NESTED, budget, ask, grow=False)
    assert advice.recommended is not None
    assert advice.recommended.spec.mitigation.accumulation == parts
    assert advice.recommended.spec.mitigation.checkpointing.kind == "rematerialize"
    assert not any("Nothing exact fits" in sentence for sentence in advice.sentences)
    assert max(spec.mitigation.accumulation for spec in ask.asked) == parts
    assert len({point.label for point in advice.points}) == len(advice.points)
    for point in advice.points:
        changed = NESTED.with_changes({**point.changes, "name": point.spec.name})
        assert changed == point.spec
    assert advised(NESTED, 1000, Told(in_parts), grow=False).sentences[0].startswith("Nothing")


def test_that_nothing_fits_is_said_only_after_one_example_in_each_part() -> None:
    ask = Told(in_parts)
    few = NESTED.with_changes({"data.batch_size": 100})
    advice = advised(few, 500, ask, grow=False)
    assert advice.recommended is None
    assert {32, 64, 100} <= {spec.mitigation.accumulation for spec in ask.asked}


def test_that_what_takes_long_to_answer_ends_the_search_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.advisor.advising.PATIENCE_S", -1.0)
    advice = advised(NESTED, 500, Told(in_parts), grow=False)
    assert any("parts and more were not asked about" in each for each in advice.sentences)


def test_that_the_limits_of_an_approximation_are_never_searched() -> None:
    ask = Told(lambda spec: (10_000 if spec.mitigation.precision == "float32" else 10, 1.0))
    found = advised(META, 15_000, Told(lambda spec: (10_000, 1.0))).limits
    assert found
    for one in advised(META, 500, ask).limits:
        assert one.value is None
        assert one.note.startswith("Not even ")
        assert one.spec is None or one.spec.mitigation.precision == "float32"


def test_that_what_was_asked_about_is_measured_however_slow_it_is_foretold() -> None:
    """Foretold four times too slow, measured the fastest."""

    def mistaken(spec: RunSpec) -> tuple[int, float]:
        plain = spec.mitigation == NESTED.mitigation
        return rule(spec)[0], 0.4 if plain else 0.1

    def settle(specs: Sequence[RunSpec]) -> list[float | None]:
        return [0.05 if spec == NESTED else 0.1 for spec in specs]

    trusting = advised(NESTED, PLENTY, Told(mistaken)).recommended
    assert trusting is not None
    assert trusting.spec != NESTED
    measured = advised(NESTED, PLENTY, Told(mistaken), settle=settle)
    assert measured.recommended is not None
    assert measured.recommended.spec == NESTED
    assert measured.points[0].measured_s == 0.05


def test_that_an_approximation_is_told_by_what_it_saves() -> None:
    """bfloat16 saves time alone, autocast memory alone, the others nothing."""
    costs = {"float32": (1000, 1.0), "bfloat16": (1200, 0.5), "autocast": (900, 1.5)}
    advice = advised(
        NESTED, PLENTY, Told(lambda spec: costs[spec.mitigation.precision]), grow=False
    )
    near = [each for each in advice.sentences if each.startswith("Not the same answer")]
    assert len(near) == 2
    assert near[0].startswith("Not the same answer: with autocast")
    assert near[1].startswith("Not the same answer, and saves time alone: in bfloat16, ")
    nothing = {**costs, "bfloat16": (1200, 1.0), "autocast": (1000, 0.99)}
    plain = advised(NESTED, PLENTY, Told(lambda spec: nothing[spec.mitigation.precision]))
    assert not any("Not the same answer" in each for each in plain.sentences)


def test_that_a_point_that_may_fit_says_why_it_is_not_known() -> None:
    class Partly(Told):
        def _answer(self, spec: RunSpec) -> Outlook:
            told = super()._answer(spec)
            if told.forecast is None or spec.mitigation.accumulation != 2:
                return told
            bound = {"exact": False, "reasons": ("A kernel is not known.",)}
            return Outlook(forecast=told.forecast.model_copy(update=bound))

    advice = advised(NESTED, PLENTY, Partly(), grow=False)
    unknown = sum(point.fits is None for point in advice.points)
    assert unknown > 1
    assert (
        f"Of {unknown} points it is not known whether they fit: their peaks are lower bounds. "
        "A kernel is not known."
    ) in advice.sentences
    every = advised(NESTED, PLENTY, Told(exact=False), grow=False).sentences
    assert "Of no point it is known whether it fits: each peak is a lower bound." in every
    none = advised(NESTED, PLENTY, grow=False).sentences
    assert not any("lower bound" in each for each in none)


def test_that_of_the_forms_of_an_approximation_one_that_fits_is_told() -> None:
    """bfloat16 alone saves memory and does not fit; with rematerialization it does."""

    def half(spec: RunSpec) -> tuple[int, float]:
        peak, seconds = rule(spec)
        return (peak // 2 if spec.mitigation.precision == "bfloat16" else peak), seconds

    alone = half(NESTED.with_value("mitigation.precision", "bfloat16"))[0]
    advice = advised(NESTED, alone, Told(half), grow=False)
    (near,) = (
        each
        for each in advice.sentences
        if each.startswith("Not the same answer") and " (in bfloat16)" in each
    )
    assert near.startswith("Not the same answer: rematerialize, ")


def test_that_a_ratio_of_which_one_side_was_measured_is_said_to_be_foretold() -> None:
    """What was asked about does not fit, so that it is not measured beside the others."""

    def alike(spec: RunSpec) -> tuple[int, float]:
        plain = spec.mitigation.checkpointing.kind == "none"
        return (1000, 0.1) if plain else (500, 0.25)

    def settle(specs: Sequence[RunSpec]) -> list[float | None]:
        return [0.7 for _ in specs]

    measured = advised(NESTED, 900, Told(alike), settle=settle, grow=False).recommended
    foretold = advised(NESTED, 900, Told(alike), grow=False).recommended
    assert measured is not None
    assert foretold is not None
    assert "2.5× time as foretold;" in measured.reason
    assert "2.5× time;" in foretold.reason
