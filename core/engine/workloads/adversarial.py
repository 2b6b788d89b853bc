"""Adversarial examples: the iterative fast gradient sign method (Kurakin et al. 2017, arXiv
1607.02533), and the highest point of the loss's second-order model within a ball.

The weights are constants. The first signed step has phases of its own; the others follow within
one, ``further steps``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from core.engine.computed import Computed, Look
from core.engine.data import Batch
from core.engine.gradients import Gradients, gradients_of
from core.engine.parts import ByRows, Total, parts
from core.engine.problem import Problem
from core.engine.recorder import SILENT, Recorder, within
from core.engine.trust_region import highest_in_ball, krylov_space
from core.results.categories import graph_category
from core.results.charts import ATTACK_LOSS, ATTACK_SUCCESS, Point
from core.spec.workloads import Adversarial

FURTHER = "further steps"

Readings = dict[str, torch.Tensor]
InputsLoss = Callable[[torch.Tensor], torch.Tensor]
"""Without axes; of the inputs."""


class Attack(NamedTuple):
    """Changed inputs, and what was found on the way."""

    x: torch.Tensor
    readings: Readings


class Judgement(NamedTuple):
    """What the network makes of inputs.

    Attributes:
        loss: without an axis.
        right: whether each answer is right, None where there are no classes.
    """

    loss: torch.Tensor
    right: torch.Tensor | None


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The changed inputs as ``x``, and the loss there."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, Adversarial)
    assert isinstance(data, Batch)
    changed, total, found = ByRows(recorder, data.x, "data"), Total(recorder), Readings()
    for part in parts(problem, recorder):
        mine = part.problem.data
        assert isinstance(mine, Batch)
        attack = _METHODS[workload.method](part.problem, mine, workload, part.recorder)
        with part.recorder.phase("judgement"), torch.no_grad():
            recorder.born("activations")
            loss = _loss(part.problem, mine, recorder)(attack.x).clone()
            part.recorder.result((loss,))
        total.add_loss(loss, part)
        for name, reading in attack.readings.items():
            found[name] = torch.maximum(reading, found.get(name, reading))
        changed.put(attack.x, part)
        del attack, loss
    (x,) = changed.gradients
    assert x is not None
    return Computed({"x": x}, total.loss, (), found)


def look(problem: Problem, computed: Computed) -> Look:
    """The loss before and after, and how many right answers became wrong."""
    data = problem.data
    assert isinstance(data, Batch)
    before, after = (_judged_in_parts(problem, x) for x in (data.x, computed.result["x"]))
    losses = {"loss_before": before.loss, "loss_after": computed.loss}
    return Look(losses | _success(before, after))


def follow(problem: Problem) -> Iterator[Point]:
    """Success rate and loss after each step, or with each number of products."""
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, Adversarial)
    assert isinstance(data, Batch)
    problem.reset()
    before = _judged_in_parts(problem, data.x)
    yield Point(ATTACK_LOSS, "loss", 0, before.loss.item())
    for number, x in enumerate(_each_in_parts(problem, workload), start=1):
        after, done = _judged_in_parts(problem, x), number / workload.steps
        yield Point(ATTACK_LOSS, "loss", number, after.loss.item(), done=done)
        success = _success(before, after).get("success_rate")
        if success is not None and math.isfinite(float(success)):
            yield Point(ATTACK_SUCCESS, "success rate", number, float(success), done=done)


def _judged_in_parts(problem: Problem, x: torch.Tensor) -> Judgement:
    """Loss and right answers for all inputs."""
    total, right = Total(SILENT), list[torch.Tensor]()
    for part in parts(problem, SILENT):
        mine = part.problem.data
        assert isinstance(mine, Batch)
        judgement = _judged(part.problem, mine, x[part.rows])
        total.add_loss(judgement.loss, part)
        if judgement.right is not None:
            right.append(judgement.right)
    return Judgement(total.loss, torch.cat(right) if right else None)


def _each_in_parts(problem: Problem, workload: Adversarial) -> Iterator[torch.Tensor]:
    """The inputs of all parts after each step; between two steps no graph is kept."""
    ways = [
        _EACH[workload.method](part.problem, part.problem.data, workload)
        for part in parts(problem, SILENT)
        if isinstance(part.problem.data, Batch)
    ]
    for each in zip(*ways, strict=True):
        yield torch.cat(each) if len(each) > 1 else each[0]


def _judged(problem: Problem, data: Batch, x: torch.Tensor) -> Judgement:
    """Loss and right answers of the problem's network for other inputs."""
    problem.same_random_numbers()
    with torch.no_grad():
        outputs: list[torch.Tensor] = []
        loss = problem.loss(
            problem.parameters,
            x,
            data.y,
            SILENT,
            update_statistics=False,
            shown=lambda output, _: outputs.append(output),
        ).clone()
        if problem.spec.loss != "cross_entropy" or not outputs:
            return Judgement(loss, None)
        return Judgement(loss, outputs[0].argmax(1) == data.y)


def _success(before: Judgement, after: Judgement) -> Readings:
    """The share of right answers, and of those the share that is wrong now."""
    if before.right is None or after.right is None:
        return {}
    with torch.no_grad():
        lost = (before.right & ~after.right).sum()
        return {
            "accuracy_before": before.right.double().mean(),
            "success_rate": lost / before.right.sum(),
        }


