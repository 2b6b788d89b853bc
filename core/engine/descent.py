"""torch's own optimizers on a workload's loss, to compare other methods with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import torch

from core.engine.data import Batch
from core.engine.gradients import gradients_of
from core.engine.problem import Problem
from core.engine.recorder import SILENT

MOST_ITERATIONS = 500

Method = Callable[[list[torch.Tensor]], torch.optim.Optimizer]

METHODS: Final[Mapping[str, Method]] = {
    "Adam, rate 0.01": lambda weights: torch.optim.Adam(weights, lr=0.01),
    "L-BFGS": lambda weights: torch.optim.LBFGS(
        weights, max_iter=1, max_eval=26, line_search_fn="strong_wolfe"
    ),
}
"""By the name of their curve: a step of each is one iteration. That of L-BFGS may search a line
with 25 evaluations; by default torch would leave a single iteration none."""


RIVALS: Final[Mapping[str, Method]] = dict(zip(("adam", "l_bfgs"), METHODS.values(), strict=True))
"""The same by the names of readings."""


class At(NamedTuple):
    """How far an optimizer has come.

    Attributes:
        seconds: that its iterations took.
        share: of its time, between 0 and 1.
    """

    iteration: int
    seconds: float
    loss: float
    share: float


def descend(problem: Problem, method: Method, seconds: float, fewest: int) -> Iterator[At]:
    """Minimises the loss of the problem's batch from its initial weights, which stay as they are.

    The loss is the same function of the weights each time, as far as random numbers are concerned,
    and leaves no trace in running statistics.

    Args:
        problem: on one batch.
        method: makes the optimizer.
        seconds: that the iterations may take, as long as they are not too many.
        fewest: iterations that are made in any case.

    Yields:
        The loss before the first iteration, then after each.
    """
    weights = {
        name: weight.detach().clone().requires_grad_()
        for name, weight in problem.parameters.items()
    }
    optimizer = method(list(weights.values()))

    def evaluate() -> torch.Tensor:
        data = problem.data
        assert isinstance(data, Batch)
        problem.same_random_numbers()
        loss = problem.loss(weights, data.x, data.y, SILENT, update_statistics=False)
        gradients = gradients_of((loss,), tuple(weights.values()), create_graph=False)
        for weight, gradient in zip(weights.values(), gradients, strict=True):
            weight.grad = torch.zeros_like(weight) if gradient is None else gradient
        return loss.detach()

    spent, iteration = 0.0, 0
    while True:
        share = max(spent / seconds, iteration / MOST_ITERATIONS)
        began = time.perf_counter()
        loss = float(optimizer.step(evaluate))  # type: ignore[arg-type]  # that before the step
        elapsed = time.perf_counter() - began
        yield At(iteration, spent, loss, min(share, 1.0))
        if iteration == MOST_ITERATIONS or (spent >= seconds and iteration >= fewest):
            return
        spent, iteration = spent + elapsed, iteration + 1
