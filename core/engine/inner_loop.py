"""One step of adaptation to a task, and what is kept of it for the meta-gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from core.engine.gradients import gradients_of
from core.engine.recorder import Recorder, Silent
from core.engine.rematerialize import rematerialize
from core.results.categories import graph_category

_GRAPH = graph_category(1)

Weights = tuple[torch.Tensor, ...]
WeightsLoss = Callable[[Sequence[torch.Tensor]], torch.Tensor]
"""A loss, without axes, as a function of the weights alone."""


@dataclass(frozen=True)
class SupportLoss:
    """What the inner steps descend.

    Attributes:
        first: the loss.
        again: the same value without side effects, for computing a step once more.
        random: whether it draws random numbers.
    """

    first: WeightsLoss
    again: WeightsLoss
    random: bool = False


InnerStep = Callable[[SupportLoss, Weights, float, Recorder], Weights]
"""The weights after one step of gradient descent of a given rate."""


def detached_step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
    """Keeps nothing: the new weights do not know where they came from (first-order MAML)."""
    gradients = _gradients(loss.first, weights, recorder, graph=False)
    with torch.no_grad():
        stepped = _stepped(weights, gradients, rate, recorder)
    return tuple(weight.detach().requires_grad_() for weight in stepped)


def standard_step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
    """Keeps the graph of the loss and of its gradient."""
    gradients = _gradients(loss.first, weights, recorder, graph=True)
    return _stepped(weights, gradients, rate, recorder)


def checkpointed_step(
    loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder
) -> Weights:
    """Keeps the weights alone, at every order, and computes the step again when needed."""

    def first(*weights: torch.Tensor) -> Weights:
        gradients = _gradients(loss.first, weights, recorder, graph=False)
        return _stepped(weights, gradients, rate, recorder)

    def again(*weights: torch.Tensor) -> Weights:
        silent = Silent()
        gradients = _gradients(loss.again, weights, silent, graph=True)
        return _stepped(weights, gradients, rate, silent)

    return rematerialize(first, *weights, recompute=again, random=loss.random)


INNER_STEPS: dict[str, InnerStep] = {"standard": standard_step, "checkpoint": checkpointed_step}


def _gradients(
    loss: WeightsLoss, weights: Weights, recorder: Recorder, *, graph: bool
) -> tuple[torch.Tensor | None, ...]:
    recorder.born("activations")
    value = loss(weights)
    recorder.born(_GRAPH if graph else "gradients")
    return gradients_of((value,), weights, create_graph=graph)


def _stepped(
    weights: Weights,
    gradients: Sequence[torch.Tensor | None],
    rate: float,
    recorder: Recorder,
) -> Weights:
    recorder.born("fast_weights")
    stepped = tuple(
        [
            weight if gradient is None else torch.add(weight, gradient, alpha=-rate)
            for weight, gradient in zip(weights, gradients, strict=True)
        ]
    )
    recorder.hold("fast_weights", stepped)
    return stepped
