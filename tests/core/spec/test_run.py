"""Specs as values: JSON both ways, one key changed, parts that must fit together."""

import json
from contextlib import suppress
from math import inf, nextafter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.spec.data import DigitsData
from core.spec.declaration import InvalidSpec, Spec, declared_fields
from core.spec.layers import LAYER_KINDS, Conv2d
from core.spec.measure import Measure
from core.spec.mitigations import Checkpointing
from core.spec.notices import device_notices, notices
from core.spec.run import RunSpec
from core.spec.size import least_bytes
from core.spec.workloads import Maml, NestedGradient


def spec(layers: list[dict], input_shape: list[int] | None = None, **keys: object) -> RunSpec:
    model = {"input_shape": input_shape or [4], "layers": layers}
    return RunSpec.from_json(json.dumps({"model": model, **keys}))


LINEAR = spec([{"kind": "linear", "out_features": 3}])


def sentences(value: RunSpec) -> list[str]:
    return [problem.sentence for problem in value.problems()]


def keys(value: RunSpec) -> list[str]:
    return [problem.key for problem in value.problems()]


def test_that_a_spec_survives_json_unchanged() -> None:
    assert RunSpec.from_json(LINEAR.to_json()) == LINEAR
    assert LINEAR.problems() == ()


def test_that_a_spec_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        LINEAR.name = "other"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("workload.order", "3", 3),
        ("name", "a name", "a name"),
        ("model.layers.0.out_features", "9", 9),
        ("mitigation.checkpointing.kind", "rematerialize", "rematerialize"),
        ("mitigation.checkpointing.segments", "4", 4),
        ("measure.time_budget_s", "0.5", 0.5),
    ],
)
def test_that_set_changes_one_key_and_no_other(key: str, text: str, value: object) -> None:
    changed = LINEAR.with_value(key, text)
    before, after = LINEAR.flatten(), changed.flatten()
    top = "model.layers" if key.startswith("model.layers") else key
    assert {name for name in after if after[name] != before.get(name)} == {top}
    if top == key:
        assert after[key] == value


def test_that_setting_a_kind_keeps_the_keys_both_kinds_know() -> None:
    maml = LINEAR.with_value("workload.order", "3").with_value("workload.kind", "maml")
    assert isinstance(maml.workload, Maml)
    assert maml.workload.order == 3
    assert maml.with_value("data.kind", "digits").flatten()["data.batch_size"] == 64


def test_that_setting_the_kind_of_a_layer_keeps_the_keys_both_kinds_know() -> None:
    layers = [{"kind": "linear", "out_features": 3, "bias": False}]
    changed = spec(layers).with_changes(
        {"model.layers.0.kind": "conv2d", "model.layers.0.kernel_size": 5}
    )
    assert changed.model.layers[0] == Conv2d(kernel_size=5, bias=False)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("workload.ordre", "3"),
        ("model.layers.4.bias", "true"),
        ("name.first", "x"),
        ("", "1"),
        ("model.layers.².kind", "relu"),
        (f"model.layers.{'9' * 5000}.kind", "relu"),
        ("model.layers.-1.kind", "relu"),
        ("workload.order", "9" * 5000),
        ("workload.order", "[" * 100_000),
        ("model.layers", "[" * 800 + "]" * 800),
    ],
)
def test_that_set_refuses_an_unknown_key(key: str, text: str) -> None:
    with pytest.raises(InvalidSpec):
        LINEAR.with_value(key, text)


def test_that_fomaml_means_order_1() -> None:
    maml = spec([{"kind": "linear"}], workload={"kind": "maml", "variant": "fomaml"})
    assert maml.workload.order == 1
    with pytest.raises(InvalidSpec, match="fomaml means order 1"):
        spec([{"kind": "linear"}], workload={"kind": "maml", "variant": "fomaml", "order": 2})


@pytest.mark.parametrize(("variant", "order"), [("reptile", 1), ("imaml", 2)])
def test_that_a_variant_of_one_order_brings_it_along(variant: str, order: int) -> None:
    maml = spec([{"kind": "linear"}], workload={"kind": "maml", "variant": variant})
    assert (maml.workload.order, maml.problems()) == (order, ())

    other = spec([{"kind": "linear"}], workload={"kind": "maml", "order": 3 - order})
    assert other.with_value("workload.variant", variant) == maml
    assert maml.with_value("workload.variant", "maml").workload.order == order


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"workload.variant": "reptile", "workload.order": 2},
            'workload.order: 2 was given; the variant "reptile" follows its inner steps and '
            "differentiates nothing further; allowed: 1.",
        ),
        (
            {"workload.variant": "imaml", "workload.order": 1},
            'workload.order: 1 was given; the variant "imaml" solves a linear system with the '
            "Hessian; allowed: 2.",
        ),
        (
            {"workload.variant": "reptile", "workload.inner_lr": 0.0},
            'workload.inner_lr: 0 was given; the variant "reptile" divides by it; allowed: a '
            "number above 0.",
        ),
        (
            {"workload.variant": "imaml", "workload.regularisation": 0.0},
            'workload.regularisation: 0 was given; the variant "imaml" divides by it; allowed: a '
            "number above 0.",
        ),
    ],
)
def test_that_what_a_variant_has_not_is_refused_in_a_sentence(
    changes: dict[str, object], sentence: str
) -> None:
    maml = spec([{"kind": "linear"}], workload={"kind": "maml"})

    (found,) = maml.with_changes(changes).problems()

    assert found.sentence == sentence


