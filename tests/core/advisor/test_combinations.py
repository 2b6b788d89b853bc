"""Which combinations are asked about: each once, none that cannot run, none without an effect."""

import json
from typing import get_args

import pytest

from core.advisor import combinations
from core.spec.mitigations import Checkpointing
from core.spec.placement import segments_of
from core.spec.presets import preset, presets
from core.spec.run import RunSpec
from tests.core.advisor.costs import META, NESTED
from tests.random_specs import random_spec


def labels(spec: RunSpec) -> list[str]:
    return [one.label for one in combinations(spec).possible]


@pytest.mark.parametrize("spec", [*(each.spec for each in presets()), *map(random_spec, range(30))])
def test_that_every_combination_can_run_and_is_told_once(spec: RunSpec) -> None:
    found = combinations(spec)
    assert found.possible[0].spec == spec
    assert len({one.label for one in found.possible}) == len(found.possible)
    assert len({one.reason for one in found.impossible}) == len(found.impossible)
    for one in found.possible:
        assert one.spec.problems() == ()
        # What it is said to change is what it changes, and nothing else.
        changed = spec.with_changes({**one.changes, "name": one.spec.name})
        assert changed == one.spec
        assert all(spec.flatten()[key] != value for key, value in one.changes.items())


def test_that_every_kind_of_checkpointing_is_tried_with_several_numbers_of_segments() -> None:
    found = {
        (one.spec.mitigation.checkpointing.kind, one.spec.mitigation.checkpointing.segments)
        for one in combinations(NESTED.with_changes({"workload.order": 1})).possible
    }
    for kind in set(get_args(Checkpointing.model_fields["kind"].annotation)) - {"none"}:
        assert {(kind, "auto"), (kind, 2), (kind, 8), (kind, 32)} <= found


def test_that_torchs_checkpointing_is_tried_once_from_order_2_on() -> None:
    tried = [label for label in labels(NESTED) if "torch's" in label]
    assert tried == ["torch's checkpointing, auto segments"]


def test_that_there_are_no_more_segments_than_layers() -> None:
    for one in combinations(META).possible:
        segments = one.spec.mitigation.checkpointing.segments
        assert segments == "auto" or segments <= len(META.model.layers)


def test_that_the_inner_loop_is_combined_with_checkpointing_where_there_is_one() -> None:
    assert "rematerialize, 2 segments, one inner step per checkpoint" in labels(META)
    assert not any("inner step" in label for label in labels(NESTED))


def test_that_what_does_not_apply_is_a_sentence() -> None:
    reasons = {one.reason for one in combinations(NESTED).impossible}
    assert "mitigation.inner_loop has no effect here: Nested gradient has no inner loop." in reasons
    first_order = META.with_changes({"workload.order": 1})
    assert any(
        "order 1 keeps no graph" in one.reason for one in combinations(first_order).impossible
    )


def test_that_a_single_layer_is_nothing_to_cut() -> None:
    text = {"model": {"input_shape": [6], "layers": [{"kind": "linear"}]}, "device": "cpu"}
    found = combinations(RunSpec.from_json(json.dumps(text)))
    assert {one.spec.mitigation.checkpointing.kind for one in found.possible} == {"none"}
    assert "There is nothing to cut into segments: the stack has a single layer." in {
        one.reason for one in found.impossible
    }


def test_that_what_does_not_go_together_is_impossible_with_the_specs_sentence() -> None:
    found = combinations(preset("newton-digits").spec)
    assert any(one.reason.startswith("mitigation.") for one in found.impossible)
    kept = [one.reason for one in found.impossible if "accumulation" in one.reason]
    assert len(kept) <= 1


def test_that_what_a_compiled_run_costs_is_asked_once() -> None:
    for spec in (NESTED, META, preset("hvp-conv").spec):
        assert sum(one.spec.mitigation.compile for one in combinations(spec).possible) == 1


