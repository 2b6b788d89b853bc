"""What parts of a batch and number formats do not go with, and what is said of them."""

import json
from typing import Any

import pytest

from core.spec.notices import notices
from core.spec.run import RunSpec
from core.spec.size import least_bytes
from core.spec.workloads import WORKLOAD_KINDS

LINEAR = {"kind": "linear", "out_features": 4}


def spec_of(
    workload: dict[str, Any] | None = None,
    layers: list[dict[str, Any]] | None = None,
    batch: int = 6,
    **mitigation: Any,
) -> RunSpec:
    document = {
        "model": {"input_shape": [5], "layers": layers or [LINEAR, {"kind": "tanh"}, LINEAR]},
        "data": {"kind": "synthetic", "batch_size": batch},
        "workload": workload or {"kind": "nested_gradient"},
        "mitigation": mitigation,
    }
    return RunSpec.from_json(json.dumps(document))


def found(spec: RunSpec) -> list[tuple[str, str]]:
    return [(problem.key, problem.sentence) for problem in spec.problems()]


@pytest.mark.parametrize("kind", WORKLOAD_KINDS)
def test_that_parts_are_refused_where_a_workload_says_so_and_nowhere_else(kind: str) -> None:
    spec = spec_of({"kind": kind}, accumulation=3)
    sentences = found(spec)

    assert spec.workload.accumulates is (kind not in ("maml", "darts"))
    assert bool(sentences) is not spec.workload.accumulates
    assert all(key == "mitigation.accumulation" for key, _ in sentences)
    assert all(text.endswith("; allowed: 1.") for _, text in sentences)
    assert not found(spec_of({"kind": kind}, accumulation=1))


def test_that_more_parts_than_examples_are_one_sentence() -> None:
    assert found(spec_of(accumulation=7)) == [
        (
            "mitigation.accumulation",
            "mitigation.accumulation: 7 was given; each part needs an example; allowed: at most "
            "data.batch_size, 6.",
        )
    ]
    assert found(spec_of(accumulation=6)) == []


def test_that_batch_norm_refuses_parts_wherever_it_lies() -> None:
    norm = {"kind": "batch_norm"}
    inner = {"kind": "residual", "layers": [norm]}
    for layers in ([LINEAR, norm, LINEAR], [LINEAR, inner, LINEAR]):
        ((key, sentence),) = found(spec_of(layers=layers, accumulation=2))
        assert key == "mitigation.accumulation"
        assert sentence.startswith("mitigation.accumulation: 2 was given; batch_norm (layer 2) ")
        assert sentence.endswith("such as group_norm.")
        assert found(spec_of(layers=layers)) == []


@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "newton", "method": "exact"},
        {"kind": "adversarial", "method": "second_order"},
    ],
    ids=str,
)
def test_that_eigenvalues_refuse_bfloat16(workload: dict[str, Any]) -> None:
    ((key, sentence),) = found(spec_of(workload, precision="bfloat16"))

    assert key == "mitigation.precision"
    assert f'workload.method "{workload["method"]}" needs eigenvalues' in sentence
    assert found(spec_of(workload, precision="autocast")) == []


def test_that_dropout_in_parts_is_warned_of() -> None:
    layers = [LINEAR, {"kind": "dropout"}, LINEAR]

    (sentence,) = notices(spec_of(layers=layers, accumulation=3))

    assert sentence.startswith("mitigation.accumulation: each of the 3 parts draws random numbers")
    assert notices(spec_of(layers=layers)) == notices(spec_of(accumulation=3)) == ()


@pytest.mark.parametrize("precision", ["bfloat16", "autocast"])
def test_that_coarse_differences_are_warned_of(precision: str) -> None:
    workload = {"kind": "hvp", "mode": "finite_difference"}

    (sentence,) = notices(spec_of(workload, precision=precision))

    assert sentence.startswith(f"mitigation.precision {precision}: two gradients of two or three")
    assert notices(spec_of(workload)) == ()


def test_that_the_least_that_is_needed_counts_one_part_and_its_format() -> None:
    whole, cut, coarse, cast = (
        least_bytes(spec_of(layers=[{"kind": "linear", "out_features": 1000}], **mitigation))
        for mitigation in (
            {},
            {"accumulation": 4},
            {"precision": "bfloat16"},
            {"precision": "autocast"},
        )
    )
    assert whole is not None
    assert cut is not None
    assert coarse is not None
    assert cast is not None
    assert whole.activations == 6 * 1000 * 4
    assert cut.activations == 2 * 1000 * 4
    assert (cut.parameters, cut.data) == (whole.parameters, whole.data)
    assert coarse.total * 2 == whole.total
    assert (cast.parameters, cast.activations * 2) == (whole.parameters, whole.activations)


@pytest.mark.parametrize(
    ("workload", "exact"),
    [
        ({"kind": "hvp", "mode": "finite_difference"}, {"mode": "reverse_over_reverse"}),
        ({"kind": "maml", "order": 1}, {"order": 2, "variant": "maml"}),
        ({"kind": "maml", "variant": "anil", "order": 2}, {"order": 2, "variant": "maml"}),
        ({"kind": "maml", "variant": "anil", "order": 3}, {"order": 3, "variant": "maml"}),
        ({"kind": "maml", "variant": "reptile"}, {"order": 2, "variant": "maml"}),
        ({"kind": "maml", "variant": "imaml"}, {"order": 2, "variant": "maml"}),
        ({"kind": "darts", "method": "finite_difference"}, {"method": "exact", "order": 2}),
        ({"kind": "darts", "order": 1}, {"method": "exact", "order": 2}),
    ],
    ids=str,
)
def test_that_each_approximation_knows_what_it_approximates(
    workload: dict[str, Any], exact: dict[str, Any]
) -> None:
    approximation = spec_of(workload).workload
    other = approximation.exactly()

    assert approximation.approximates
    assert not other.approximates
    assert {name: getattr(other, name) for name in exact} == exact
    assert other.exactly() == other


def test_that_what_is_exact_approximates_nothing() -> None:
    for kind in WORKLOAD_KINDS:
        workload = spec_of({"kind": kind}).workload
        assert not workload.approximates
        assert workload.exactly() == workload
