"""Weights a step away that nobody keeps: the right gradient, and no second copy of the weights."""

import gc
from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional

from core.engine.moved_weights import MovedWeights
from core.engine.recorder import SILENT
from tests import oracles

STEP = torch.tensor(0.25, dtype=torch.float64)


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def weights_of(sizes: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        str(i): torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_()
        for i, size in enumerate(sizes)
    }


def loss(weights: dict[str, torch.Tensor] | MovedWeights, x: torch.Tensor) -> torch.Tensor:
    for name in weights:
        x = torch.tanh(functional.linear(x, weights[name]))
    return x.square().sum()


def moved(weights: dict[str, torch.Tensor]) -> tuple[MovedWeights, list[torch.Tensor]]:
    along = [torch.full_like(weight, 0.5) for weight in weights.values()]
    return MovedWeights(weights, along, STEP, SILENT), along


def gradient(
    weights: dict[str, torch.Tensor], along: list[torch.Tensor], x: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    beside = MovedWeights(weights, along, STEP, SILENT)
    with beside.forgotten():
        value = loss(beside, x)
    return torch.autograd.grad(value, list(weights.values()))


def test_that_the_gradient_is_the_one_by_copies_bit_for_bit() -> None:
    weights = weights_of([(7, 5), (6, 7), (1, 6)])
    x = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5)
    _, along = moved(weights)
    copies = {
        name: torch.addcmul(weight.detach(), part, STEP).requires_grad_()
        for (name, weight), part in zip(weights.items(), along, strict=True)
    }

    found = gradient(weights, along, x)

    right = torch.autograd.grad(loss(copies, x), list(copies.values()))
    assert all(torch.equal(one, other) for one, other in zip(found, right, strict=True))


def test_that_no_more_than_two_moved_weights_are_alive_at_once() -> None:
    """Many weights, few activations: beside the gradient there is one to use and one to make."""
    size, count = 64, 12
    weights = weights_of([(size, size)] * count)
    x = torch.ones(1, size, dtype=torch.float64)
    one = size * size * 8
    _, along = moved(weights)

    peak = oracles.peak_bytes(lambda: gradient(weights, along, x))

    assert peak < (count + 2.5) * one


@pytest.mark.usefixtures("_no_collector")
def test_that_a_graph_that_is_dropped_frees_what_it_saved() -> None:
    """A node that kept its own output as it is would never be freed without the collector."""
    weights, x = weights_of([(3, 3)]), torch.ones(2, 3, dtype=torch.float64)
    beside, _ = moved(weights)
    freed: list[str] = []
    with beside.forgotten():
        value = torch.tanh(functional.linear(x, beside["0"]))
    # tanh keeps its output.
    assert value.grad_fn is not None
    value.grad_fn.metadata["witness"] = _Witness(freed)

    del value

    assert freed == ["freed"]


class _Witness:
    def __init__(self, freed: list[str]) -> None:
        self._freed = freed

    def __del__(self) -> None:
        self._freed.append("freed")


def test_that_another_tensor_at_the_address_of_a_dead_weight_is_not_taken_for_it() -> None:
    beside, _ = moved(weights_of([(8, 8)]))
    weight = beside["0"]
    ((_, entry),) = beside._made.items()
    del weight
    assert entry[0]() is None
    other = torch.full((8, 8), 3.0, dtype=torch.float64, requires_grad=True)
    beside._made[other.untyped_storage()._cdata] = entry

    with beside.forgotten():
        squared = (other**2).sum()

    (found,) = torch.autograd.grad(squared, other)
    assert torch.equal(found, torch.full_like(other, 6.0))
