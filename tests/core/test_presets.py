"""Each preset is ready to run, is what it says, and runs."""

import json
from itertools import pairwise

import pytest

import resources
from core.results.charts import ARCHITECTURE, LEARNING, SEARCH
from core.results.events import Event, Finished, MemorySamples, Repetition
from core.results.outcome import Outcome
from core.runner import run
from core.spec.declaration import InvalidSpec
from core.spec.placement import segments_of
from core.spec.presets import Preset, preset, presets
from core.spec.workloads import Darts, Maml, NestedGradient

NAMES = [one.name for one in presets()]
FAST = {"measure.repetitions": 1, "measure.warmup": 0}
SHORTER = {"finn-sinusoid": {"workload.outer_steps": 20, "workload.test_tasks": 4}}
"""What takes a few minutes as it is."""


def test_that_the_presets_of_the_product_are_there_in_their_order() -> None:
    assert NAMES == [
        "lecture-second-order",
        "lecture-relu-network",
        "lecture-relu-network-checkpointed",
        "lecture-maml",
        "sinusoid-maml",
        "finn-sinusoid",
        "sinusoid-reptile",
        "sinusoid-imaml",
        "maml-in-segments",
        "digits-5-way-1-shot",
        "digits-anil",
        "digits-darts",
        "conv-order-2",
        "transformer-order-2",
        "lstm-order-2",
        "deep-mlp",
        "deep-mlp-rematerialize",
        "hvp-conv",
        "hessian-mlp",
        "newton-digits",
        "trace-hutchinson",
        "adversarial-digits",
        "sparse-embedding",
    ]


@pytest.mark.parametrize("one", presets(), ids=NAMES)
def test_that_a_preset_can_be_run_as_it_is(one: Preset) -> None:
    assert one.spec.problems() == ()
    assert one.title
    assert one.about.endswith(".")
    assert one.spec.name != "Untitled"


def test_that_no_two_presets_are_called_the_same() -> None:
    assert len({one.title for one in presets()}) == len(NAMES)
    assert len({one.spec.name for one in presets()}) == len(NAMES)


def test_that_a_preset_file_holds_nothing_but_its_three_parts() -> None:
    for file in resources.path("presets").glob("*.json"):
        assert set(json.loads(file.read_text(encoding="utf-8"))) == {"title", "about", "spec"}


def test_that_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidSpec, match="lecture-maml"):
        preset("lecture")


def test_that_the_linear_model_of_the_lecture_has_its_sizes() -> None:
    spec = preset("lecture-second-order").spec
    (row,) = spec.model.trace()
    assert (spec.data.batch_size, row.parameters, row.output_shape) == (1000, 500, (1,))
    assert isinstance(spec.workload, NestedGradient)
    assert spec.workload.order == 2


def test_that_the_relu_network_of_the_lecture_has_its_sizes() -> None:
    spec = preset("lecture-relu-network").spec
    widths = [layer.out_features for layer in spec.model.layers if layer.kind == "linear"]
    assert spec.model.input_shape == (10,)
    assert widths == [50] * 10 + [1]
    assert spec.data.batch_size == 100
    assert isinstance(spec.workload, NestedGradient)
    assert (spec.workload.order, spec.workload.wrt) == (1, "inputs")


def test_that_the_checkpointed_network_drops_layer_by_layer() -> None:
    spec = preset("lecture-relu-network-checkpointed").spec
    twin = preset("lecture-relu-network").spec
    assert spec.model == twin.model
    checkpointing = spec.mitigation.checkpointing
    assert checkpointing.kind == "torch"
    segments = segments_of(spec)
    assert len(segments) == 11
    assert {spec.model.layers[segment.start].kind for segment in segments} == {"linear"}
    assert {spec.model.layers[segment[1]].kind for segment in segments[:-1]} == {"relu"}


def test_that_the_meta_learning_of_the_lecture_has_its_sizes() -> None:
    spec = preset("lecture-maml").spec
    workload = spec.workload
    assert isinstance(workload, Maml)
    assert (workload.inner_steps, workload.tasks, workload.outer_steps) == (5, 4, 10)
    assert (workload.support, workload.query) == (20, 20)
    assert (workload.inner_lr, workload.outer_lr) == (0.01, 0.001)


def test_that_the_digits_network_pools_after_its_first_three_blocks() -> None:
    model = preset("digits-5-way-1-shot").spec.model
    shapes = [row.output_shape for row in model.trace() if row.layer.kind == "max_pool2d"]
    assert shapes == [(32, 4, 4), (32, 2, 2), (32, 1, 1)]
    assert sum(layer.kind == "conv2d" for layer in model.layers) == 4


def test_that_the_rematerialized_network_differs_from_its_twin_in_that_alone() -> None:
    one, twin = preset("deep-mlp-rematerialize").spec, preset("deep-mlp").spec
    assert one.model_copy(update={"mitigation": twin.mitigation, "name": twin.name}) == twin
    assert one.mitigation.checkpointing.kind == "rematerialize"


def events_of(name: str) -> list[Event]:
    return list(run(preset(name).spec.with_changes(FAST | SHORTER.get(name, {}))))


@pytest.mark.parametrize("name", NAMES)
def test_that_a_preset_runs_to_its_end(name: str) -> None:
    events = events_of(name)
    last = events[-1]
    assert isinstance(last, Finished)
    result = last.result
    assert (result.outcome, result.error) == (Outcome.FINISHED, None)
    assert result.memory is not None
    assert sum(result.memory.by_category.values()) == result.memory.total_bytes
    assert any(isinstance(event, Repetition) for event in events)
    points = [t_s for event in events if isinstance(event, MemorySamples) for t_s in event.t_s]
    assert all(before <= after for before, after in pairwise(points))
    assert all(phase.result_norm is None or phase.result_norm >= 0 for phase in result.phases)
    workload = result.spec.workload
    steps = getattr(workload, "outer_steps", 0) or getattr(workload, "search_steps", 0)
    drawn = {
        len(curve.y) - (curve.chart == ARCHITECTURE)
        for curve in result.curves
        if curve.chart in (LEARNING, SEARCH, ARCHITECTURE)
    }
    assert drawn == ({steps} if steps else set())


def test_that_the_cell_of_the_search_has_two_choices() -> None:
    spec = preset("digits-darts").spec
    workload = spec.workload
    assert isinstance(workload, Darts)
    assert (workload.order, workload.is_exact, workload.search_steps) == (2, True, 60)
    choices = [row for _, row in spec.model.outline() if row.layer.kind == "mixed"]
    assert [len(row.layer.parts) for row in choices] == [5, 4]
