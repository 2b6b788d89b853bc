"""Conjugate gradients on matrices whose solutions are known."""

import math

import pytest
import torch

from core.engine.conjugate_gradient import Solution, conjugate_gradient


def symmetric(eigenvalues: list[float], seed: int = 0) -> torch.Tensor:
    """A matrix with these eigenvalues along random directions."""
    generator = torch.Generator().manual_seed(seed)
    size = len(eigenvalues)
    random = torch.randn(size, size, generator=generator, dtype=torch.float64)
    directions, _ = torch.linalg.qr(random)
    return directions @ torch.diag(torch.tensor(eigenvalues).double()) @ directions.T


def right(size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def solved(matrix: torch.Tensor, b: torch.Tensor, most: int, tolerance: float = 1e-12) -> Solution:
    return conjugate_gradient(
        lambda vector: matrix @ vector,
        b,
        iterations=range(most),
        tolerance=tolerance,
        number=lambda tensor: tensor.item(),
    )


@pytest.mark.parametrize("different", [1, 4, 7])
def test_that_as_many_iterations_as_different_eigenvalues_solve(different: int) -> None:
    matrix = symmetric([1.0 + number % different for number in range(12)])
    b = right(12)

    found = solved(matrix, b, 50)

    assert found.verdict == "converged"
    assert len(found.residuals) == different
    assert (found.vector - torch.linalg.solve(matrix, b)).norm() <= 1e-13 * b.norm()


def test_that_each_residual_is_that_of_the_vector_so_far() -> None:
    matrix, b = symmetric([0.5 + number for number in range(9)]), right(9)
    for iterations in (1, 3, 6):
        found = solved(matrix, b, iterations)
        left = (b - matrix @ found.vector).norm() / b.norm()
        assert found.residuals[-1] == pytest.approx(left.item(), rel=1e-9)
        assert len(found.residuals) == iterations
        assert found.verdict == "too few iterations"


def test_that_each_vector_is_the_lowest_point_of_its_krylov_space() -> None:
    matrix, b = symmetric([0.5 + number for number in range(9)]), right(9)
    for iterations in (1, 2, 5):
        powers = [b]
        for _ in range(iterations - 1):
            powers.append(matrix @ powers[-1])
        basis, _ = torch.linalg.qr(torch.stack(powers, 1))
        lowest = basis @ torch.linalg.solve(basis.T @ matrix @ basis, basis.T @ b)
        found = solved(matrix, b, iterations)
        assert (found.vector - lowest).norm() <= 1e-11 * lowest.norm()


def test_that_it_ends_at_the_tolerance() -> None:
    matrix, b = symmetric([0.5 + number for number in range(9)]), right(9)

    found = solved(matrix, b, 50, tolerance=0.05)

    assert found.verdict == "converged"
    assert found.residuals[-1] <= 0.05 < found.residuals[-2]


def test_that_the_steepest_way_is_taken_where_it_curves_downward_at_once() -> None:
    matrix, b = symmetric([-1.0, -2.0, -3.0]), right(3)

    found = solved(matrix, b, 10)

    assert found.verdict == "negative curvature"
    assert found.residuals == ()
    assert torch.equal(found.vector, b)
    assert b @ matrix @ b < 0


def test_that_negative_curvature_ends_it_at_the_last_point_before() -> None:
    matrix, b = symmetric([-0.2, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), right(7)
    asked: list[torch.Tensor] = []

    def multiply(vector: torch.Tensor) -> torch.Tensor:
        asked.append(vector.clone())
        return matrix @ vector

    found = conjugate_gradient(
        multiply, b, iterations=range(50), tolerance=1e-12, number=lambda tensor: tensor.item()
    )

    assert found.verdict == "negative curvature"
    curvatures = [(vector @ matrix @ vector).item() for vector in asked]
    assert curvatures[-1] < 0 < min(curvatures[:-1])
    assert len(found.residuals) == len(asked) - 1 > 0
    before = solved(matrix, b, len(asked) - 1)
    assert torch.equal(found.vector, before.vector)
    assert found.vector @ b > 0, "it leads downhill"


def test_that_a_right_side_of_zeros_is_solved_by_zeros() -> None:
    found = solved(symmetric([1.0, 2.0]), torch.zeros(2, dtype=torch.float64), 5)

    assert found.verdict == "converged"
    assert found.residuals == ()
    assert not found.vector.any()


def test_that_without_numbers_every_iteration_is_made() -> None:
    asked = 0

    def multiply(vector: torch.Tensor) -> torch.Tensor:
        nonlocal asked
        asked += 1
        return -vector

    found = conjugate_gradient(
        multiply, right(3), iterations=range(4), tolerance=0.5, number=lambda tensor: None
    )

    assert asked == 4
    assert found.verdict == "too few iterations"
    assert found.residuals == ()


def test_that_neither_the_right_side_nor_the_directions_are_changed_by_others() -> None:
    matrix, b = symmetric([1.0, 2.0, 3.0]), right(3)
    before = b.clone()

    solved(matrix, b, 3)

    assert torch.equal(b, before)
    assert math.isfinite(before.norm().item())
