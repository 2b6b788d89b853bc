"""Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.data import Batch
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Expected, Oracle, Oracles, Value
from core.measure.correctness.checks.oracles.shared import batch_loss, detached, gradients, lengths
from core.measure.correctness.checks.unavailable import CheckUnavailable
from core.spec.workloads import Newton

_ROUNDED = 1e2 * torch.finfo(torch.float64).eps
"""By how much two computations of a Hessian differ at most, about: the condition of the equations
makes that the error of a step."""

_SAFE = 1e2
"""How many times what errors of that size change in the end is allowed."""

_LEAST, _MOST = 1e-9, 1e-4
"""Where no more can be asked for, and where a comparison would mean nothing."""

_TINY = torch.finfo(torch.float64).tiny
_TRIALS = 20
_ENOUGH = 1e-4
_ROUNDING = 10


def oracles(problem: Problem) -> Oracles:
    """The steps a second time: by a matrix of second derivatives and linear equations, or by the
    best points of growing Krylov spaces; and the gradient and products that they rest on."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, Newton)
    assert isinstance(data, Batch)
    point = detached(problem.parameters)

    def value(weights: Tensors, graph: bool) -> Tensor:
        del graph
        return batch_loss(problem, weights, data.x, data.y)

    generator = torch.Generator().manual_seed(problem.spec.measure.seed)
    along = {
        name: torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator).to(tensor)
        for name, tensor in point.items()
    }
    product = Oracle(
        value,
        point,
        lengths(point),
        2,
        about="The Hessian of a Newton step",
        along=along,
    )
    return Oracles(foundations=(product,), expected=_expected(value, point, workload))


def _expected(value: Value, point: dict[str, Tensor], workload: Newton) -> Expected:
    """The steps, and what rounding errors of their equations make of them in the end."""
    generator = torch.Generator().manual_seed(0)
    weights, last = _steps(value, point, workload, None)
    shaken, other = _steps(value, point, workload, generator)
    ends = [(weight, shaken[name]) for name, weight in weights.items()]
    ends.append((torch.tensor([last]).double(), torch.tensor([other]).double()))
    spread = [float((moved - end).norm() / end.norm().clamp(min=_TINY)) for end, moved in ends]
    tolerance = max(_LEAST, _SAFE * max(spread))
    if not tolerance <= _MOST:
        raise _rounding_decides()
    return Expected(weights, last, tolerance, f"Newton steps by {_ABOUT[workload.method]}")


def _steps(
    value: Value, weights: dict[str, Tensor], workload: Newton, generator: torch.Generator | None
) -> tuple[dict[str, Tensor], float]:
    """The weights after the steps and the loss there.

    Args:
        value: the loss.
        weights: where they begin.
        workload: how many there are, and how they are solved for.
        generator: of the errors that each step is given; none where it is left out.
    """
    last = 0.0
    for _ in range(workload.steps):
        leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        start = value(leaves, True)
        slope = _Slope(gradients(start, leaves, True), leaves)
        solved = _SOLVERS[workload.method](slope, workload)
        step = solved.step
        if generator is not None:
            noise = torch.randn(step.shape, dtype=step.dtype, generator=generator).to(step)
            step = step + solved.error * step.norm() * noise / noise.norm()
        weights, last = _searched(value, detached(leaves), start.item(), slope, step)
    return weights, last


_ABOUT = {"exact": "another solution of their equations", "cg": "the best points of Krylov spaces"}