def test_that_a_number_of_segments_that_cuts_where_auto_does_is_no_other_combination() -> None:
    even = NESTED.with_changes({"mitigation.checkpointing.kind": "rematerialize"})
    cuts = [
        segments_of(one.spec)
        for one in combinations(even).possible
        if one.spec.mitigation.checkpointing.kind == "rematerialize"
        and one.mitigations == 1
        and not one.approximates
    ]
    assert len(set(cuts)) == len(cuts) > 5


@pytest.mark.parametrize(
    ("name", "exact", "near"),
    [
        ("hvp-conv", {"reverse over forward", "all vectors at once"}, {"finite difference"}),
        ("hessian-mlp", {"8 rows at once", "128 rows at once"}, set()),
        ("sinusoid-maml", set(), {"first-order MAML", "ANIL", "Reptile", "iMAML"}),
        ("digits-darts", set(), {"finite difference", "first order"}),
        ("newton-digits", set(), {"the whole Hessian"}),
    ],
)
def test_that_other_ways_to_the_answer_are_told_from_ways_near_it(
    name: str, exact: set[str], near: set[str]
) -> None:
    possible = combinations(preset(name).spec).possible
    assert exact <= {one.label for one in possible if not one.approximates}
    assert near <= {one.label for one in possible if one.approximates}


def test_that_a_coarser_number_format_is_an_approximation_and_a_finer_one_no_way() -> None:
    double = NESTED.with_changes({"mitigation.precision": "float64"})
    near = [one for one in combinations(double).possible if "float32" in one.label]
    assert near
    assert all(one.approximates == "in float32" for one in near)
    assert not any("float64" in label for label in labels(NESTED))
    assert not any("float64" in label for label in labels(double))


def test_that_what_was_asked_about_may_be_mitigated_already() -> None:
    mitigated = NESTED.with_changes(
        {"mitigation.checkpointing.kind": "rematerialize", "mitigation.checkpointing.segments": 8}
    )
    found = {one.label: one for one in combinations(mitigated).possible}
    assert found["as it is"].spec == mitigated
    assert found["no mitigation"].changes == {"mitigation.checkpointing.kind": "none"}
    assert "rematerialize, 8 segments" not in found


def test_that_beyond_the_most_the_simplest_are_kept_and_the_others_counted() -> None:
    everything = combinations(META)
    few = combinations(META, most=6)
    assert len(few.possible) == 6
    assert few.left_out == len(everything.possible) - 6
    assert max(one.mitigations for one in few.possible) <= 1


@pytest.mark.parametrize("parts", [3, 32])
def test_that_the_numbers_that_were_asked_for_are_combined_with_everything_else(parts: int) -> None:
    divided = NESTED.with_changes({"mitigation.accumulation": parts})
    found = [
        one.spec.mitigation
        for one in combinations(divided).possible
        if one.spec.mitigation.accumulation == parts
    ]
    kinds = {(one.checkpointing.kind, one.checkpointing.segments) for one in found}
    assert {("rematerialize", "auto"), ("rematerialize", 8)} <= kinds
    assert "bfloat16" in {one.precision for one in found}


def test_that_the_segments_that_were_asked_for_are_combined_too() -> None:
    cut = NESTED.with_changes(
        {"mitigation.checkpointing.kind": "rematerialize", "mitigation.checkpointing.segments": 5}
    )
    found = [one.spec.mitigation for one in combinations(cut).possible]
    assert {2, 16} <= {one.accumulation for one in found if one.checkpointing.segments == 5}
    unrolled = META.with_changes(
        {
            "workload.inner_steps": 12,
            "mitigation.inner_loop": "segments",
            "mitigation.inner_segments": 5,
        }
    )
    inner = [
        one.spec.mitigation
        for one in combinations(unrolled).possible
        if one.spec.mitigation.inner_segments == 5
        and one.spec.mitigation.inner_loop == "segments_saved_gradient"
    ]
    assert {"none", "rematerialize"} <= {one.checkpointing.kind for one in inner}