@pytest.mark.parametrize(
    ("variant", "order", "named"),
    [
        ("maml", 1, "order 1"),
        ("anil", 1, "order 1"),
        ("reptile", 1, "reptile"),
        ("imaml", 2, "imaml"),
    ],
)
def test_that_an_inner_loop_without_a_graph_needs_no_mitigation(
    variant: str, order: int, named: str
) -> None:
    workload = {"kind": "maml", "variant": variant, "order": order}
    maml = spec([{"kind": "linear"}], workload=workload)
    sentence = (
        f"mitigation.inner_loop has no effect here: {named} keeps no graph of its inner steps."
    )

    assert sentence in notices(maml.with_value("mitigation.inner_loop", "checkpoint"))
    assert notices(maml) == ()


@pytest.mark.parametrize("before", ["maml", "nested_gradient"])
def test_that_setting_the_variant_fomaml_brings_order_1_along(before: str) -> None:
    value = spec([{"kind": "linear"}], workload={"kind": before, "order": 3})
    changes = {"workload.kind": "maml", "workload.variant": "fomaml"}
    assert value.with_changes(changes).workload.derivative_order == 1
    assert value.with_changes(changes | {"workload.order": 1}).workload.derivative_order == 1
    with pytest.raises(InvalidSpec, match="fomaml means order 1"):
        value.with_changes(changes | {"workload.order": 3})


