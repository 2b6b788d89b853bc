"""A setting that was given and has no effect is told in one sentence, whichever it is."""

import json
from collections.abc import Iterator

import pytest

from core.spec.data import ArraysData, DigitsData, SyntheticData
from core.spec.declaration import Spec, declared_fields
from core.spec.measure import Measure
from core.spec.mitigations import Checkpointing, Mitigation
from core.spec.notices import notices
from core.spec.presets import presets
from core.spec.run import RunSpec
from core.spec.workloads import WORKLOAD_KINDS

LAYERS = [{"kind": "linear", "out_features": 4}, {"kind": "tanh"}, {"kind": "linear"}]
SPEC = RunSpec.from_json(json.dumps({"model": {"input_shape": [3], "layers": LAYERS}}))
DIGITS = {
    "model.input_shape": [64],
    "model.layers.2.out_features": 10,
    "data.kind": "digits",
    "loss": "cross_entropy",
}
EXAMPLES = "MAML computes on workload.support and workload.query examples of each task"

CASES: list[tuple[dict[str, object], str, object, str]] = [
    ({}, "mitigation.inner_loop", "checkpoint", "Nested gradient has no inner loop"),
    ({}, "mitigation.inner_segments", 2, "Nested gradient has no inner loop"),
    (
        {"workload.kind": "maml"},
        "mitigation.inner_segments",
        2,
        'mitigation.inner_loop is "standard"',
    ),
    ({}, "mitigation.checkpointing.segments", 2, 'mitigation.checkpointing.kind is "none"'),
    ({"workload.kind": "maml"}, "data.batch_size", 5, EXAMPLES),
    (DIGITS, "data.ways", 2, "Nested gradient has no tasks"),
    (
        {"workload.kind": "hessian", "workload.method": "rows"},
        "workload.chunk_size",
        7,
        'workload.method is "rows"',
    ),
    (
        {"workload.kind": "newton", "workload.method": "exact"},
        "workload.cg_iterations",
        7,
        'workload.method is "exact"',
    ),
    (
        {"workload.kind": "newton", "workload.method": "exact"},
        "workload.cg_tolerance",
        0.5,
        'workload.method is "exact"',
    ),
    ({"workload.kind": "maml"}, "workload.regularisation", 2.0, 'workload.variant is "maml"'),
    ({"workload.kind": "maml"}, "workload.cg_iterations", 7, 'workload.variant is "maml"'),
    ({"workload.kind": "maml"}, "workload.outer_lr", 0.5, "workload.outer_steps is 0"),
    (
        {"workload.kind": "darts", "workload.order": 1},
        "workload.method",
        "finite_difference",
        "workload.order is 1",
    ),
    (
        {"workload.kind": "darts", "workload.order": 1},
        "workload.weight_lr",
        0.5,
        "workload.order is 1 and workload.search_steps is 0",
    ),
    ({"workload.kind": "darts"}, "workload.architecture_lr", 0.5, "workload.search_steps is 0"),
    (
        {"measure.repetitions": 3, "measure.warmup": 1},
        "measure.time_budget_s",
        2.0,
        "measure.repetitions and measure.warmup are numbers",
    ),
]
REFUSED: list[tuple[dict[str, object], str, object]] = [
    ({"workload.kind": "maml", "workload.variant": "reptile"}, "workload.order", 3),
    ({"workload.kind": "maml"}, "workload.test_tasks", 3),
    ({"workload.kind": "maml"}, "mitigation.accumulation", 2),
    (
        {"workload.kind": "hvp", "workload.mode": "forward_over_reverse", "workload.vectors": 2},
        "workload.batched",
        True,
    ),
]


@pytest.mark.parametrize(("others", "key", "value", "why"), CASES)
def test_that_a_setting_without_effect_is_told_and_its_default_is_not(
    others: dict[str, object], key: str, value: object, why: str
) -> None:
    silent = SPEC.with_changes(others)
    given = silent.with_changes({key: value})
    assert given.problems() == ()
    told = [sentence for sentence in notices(given) if sentence not in notices(silent)]
    assert told == [f"{key} has no effect here: {why}."]
    assert not any("no effect" in sentence for sentence in notices(silent))


@pytest.mark.parametrize(("others", "key", "value"), REFUSED)
def test_that_what_is_refused_is_not_told_twice(
    others: dict[str, object], key: str, value: object
) -> None:
    given = SPEC.with_changes(others | {key: value})
    assert key in [problem.key for problem in given.problems()]
    assert not any(sentence.startswith(key) for sentence in notices(given))


def test_that_every_setting_that_depends_on_another_is_among_these_cases() -> None:
    known = {(key.rpartition(".")[0], key.rpartition(".")[2]) for _, key, *_ in (*CASES, *REFUSED)}
    assert set(_conditional()) == known


def _conditional() -> Iterator[tuple[str, str]]:
    parts: list[tuple[str, type[Spec]]] = [
        *(("data", kind) for kind in (SyntheticData, DigitsData, ArraysData)),
        *(("workload", kind) for kind in WORKLOAD_KINDS.values()),
        ("mitigation", Mitigation),
        ("mitigation.checkpointing", Checkpointing),
        ("measure", Measure),
    ]
    for path, part in parts:
        for field in declared_fields(part):
            if field.when:
                yield path, field.name


def test_that_settings_that_take_effect_are_not_told() -> None:
    used = {
        "workload.kind": "maml",
        "workload.inner_steps": 4,
        "workload.outer_steps": 2,
        "workload.outer_lr": 0.5,
        "mitigation.inner_loop": "segments",
        "mitigation.inner_segments": 2,
        "mitigation.checkpointing.kind": "rematerialize",
        "mitigation.checkpointing.segments": 2,
        "measure.repetitions": 3,
        "measure.time_budget_s": 2.0,
    }
    assert notices(SPEC.with_changes(used)) == ()


def test_that_no_preset_sets_what_has_no_effect() -> None:
    for preset in presets():
        assert not any("no effect" in sentence for sentence in notices(preset.spec))
