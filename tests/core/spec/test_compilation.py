"""What can be compiled, said before anything runs."""

import json
from typing import Any

import pytest

from core.spec.notices import notices
from core.spec.run import RunSpec

LINEAR = {"kind": "linear", "out_features": 3}


def spec_of(
    workload: dict[str, Any] | None = None, layers: Any = (LINEAR,), **mitigation: Any
) -> RunSpec:
    document = {
        "model": {"input_shape": [2], "layers": list(layers)},
        "workload": workload or {"kind": "nested_gradient"},
        "mitigation": {"compile": True} | mitigation,
    }
    return RunSpec.from_json(json.dumps(document))


def test_that_compiling_is_off_unless_asked_for() -> None:
    document = {"model": {"input_shape": [2], "layers": [LINEAR]}}
    spec = RunSpec.from_json(json.dumps(document))
    assert spec.mitigation.compile is False
    assert not any("compile" in sentence for sentence in notices(spec))


@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "nested_gradient", "order": 3},
        {"kind": "hvp", "mode": "forward_over_reverse"},
        {"kind": "hessian", "method": "vmap"},
        {"kind": "maml", "variant": "imaml"},
        {"kind": "darts"},
        {"kind": "adversarial"},
    ],
)
def test_that_what_is_the_same_program_each_time_can_be_compiled(workload: dict[str, Any]) -> None:
    assert spec_of(workload, layers=(LINEAR, {"kind": "tanh"}, LINEAR)).problems() == ()


@pytest.mark.parametrize(
    ("spec", "key", "words"),
    [
        (spec_of({"kind": "newton"}), "mitigation.compile", "decides by numbers"),
        (spec_of({"kind": "hutchinson_trace"}), "mitigation.compile", "workload.kind hvp"),
        (
            spec_of(layers=(LINEAR, {"kind": "dropout"})),
            "mitigation.compile",
            "other random numbers than torch, so that dropout",
        ),
        (
            spec_of(layers=(LINEAR, {"kind": "residual", "layers": [{"kind": "dropout"}]})),
            "mitigation.compile",
            "so that dropout",
        ),
        (
            spec_of(checkpointing={"kind": "torch"}),
            "mitigation.checkpointing.kind",
            'allowed: "none" or "rematerialize"',
        ),
    ],
)
def test_that_what_cannot_be_compiled_is_one_sentence(spec: RunSpec, key: str, words: str) -> None:
    (problem,) = spec.problems()
    assert problem.key == key
    assert words in problem.sentence
    assert "allowed" in problem.sentence
    plain = spec.with_changes({"mitigation.compile": False})
    assert plain.problems() == ()


def test_that_sparse_gradients_are_not_compiled() -> None:
    embedding = {"kind": "embedding", "num_embeddings": 5, "embedding_dim": 3, "sparse": True}
    (problem,) = spec_of(layers=(embedding,)).problems()
    assert problem.key == "mitigation.compile"
    assert "sparse false" in problem.sentence


def test_that_a_compiled_run_says_what_it_cannot_tell() -> None:
    assert any("kernel temporaries" in sentence for sentence in notices(spec_of()))
    again = spec_of(checkpointing={"kind": "rematerialize"})
    assert any("computes again what was dropped" in sentence for sentence in notices(again))


def test_that_only_true_and_false_are_allowed() -> None:
    with pytest.raises(
        ValueError, match=r"mitigation.compile: \"yes\" was given; allowed: true or"
    ):
        spec_of(compile="yes")