def test_that_brackets_nested_too_deeply_in_a_file_are_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"\.$"):
        RunSpec.from_json("[" * 100_000)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (
            "model.input_shape",
            [10**400],
            "allowed: a list of whole numbers from 1 to 1000000000.",
        ),
        (
            "data.batch_size",
            10**9 + 1,
            "data.batch_size: 1000000001 was given; allowed: a whole number from 1 to 1000000000.",
        ),
        ("version", "x", 'version: "x" was given; allowed: 1.'),
        ("model.kind", "heap", 'model.kind: "heap" was given; allowed: stack, python.'),
        ("model.layers", 3, "model.layers: 3 was given; allowed: a list of JSON objects."),
        ("model.layers", [3], "model.layers.0: 3 was given; allowed: a JSON object."),
        ("measure", 3, "measure: 3 was given; allowed: a JSON object."),
    ],
)
def test_that_a_value_out_of_place_is_answered_with_what_is_allowed(
    key: str, value: object, sentence: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        LINEAR.with_changes({key: value})
    (problem,) = caught.value.problems
    assert problem.sentence.endswith(sentence)


@pytest.mark.parametrize(
    "cls", [NestedGradient, Maml, Measure, Checkpointing, DigitsData, *LAYER_KINDS.values()]
)
def test_that_validation_takes_the_declared_limits_and_nothing_beyond(cls: type[Spec]) -> None:
    for field in declared_fields(cls):
        for limit, direction in ((field.minimum, -1), (field.maximum, 1)):
            if limit is None:
                continue
            is_whole = field.kind.startswith("int")
            beyond = limit + direction if is_whole else nextafter(limit, direction * inf)
            assert getattr(cls.model_validate({field.name: limit}), field.name) == limit
            with pytest.raises(ValueError, match=field.name):
                cls.model_validate({field.name: beyond})
            if field.kind == "int_or_pair":
                with pytest.raises(ValueError, match=field.name):
                    cls.model_validate({field.name: (limit, beyond)})


@pytest.mark.parametrize(
    ("value", "key", "words"),
    [
        (spec([]), "model.layers", "is empty"),
        (spec([{"kind": "relu"}]), "model.layers", "No layer has parameters"),
        (spec([{"kind": "relu"}, {"kind": "conv2d"}]), "model.layers.1", "conv2d takes an input"),
        (
            spec([{"kind": "linear"}, {"kind": "embedding"}]),
            "model.layers.1",
            "embedding takes whole numbers",
        ),
        (spec([{"kind": "linear", "out_features": 1}], loss="cross_entropy"), "loss", "2 classes"),
        (
            spec([{"kind": "linear"}], data={"kind": "sinusoid"}),
            "model.input_shape",
            "sinusoid data need 1",
        ),
        (
            spec([{"kind": "linear"}], data={"kind": "digits"}, loss="cross_entropy"),
            "model.input_shape",
            "digits come as 64, 8×8, 1×8×8",
        ),
        (
            spec(
                [{"kind": "linear", "out_features": 5}],
                [64],
                data={"kind": "digits", "ways": 5},
                loss="cross_entropy",
                workload={"kind": "maml", "support": 7, "query": 10},
            ),
            "workload.support",
            "a multiple of data.ways",
        ),
        (
            spec(
                [{"kind": "embedding"}],
                workload={"kind": "nested_gradient", "wrt": "inputs"},
            ),
            "workload.wrt",
            "the inputs of an embedding are whole numbers",
        ),
        (
            spec(
                [{"kind": "linear"}],
                mitigation={"checkpointing": {"kind": "torch", "segments": 2}},
            ),
            "mitigation.checkpointing.segments",
            "at most the number of layers, 1",
        ),
    ],
)
def test_that_parts_that_do_not_fit_are_said_at_their_key(value, key, words) -> None:
    assert key in keys(value)
    assert words in " ".join(sentences(value))


def test_that_batch_norm_is_refused_a_batch_that_has_no_variance() -> None:
    layers = [{"kind": "linear", "out_features": 3}, {"kind": "batch_norm"}]
    one = {"kind": "synthetic", "batch_size": 1}
    assert keys(spec(layers, data=one)) == ["data.batch_size"]
    assert keys(spec(layers, workload={"kind": "maml", "query": 1})) == ["workload.query"]
    image = [{"kind": "conv2d"}, {"kind": "batch_norm"}]
    assert spec(image, [1, 8, 8], data=one).problems() == ()


def test_that_a_stack_without_parameters_may_be_differentiated_by_its_inputs() -> None:
    assert (
        spec([{"kind": "tanh"}], workload={"kind": "nested_gradient", "wrt": "inputs"}).problems()
        == ()
    )


def test_that_rows_below_a_wrong_layer_are_unknown_and_not_blamed() -> None:
    rows = spec([{"kind": "conv2d"}, {"kind": "linear"}]).model.trace()
    assert rows[0].problem is not None
    assert (rows[1].problem, rows[1].output_shape, rows[1].parameters) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.npz", None, "is not a file"),
        ("truncated.npz", b"PK\x03\x04 and no more", "not a complete .npz"),
        ("text.npz", b"hello", "plain numbers"),
        ("words.csv", b"a,b,c,d,y\n1,2,3,4,five\n", "no number"),
        ("ragged.csv", b"a,b,c,d,y\n1,2,3,4,5\n1,2\n", "row 3 has 2 values"),
        ("short.csv", b"a,b\n1,2\n", "4 input columns"),
        ("binary.csv", b"\xff\xfe\x00\x01", "not a readable .csv"),
        ("data.xlsx", b"", "ends in .npz or .csv"),
    ],
)
def test_that_unreadable_arrays_are_said_at_the_file(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    value = spec([{"kind": "linear"}], data={"kind": "arrays", "file": str(path)})
    assert keys(value) == ["data.file"]
    assert words in sentences(value)[0]


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((9, 5)), np.zeros((9, 3)), "an example of x has shape 5"),
        (np.zeros((9, 4)), np.zeros((8, 3)), "they must be equal"),
        (np.zeros((9, 4)), np.zeros((9, 2)), "a target has shape 2"),
        (np.full((9, 4), np.nan), np.zeros((9, 3)), "infinite or missing"),
        (np.full((9, 4), "a"), np.zeros((9, 3)), "numbers are needed"),
        (np.zeros((0, 4)), np.zeros((0, 3)), "holds no examples"),
    ],
)
def test_that_arrays_that_do_not_fit_the_stack_are_said(tmp_path: Path, x, y, words) -> None:
    np.savez(tmp_path / "a.npz", x=x, y=y)
    value = spec(
        [{"kind": "linear", "out_features": 3}],
        data={"kind": "arrays", "file": str(tmp_path / "a.npz"), "batch_size": 2},
    )
    assert words in " ".join(sentences(value))


def test_that_a_batch_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 4)), y=np.zeros((9, 3)))
    data = {"kind": "arrays", "file": str(tmp_path / "a.npz"), "batch_size": 10}
    value = spec([{"kind": "linear", "out_features": 3}], data=data)
    assert keys(value) == ["data.batch_size"]


