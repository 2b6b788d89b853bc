"""Networks whose second derivatives are known, and ways to take them that share no code."""

import json
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec
from tests import oracles
from tests.core.engine.test_layers import CASES, CURVE, IMAGE, LINE

CPU = torch.device("cpu")
Layers = list[dict[str, object]]
NET: Layers = [
    {"kind": "linear", "out_features": 4},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 3},
]
LINEAR: Layers = [{"kind": "linear", "out_features": 1, "bias": False}]
CLASSIFIER: Layers = [{"kind": "linear", "out_features": 3, "bias": False}]
STEP = 1e-4


def spec_of(
    workload: Mapping[str, object],
    layers: Layers = NET,
    input_shape: tuple[int, ...] = (3,),
    **keys: object,
) -> RunSpec:
    """A small run in float64; further dotted keys with ``__``."""
    document = {
        "device": "cpu",
        "model": {"input_shape": input_shape, "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 5},
        "workload": workload,
        "mitigation": {"precision": "float64"},
        "measure": {"seed": 4},
    }
    changes = {key.replace("__", "."): value for key, value in keys.items()}
    spec = RunSpec.from_json(json.dumps(document)).with_changes(changes)
    assert not spec.problems(), spec.problems()
    return spec


def with_layer(case: str) -> tuple[Layers, tuple[int, ...]]:
    """A kind of layer between others that bend it, and the input of the stack."""
    shape, layer = CASES[case]
    before: dict[tuple[int, ...], Layers] = {
        LINE: [{"kind": "linear", "out_features": 6}],
        CURVE: [{"kind": "conv1d", "out_channels": 2, "padding": 1}],
        IMAGE: [{"kind": "conv2d", "out_channels": 2, "padding": 1}],
    }
    after: Layers = [
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 3},
        {"kind": "sigmoid"},
    ]
    return [*before.get(shape, []), layer, *after], shape


def result_of(spec: RunSpec) -> dict[str, Tensor]:
    """What the engine computes, sparse tensors made dense."""
    made = prepare(spec, CPU)
    made.reset()
    return {name: found.to_dense() for name, found in compute(made, SILENT).result.items()}


def hessian_by_differences(made: Problem) -> Tensor:
    """(P, P) in the order of the parameters: central differences of first gradients."""
    start = list(made.parameters.values())
    flat = oracles.flat(start)

    def gradient(point: Tensor) -> Tensor:
        parts = point.split([tensor.numel() for tensor in start])
        weights = {
            name: part.view_as(tensor).requires_grad_()
            for (name, tensor), part in zip(made.parameters.items(), parts, strict=True)
        }
        made.reset()
        loss = made.loss(weights, made.data[0], made.data[1], SILENT, update_statistics=False)
        found = torch.autograd.grad(
            loss, list(weights.values()), allow_unused=True, materialize_grads=True
        )
        return oracles.flat(found)

    columns = []
    for unit in torch.eye(len(flat), dtype=flat.dtype):
        columns.append((gradient(flat + STEP * unit) - gradient(flat - STEP * unit)) / (2 * STEP))
    return torch.stack(columns, dim=1)


def linear_regression(made: Problem) -> Tensor:
    """(2/N) XᵀX, for one output without bias under the mean squared error."""
    x = made.data[0]
    return 2 / len(x) * x.T @ x


def softmax_regression(made: Problem) -> Tensor:
    """Mean of (diag p - ppᵀ) ⊗ xxᵀ, for a linear layer without bias under cross-entropy; with two
    classes and their difference as the score it is that of logistic regression."""
    x, (weight,) = made.data[0], made.parameters.values()
    blocks = []
    for row in x:
        p = torch.softmax(weight.detach() @ row, 0)
        blocks.append(torch.kron(torch.diag(p) - torch.outer(p, p), torch.outer(row, row)))
    return torch.stack(blocks).mean(0)


CLOSED: dict[str, tuple[RunSpec, Callable[[Problem], Tensor]]] = {
    "linear regression": (spec_of({"kind": "hvp"}, LINEAR), linear_regression),
    "softmax regression": (
        spec_of({"kind": "hvp"}, CLASSIFIER, loss="cross_entropy"),
        softmax_regression,
    ),
    "logistic regression": (
        spec_of(
            {"kind": "hvp"},
            [{"kind": "linear", "out_features": 2, "bias": False}],
            loss="cross_entropy",
        ),
        softmax_regression,
    ),
}
"""Runs, and the Hessians of their losses."""
