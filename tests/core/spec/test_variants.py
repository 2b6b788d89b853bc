"""Smaller and larger variants of a configuration: what they change and what they keep."""

import json

import pytest

from core.spec.declaration import InvalidSpec
from core.spec.presets import preset, presets
from core.spec.run import RunSpec
from core.spec.variants import VARIANTS, variant, variants
from tests.random_specs import random_spec


def a_spec(*layers: dict[str, object], shape: tuple[int, ...] = (8,), **parts: object) -> RunSpec:
    document = {"name": "Mine", "model": {"input_shape": shape, "layers": layers}, **parts}
    return RunSpec.from_json(json.dumps(document))


def linear(width: int) -> dict[str, object]:
    return {"kind": "linear", "out_features": width}


def conv(channels: int, groups: int = 1) -> dict[str, object]:
    return {"kind": "conv2d", "out_channels": channels, "padding": 1, "groups": groups}


TANH = {"kind": "tanh"}


def values_of(spec: RunSpec, name: str) -> list[int]:
    return [
        json.loads(layer.model_dump_json())[name]
        for layer in spec.model.layers
        if name in type(layer).model_fields
    ]


def names(spec: RunSpec) -> list[str]:
    return [each.name for each, _ in variants(spec)]


def test_that_widths_are_halved_but_not_that_of_the_output() -> None:
    spec = a_spec(linear(64), TANH, linear(33), TANH, linear(10), TANH)
    assert values_of(variant(spec, "half-width"), "out_features") == [32, 16, 10]
    assert values_of(variant(spec, "double-width"), "out_features") == [128, 66, 10]


def test_that_a_width_of_one_stays() -> None:
    assert "half-width" not in names(a_spec(linear(1), linear(10)))


def test_that_the_widths_of_an_embedding_and_of_channels_are_widths_too() -> None:
    words = a_spec(
        {"kind": "embedding", "embedding_dim": 32}, {"kind": "flatten"}, linear(4), shape=(6,)
    )
    assert values_of(variant(words, "half-width"), "embedding_dim") == [16]
    pictures = a_spec(conv(16), {"kind": "flatten"}, linear(4), shape=(3, 8, 8))
    assert values_of(variant(pictures, "half-width"), "out_channels") == [8]


def test_that_groups_still_divide_the_channels() -> None:
    spec = a_spec(
        conv(36),
        {"kind": "group_norm", "num_groups": 4},
        TANH,
        conv(30, groups=6),
        conv(4),
        shape=(3, 8, 8),
    )
    assert values_of(variant(spec, "half-width"), "out_channels") == [12, 12, 4]


def test_that_half_the_depth_keeps_half_of_equal_groups_of_layers() -> None:
    spec = a_spec(linear(3), *[linear(64), TANH] * 5, linear(10))
    kinds = [layer.kind for layer in variant(spec, "half-depth").model.layers]
    assert kinds == ["linear", *["linear", "tanh"] * 3, "linear"]


def test_that_a_stack_without_repetition_has_no_half_depth() -> None:
    spec = a_spec(linear(64), TANH, linear(10))
    assert "half-depth" not in names(spec)
    with pytest.raises(InvalidSpec, match='"half-depth" was given; allowed here: half-width, '):
        variant(spec, "half-depth")


def test_that_an_unknown_variant_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidSpec, match='variant: "tenth" was given; allowed here: half-width'):
        variant(a_spec(linear(64), linear(10)), "tenth")


def test_that_a_quarter_of_a_batch_is_at_least_one_example() -> None:
    spec = a_spec(linear(4), data={"kind": "synthetic", "batch_size": 64})
    assert variant(spec, "quarter-batch").data.batch_size == 16
    assert variant(spec, "double-batch").data.batch_size == 128
    assert variant(spec.with_changes({"data.batch_size": 3}), "quarter-batch").data.batch_size == 1
    assert "quarter-batch" not in names(spec.with_changes({"data.batch_size": 1}))


def test_that_a_batch_which_a_layer_cannot_do_with_is_not_offered() -> None:
    spec = a_spec(linear(4), {"kind": "batch_norm"}, data={"kind": "synthetic", "batch_size": 4})
    assert "quarter-batch" not in names(spec)
    assert "double-batch" in names(spec)


def test_that_support_and_query_of_digits_stay_multiples_of_the_ways() -> None:
    spec = preset("digits-5-way-1-shot").spec
    changed = spec.with_changes({"workload.support": 45, "workload.query": 75})
    smaller = variant(changed, "quarter-batch")
    assert (smaller.workload.support, smaller.workload.query) == (10, 15)
    assert smaller.data == spec.data
    assert variant(spec, "quarter-batch").workload.support == spec.data.ways


def test_that_a_variant_is_named_after_its_configuration() -> None:
    assert variant(a_spec(linear(64), linear(10)), "half-width").name == "Mine, half width"


@pytest.mark.parametrize("one", presets(), ids=lambda one: one.name)
def test_that_every_variant_of_every_preset_can_run_and_has_the_same_output(one: object) -> None:
    for _, other in variants(one.spec):
        assert other.problems() == ()
        assert other.model.output_shape == one.spec.model.output_shape
        assert other != one.spec.with_changes({"name": other.name})


@pytest.mark.parametrize("seed", range(40))
def test_that_the_output_of_no_variant_differs_whatever_the_layers(seed: int) -> None:
    spec = random_spec(seed)
    for _, other in variants(spec):
        assert other.problems() == ()
        assert other.model.output_shape == spec.model.output_shape


def test_that_a_configuration_with_problems_has_no_variants() -> None:
    assert variants(a_spec(conv(4), linear(3))) == ()


def test_that_variants_have_names_of_their_own() -> None:
    assert len({each.name for each in VARIANTS}) == len(VARIANTS)
