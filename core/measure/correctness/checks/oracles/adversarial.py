"""Adversarial examples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.engine.data import Batch
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Expected, Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import batch_loss, detached, lengths
from core.spec.workloads import Adversarial

TOLERANCE = 1e-7
_EXHAUSTED = 1e-11
_HALVINGS = 200

Loss = Callable[[Tensor], Tensor]


def oracles(problem: Problem) -> Oracles:
    """The attack a second time: signed steps in a loop, or for one example after the other the
    equations of the highest point; and the derivatives that it rests on."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, Adversarial)
    assert isinstance(data, Batch)
    point = {"x": data.x.detach()}
    weights = detached(problem.parameters)

    def value(point: Tensors, graph: bool) -> Tensor:
        del graph
        return batch_loss(problem, weights, point["x"], data.y)

    def of_inputs(x: Tensor) -> Tensor:
        return value({"x": x}, True)

    attacked = _ATTACKS[workload.method](of_inputs, point["x"], workload)
    generator = torch.Generator().manual_seed(problem.spec.measure.seed)
    noise = torch.randn(data.x.shape, dtype=data.x.dtype, generator=generator).to(data.x)
    times = workload.derivation.order
    derivatives = Oracle(
        value,
        point,
        lengths(point),
        times,
        about="The derivatives of an attack",
        along={"x": noise} if times > 1 else None,
    )
    expected = Expected(
        {"x": attacked}, of_inputs(attacked).item(), TOLERANCE, _ABOUT[workload.method]
    )
    return Oracles(foundations=(derivatives,), expected=expected)


_ABOUT = {
    "i_fgsm": "signed steps computed apart",
    "second_order": "the equations of the highest point, solved for each example",
}


def _gradient(value: Loss, x: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(value(leaf), leaf, allow_unused=True, materialize_grads=True)
    return found


def _signed(value: Loss, x: Tensor, workload: Adversarial) -> Tensor:
    moved = x
    for _ in range(workload.steps):
        moved = moved + workload.epsilon / workload.steps * torch.sign(_gradient(value, moved))
        moved = torch.minimum(torch.maximum(moved, x - workload.epsilon), x + workload.epsilon)
    return moved


def _highest(value: Loss, x: Tensor, workload: Adversarial) -> Tensor:
    """Each example moved to where its model is highest in its ball and in its Krylov space."""
    leaf = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(
        value(leaf), leaf, create_graph=True, allow_unused=True, materialize_grads=True
    )

    def curved(example: int, direction: Tensor) -> Tensor:
        """The example's own block of the Hessian times a direction."""
        share = (slope[example].flatten() * direction).sum()
        if not share.requires_grad:
            return torch.zeros_like(direction)
        (found,) = torch.autograd.grad(
            share, leaf, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return found[example].flatten()

    moved = x.clone()
    for example in range(len(x)):
        steepest = slope[example].detach().flatten()
        if steepest.norm() == 0:
            continue
        columns = [steepest / steepest.norm()]
        images = [curved(example, columns[0])]
        while len(columns) < workload.steps:
            basis = torch.stack(columns, 1)
            fresh = images[-1] - basis @ (basis.T @ images[-1])
            fresh = fresh - basis @ (basis.T @ fresh)
            if fresh.norm() <= _EXHAUSTED * max(image.norm() for image in images):
                break
            columns.append(fresh / fresh.norm())
            images.append(curved(example, columns[-1]))
        basis = torch.stack(columns, 1)
        matrix = basis.T @ torch.stack(images, 1)
        best = _in_ball((matrix + matrix.T) / 2, basis.T @ steepest, workload.epsilon)
        moved[example] += (basis @ best).reshape(x.shape[1:])
    return moved


def _in_ball(matrix: Tensor, slope: Tensor, radius: float) -> Tensor:
    """The solution of (mu I - A) x = g on the border, by elimination at halved intervals of mu; or
    within, where the model has a highest point there."""
    unit = torch.eye(len(slope)).to(matrix)
    least = max(float(torch.linalg.eigvalsh(matrix)[-1]), 0.0)
    if torch.linalg.eigvalsh(matrix)[-1] < 0:
        inside = _solution(-matrix, slope)
        if inside.norm() <= radius:
            return inside
    low, high = 0.0, float(slope.norm()) / radius
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if _solution((least + middle) * unit - matrix, slope).norm() > radius:
            low = middle
        else:
            high = middle
    return _solution((least + high) * unit - matrix, slope)


def _solution(matrix: Tensor, right: Tensor) -> Tensor:
    """Of linear equations."""
    found: Tensor = torch.linalg.solve(matrix, right)
    return found


_ATTACKS: dict[str, Callable[[Loss, Tensor, Adversarial], Tensor]] = {
    "i_fgsm": _signed,
    "second_order": _highest,
}