def _by_signs(problem: Problem, data: Batch, workload: Adversarial, recorder: Recorder) -> Attack:
    x = _signed_step(_loss(problem, data, recorder), data, workload, data.x, recorder, "step 1: ")
    further = len(problem.units(workload.steps)) - 1
    if further:
        with recorder.phase(FURTHER):
            inner = within(recorder)
            loss = _loss(problem, data, inner)
            for _ in range(further):
                x = _signed_step(loss, data, workload, x, inner, "")
            recorder.result((x,))
    return Attack(x.detach(), {})


def _signed_step(
    loss: InputsLoss,
    data: Batch,
    workload: Adversarial,
    x: torch.Tensor,
    recorder: Recorder,
    prefix: str,
) -> torch.Tensor:
    """The inputs after one more step, which require grad.

    Args:
        loss: what the steps climb.
        data: the inputs that the box is around, and their targets.
        workload: size and number of the steps.
        x: where the step begins.
        recorder: hears of the phases.
        prefix: what the names of its phases begin with.
    """
    with recorder.phase(f"{prefix}forward"):
        recorder.born("activations")
        value = loss(x)
        recorder.result((value,))
    with recorder.phase(f"{prefix}gradient"):
        recorder.born("gradients")
        (gradient,) = gradients_of((value,), (x,), create_graph=False)
        del value
        with torch.no_grad():
            recorder.born("data")
            change = torch.sub(x, data.x)
            if gradient is not None:
                change.add_(gradient.sign_(), alpha=workload.epsilon / workload.steps)
            moved = change.clamp_(-workload.epsilon, workload.epsilon).add_(data.x)
        del gradient
        recorder.hold("data", (moved,))
        recorder.result((moved,))
    return moved.requires_grad_()


def _by_curvature(
    problem: Problem, data: Batch, workload: Adversarial, recorder: Recorder
) -> Attack:
    with recorder.phase("forward"):
        recorder.born("activations")
        loss = _loss(problem, data, recorder)(data.x)
        recorder.result((loss,))
    with recorder.phase("gradient 1"):
        recorder.born(graph_category(1))
        gradients = gradients_of((loss,), (data.x,), create_graph=True)
        del loss
        slope = _rows(gradients, data.x)
        recorder.hold("gradients", (slope,))
        recorder.result((slope,))
    with recorder.phase("Krylov space"):
        recorder.born("tangents")
        space = krylov_space(
            _products(gradients, data.x), slope, workload.steps, problem.units(workload.steps)
        )
        del gradients
        recorder.hold("tangents", (space.basis,))
        recorder.result((space.basis,))
    with recorder.phase("highest point"), torch.no_grad():
        recorder.born("other")
        within_space = torch.bmm(space.basis, slope.unsqueeze(2)).squeeze(2)
        points = highest_in_ball(space.matrix, within_space, workload.epsilon)
        change = torch.bmm(points.unsqueeze(1), space.basis).squeeze(1)
        moved = change.view(data.x.shape).add_(data.x)
        left = (space.rest * points[:, -1]).abs()
        sizes = torch.linalg.vector_norm(slope, dim=1)
        residual = torch.where(sizes > 0, left / sizes, 0).amax()
        recorder.hold("data", (moved,))
        recorder.result((moved,))
    return Attack(moved, {"largest_relative_residual": residual})


_METHODS: dict[str, Callable[[Problem, Batch, Adversarial, Recorder], Attack]] = {
    "i_fgsm": _by_signs,
    "second_order": _by_curvature,
}


def _each_step(problem: Problem, data: Batch, workload: Adversarial) -> Iterator[torch.Tensor]:
    x, loss = data.x, _loss(problem, data, SILENT)
    for _ in range(workload.steps):
        x = _signed_step(loss, data, workload, x, SILENT, "")
        yield x.detach()


def _each_space(problem: Problem, data: Batch, workload: Adversarial) -> Iterator[torch.Tensor]:
    for steps in range(1, workload.steps + 1):
        fewer = workload.model_copy(update={"steps": steps})
        yield _by_curvature(problem, data, fewer, SILENT).x


_EACH: dict[str, Callable[[Problem, Batch, Adversarial], Iterator[torch.Tensor]]] = {
    "i_fgsm": _each_step,
    "second_order": _each_space,
}


def _loss(problem: Problem, data: Batch, recorder: Recorder) -> InputsLoss:
    """The same function of the inputs each time."""
    by_all = problem.loss_of(None, data.y, recorder, update_statistics=False)
    weights, is_random = tuple(problem.parameters.values()), problem.is_random

    def loss(x: torch.Tensor) -> torch.Tensor:
        if is_random:
            problem.same_random_numbers()
        return by_all((*weights, x))

    return loss


def _rows(gradients: Gradients, x: torch.Tensor) -> torch.Tensor:
    """The gradient of each example as a new row without a graph."""
    (gradient,) = gradients
    with torch.no_grad():
        like = torch.zeros_like(x) if gradient is None else gradient.clone()
        return like.reshape(len(x), -1)


def _products(gradients: Gradients, x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Each example's Hessian times its row; the graph lives as long as the function."""
    (gradient,) = gradients

    def multiply(rows: torch.Tensor) -> torch.Tensor:
        if gradient is None or not gradient.requires_grad:
            return torch.zeros_like(rows)
        found: Gradients = torch.autograd.grad(
            gradient, x, rows.view(x.shape), retain_graph=True, allow_unused=True
        )
        (product,) = found
        return torch.zeros_like(rows) if product is None else product.reshape(rows.shape)

    return multiply
