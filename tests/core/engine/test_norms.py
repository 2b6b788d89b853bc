"""The written-out norms against torch's where torch is right, and against differences beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core.engine import norms

Norm = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A norm of (input, weight, bias), written out and torch's own."""

    ours: Norm
    torchs: Norm
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]


def _layer(module: ModuleType, shape: list[int]) -> Norm:
    return lambda x, weight, bias: module.layer_norm(x, shape, weight, bias)


def _batch(module: ModuleType) -> Norm:
    return lambda x, weight, bias: module.batch_norm(x, None, None, weight, bias, training=True)


def _batch_running(module: ModuleType) -> Norm:
    mean, variance = torch.linspace(-1, 1, 3).double(), torch.linspace(0.5, 2, 3).double()
    return lambda x, weight, bias: module.batch_norm(x, mean, variance, weight, bias)


def _instance(module: ModuleType) -> Norm:
    return lambda x, weight, bias: module.instance_norm(x, weight=weight, bias=bias)


CASES = {
    "layer norm over one axis": Case(_layer(norms, [5]), _layer(functional, [5]), (4, 5), (5,)),
    "layer norm over two axes": Case(
        _layer(norms, [3, 2]), _layer(functional, [3, 2]), (2, 3, 2), (3, 2)
    ),
    "batch norm of vectors": Case(_batch(norms), _batch(functional), (5, 3), (3,)),
    "batch norm of images": Case(_batch(norms), _batch(functional), (2, 3, 2, 2), (3,)),
    "batch norm by running statistics": Case(
        _batch_running(norms), _batch_running(functional), (4, 3, 2), (3,)
    ),
    "instance norm of signals": Case(_instance(norms), _instance(functional), (2, 3, 4), (3,)),
    "instance norm of images": Case(_instance(norms), _instance(functional), (2, 3, 2, 2), (3,)),
}
WRONG_IN_TORCH = [name for name in CASES if "running" not in name]


def _point(case: Case) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = (case.input_shape, case.weight_shape, case.weight_shape)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def _directions(case: Case, count: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(4)
    return [
        [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in _point(case)]
        for _ in range(count)
    ]


def _derivative(norm: Norm, point: Sequence[Tensor], directions: Sequence[list[Tensor]]) -> Tensor:
    """The derivative of a smooth scalar of the norm along all directions, one after the other."""
    output = norm(*point)
    mixture = torch.linspace(0.2, 1.7, output.numel(), dtype=output.dtype).view_as(output)
    value = (output * mixture).sin().sum()
    for direction in directions:
        gradients = torch.autograd.grad(value, point, create_graph=True, materialize_grads=True)
        value = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
    return value


def _difference(norm: Norm, point: Sequence[Tensor], directions: Sequence[list[Tensor]]) -> Tensor:
    """What `_derivative` returns, the last direction taken by extrapolated central differences."""
    *earlier, last = directions

    def central(step: float) -> Tensor:
        ahead, behind = (
            [
                (t + sign * step * d).detach().requires_grad_()
                for t, d in zip(point, last, strict=True)
            ]
            for sign in (1, -1)
        )
        difference = _derivative(norm, ahead, earlier) - _derivative(norm, behind, earlier)
        return difference.detach() / (2 * step)

    coarse, middle, fine = central(4e-3), central(2e-3), central(1e-3)
    first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    return (16 * second - first) / 15


@pytest.mark.parametrize("name", CASES)
def test_that_values_equal_torchs(name: str) -> None:
    case = CASES[name]

    torch.testing.assert_close(
        case.ours(*_point(case)), case.torchs(*_point(case)), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_that_first_and_second_gradients_equal_torchs(name: str, order: int) -> None:
    case = CASES[name]
    gradients = []
    for norm in (case.ours, case.torchs):
        point = _point(case)
        value = _derivative(norm, point, _directions(case, order - 1))
        gradients.append(torch.autograd.grad(value, point))

    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize("name", CASES)
def test_that_further_gradients_equal_differences_of_the_previous(name: str, order: int) -> None:
    case = CASES[name]
    directions = _directions(case, order)

    torch.testing.assert_close(
        _derivative(case.ours, _point(case), directions).detach(),
        _difference(case.ours, _point(case), directions),
        rtol=1e-7,
        atol=0,
    )


@pytest.mark.parametrize("name", WRONG_IN_TORCH)
def test_that_torchs_own_third_gradient_is_still_wrong(name: str) -> None:
    """Once it fails, torch is repaired (pytorch/pytorch#198017) and this module can go."""
    case = CASES[name]
    directions = _directions(case, 3)

    ours = _derivative(case.ours, _point(case), directions)
    torchs = _derivative(case.torchs, _point(case), directions)

    assert abs(torchs - ours) > 1e-3 * abs(ours)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 4)])
def test_that_batch_norm_updates_running_statistics_as_torch_does(
    shape: tuple[int, ...], momentum: float
) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    statistics = []
    for module in (norms, functional):
        mean, variance = torch.full((3,), 0.5).double(), torch.full((3,), 2.0).double()
        module.batch_norm(x, mean, variance, training=True, momentum=momentum)
        statistics.append((mean, variance))

    torch.testing.assert_close(statistics[0], statistics[1], rtol=1e-12, atol=1e-12)


def test_that_instance_norm_updates_and_uses_running_statistics_as_torch_does() -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    results = []
    for module in (norms, functional):
        mean, variance = torch.full((3,), 0.5).double(), torch.full((3,), 2.0).double()
        module.instance_norm(x, mean, variance)
        by_running = module.instance_norm(x, mean, variance, use_input_stats=False)
        results.append((mean, variance, by_running))

    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("module", [norms, functional])
def test_that_a_single_value_per_channel_is_refused(module: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"more than (one|1) value"):
        module.batch_norm(torch.ones(1, 3), None, None, training=True)


def test_that_missing_running_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="needs running statistics"):
        norms.batch_norm(torch.ones(2, 3), None, None)
    with pytest.raises(ValueError, match="needs running statistics"):
        norms.instance_norm(torch.ones(2, 3, 4), use_input_stats=False)


def test_that_layer_norm_refuses_axes_that_the_input_does_not_end_in() -> None:
    with pytest.raises(ValueError, match=r"\[5\].*\[2, 4\]"):
        norms.layer_norm(torch.ones(2, 4), [5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_that_a_large_offset_costs_no_more_accuracy_than_torchs_own(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 32, dtype=torch.float64) + 1000
    exact = functional.layer_norm(x, [32])

    error = (norms.layer_norm(x.to(dtype), [32]).double() - exact).abs().max()
    torchs_error = (functional.layer_norm(x.to(dtype), [32]).double() - exact).abs().max()

    assert error <= 2 * torchs_error + 1e-12
