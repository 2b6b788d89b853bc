"""Sparse gradients of an embedding: the dense ones, stored for the used rows alone."""

import json

import pytest
import torch

from core.engine.data import Batch
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec

WORDS, WIDTH = 40, 3
TABLE = "0.weight"
NESTED = [{"kind": "nested_gradient", "order": order} for order in (1, 2, 3)]
PRODUCTS = [{"kind": "hvp"}, {"kind": "hvp", "vectors": 3}]


def problem(sparse: bool, workload: dict[str, object], checkpointing: str = "none") -> Problem:
    table = {"kind": "embedding", "num_embeddings": WORDS, "embedding_dim": WIDTH}
    document = {
        "model": {
            "input_shape": [2],
            "layers": [
                table | {"sparse": sparse},
                {"kind": "flatten"},
                {"kind": "linear", "out_features": 4},
                {"kind": "tanh"},
                {"kind": "linear", "out_features": 2},
            ],
        },
        "data": {"kind": "synthetic", "batch_size": 6},
        "workload": workload,
        "mitigation": {"precision": "float64", "checkpointing": {"kind": checkpointing}},
        "device": "cpu",
    }
    spec = RunSpec.from_json(json.dumps(document))
    assert not spec.problems()
    return prepare(spec, torch.device("cpu"))


def result(made: Problem) -> dict[str, torch.Tensor]:
    return compute(made, SILENT).result


def used(made: Problem) -> torch.Tensor:
    """The rows of the table that the batch asks for, each once; one of them twice."""
    assert isinstance(made.data, Batch)
    rows = made.data.x.unique()
    assert len(rows) < made.data.x.numel()
    return rows


@pytest.mark.parametrize("checkpointing", ["none", "torch"])
@pytest.mark.parametrize("workload", NESTED, ids=["order 1", "order 2", "order 3"])
def test_that_it_is_the_dense_gradient_to_the_bit(
    workload: dict[str, object], checkpointing: str
) -> None:
    sparse, dense = (result(problem(kind, workload, checkpointing)) for kind in (True, False))

    assert sparse[TABLE].is_sparse
    for name, right in dense.items():
        assert torch.equal(sparse[name].to_dense(), right), name


@pytest.mark.parametrize("workload", NESTED, ids=["order 1", "order 2", "order 3"])
def test_that_it_stores_the_used_rows_and_no_other(workload: dict[str, object]) -> None:
    made = problem(True, workload)

    stored = result(made)[TABLE].coalesce()

    assert torch.equal(stored.indices().flatten(), used(made))
    assert stored.values().shape == (len(used(made)), WIDTH)


@pytest.mark.parametrize("workload", PRODUCTS, ids=["one vector", "three vectors"])
def test_that_products_with_the_hessian_are_the_dense_ones_and_zero_outside_the_used_rows(
    workload: dict[str, object],
) -> None:
    made = problem(True, workload)
    found, right = result(made), result(problem(False, workload))

    product = found[TABLE].to_dense()

    for name in right:
        assert torch.equal(found[name].to_dense(), right[name]), name
    others = torch.ones(WORDS, dtype=torch.bool)
    others[used(made)] = False
    assert others.any()
    assert not product[:, others].any()
    assert product[:, ~others].any()
