"""The whole Hessian: closed forms, independent differences, and how it is looked at."""

from itertools import pairwise

import pytest
import torch

from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute, look
from core.engine.workloads.hessian import picture
from core.results.heat_map import MOST_CELLS
from core.spec.run import RunSpec
from core.spec.size import least_bytes
from tests import oracles
from tests.core.engine.second_derivatives import (
    CLOSED,
    CPU,
    LINEAR,
    NET,
    hessian_by_differences,
    result_of,
    spec_of,
    with_layer,
)
from tests.core.engine.test_hvp import SPARSE, TORN, flat_products, flat_vectors
from tests.core.engine.test_layers import CASES
from tests.core.engine.test_nested_gradient import Listening

WAYS = [("rows", 1), ("vmap", 1), ("vmap", 3), ("vmap", 1000)]


def hessian(method: str = "rows", chunk_size: int = 4, **keys: object) -> RunSpec:
    workload = {"kind": "hessian", "method": method, "chunk_size": chunk_size}
    return spec_of(workload, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "chunk_size"), WAYS)
@pytest.mark.parametrize("case", CLOSED)
def test_that_it_is_the_closed_form(case: str, method: str, chunk_size: int) -> None:
    spec, closed = CLOSED[case]
    workload = {"kind": "hessian", "method": method, "chunk_size": chunk_size}
    made = prepare(spec.with_changes({"workload": workload}), CPU)

    found = compute(made, SILENT).result["hessian"]

    assert oracles.relative_error([found], [closed(made)]) <= 1e-13


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("case", CASES)
def test_that_every_kind_of_layer_has_the_hessian_of_differences(case: str, loss: str) -> None:
    layers, shape = with_layer(case)
    spec = hessian("vmap", 7, layers=layers, input_shape=shape, loss=loss)
    made = prepare(spec, CPU)
    made.reset()
    found = compute(made, SILENT).result["hessian"]

    if case not in TORN:
        assert oracles.relative_error([found], [hessian_by_differences(made)]) <= 1e-5
    rows = result_of(spec.with_value("workload.method", "rows"))["hessian"]
    assert oracles.relative_error([found], [rows]) <= 1e-10
    assert oracles.relative_error([found], [found.T]) <= 1e-10


@pytest.mark.parametrize(("method", "chunk_size"), WAYS)
def test_that_its_products_are_hessian_vector_products(method: str, chunk_size: int) -> None:
    hvp = prepare(spec_of({"kind": "hvp", "vectors": 3}), CPU)

    found = result_of(hessian(method, chunk_size))["hessian"]

    right = flat_products(compute(hvp, SILENT).result)
    assert oracles.relative_error([flat_vectors(hvp) @ found], [right]) <= 1e-12


@pytest.mark.parametrize("checkpointing", ["torch", "rematerialize"])
@pytest.mark.parametrize("method", ["rows", "vmap"])
def test_that_checkpointing_changes_nothing(method: str, checkpointing: str) -> None:
    layers = [NET[0], {"kind": "batch_norm"}, *NET]
    plain = hessian(method, layers=layers)

    found = result_of(plain.with_value("mitigation.checkpointing.kind", checkpointing))

    assert oracles.relative_error(list(found.values()), list(result_of(plain).values())) <= 1e-12


def test_that_dropout_is_the_same_function_for_all_rows() -> None:
    layers = [NET[0], {"kind": "dropout", "p": 0.4}, {"kind": "tanh"}, NET[2]]

    found = result_of(hessian(layers=layers))["hessian"]

    assert oracles.relative_error([found], [found.T]) <= 1e-12
    assert (
        oracles.relative_error([found], [result_of(hessian("vmap", layers=layers))["hessian"]])
        <= 1e-12
    )


def test_that_a_sparse_embedding_has_the_rows_of_a_dense_one_and_is_refused_several_at_once() -> (
    None
):
    layers = [SPARSE, {"kind": "flatten"}, *NET]
    sparse = hessian(layers=layers, input_shape=(2,))
    dense = sparse.with_value("model.layers.0.sparse", "false")

    found, right = (result_of(spec)["hessian"] for spec in (sparse, dense))
    (problem,) = sparse.with_value("workload.method", "vmap").problems()

    assert oracles.relative_error([found], [right]) <= 1e-12
    assert problem.sentence.startswith('workload.method: "vmap" was given; the sparse gradient')


