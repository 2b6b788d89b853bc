"""Fields are declared once; sentences, forms and keys are read from the declaration."""

import json
from collections.abc import Iterator

import pytest

from core.spec.data import DATA_KINDS, DigitsData
from core.spec.declaration import InvalidSpec, Spec, declared_field, declared_fields
from core.spec.layers import LAYER_KINDS, Conv2d, MaxPool2d
from core.spec.measure import Measure
from core.spec.mitigations import Checkpointing, Mitigation
from core.spec.model import StackModel
from core.spec.run import RunSpec
from core.spec.workloads import WORKLOAD_KINDS, Hvp, Maml, NestedGradient

MODEL = {"input_shape": [4], "layers": [{"kind": "linear", "out_features": 3}]}


def spec(**changes: object) -> str:
    return json.dumps({"model": MODEL} | changes)


@pytest.mark.parametrize(
    ("cls", "name", "kind"),
    [
        (NestedGradient, "order", "int"),
        (NestedGradient, "wrt", "choice"),
        (Maml, "inner_lr", "float"),
        (Measure, "repetitions", "int_or_auto"),
        (Checkpointing, "segments", "int_or_auto"),
        (Conv2d, "kernel_size", "int_or_pair"),
        (Conv2d, "bias", "bool"),
        (MaxPool2d, "stride", "int_or_pair"),
        (StackModel, "input_shape", "shape"),
        (RunSpec, "name", "text"),
        (Mitigation, "compile", "bool"),
    ],
)
def test_that_a_form_learns_the_kind_of_a_field_from_its_type(cls, name, kind) -> None:
    assert declared_field(cls, name).kind == kind


@pytest.mark.parametrize(
    "cls",
    [NestedGradient, Maml, Measure, Checkpointing, Mitigation, DigitsData, *LAYER_KINDS.values()],
)
def test_that_every_field_has_label_help_and_limits_that_agree_with_validation(
    cls: type[Spec],
) -> None:
    fields = declared_fields(cls)
    names = {field.name for field in fields}
    nested = {"kind", "checkpointing", "layers", "candidates"}
    assert names == set(cls.model_fields) - nested
    for field in fields:
        assert field.label
        assert field.help.endswith(".")
        if field.kind == "int" and field.minimum is not None:
            with pytest.raises(ValueError, match=field.name):
                cls.model_validate({field.name: int(field.minimum) - 1})


@pytest.mark.parametrize(
    ("document", "key", "sentence"),
    [
        (
            spec(workload={"kind": "nested_gradient", "order": 7}),
            "workload.order",
            "workload.order: 7 was given; allowed: a whole number from 1 to 6.",
        ),
        (
            spec(workload={"kind": "newtonian"}),
            "workload.kind",
            'workload.kind: "newtonian" was given; allowed: nested_gradient, hvp, hessian, '
            "hutchinson_trace, maml, newton, adversarial, darts.",
        ),
        (
            spec(workload={"kind": "maml", "ordr": 2}),
            "workload.ordr",
            "workload.ordr is not a known key; allowed here: kind, order, variant, inner_steps, "
            "inner_lr, regularisation, cg_iterations, tasks, support, query, outer_steps, "
            "outer_lr, test_tasks.",
        ),
        (
            json.dumps({"model": {"input_shape": [4], "layers": [{"kind": "linear", "bias": 3}]}}),
            "model.layers.0.bias",
            "model.layers.0.bias: 3 was given; allowed: true or false.",
        ),
        (
            spec(measure={"repetitions": "many"}),
            "measure.repetitions",
            'measure.repetitions: "many" was given; allowed: a whole number from 1 to 100000 or '
            '"auto".',
        ),
        (
            spec(mitigation={"accumulation": 0}),
            "mitigation.accumulation",
            "mitigation.accumulation: 0 was given; allowed: a whole number from 1 to 1000000000.",
        ),
        (
            spec(mitigation={"precision": "float16"}),
            "mitigation.precision",
            'mitigation.precision: "float16" was given; allowed: "float32" or "float64" or '
            '"bfloat16" or "autocast".',
        ),
        (spec(workload=3), "workload", "workload: 3 was given; allowed: a JSON object."),
        ("{}", "model", "model is missing; it has no default."),
        ("[]", "", "A spec is a JSON object with the key model; [] was given."),
    ],
)
def test_that_a_wrong_key_is_one_sentence_with_what_was_given_and_what_is_allowed(
    document: str, key: str, sentence: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        RunSpec.from_json(document)
    assert [(problem.key, problem.sentence) for problem in caught.value.problems] == [
        (key, sentence)
    ]


@pytest.mark.parametrize(
    "text", ['{"model"', "", "nonsense", '{"model": {"input_shape": [4], "layers": []']
)
def test_that_a_truncated_document_is_called_incomplete(text: str) -> None:
    with pytest.raises(InvalidSpec, match="not a complete JSON document"):
        RunSpec.from_json(text)


def test_that_a_newer_version_is_refused_in_words() -> None:
    with pytest.raises(InvalidSpec, match="a newer one wrote this file"):
        RunSpec.from_json(spec(version=2, novelty=True))


def test_that_true_is_not_taken_for_the_number_one() -> None:
    with pytest.raises(InvalidSpec, match=r"workload\.order: true was given"):
        RunSpec.from_json(spec(workload={"kind": "nested_gradient", "order": True}))


def test_that_several_wrong_keys_are_several_sentences() -> None:
    document = spec(measure={"threads": 0, "seed": -1}, nothing=1)
    with pytest.raises(InvalidSpec) as caught:
        RunSpec.from_json(document)
    assert {problem.key for problem in caught.value.problems} == {
        "measure.threads",
        "measure.seed",
        "nothing",
    }


def _declaring() -> Iterator[tuple[type[Spec], RunSpec, Spec]]:
    """Every class with fields, in a run that holds one of it."""
    base = json.loads(spec())
    for kind in WORKLOAD_KINDS:
        run = RunSpec.from_json(json.dumps(base | {"workload": {"kind": kind}}))
        for owner in (run.workload, run.mitigation, run.mitigation.checkpointing, run.measure):
            yield type(owner), run, owner
    for kind in DATA_KINDS:
        run = RunSpec.from_json(json.dumps(base | {"data": {"kind": kind}}))
        yield type(run.data), run, run.data


def test_that_what_a_field_depends_on_is_there() -> None:
    for cls, run, owner in _declaring():
        for field in declared_fields(cls):
            for key, _ in field.when:
                node: object = run if "." in key else owner
                for part in key.split("."):
                    node = getattr(node, part)


def test_that_headings_name_fields_of_their_class_once() -> None:
    for cls, _, _ in _declaring():
        names = [name for names in cls.headings.values() for name in names]
        assert len(names) == len(set(names))
        assert set(names) <= {field.name for field in declared_fields(cls)}


def test_that_a_field_takes_effect_as_others_are_set() -> None:
    batched = declared_field(Hvp, "batched")
    assert batched.takes_effect(Hvp())
    assert not batched.takes_effect(Hvp(mode="finite_difference"))
    run = RunSpec.from_json(spec(data={"kind": "digits"}))
    meta = run.with_changes({"workload.kind": "maml"})
    size, ways = declared_field(DigitsData, "batch_size"), declared_field(DigitsData, "ways")
    assert (size.takes_effect(run.data, run), ways.takes_effect(run.data, run)) == (True, False)
    assert (size.takes_effect(meta.data, meta), ways.takes_effect(meta.data, meta)) == (False, True)
    assert ways.takes_effect(run.data)