class _Slope:
    """A gradient with its graph, as one long vector."""

    def __init__(self, by_name: Tensors, leaves: dict[str, Tensor]) -> None:
        self._graph, self._leaves = by_name, leaves
        self.vector = torch.cat([part.detach().flatten() for part in by_name.values()])

    def curved(self, direction: Tensor) -> Tensor:
        """The Hessian times a direction: the gradient of the gradient's share along it."""
        share = sum(
            (part * piece).sum()
            for part, piece in zip(
                self._graph.values(), self.split(direction).values(), strict=True
            )
        )
        assert isinstance(share, Tensor)
        if not share.requires_grad:
            return torch.zeros_like(direction)
        found = torch.autograd.grad(
            share,
            list(self._leaves.values()),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return torch.cat([part.flatten() for part in found])

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """A long vector in the shapes of the weights."""
        sizes = [leaf.numel() for leaf in self._leaves.values()]
        pieces = torch.split_with_sizes(vector, sizes)
        return {
            name: piece.reshape(leaf.shape)
            for (name, leaf), piece in zip(self._leaves.items(), pieces, strict=True)
        }


@dataclass(frozen=True)
class _Solved:
    """A step, and how far rounding may have moved it, relative."""

    step: Tensor
    error: float


def _by_rows(slope: _Slope, workload: Newton) -> _Solved:
    """Forms the Hessian and eliminates; with absolute eigenvalues where some are negative."""
    units = torch.eye(len(slope.vector)).to(slope.vector)
    rows = torch.stack([slope.curved(unit) for unit in units])
    hessian = (rows + rows.T) / 2
    values = torch.linalg.eigvalsh(hessian)
    shift = workload.damping * torch.eye(len(hessian)).to(hessian)
    if values[0] + workload.damping <= 0:
        values, vectors = torch.linalg.eigh(hessian)
        values = values.abs()
        hessian = vectors @ torch.diag(values) @ vectors.T
    error = _error(values + workload.damping)
    return _Solved(torch.linalg.solve(hessian + shift, -slope.vector), error)


def _by_krylov_spaces(slope: _Slope, workload: Newton) -> _Solved:
    """The lowest point of the model in spaces of one dimension more each time, by an orthonormal
    basis of each; the last before one where the model has no lowest point."""
    downhill = -slope.vector
    size = downhill.norm()
    found = _Solved(downhill, _ROUNDED)
    if not size:
        return found
    basis, curved = downhill.new_empty(len(downhill), 0), downhill.new_empty(len(downhill), 0)
    fresh = downhill / size
    for _ in range(workload.cg_iterations):
        basis = torch.cat([basis, fresh[:, None]], 1)
        image = slope.curved(fresh) + workload.damping * fresh
        curved = torch.cat([curved, image[:, None]], 1)
        within = basis.T @ curved
        within = (within + within.T) / 2
        values = torch.linalg.eigvalsh(within)
        if values[0] <= 0:
            return found
        step = basis @ torch.linalg.solve(within, basis.T @ downhill)
        found = _Solved(step, _error(values))
        left = downhill - curved @ (basis.T @ step)
        fresh = image - basis @ (basis.T @ image)
        fresh = fresh - basis @ (basis.T @ fresh)
        exhausted = fresh.norm() <= _ROUNDED * image.norm()
        if left.norm() <= workload.cg_tolerance * size or exhausted:
            return found
        fresh = fresh / fresh.norm()
    return found


_SOLVERS: dict[str, Callable[[_Slope, Newton], _Solved]] = {
    "exact": _by_rows,
    "cg": _by_krylov_spaces,
}


def _error(eigenvalues: Tensor) -> float:
    """How far rounding may move the solution of equations with these eigenvalues, relative.

    Raises:
        CheckUnavailable: so far that a comparison would mean nothing.
    """
    error = _ROUNDED * float(eigenvalues.max() / eigenvalues.min())
    if not error <= _MOST / _SAFE:
        raise _rounding_decides()
    return error


def _rounding_decides() -> CheckUnavailable:
    return CheckUnavailable(
        "The result was not checked: on a small copy the equations of a Newton step are so nearly "
        "singular that rounding decides; damping helps."
    )


def _searched(
    value: Value,
    weights: dict[str, Tensor],
    start: float,
    slope: _Slope,
    step: Tensor,
) -> tuple[dict[str, Tensor], float]:
    """The weights and the loss after the longest of the halved steps that lowers it enough."""
    promised = -float(slope.vector @ step)
    rounding = _ROUNDING * torch.finfo(step.dtype).eps * abs(start)
    pieces = slope.split(step)
    for halvings in range(_TRIALS):
        share = 0.5**halvings
        moved = {name: weight + share * pieces[name] for name, weight in weights.items()}
        end = value(moved, False).item()
        if end <= start - _ENOUGH * share * promised + rounding:
            break
    return moved, end
