"""Meta-gradients, whatever the variant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.data import Tasks
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors, output_of
from core.measure.correctness.checks.oracles.krylov import solved
from core.measure.correctness.checks.oracles.oracle import Expected, Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import detached, gradients, lengths, loss, mean
from core.spec.model import StackModel
from core.spec.workloads import Maml

_IMPLICIT_TOLERANCE = 1e-8


def oracles(problem: Problem) -> Oracles:
    """The loss after an inner loop of its own, or beside the weights adapted by one."""
    workload = problem.spec.workload
    assert isinstance(workload, Maml)
    return _VARIANTS[workload.variant](_Loop(problem, workload))


@dataclass(frozen=True)
class _Loop:
    """The inner loop, written out."""

    problem: Problem
    workload: Maml

    @property
    def initial(self) -> dict[str, Tensor]:
        return detached(self.problem.parameters)

    @property
    def sizes(self) -> dict[str, float]:
        return lengths(self.initial)

    @property
    def nowhere(self) -> dict[str, Tensor]:
        return {name: torch.zeros_like(tensor) for name, tensor in self.initial.items()}

    @property
    def tasks(self) -> Tasks:
        assert isinstance(self.problem.data, Tasks)
        return self.problem.data

    def numbers(self) -> range:
        """The tasks, drawing the same random numbers each time."""
        torch.manual_seed(self.problem.spec.measure.seed)
        return range(self.workload.tasks)

    def support_loss(self, weights: Tensors, number: int) -> Tensor:
        x, y = self.tasks.support_x[number], self.tasks.support_y[number]
        return loss(self.problem, weights, x, y)

    def judged(self, weights: Tensors, number: int) -> Tensor:
        x, y = self.tasks.query_x[number], self.tasks.query_y[number]
        return loss(self.problem, weights, x, y)

    def path(self, weights: Tensors, number: int, graph: bool) -> Iterator[Tensors]:
        """The weights before and after each step; without a graph they are constants."""
        still, moving, descended = self._parts(weights, number, graph)
        start, workload = moving, self.workload
        yield weights
        for _ in range(workload.inner_steps):
            if not graph:
                moving = {name: w.detach().requires_grad_() for name, w in moving.items()}
            slopes = gradients(descended(moving), moving, graph)
            if workload.variant == "imaml":
                slopes = {
                    name: slope + workload.regularisation * (moving[name] - start[name]).detach()
                    for name, slope in slopes.items()
                }
            moving = {name: w - workload.inner_lr * slopes[name] for name, w in moving.items()}
            yield {**still, **(moving if graph else detached(moving))}

    def adapted(self, weights: Tensors, number: int, graph: bool) -> Tensors:
        """The weights after the last step."""
        *_, last = self.path(weights, number, graph)
        return last

    def _parts(
        self, weights: Tensors, number: int, graph: bool
    ) -> tuple[Tensors, Tensors, Callable[[Tensors], Tensor]]:
        """Weights that stay, weights that move, and the loss by these."""
        if self.workload.variant != "anil":
            return {}, weights, lambda moving: self.support_loss(moving, number)
        head = max(int(name.partition(".")[0]) for name in weights)
        moving = {name: w for name, w in weights.items() if name.startswith(f"{head}.")}
        still = {name: w for name, w in weights.items() if name not in moving}
        x, y = self.tasks.support_x[number], self.tasks.support_y[number]
        model = self.problem.spec.model
        assert isinstance(model, StackModel)
        features = output_of(model, still, x, slice(head))
        if not graph:
            features = features.detach()
        return (
            still,
            moving,
            lambda moving: loss(self.problem, moving, features, y, slice(head, None)),
        )

    def inner(self, times: int = 1) -> Oracle:
        """What the inner steps rely on: the derivatives of the support loss."""

        def value(point: Tensors, graph: bool) -> Tensor:
            del graph
            return mean([self.support_loss(point, number) for number in self.numbers()])

        about = "The gradient of an inner step"
        return Oracle(value, self.initial, self.sizes, times, about=about)

    def beside_adapted(self, offsets: Tensors, graph: bool) -> Tensor:
        """The loss as far from the adapted weights of each task: its gradient is first-order."""
        del graph
        losses = []
        for number in self.numbers():
            end = self.adapted(self.initial, number, False)
            losses.append(self.judged(_moved(end, offsets), number))
        return mean(losses)


def _through_the_steps(loop: _Loop) -> Oracles:
    """MAML and ANIL."""

    def meta_loss(point: Tensors, graph: bool) -> Tensor:
        return mean(
            [loop.judged(loop.adapted(point, number, graph), number) for number in loop.numbers()]
        )

    if loop.workload.order == 1:
        first_order = Oracle(loop.beside_adapted, loop.nowhere, loop.sizes, 1)
        return Oracles((first_order,), (loop.inner(),))
    exact = Oracle(meta_loss, loop.initial, loop.sizes, loop.workload.order - 1, first_order=2)
    return Oracles((exact,), (loop.inner(),))


def _where_they_lead(loop: _Loop) -> Oracles:
    """Reptile: where the steps lead is the sum of the gradients along their way."""

    def beside_the_way(offsets: Tensors, graph: bool) -> Tensor:
        """The loss at its end, and by how much all losses along it change as far from it."""
        del graph
        ways = []
        for number in loop.numbers():
            ways.append(list(loop.path(loop.initial, number, False)))
            loop.judged(ways[-1][-1], number)  # for the random numbers that it draws
        losses = []
        for number in loop.numbers():
            *passed, end = ways[number]
            along = torch.stack(
                [loop.support_loss(_moved(point, offsets), number) for point in passed]
            ).sum()
            losses.append(loop.judged(end, number) + along)
        total = mean(losses)
        return total - levels[0] if levels else total

    levels: list[Tensor] = []
    ends = [loop.judged(loop.adapted(loop.initial, n, False), n) for n in loop.numbers()]
    levels.append(beside_the_way(loop.nowhere, False) - mean(ends))
    return Oracles((Oracle(beside_the_way, loop.nowhere, loop.sizes, 1),), (loop.inner(),))


def _implicitly(loop: _Loop) -> Oracles:
    """iMAML: the best vector that as many products with the Hessian can tell."""
    workload = loop.workload
    total, losses = loop.nowhere, []
    for number in loop.numbers():
        leaves = {
            name: w.requires_grad_()
            for name, w in loop.adapted(loop.initial, number, False).items()
        }
        judged = loop.judged(leaves, number)
        right = gradients(judged, leaves, False)
        slopes = gradients(loop.support_loss(leaves, number), leaves, True)
        found = solved(slopes, leaves, right, workload.regularisation, workload.cg_iterations)
        total = {name: w + found[name] / workload.tasks for name, w in total.items()}
        losses.append(judged.item())
    expected = Expected(
        total,
        sum(losses) / len(losses),
        _IMPLICIT_TOLERANCE,
        "a solution by an orthogonal basis of the same products with the Hessian",
    )
    query = Oracle(
        loop.beside_adapted, loop.nowhere, loop.sizes, 1, about="The gradient of the query loss"
    )
    return Oracles((), (loop.inner(2), query), expected)


def _moved(weights: Tensors, offsets: Tensors) -> dict[str, Tensor]:
    return {name: weight + offsets[name] for name, weight in weights.items()}


_VARIANTS: dict[str, Callable[[_Loop], Oracles]] = {
    "maml": _through_the_steps,
    "anil": _through_the_steps,
    "reptile": _where_they_lead,
    "imaml": _implicitly,
}
