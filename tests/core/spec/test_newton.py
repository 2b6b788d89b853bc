"""What Newton's method does not combine with, and what it needs at least."""

import json

from core.spec.run import RunSpec
from core.spec.size import least_bytes


def spec(method: str, layers: list[dict[str, object]], width: int) -> RunSpec:
    document = {
        "model": {"input_shape": [width], "layers": layers},
        "workload": {"kind": "newton", "method": method},
    }
    return RunSpec.from_json(json.dumps(document))


def test_that_a_hessian_that_cannot_fit_is_known_from_its_size_alone() -> None:
    layers: list[dict[str, object]] = [{"kind": "linear", "out_features": 10, "bias": False}]
    exact, by_products = (least_bytes(spec(method, layers, 100)) for method in ("exact", "cg"))
    assert exact is not None
    assert by_products is not None
    assert exact.result == 1000**2 * 4
    assert by_products.result == 1000 * 4


def test_that_sparse_gradients_are_refused_at_the_layer_that_has_them() -> None:
    table: dict[str, object] = {"kind": "embedding", "sparse": True}
    layers: list[dict[str, object]] = [table, {"kind": "flatten"}, {"kind": "linear"}]
    (found,) = spec("cg", layers, 3).problems()
    assert found.key == "model.layers.0.sparse"
    assert found.sentence.endswith("allowed: false.")
