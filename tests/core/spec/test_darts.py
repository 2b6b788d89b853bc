"""What DARTS needs of a model and of its data, in sentences."""

import json

import pytest

from core.spec.notices import layer_notices
from core.spec.run import RunSpec

LINEAR = {"kind": "linear", "out_features": 10}


def spec(layers: list[dict[str, object]], **more: object) -> RunSpec:
    document = {
        "model": {"input_shape": [64], "layers": layers},
        "loss": "cross_entropy",
        "workload": {"kind": "darts"},
        **more,
    }
    return RunSpec.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("layers", "key", "sentence"),
    [
        (
            [LINEAR, {"kind": "softmax"}],
            "workload.kind",
            "among the candidates of a mixed layer, or among activations; the stack has neither.",
        ),
        (
            [{"kind": "mixed"}],
            "workload.kind",
            "whose training step needs weights; the stack has none, add a layer that has",
        ),
        (
            [{"kind": "embedding", "sparse": True}, {"kind": "flatten"}, {"kind": "relu"}, LINEAR],
            "model.layers.0",
            "embedding has sparse=true; darts steps along dense gradients, allowed: false.",
        ),
    ],
)
def test_that_a_model_without_choice_weights_or_dense_gradients_is_refused(
    layers, key, sentence
) -> None:
    (problem,) = spec(layers).problems()
    assert problem.key == key
    assert sentence in problem.sentence


def test_that_there_are_digits_enough_for_both_halves() -> None:
    layers = [LINEAR, {"kind": "mixed"}]
    assert spec(layers, data={"kind": "digits", "batch_size": 898}).problems() == ()
    (problem,) = spec(layers, data={"kind": "digits", "batch_size": 899}).problems()
    assert problem.sentence == (
        "data.batch_size: 899 was given; there are 1797 digits to train and to validate on, "
        "allowed: at most 898."
    )


def test_that_a_file_holds_examples_for_both_halves(tmp_path) -> None:
    file = tmp_path / "table.csv"
    rows = "\n".join(",".join(["0.5"] * 64 + ["3"]) for _ in range(10))
    file.write_text(",".join(f"c{i}" for i in range(65)) + "\n" + rows)
    data = {"kind": "arrays", "file": str(file), "batch_size": 5}
    layers = [LINEAR, {"kind": "mixed"}]
    assert spec(layers, data=data).problems() == ()
    (problem,) = spec(layers, data=data | {"batch_size": 6}).problems()
    assert problem.sentence.endswith("12 examples are needed at once; the file holds 10.")


def test_that_searched_activations_are_told_of() -> None:
    inside = {"kind": "residual", "layers": [{"kind": "tanh"}]}
    found = layer_notices(spec([LINEAR, {"kind": "gelu"}, inside]))
    assert [(notice.severity, notice.layer) for notice in found] == [("note", 1), ("note", 2)]
    assert found[0].sentence.startswith("gelu: searched as a choice among relu, tanh, silu and")
    assert layer_notices(spec([LINEAR, {"kind": "gelu"}, {"kind": "mixed"}])) == ()
    first = spec([LINEAR, {"kind": "gelu"}]).with_value("workload.kind", "nested_gradient")
    assert layer_notices(first) == ()
