"""Products with a Hessian, its rows, and equations with it, on functions in closed form."""

import pytest
import torch

from core.engine.conjugate_gradient import conjugate_gradient
from core.engine.curvature import dense, flattened, parted, products, solve_damped

Tensors = tuple[torch.Tensor, ...]


def leaves(*shapes: tuple[int, ...]) -> Tensors:
    generator = torch.Generator().manual_seed(4)
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    )


def rosenbrock(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2


def differentiated(loss: torch.Tensor, wrt: Tensors) -> Tensors:
    return torch.autograd.grad(loss, wrt, create_graph=True, allow_unused=True)


def test_that_flattened_and_parted_are_inverse() -> None:
    parts = leaves((2, 3), (4,), ())
    flat = flattened(parts, parts)
    assert flat.shape == (11,)
    assert not flat.requires_grad
    for part, again in zip(parts, parted(flat, parts), strict=True):
        assert torch.equal(part, again)
    assert not flattened((None, parts[1], None), parts)[[0, 1, 2, 3, 4, 5, 10]].any()


def test_that_the_rows_of_a_cubic_are_its_second_derivatives() -> None:
    """Of Σ aᵢ³ + (Σ b)² · Σ a, by a and b, beside a tensor of no influence."""
    a, b, _ = wrt = leaves((3,), (2, 1), (2,))
    gradients = differentiated((a**3).sum() + b.sum() ** 2 * a.sum(), wrt)

    hessian = dense(products(gradients, wrt), flattened(gradients, wrt), range(7))

    right = torch.zeros(7, 7, dtype=torch.float64)
    with torch.no_grad():
        right[:3, :3] = torch.diag(6 * a)
        right[3:5, 3:5] = 2 * a.sum()
        right[:3, 3:5] = right[3:5, :3].T.copy_(2 * b.sum().expand(3, 2))
        right[3:5, :3] = 2 * b.sum()
    assert torch.allclose(hessian, right, rtol=1e-13, atol=1e-13)


def test_that_damping_is_added_to_the_diagonal() -> None:
    (a,) = wrt = leaves((3,))
    gradients = differentiated((a**2).sum(), wrt)

    hessian = dense(products(gradients, wrt, 0.5), a.detach(), range(3))

    assert torch.allclose(hessian, 2.5 * torch.eye(3, dtype=torch.float64))


def test_that_a_linear_function_has_no_curvature() -> None:
    (a,) = wrt = leaves((3,))
    gradients = differentiated(a.sum(), wrt)

    assert not products(gradients, wrt)(a.detach()).any()


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_that_a_definite_system_is_solved_as_elimination_does(damping: float) -> None:
    (root,) = leaves((5, 5))
    matrix = (root @ root.T).detach()
    b = root[0].detach()

    found = solve_damped(matrix, b, damping)

    right = torch.linalg.solve(matrix + damping * torch.eye(5).double(), b)
    assert torch.allclose(found.vector, right, rtol=1e-9)
    assert found.smallest.item() == pytest.approx(torch.linalg.eigvalsh(matrix)[0].item())


def test_that_an_indefinite_system_is_solved_by_absolute_eigenvalues() -> None:
    matrix = torch.diag(torch.tensor([-2.0, 1.0, 4.0]).double())
    b = torch.tensor([1.0, 1.0, 1.0]).double()

    found = solve_damped(matrix, b, 1.0)

    assert torch.allclose(found.vector, torch.tensor([1 / 3, 1 / 2, 1 / 5]).double())
    assert found.smallest.item() == -2
    assert found.vector @ b > 0


def test_that_a_shift_that_makes_it_definite_is_enough() -> None:
    matrix = torch.diag(torch.tensor([-0.5, 1.0]).double())

    found = solve_damped(matrix, torch.ones(2).double(), 1.0)

    assert torch.allclose(found.vector, torch.tensor([2.0, 0.5]).double())


@pytest.mark.parametrize("method", ["eigenvalues", "conjugate gradients"])
def test_that_the_valley_of_rosenbrock_ends_at_its_optimum(method: str) -> None:
    point = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    for _ in range(7):
        wrt = tuple(entry.clone().requires_grad_() for entry in point)
        gradients = differentiated(rosenbrock(*wrt), wrt)
        downhill = -flattened(gradients, wrt)
        multiply = products(gradients, wrt)
        if method == "eigenvalues":
            point = point + solve_damped(dense(multiply, point, range(2)), downhill, 0.0).vector
        else:
            point = (
                point
                + conjugate_gradient(
                    multiply,
                    downhill,
                    iterations=range(4),
                    tolerance=1e-14,
                    number=lambda tensor: tensor.item(),
                ).vector
            )
    assert torch.allclose(point, torch.ones(2).double(), atol=1e-10)
