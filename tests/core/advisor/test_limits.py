"""The largest that fits: against trying every value, within few questions."""

from collections.abc import Iterator, Sequence

import pytest

from core.advisor.limits import limits
from core.results.advice import Limit
from core.results.forecast import Finding, Forecast, Outlook
from core.spec.presets import preset
from core.spec.run import RunSpec
from tests.core.advisor.costs import META, NESTED, Told, advised, rule


def limit(spec: RunSpec, budget: int, key: str, ask: Told | None = None) -> Limit:
    (found,) = [one for one in advised(spec, budget, ask, most=1).limits if one.key == key]
    return found


@pytest.mark.parametrize("budget", [1_100, 60_123, 2_048_100, 2_048_099, 98_765_432])
def test_that_the_largest_batch_is_the_largest(budget: int) -> None:
    ask = Told()
    found = limit(NESTED, budget, "data.batch_size", ask)
    assert found.value == (budget - 100) // 1000
    assert found.spec is not None
    assert found.spec.data.batch_size == found.value
    assert len(ask.asked) < 20


def test_that_it_is_found_where_memory_bends() -> None:
    def bent(spec: RunSpec) -> tuple[int, float]:
        batch = spec.data.batch_size
        return batch**2 + 5000 * (batch > 300), 1.0

    fits = [
        batch
        for batch in range(1, 2000)
        if bent(NESTED.with_changes({"data.batch_size": batch}))[0] <= 399_900
    ]
    assert limit(NESTED, 400_000, "data.batch_size", Told(bent)).value == max(fits)


def test_that_not_even_one_example_is_none() -> None:
    found = limit(NESTED, 500, "data.batch_size")
    assert found.value is None
    assert found.spec is None


def test_that_memory_which_does_not_grow_ends_at_what_was_asked_about() -> None:
    found = limit(NESTED, 10**6, "data.batch_size", Told(lambda spec: (1000, 1.0)))
    assert found.value == 2**20
    assert found.note == "More than 1,048,576 was not asked about."


def test_that_the_highest_order_is_the_highest() -> None:
    """Three times the memory for each order more."""
    plain, _ = rule(NESTED)
    for order in (1, 2, 3, 4):
        budget = round(plain * 3.0 ** (order - 2)) + 100
        assert limit(NESTED, budget, "workload.order").value == order
    assert limit(NESTED, plain * 1000, "workload.order").value == 6


def test_that_inner_steps_are_counted_and_support_and_query_grow_together() -> None:
    peak, _ = rule(META)
    steps = META.flatten()["workload.inner_steps"]
    assert limit(META, peak * 7 + 100, "workload.inner_steps").value == 7 * steps
    sets = limit(META, peak * 7 + 100, "workload.support")
    assert sets.spec is not None
    flat = sets.spec.flatten()
    assert flat["workload.support"] == sets.value
    ratio = META.flatten()["workload.query"] / META.flatten()["workload.support"]
    assert flat["workload.query"] == pytest.approx(ratio * flat["workload.support"], abs=1)


def test_that_sets_of_digits_stay_multiples_of_the_ways() -> None:
    digits = preset("digits-5-way-1-shot").spec
    peak, _ = rule(digits)
    found = limit(digits, 3 * peak, "workload.support")
    assert found.value is not None
    assert found.value % 5 == 0
    assert found.spec is not None
    assert not found.spec.problems()


def test_that_what_ends_before_the_budget_does_says_why() -> None:
    """There are so many digits of each class."""
    found = limit(preset("digits-5-way-1-shot").spec, 10**12, "workload.support")
    assert "examples of a class; there are" in found.note


def test_that_a_limit_keeps_the_mitigations_that_are_recommended() -> None:
    plain, _ = rule(NESTED)
    advice = advised(NESTED, plain // 2)
    assert advice.recommended is not None
    for one in advice.limits:
        assert one.spec is not None
        assert one.spec.mitigation == advice.recommended.spec.mitigation


@pytest.mark.parametrize("parts", [16, 17, 60, 1000])
def test_that_fewer_examples_than_parts_are_too_few_and_not_too_many(parts: int) -> None:
    """Each example costs 1000 bytes; with as many as there are parts it just fits."""
    spec = NESTED.with_changes({"mitigation.accumulation": parts})
    needed, _ = rule(spec)
    for fitting in (parts, parts + 1, parts + 5, 2040):
        budget = fitting * 1000 + 100
        assert budget < needed + 100
        ask = Told()
        known = Forecast(peak_bytes=needed, exact=True, seconds=1.0, baseline_bytes=100)
        *_, last = limits(spec, known, budget, ask)
        (batch,) = [one for one in last if one.key == "data.batch_size"]
        assert batch.value == fitting
        assert all(not one.problems() for one in ask.asked)


def test_that_a_limit_that_is_none_says_why() -> None:
    spec = NESTED.with_changes({"mitigation.accumulation": 16})
    known = Forecast(peak_bytes=2_048_000, exact=True, seconds=1.0, baseline_bytes=100)
    *_, last = limits(spec, known, 16_099, Told())
    (batch,) = [one for one in last if one.key == "data.batch_size"]
    assert batch.value is None
    assert batch.note.startswith("Not even 16 fits: it needs 15.7 KiB, and there are 15.7 KiB.")
    assert "mitigation.accumulation: 16 was given; each part needs an example" in batch.note
    assert limit(NESTED, 500, "data.batch_size").note.startswith("Not even 1 fits: it needs ")


def test_that_what_preflight_finds_wrong_does_not_count_as_fitting() -> None:
    def faulty(
        specs: Sequence[RunSpec], *, learn_s: float | None = None
    ) -> Iterator[tuple[int, Outlook]]:
        for place, outlook in Told()(specs):
            if specs[place].data.batch_size > 3000:
                found = Finding(severity="error", layer=0, sentence="It would raise.")
                outlook = outlook.model_copy(update={"findings": (found,)})
            yield place, outlook

    known = Forecast(peak_bytes=2_048_000, exact=True, seconds=1.0, baseline_bytes=100)
    *_, last = limits(NESTED, known, 10**9, faulty)
    (batch,) = [one for one in last if one.key == "data.batch_size"]
    assert batch.value == 3000
    assert batch.note == "It would raise."