def test_that_a_hessian_of_zeros_is_a_result_and_a_warning() -> None:
    """The output is constant, so that its gradient is never differentiated."""
    made = prepare(hessian(layers=[*LINEAR, {"kind": "relu"}]), CPU)
    with torch.no_grad():
        made.data[0].abs_()
        made.parameters["0.weight"].fill_(-1)

    computed = compute(made, SILENT)

    assert not computed.result["hessian"].any()
    assert computed.result["hessian"].shape == (3, 3)


def test_that_weights_are_as_they_were_and_no_graph_is_left() -> None:
    made = prepare(hessian("vmap"), CPU)
    before = {name: tensor.detach().clone() for name, tensor in made.parameters.items()}

    computed = compute(made, SILENT)

    assert all(torch.equal(tensor, before[name]) for name, tensor in made.parameters.items())
    assert all(tensor.grad is None for tensor in made.parameters.values())
    assert not computed.result["hessian"].requires_grad


@pytest.mark.parametrize("method", ["rows", "vmap"])
def test_that_all_rows_are_one_phase(method: str) -> None:
    recorder = Listening()

    compute(prepare(hessian(method), CPU), recorder)

    phases = [said for said in recorder.said if isinstance(said, str)]
    assert phases == ["forward", "gradient 1", "rows"]


# ------------------------------------------------------------------------- how it is looked at


def test_that_trace_and_asymmetry_are_read_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare(hessian(), CPU)
    computed = compute(made, SILENT)
    matrix = computed.result["hessian"]
    matrix[3, 7] += 0.25

    for stripe in (1, 5, 1000):
        monkeypatch.setattr("core.engine.workloads.hessian._STRIPE", stripe)
        readings = look(made, computed).readings
        assert float(readings["largest_asymmetry"]) == pytest.approx(0.25, abs=1e-12)
        assert float(readings["trace"]) == pytest.approx(
            sum(matrix[k, k].item() for k in range(len(matrix))), rel=1e-14
        )


def test_that_a_small_matrix_is_its_own_picture() -> None:
    matrix = torch.arange(9.0).view(3, 3) - 4
    drawn = picture(matrix, {"0.weight": torch.zeros(1, 2), "0.bias": torch.zeros(1)})

    assert drawn.cells == ((-4, -3, -2), (-1, 0, 1), (2, 3, 4))
    assert (drawn.size, drawn.title) == (3, "Hessian")
    assert [(block.name, block.start) for block in drawn.blocks] == [("0.weight", 0), ("0.bias", 2)]


@pytest.mark.parametrize("size", [64, 65, 129, 200])
def test_that_a_cell_is_the_largest_entry_that_it_stands_for_with_its_sign(size: int) -> None:
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(1)).double()

    drawn = picture(matrix, {"w": torch.zeros(size)})

    assert len(drawn.cells) == MOST_CELLS
    edges = [size * k // MOST_CELLS for k in range(MOST_CELLS + 1)]
    for row, (top, bottom) in zip(drawn.cells, pairwise(edges), strict=True):
        for cell, (left, right) in zip(row, pairwise(edges), strict=True):
            entries = matrix[top:bottom, left:right].flatten().tolist()
            assert cell == max(entries, key=abs)


def test_that_what_is_not_finite_has_a_cell_without_a_number() -> None:
    matrix = torch.eye(2)
    matrix[0, 1], matrix[1, 0] = torch.nan, torch.inf

    assert picture(matrix, {"w": torch.zeros(2)}).cells == ((1, None), (None, 1))


# ------------------------------------------------------------------------------- what cannot fit


def test_that_a_matrix_that_cannot_fit_is_refused_with_what_can() -> None:
    wide = hessian(layers=[{"kind": "linear", "out_features": 1000}], input_shape=(1000,))
    several = wide.with_value("workload.method", "vmap")
    numbers = 1000 * 1000 + 1000

    for spec, words in ((wide, "never form the matrix."), (several, "workload.method rows")):
        least = least_bytes(spec)
        assert least is not None
        assert least.result == 8 * numbers**2
        refusal = least.refusal(2**30, "cpu")
        assert "workload.kind hvp" in refusal
        assert words in refusal
