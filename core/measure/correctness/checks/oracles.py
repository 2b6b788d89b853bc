"""For each kind of workload, the scalar function whose nested gradient its result is.

Written apart from ``core.engine``: the layers of ``network``, an inner loop of its own, no
checkpointing. What is shared are the weights and the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.data import Batch, Tasks
from core.engine.problem import Problem
from core.measure.correctness.checks.network import LOSSES, Tensors, output_of
from core.spec.declaration import Spec
from core.spec.workloads import Maml, NestedGradient

Value = Callable[[Tensors, bool], Tensor]
"""A scalar at a point; with a graph, where asked, that can be differentiated by the point."""


@dataclass(frozen=True)
class Oracle:
    """A scalar function, and which of its nested gradients is asked for.

    Attributes:
        value: the function; draws the same random numbers each time.
        point: where it is differentiated.
        sizes: the length of a step that changes a tensor of the point as much as it is large.
        times: how often it is differentiated, each time the sum of all entries.
        first_order: the order of its first gradient, in the workload's count.
        about: what its gradients are called in a sentence; None for orders of the workload.
    """

    value: Value
    point: dict[str, Tensor]
    sizes: dict[str, float]
    times: int
    first_order: int = 1
    about: str | None = None

    def order(self, gradient: int) -> str:
        """The name of the first, second, ... gradient."""
        return self.about or f"Order {self.first_order + gradient - 1}"


def oracles(problem: Problem) -> tuple[Oracle, ...]:
    """The function whose nested gradient the result is, and before it those that it relies on."""
    return _ORACLES[type(problem.spec.workload)](problem)


@dataclass(frozen=True)
class Chain:
    """A function's value at a point, and its first, second, ... nested gradient there.

    A gradient is zero where nothing depends on a tensor.
    """

    value: float
    gradients: list[dict[str, Tensor]]

    def total(self, times: int) -> float:
        """The value, or the sum of all entries of a gradient: what is differentiated next."""
        if times == 0:
            return self.value
        return sum(gradient.sum().item() for gradient in self.gradients[times - 1].values())

    def size(self, times: int) -> float:
        """The same of the absolute entries."""
        if times == 0:
            return abs(self.value)
        return sum(gradient.abs().sum().item() for gradient in self.gradients[times - 1].values())


def chain(oracle: Oracle, point: Tensors, times: int) -> Chain:
    """Differentiates the function ``times`` times."""
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in point.items()}
    value = oracle.value(leaves, times > 0)
    totals = [value]
    gradients: list[dict[str, Tensor]] = []
    for remaining in reversed(range(times)):
        found: tuple[Tensor | None, ...] = (None,) * len(leaves)
        totals = [total for total in totals if total.requires_grad]
        if totals:
            found = torch.autograd.grad(
                totals, list(leaves.values()), create_graph=remaining > 0, allow_unused=True
            )
        totals = [gradient.sum() for gradient in found if gradient is not None]
        gradients.append(
            {
                name: torch.zeros_like(leaf) if gradient is None else gradient.detach()
                for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
            }
        )
    return Chain(value.item(), gradients)


def _nested_gradient(problem: Problem) -> tuple[Oracle, ...]:
    workload, data = problem.spec.workload, problem.data
    assert isinstance(workload, NestedGradient)
    assert isinstance(data, Batch)
    by_inputs = workload.wrt == "inputs"

    def value(point: Tensors, graph: bool) -> Tensor:
        del graph
        torch.manual_seed(problem.spec.measure.seed)
        if by_inputs:
            return _loss(problem, problem.parameters, point["x"], data.y)
        return _loss(problem, point, data.x, data.y)

    point = {"x": data.x} if by_inputs else problem.parameters
    return (Oracle(value, _detached(point), _lengths(point), workload.order),)


def _maml(problem: Problem) -> tuple[Oracle, ...]:
    workload, tasks = problem.spec.workload, problem.data
    assert isinstance(workload, Maml)
    assert isinstance(tasks, Tasks)
    initial = _detached(problem.parameters)
    sizes = _lengths(initial)
    seed, count = problem.spec.measure.seed, workload.tasks

    def adapted(weights: Tensors, number: int, graph: bool) -> Tensors:
        x, y = tasks.support_x[number], tasks.support_y[number]
        for _ in range(workload.inner_steps):
            if not graph:
                weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
            gradients = _gradients(_loss(problem, weights, x, y), weights, graph)
            weights = {name: w - workload.inner_lr * gradients[name] for name, w in weights.items()}
        return weights if graph else _detached(weights)

    def judged(weights: Tensors, number: int) -> Tensor:
        return _loss(problem, weights, tasks.query_x[number], tasks.query_y[number])

    def support_loss(point: Tensors, graph: bool) -> Tensor:
        del graph
        torch.manual_seed(seed)
        x, y = tasks.support_x, tasks.support_y
        return _mean([_loss(problem, point, x[number], y[number]) for number in range(count)])

    def meta_loss(point: Tensors, graph: bool) -> Tensor:
        torch.manual_seed(seed)
        return _mean([judged(adapted(point, number, graph), number) for number in range(count)])

    def beside_adapted(offsets: Tensors, graph: bool) -> Tensor:
        """The loss as far from the adapted weights of each task: its gradient is first-order."""
        del graph
        torch.manual_seed(seed)
        losses = []
        for number in range(count):
            end = adapted(initial, number, False)
            losses.append(judged({name: w + offsets[name] for name, w in end.items()}, number))
        return _mean(losses)

    inner = Oracle(support_loss, initial, sizes, 1, about="The gradient of an inner step")
    if workload.order == 1:
        nowhere = {name: torch.zeros_like(tensor) for name, tensor in initial.items()}
        return inner, Oracle(beside_adapted, nowhere, sizes, 1)
    return inner, Oracle(meta_loss, initial, sizes, workload.order - 1, first_order=2)


_ORACLES: dict[type[Spec], Callable[[Problem], tuple[Oracle, ...]]] = {
    NestedGradient: _nested_gradient,
    Maml: _maml,
}


def _loss(problem: Problem, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
    spec = problem.spec
    return LOSSES[spec.loss](output_of(spec.model, parameters, x), y)


def _gradients(loss: Tensor, weights: Tensors, graph: bool) -> dict[str, Tensor]:
    found = torch.autograd.grad(
        loss, list(weights.values()), create_graph=graph, materialize_grads=True, allow_unused=True
    )
    return dict(zip(weights, found, strict=True))


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _lengths(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: tensor.detach().norm().item() for name, tensor in tensors.items()}
