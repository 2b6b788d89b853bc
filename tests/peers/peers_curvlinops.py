"""Second derivatives against curvlinops, which takes them through torch.func."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from core.engine import tangents
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec
from tests import oracles
from tests.core.engine.second_derivatives import CPU, NET, Layers, hessian_by_differences, spec_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the peer and of what it brings along
    from curvlinops import HessianLinearOperator

IMAGE: Layers = [
    {"kind": "conv2d", "out_channels": 3, "padding": 1},
    {"kind": "tanh"},
    {"kind": "avg_pool2d", "kernel_size": 2},
    {"kind": "flatten"},
    {"kind": "linear", "out_features": 4},
]
NETS: dict[str, tuple[Layers, tuple[int, ...]]] = {
    "mlp": ([NET[0], {"kind": "softplus"}, *NET], (3,)),
    "cnn": (IMAGE, (2, 6, 6)),
    "rms norm": ([NET[0], {"kind": "rms_norm"}, *NET[1:]], (3,)),
    "layer norm": ([NET[0], {"kind": "layer_norm"}, *NET[1:]], (3,)),
}
ALIKE = [net for net in NETS if net != "layer norm"]
MODULES = {
    "mlp": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)
    ),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 4)
    ),
    "rms norm": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.RMSNorm(4, eps=1e-5), nn.Tanh(), nn.Linear(4, 3)
    ),
    "layer norm": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 3)
    ),
}
LOSSES = {"mse": nn.MSELoss, "cross_entropy": nn.CrossEntropyLoss}


def made_of(net: str, loss: str, workload: dict[str, object]) -> Problem:
    layers, shape = NETS[net]
    return prepare(spec_of(workload, layers, shape, loss=loss), CPU)


def theirs(net: str, spec: RunSpec, made: Problem) -> HessianLinearOperator:
    """The peer's operator at the same weights and examples."""
    module = MODULES[net]().double()
    with torch.no_grad():
        for weight, ours in zip(module.parameters(), made.parameters.values(), strict=True):
            weight.copy_(ours)
    return HessianLinearOperator(
        module, LOSSES[spec.loss](), list(module.parameters()), [tuple(made.data)]
    )


def flat(result: dict[str, Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in result.values()], dim=1)


@pytest.mark.parametrize(
    "mode", ["reverse_over_reverse", "forward_over_reverse", "reverse_over_forward"]
)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("net", ALIKE)
def test_that_hessian_vector_products_are_those_of_curvlinops(
    net: str, loss: str, mode: str
) -> None:
    tangents.load()
    made = made_of(net, loss, {"kind": "hvp", "mode": mode, "vectors": 3})

    ours = flat(compute(made, SILENT).result)

    operator = theirs(net, made.spec, made)
    right = (operator @ flat(made.own).T).T
    assert oracles.relative_error([ours], [right]) <= 1e-10


@pytest.mark.parametrize("method", ["rows", "vmap"])
@pytest.mark.parametrize("net", ALIKE)
def test_that_the_hessian_is_that_of_curvlinops(net: str, method: str) -> None:
    made = made_of(net, "cross_entropy", {"kind": "hessian", "method": method})

    ours = compute(made, SILENT).result["hessian"]

    right = theirs(net, made.spec, made) @ torch.eye(len(ours), dtype=ours.dtype)
    assert oracles.relative_error([ours], [right]) <= 1e-10


def test_that_through_layer_norm_ours_are_those_of_differences_and_curvlinops_s_are_not() -> None:
    """torch's tangents of layer norm have a wrong gradient (pytorch/pytorch#198017)."""
    made = made_of("layer norm", "mse", {"kind": "hvp", "vectors": 3})
    vectors = flat(made.own)

    ours = flat(compute(made, SILENT).result)

    right = vectors @ hessian_by_differences(made).T
    assert oracles.relative_error([ours], [right]) <= 1e-6
    assert (
        oracles.relative_error([(theirs("layer norm", made.spec, made) @ vectors.T).T], [right])
        > 1e-2
    )
