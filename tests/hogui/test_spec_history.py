"""Undo and redo."""

import pytest

from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.spec_history import LONGEST, SpecHistory, changed_keys


@pytest.fixture
def spec() -> RunSpec:
    return preset("lecture-second-order").spec


def test_that_undo_and_redo_walk_through_the_configurations(spec: RunSpec) -> None:
    third, deeper = spec.with_value("workload.order", "3"), spec.with_value("loss", "mse")
    history = SpecHistory(spec)
    history.change(third, now_s=0)
    assert deeper == spec
    assert history.undo() == spec
    assert not history.can_undo
    assert history.redo() == third
    assert not history.can_redo


def test_that_typing_a_number_is_one_step(spec: RunSpec) -> None:
    history = SpecHistory(spec)
    for moment, size in enumerate((1, 12, 128)):
        history.change(spec.with_value("data.batch_size", str(size)), now_s=moment * 0.3)
    assert history.current.data.batch_size == 128
    assert history.undo() == spec


def test_that_a_pause_or_another_key_begins_a_step(spec: RunSpec) -> None:
    history = SpecHistory(spec)
    one = spec.with_value("data.batch_size", "1")
    two = spec.with_value("data.batch_size", "2")
    three = two.with_value("measure.seed", "3")
    history.change(one, now_s=0)
    history.change(two, now_s=5)
    history.change(three, now_s=5.1)
    assert [history.undo(), history.undo(), history.undo()] == [two, one, spec]


def test_that_two_quick_edits_of_layers_are_two_steps(spec: RunSpec) -> None:
    history = SpecHistory(spec)
    layer = spec.model.layers[0].model_dump()
    two = spec.with_changes({"model.layers": [layer, layer]})
    three = spec.with_changes({"model.layers": [layer, layer, layer]})
    history.change(two, now_s=0)
    history.change(three, now_s=0.01)
    assert history.undo() == two


def test_that_a_change_after_undo_gives_up_what_was_undone(spec: RunSpec) -> None:
    history = SpecHistory(spec)
    history.change(spec.with_value("workload.order", "3"), now_s=0)
    history.undo()
    history.change(spec.with_value("workload.order", "4"), now_s=10)
    assert not history.can_redo
    assert history.undo() == spec


def test_that_the_past_has_an_end(spec: RunSpec) -> None:
    history = SpecHistory(spec)
    for seed in range(LONGEST + 20):
        history.change(spec.with_value("measure.seed", str(seed + 1)), now_s=10 * seed)
    steps = 0
    while history.can_undo:
        history.undo()
        steps += 1
    assert steps == LONGEST - 1


def test_that_changed_keys_name_what_one_has_and_the_other_lacks(spec: RunSpec) -> None:
    assert changed_keys(spec, spec) == frozenset()
    maml = spec.with_value("workload.kind", '"maml"')
    assert {"workload.kind", "workload.inner_steps", "workload.wrt"} <= changed_keys(spec, maml)
