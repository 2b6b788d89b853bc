"""The highest point of a quadratic model in a ball, by its own conditions."""

import pytest
import torch

from core.engine.trust_region import highest_in_ball, krylov_space

MODELS, SIZE, RADIUS = 5, 7, 0.6
DOUBLE = torch.float64


def models(shift: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random symmetric matrices, with ``shift`` added to their diagonals, and slopes."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(MODELS, SIZE, SIZE, generator=generator, dtype=DOUBLE)
    matrices = (root + root.mT) / 2 + shift * torch.eye(SIZE, dtype=DOUBLE)
    return matrices, torch.randn(MODELS, SIZE, generator=generator, dtype=DOUBLE)


def highest(
    matrices: torch.Tensor, slopes: torch.Tensor, radius: float = RADIUS, dimensions: int = SIZE
) -> torch.Tensor:
    """Found from products alone."""
    space = krylov_space(
        lambda rows: torch.einsum("mij,mj->mi", matrices, rows),
        slopes,
        dimensions,
        range(dimensions),
    )
    shares = torch.einsum("mki,mi->mk", space.basis, slopes)
    points = highest_in_ball(space.matrix, shares, radius)
    return torch.einsum("mk,mki->mi", points, space.basis)


def values(matrices: torch.Tensor, slopes: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return (slopes * points).sum(-1) + torch.einsum(
        "...mi,mij,...mj->...m", points, matrices, points
    ) / 2


@pytest.mark.parametrize("shift", [-2.0, 0.0, 5.0])
def test_that_the_conditions_of_the_highest_point_hold(shift: float) -> None:
    """(μI - A)x = g and ‖x‖ = ε with μ at least the largest eigenvalue (Moré and Sorensen 1983)."""
    matrices, slopes = models(shift)

    points = highest(matrices, slopes)

    assert torch.allclose(points.norm(dim=1), torch.full((MODELS,), RADIUS, dtype=DOUBLE))
    pulls = slopes + torch.einsum("mij,mj->mi", matrices, points)
    multipliers = (pulls * points).sum(1) / RADIUS**2
    assert (pulls - multipliers[:, None] * points).norm() <= 1e-10 * pulls.norm()
    assert (multipliers >= torch.linalg.eigvalsh(matrices)[:, -1] - 1e-12).all()
    assert (multipliers >= 0).all()


def test_that_no_random_direction_is_higher() -> None:
    matrices, slopes = models()
    generator = torch.Generator().manual_seed(1)
    others = torch.randn(40_000, MODELS, SIZE, generator=generator, dtype=DOUBLE)
    others *= RADIUS / others.norm(dim=-1, keepdim=True)

    best = values(matrices, slopes, highest(matrices, slopes))

    assert (values(matrices, slopes, others) <= best).all()


@pytest.mark.parametrize("dimensions", range(1, SIZE + 1))
def test_that_it_is_never_below_the_first_order_step_nor_below_a_smaller_space(
    dimensions: int,
) -> None:
    matrices, slopes = models()
    first = RADIUS * slopes / slopes.norm(dim=1, keepdim=True)

    found = values(matrices, slopes, highest(matrices, slopes, dimensions=dimensions))

    smaller = values(matrices, slopes, highest(matrices, slopes, dimensions=max(dimensions - 1, 1)))
    assert (found >= values(matrices, slopes, first) - 1e-12).all()
    assert (found >= smaller - 1e-12).all()


@pytest.mark.parametrize("dimensions", [1, 3])
def test_that_without_curvature_it_goes_along_the_slope(dimensions: int) -> None:
    _, slopes = models()
    flat = torch.zeros(MODELS, SIZE, SIZE, dtype=DOUBLE)

    points = highest(flat, slopes, dimensions=dimensions)

    assert torch.allclose(points, RADIUS * slopes / slopes.norm(dim=1, keepdim=True), rtol=1e-14)


def test_that_a_top_within_the_ball_is_found_there() -> None:
    matrices, slopes = models(-40.0)
    right = torch.linalg.solve(-matrices, slopes)
    assert (right.norm(dim=1) < RADIUS).all()

    assert torch.allclose(highest(matrices, slopes), right, rtol=1e-10, atol=1e-14)


def test_that_the_hard_case_fills_the_radius_along_the_steepest_curvature() -> None:
    """The slope has no share in it: half of the way is the slope's, the rest is that direction."""
    matrix = torch.diag(torch.tensor([1.0, 3.0], dtype=DOUBLE))[None]
    slope = torch.tensor([[0.5, 0.0]], dtype=DOUBLE)

    (point,) = highest_in_ball(matrix, slope, 1.0)

    assert point.norm().item() == pytest.approx(1)
    assert point[0].item() == pytest.approx(0.25, rel=1e-12), "0.5 / (3 - 1)"


def test_that_a_slope_of_zeros_stays_where_it_is() -> None:
    matrices, slopes = models()
    slopes[2] = 0

    points = highest(matrices, slopes)

    assert not points[2].any()
    assert torch.isfinite(points).all()
    others = [0, 1, 3, 4]
    assert torch.allclose(points[others], highest(*models())[others], rtol=1e-9)


def test_that_a_space_that_is_exhausted_is_enough() -> None:
    """Two different eigenvalues make a space of two dimensions, whatever is asked for."""
    generator = torch.Generator().manual_seed(3)
    directions, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator, dtype=DOUBLE))
    eigenvalues = torch.tensor([-1.0] * 4 + [-5.0] * 3, dtype=DOUBLE)
    matrices = (directions @ torch.diag(eigenvalues) @ directions.T).expand(MODELS, SIZE, SIZE)
    _, slopes = models()

    two, seven = (highest(matrices, slopes, 0.1, dimensions=number) for number in (2, 7))

    assert torch.allclose(two, seven, rtol=1e-9)
    assert torch.allclose(seven.norm(dim=1), torch.full((MODELS,), 0.1, dtype=DOUBLE))


def test_that_the_basis_is_orthonormal_and_the_matrix_is_that_of_the_products() -> None:
    matrices, slopes = models()

    space = krylov_space(
        lambda rows: torch.einsum("mij,mj->mi", matrices, rows), slopes, 4, range(4)
    )

    assert torch.allclose(space.basis @ space.basis.mT, torch.eye(4, dtype=DOUBLE).expand(5, 4, 4))
    right = space.basis @ matrices @ space.basis.mT
    assert torch.allclose(space.matrix.triu(), right.triu(), atol=1e-12)
    last = torch.einsum("mij,mj->mi", matrices, space.basis[:, -1])
    outside = last - torch.einsum("mki,mkj,mj->mi", space.basis, space.basis, last)
    assert torch.allclose(space.rest, outside.norm(dim=1), rtol=1e-9)
