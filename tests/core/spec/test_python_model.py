"""A model from a Python file, as far as it is known without running the file."""

import json
from dataclasses import replace

import pytest

from core.spec.declaration import InvalidSpec
from core.spec.model import LayerRow
from core.spec.python_model import Known, PythonModel, UserLayer
from core.spec.run import RunSpec
from tests.own_models import NETWORK, own_spec, written

ROW = LayerRow(0, UserLayer(kind="Net"), (8,), (3,), 195, None)
KNOWN = Known(
    (ROW,), ("",), (3,), frozenset(), weights=(195,), random=False, has_loss=False, has_step=False
)


def test_that_a_spec_of_a_file_survives_json(tmp_path) -> None:
    spec = own_spec(written(tmp_path, NETWORK))
    assert RunSpec.from_json(spec.to_json()) == spec
    assert json.loads(spec.to_json())["model"] == {
        "kind": "python",
        "file": str(tmp_path / "own.py"),
        "callable": "model",
        "input_shape": [8],
        "vocabulary": None,
    }
    assert not spec.problems()


def test_that_a_tilde_stands_for_the_home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    file = written(tmp_path, NETWORK, "my own modèl.py")
    model = PythonModel(file="~/my own modèl.py", input_shape=(8,))
    assert not list(model.problems())
    assert model.path == file.resolve()


def test_that_a_relative_path_is_one_of_the_working_folder(tmp_path, monkeypatch) -> None:
    file = written(tmp_path, NETWORK)
    monkeypatch.chdir(tmp_path)
    assert PythonModel(file="own.py", input_shape=(8,)).path == file.resolve()


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("", 'model.file: "" was given; allowed: the path of a .py file.'),
        ("net.txt", 'model.file: "net.txt" was given; allowed: the path of a .py file.'),
        ("gone.py", 'model.file: "gone.py" was given; there is no such file.'),
        (
            "~nobody-there/a.py",
            'model.file: "~nobody-there/a.py" was given; there is no such file.',
        ),
        ("a\0.py", 'model.file: "a\\u0000.py" was given; there is no such file.'),
    ],
)
def test_that_a_file_that_cannot_be_is_refused_in_a_sentence(file: str, sentence: str) -> None:
    problems = own_spec(file, model={"file": file}).problems()
    assert [(problem.key, problem.sentence) for problem in problems] == [("model.file", sentence)]


@pytest.mark.parametrize("name", ["two words", "class", ""])
def test_that_a_callable_is_a_name(name: str, tmp_path) -> None:
    file = written(tmp_path, NETWORK)
    (problem,) = own_spec(file, model={"callable": name}).problems()
    assert problem.key == "model.callable"
    assert "allowed: the name of a class or function" in problem.sentence


def test_that_a_wrong_key_names_those_of_a_python_model(tmp_path) -> None:
    with pytest.raises(InvalidSpec, match=r"model\.layers is not a known key; allowed here: kind"):
        own_spec(written(tmp_path, NETWORK), model={"layers": []})


def test_that_a_model_that_is_no_object_is_told_what_it_should_be() -> None:
    with pytest.raises(InvalidSpec, match=r"^model: 3 was given; allowed: a JSON object\.$"):
        RunSpec.from_json('{"model": 3}')


def test_that_checkpointing_is_refused_since_nobody_cuts_the_module(tmp_path) -> None:
    spec = own_spec(written(tmp_path, NETWORK)).with_changes(
        {"mitigation.checkpointing.kind": "rematerialize"}
    )
    (problem,) = spec.problems()
    assert problem.key == "mitigation.checkpointing.kind"


def test_that_changing_the_kind_keeps_the_input_shape(tmp_path) -> None:
    stack = RunSpec.from_json('{"model": {"input_shape": [5], "layers": [{"kind": "tanh"}]}}')
    changed = stack.with_changes({"model.kind": "python"})
    assert changed.model == PythonModel(input_shape=(5,))
    assert changed.with_changes({"model.kind": "stack"}).model.input_shape == (5,)


def test_that_what_is_known_is_kept_by_changes_elsewhere_and_lost_with_the_model(tmp_path) -> None:
    spec = own_spec(written(tmp_path, NETWORK))
    assert isinstance(spec.model, PythonModel)
    known = spec.model_copy(update={"model": spec.model.with_known(KNOWN)})
    assert known == spec
    assert hash(known.model) == hash(spec.model)
    batch = known.with_changes({"data.batch_size": 3})
    assert batch.model.trace() == (ROW,)
    assert batch.model.output_shape == (3,)
    assert known.with_changes({"model.callable": "other"}).model.trace() == ()
    assert RunSpec.from_json(known.to_json()).model.trace() == ()


@pytest.mark.parametrize(
    ("name", "row"),
    [("a.first.weight", 1), ("a.second.bias", 0), ("scale", -1), ("b.weight", -1)],
)
def test_that_a_weight_belongs_to_the_closest_module_that_ran(name: str, row: int) -> None:
    known = replace(KNOWN, names=("a", "a.first"))
    model = PythonModel(file="own.py", input_shape=(8,)).with_known(known)
    assert model.row_of(name) == row


@pytest.mark.parametrize(
    ("workload", "key"),
    [
        ({"kind": "darts"}, "workload.kind"),
        ({"kind": "maml", "variant": "anil"}, "workload.variant"),
    ],
)
def test_that_what_needs_layers_refuses_a_model_of_ones_own(
    workload: dict, key: str, tmp_path
) -> None:
    (problem,) = own_spec(written(tmp_path, NETWORK), workload=workload).problems()
    assert problem.key == key
    assert "a model of your own is one piece" in problem.sentence