def test_that_torch_checkpointing_above_order_1_carries_its_warning() -> None:
    value = LINEAR.with_value("mitigation.checkpointing.kind", "torch")
    assert any("first backward only" in sentence for sentence in notices(value))
    assert notices(value.with_value("workload.order", "1")) == ()


def test_that_rewritten_norms_are_announced_from_order_3_on() -> None:
    value = spec([{"kind": "linear"}, {"kind": "layer_norm"}])
    assert notices(value) == ()
    assert (
        "computed from elementary operations" in notices(value.with_value("workload.order", "3"))[0]
    )


@pytest.mark.parametrize("kind", ["multihead_attention", "transformer_encoder_layer"])
def test_that_the_math_kernel_of_attention_is_announced_from_order_2_on(kind: str) -> None:
    value = spec([{"kind": kind}], input_shape=[5, 8], workload={"kind": "hvp"})
    products = {"mode": "finite_difference", "kind": "hvp"}
    assert "switches to the math kernel by itself" in notices(value)[0]
    assert notices(value.with_changes({"workload": products})) == ()


def test_that_parts_of_a_layer_that_are_written_out_are_named() -> None:
    value = spec([{"kind": "transformer_encoder_layer"}], input_shape=[5, 8])
    norms, kernel = notices(value.with_value("workload.order", "3"))
    assert norms.startswith("layer_norm: torch's own derivative")
    assert "math kernel" in kernel
    inside = {"kind": "hvp", "mode": "reverse_over_forward"}
    both = [each.partition(":")[0] for each in notices(value.with_changes({"workload": inside}))]
    assert both[-2:] == ["layer_norm", "multihead_attention"]


def test_that_what_is_done_about_recurrence_depends_on_the_device() -> None:
    value = spec([{"kind": "lstm"}, {"kind": "gru"}], input_shape=[5, 8])
    twice = value.with_value("workload.order", "2")

    def found(spec: RunSpec, device: str) -> list[tuple[int | None, str]]:
        return [(one.layer, one.sentence.partition(":")[0]) for one in device_notices(spec, device)]

    assert found(twice, "cpu") == [(0, "lstm")]
    assert found(twice.with_value("mitigation.precision", "float64"), "cpu") == []
    assert found(twice, "cuda") == [(0, "lstm"), (1, "gru")]
    assert found(value.with_value("workload.order", "1"), "cuda") == []


def test_that_a_dense_gradient_in_place_of_a_wrong_sparse_one_is_announced() -> None:
    value = spec([{"kind": "embedding", "sparse": True}], workload={"kind": "maml", "order": 2})
    assert notices(value) == ()
    assert "dense one is used" in notices(value.with_value("workload.order", "3"))[0]


def test_that_the_least_bytes_of_a_linear_map_are_its_tensors() -> None:
    least = least_bytes(
        spec([{"kind": "linear", "out_features": 3}], data={"kind": "synthetic", "batch_size": 10})
    )
    assert least is not None
    assert least.parameters == least.result == (4 * 3 + 3) * 4
    assert least.data == 10 * (4 + 3) * 4
    assert least.activations == 10 * 3 * 4


@pytest.mark.parametrize("kind", ["multihead_attention", "transformer_encoder_layer"])
def test_that_the_scores_of_attention_are_least_bytes_where_it_is_differentiated_twice(
    kind: str,
) -> None:
    heads = {"nhead": 4, "dim_feedforward": 6} if kind.startswith("trans") else {"num_heads": 4}
    data = {"kind": "synthetic", "batch_size": 10}
    value = spec([{"kind": kind} | heads], input_shape=[50, 4], data=data)
    once = least_bytes(value.with_value("workload.order", "1"))
    twice = least_bytes(value.with_value("workload.order", "2"))
    assert once is not None
    assert twice is not None
    assert once.activations == 10 * 50 * (6 if kind.startswith("trans") else 4) * 4
    assert twice.activations == 10 * 4 * 50 * 50 * 4


@settings(deadline=None, max_examples=200)
@given(text=st.text() | st.binary())
def test_that_no_text_whatever_raises_anything_but_invalid_spec(text: str | bytes) -> None:
    with suppress(InvalidSpec):
        RunSpec.from_json(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(key=st.sampled_from(sorted(LINEAR.flatten())), value=JSON)
def test_that_any_json_value_at_any_key_is_taken_or_refused_in_one_sentence(key, value) -> None:
    sentences: list[str] = []
    try:
        sentences = [problem.sentence for problem in LINEAR.with_changes({key: value}).problems()]
    except InvalidSpec as error:
        sentences = [problem.sentence for problem in error.problems]
    assert all(sentence.endswith(".") for sentence in sentences)
