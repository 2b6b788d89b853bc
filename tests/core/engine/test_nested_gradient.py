"""Nested gradients against closed forms, and what they leave behind."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
import torch
from typing_extensions import override

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Silent
from core.engine.workloads import compute
from core.engine.workloads.nested_gradient import nested_gradients
from core.spec.run import RunSpec
from tests import oracles

ORDERS = range(1, 7)


def problem(**changes: object) -> Problem:
    """A small net in float64, with dotted keys changed."""
    spec = RunSpec.from_json(
        """{"model": {"input_shape": [3], "layers": [{"kind": "linear", "out_features": 4},
        {"kind": "tanh"}, {"kind": "linear", "out_features": 2}]}, "data": {"kind": "synthetic",
        "batch_size": 5}, "mitigation": {"precision": "float64"}}"""
    )
    changed = spec.with_changes({key.replace("__", "."): value for key, value in changes.items()})
    assert not changed.problems()
    return prepare(changed, torch.device("cpu"))


class Listening(Silent):
    """Keeps what a workload says, in order."""

    def __init__(self) -> None:
        self.said: list[object] = []

    @override
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.said.append(name)
        yield

    @override
    def born(self, category: str) -> None:
        self.said.append(("born", category))

    @override
    def layer(self, index: int) -> None:
        self.said.append(index)

    @override
    def hold(self, category: str, tensors: Iterable[torch.Tensor]) -> None:
        self.said.append((category, len(list(tensors))))


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn(7, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("order", ORDERS)
def test_that_every_order_of_an_exponential_is_right(x: torch.Tensor, order: int) -> None:
    found = nested_gradients(lambda: torch.exp(1.3 * x).sum(), (x,), order, SILENT)

    assert oracles.relative_error(found.gradients, [oracles.exponential(x, 1.3, order)]) <= 1e-10


@pytest.mark.parametrize("order", ORDERS)
def test_that_every_order_of_a_hyperbolic_tangent_is_right(x: torch.Tensor, order: int) -> None:
    found = nested_gradients(lambda: torch.tanh(x).sum(), (x,), order, SILENT)

    assert oracles.relative_error(found.gradients, [oracles.hyperbolic_tangent(x, order)]) <= 1e-10


@pytest.mark.parametrize("order", ORDERS)
def test_that_each_order_differentiates_the_sum_of_all_entries(x: torch.Tensor, order: int) -> None:
    weights = torch.linspace(-1, 2, 7, dtype=torch.float64)

    found = nested_gradients(lambda: (weights * x).sum() ** 7, (x,), order, SILENT)

    right = oracles.power_of_sum(weights, x, 7, order)
    assert oracles.relative_error(found.gradients, [right]) <= 1e-10


@pytest.mark.parametrize("order", ORDERS)
def test_that_tensors_are_differentiated_together(order: int) -> None:
    weights = torch.linspace(-1, 2, 5, dtype=torch.float64)
    parts = [torch.full((size,), 0.4, dtype=torch.float64).requires_grad_() for size in (2, 3)]

    found = nested_gradients(lambda: (weights * torch.cat(parts)).sum() ** 7, parts, order, SILENT)

    right = oracles.power_of_sum(weights, torch.cat(parts), 7, order).split([2, 3])
    assert oracles.relative_error(found.gradients, right) <= 1e-10


def test_that_a_derivative_that_vanishes_is_a_result_of_zeros_and_a_warning() -> None:
    quadratic = problem(model__layers=[{"kind": "linear", "out_features": 1}], workload__order=4)

    computed = compute(quadratic, SILENT)

    assert set(computed.result) == {"0.weight", "0.bias"}
    assert all(not tensor.any() for tensor in computed.result.values())
    assert computed.result["0.weight"].shape == (1, 3)
    assert computed.warnings == (
        "The derivative of order 4 is identically zero; the result is zeros.",
    )


def test_that_a_derivative_that_does_not_vanish_has_no_warning() -> None:
    assert compute(problem(workload__order=3), SILENT).warnings == ()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_a_tensor_without_influence_gets_zeros_and_leaves_the_others_right(
    x: torch.Tensor, order: int
) -> None:
    idle = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)

    found = nested_gradients(lambda: torch.exp(x).sum(), (idle, x), order, SILENT)

    assert found.gradients[0] is None
    assert oracles.relative_error(found.gradients[1:], [torch.exp(x)]) <= 1e-10


def test_that_a_tensor_that_only_the_first_order_depends_on_is_left_out_of_the_sum() -> None:
    linear, cubic = (torch.tensor(2.0, requires_grad=True) for _ in range(2))

    found = nested_gradients(lambda: 5 * linear + cubic**3, (linear, cubic), 2, SILENT)

    assert found.gradients == (None, torch.tensor(12.0))


@pytest.mark.parametrize("order", [1, 3])
def test_that_neither_a_graph_nor_a_grad_is_left_behind(order: int) -> None:
    made = problem(workload__order=order)

    computed = compute(made, SILENT)

    assert not any(tensor.requires_grad for tensor in computed.result.values())
    assert not computed.loss.requires_grad
    assert all(parameter.grad is None for parameter in made.parameters.values())


def test_that_phases_layers_and_categories_are_told_in_order() -> None:
    recorder = Listening()

    compute(problem(workload__order=3), recorder)

    assert recorder.said == [
        "forward", ("born", "activations"), 0, 1, 2, -1,
        "gradient 1", ("born", "graph_1"), ("gradients", 4),
        "gradient 2", ("born", "graph_2"), ("gradients", 4),
        "gradient 3", ("born", "gradients"), ("gradients", 4),
    ]  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_inputs_can_be_differentiated_by(order: int) -> None:
    made = problem(workload__order=order, workload__wrt="inputs")
    x, y = made.data[:2]
    weights = made.parameters

    def loss() -> torch.Tensor:
        hidden = torch.tanh(x @ weights["0.weight"].T + weights["0.bias"])
        return ((hidden @ weights["2.weight"].T + weights["2.bias"] - y) ** 2).mean()

    right = loss()
    for _ in range(order):
        (right,) = torch.autograd.grad(right.sum(), x, create_graph=True)

    computed = compute(made, SILENT)

    assert list(computed.result) == ["x"]
    assert oracles.relative_error([computed.result["x"]], [right]) <= 1e-12
    assert not any(parameter.requires_grad for parameter in weights.values())


def test_that_weights_are_those_of_the_torch_module() -> None:
    made = problem(measure__seed=11)
    torch.manual_seed(11)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))

    assert list(made.parameters) == [name for name, _ in module.named_parameters()]
    for name, parameter in module.named_parameters():
        assert torch.equal(made.parameters[name].float(), parameter)
        assert made.parameters[name].is_leaf


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_that_weights_data_and_result_have_the_precision(precision: str) -> None:
    made = problem(mitigation__precision=precision)

    tensors = [*made.parameters.values(), *made.data, *compute(made, SILENT).result.values()]

    assert {tensor.dtype for tensor in tensors} == {getattr(torch, precision)}


def test_that_preparing_a_run_leaves_weights_to_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = problem(measure__seed=5)
    torch.manual_seed(2)
    second = problem(measure__seed=5)
    other = problem(measure__seed=6)

    assert torch.equal(first.parameters["0.weight"], second.parameters["0.weight"])
    assert not torch.equal(first.parameters["0.weight"], other.parameters["0.weight"])
    assert torch.equal(first.data.x, second.data.x)
    assert not torch.equal(first.data.x, other.data.x)


def test_that_every_repetition_is_the_same_computation() -> None:
    made = problem(
        model__layers=[
            {"kind": "linear", "out_features": 4},
            {"kind": "batch_norm"},
            {"kind": "dropout"},
            {"kind": "linear", "out_features": 2},
        ]
    )
    results, statistics = [], []
    for _ in range(2):
        made.reset()
        results.append(compute(made, SILENT).result)
        statistics.append({name: buffer.clone() for name, buffer in made.buffers.items()})

    for name in results[0]:
        assert torch.equal(results[0][name], results[1][name])
    for name in statistics[0]:
        assert torch.equal(statistics[0][name], statistics[1][name])
    assert statistics[0]["1.num_batches_tracked"] == 1
    assert statistics[0]["1.running_mean"].any()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
def test_that_a_sparse_gradient_equals_the_dense_one(order: int, checkpointing: str) -> None:
    results = [
        compute(
            problem(
                model__input_shape=[2],
                model__layers=[
                    {"kind": "embedding", "num_embeddings": 20, "embedding_dim": 3,
                     "sparse": sparse},
                    {"kind": "flatten"},
                    {"kind": "linear", "out_features": 3},
                    {"kind": "tanh"},
                ],
                workload__order=order,
                mitigation__checkpointing__kind=checkpointing,
            ),
            SILENT,
        ).result
        for sparse in (False, True)
    ]  # fmt: skip

    dense, sparse = (list(result.values()) for result in results)

    assert results[1]["0.weight"].is_sparse
    assert oracles.relative_error(sparse, dense) <= 1e-12
