"""Memory and time of sparse embedding gradients, relative to dense ones. Bytes repeat exactly."""

import json

import pytest

from core.results.events import Finished
from core.results.measurement import Measurement
from core.runner import run
from core.spec.run import RunSpec
from tests.bench.page import Page

MIB = 2**20
HEADERS = ["gradient", "peak MiB", "of dense", "median ms", "of dense"]
ABOVE = [
    {"kind": "flatten"},
    {"kind": "linear", "out_features": 16},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 1},
]


def measure(sparse: bool, order: int) -> Measurement:
    """A table of 50,000 vectors of 64 numbers, of which a batch uses 512."""
    table = {"kind": "embedding", "num_embeddings": 50_000, "embedding_dim": 64, "sparse": sparse}
    document = {
        "model": {"input_shape": [1], "layers": [table, *ABOVE]},
        "data": {"kind": "synthetic", "batch_size": 512},
        "workload": {"kind": "nested_gradient", "order": order},
        "device": "cpu",
        "measure": {"repetitions": 30, "warmup": 5},
    }
    *_, last = run(RunSpec.from_json(json.dumps(document)))
    assert isinstance(last, Finished)
    assert last.result.memory is not None, last.result.error
    return last.result


@pytest.mark.parametrize("order", [1, 2])
def test_that_a_sparse_gradient_keeps_its_promise(order: int, page: Page) -> None:
    """50,000 × 64 numbers, 512 ids, a small network above."""
    dense, sparse = measure(False, order), measure(True, order)
    rows = []
    for name, result in (("dense", dense), ("sparse", sparse)):
        assert result.memory is not None
        assert dense.memory is not None
        assert result.time is not None
        assert dense.time is not None
        peak, seconds = result.memory.peak_bytes, result.time.median_s
        ratio = peak / dense.memory.peak_bytes
        row = [name, f"{peak / MIB:.2f}", f"{ratio:.4f}", f"{seconds * 1e3:.3f}"]
        rows.append([*row, f"{seconds / dense.time.median_s:.2f}"])
    page.table(f"Embedding of 50,000 × 64, 512 ids, order {order}", HEADERS, rows)
    page.claim(
        f"Peak of the sparse gradient ÷ the dense one, order {order}",
        "≤ 0.05",
        f"{ratio:.4f}",
        met=ratio <= 0.05,
    )
