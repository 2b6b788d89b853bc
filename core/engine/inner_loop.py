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
WeightsLoss = Callable[[Weights], torch.Tensor]
"""A loss, without axes, as a function of the weights, and of what stands beside them."""


@dataclass(frozen=True)
class SupportLoss:
    """What the inner steps descend.

    Attributes:
        first: the loss.
        again: the same value without side effects, for computing a step once more.
        random: whether it draws random numbers.
        beside: further arguments, which no step changes and gradients may lead through.
    """

    first: WeightsLoss
    again: WeightsLoss
    random: bool = False
    beside: Weights = ()


InnerStep = Callable[[SupportLoss, Weights, float, Recorder], Weights]
"""The weights after one step of gradient descent of a given rate."""


def detached_step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
    """Keeps nothing: the new weights do not know where they came from (first-order MAML)."""
    gradients = _gradients(loss.first, weights, loss.beside, recorder, graph=False)
    with torch.no_grad():
        stepped = _stepped(weights, gradients, rate, recorder)
    return tuple(weight.detach().requires_grad_() for weight in stepped)


def proximal_step(start: Weights, regularisation: float) -> InnerStep:
    """A step that keeps nothing, down the loss plus half the squared distance from the start.

    Args:
        start: where the weights are held near to.
        regularisation: factor on the distance.
    """

    def step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
        gradients = _gradients(loss.first, weights, loss.beside, recorder, graph=False)
        with torch.no_grad():
            stepped = _stepped(weights, gradients, rate, recorder)
            recorder.born("temporaries")
            for new, weight, origin in zip(stepped, weights, start, strict=True):
                if new is not weight:
                    new.add_(weight - origin, alpha=-rate * regularisation)
        return tuple(weight.detach().requires_grad_() for weight in stepped)

    return step


def standard_step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
    """Keeps the graph of the loss and of its gradient."""
    gradients = _gradients(loss.first, weights, loss.beside, recorder, graph=True)
    return _stepped(weights, gradients, rate, recorder)


def checkpointed_step(
    loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder
) -> Weights:
    """Keeps the weights alone, at every order, and computes the step again when needed."""

    count = len(weights)
    # Not the loss itself: what stands beside the weights lives no longer than the node needs it.
    value, value_again = loss.first, loss.again

    def first(*tensors: torch.Tensor) -> Weights:
        weights, beside = tensors[:count], tensors[count:]
        gradients = _gradients(value, weights, beside, recorder, graph=False)
        return _stepped(weights, gradients, rate, recorder)

    def again(*tensors: torch.Tensor) -> Weights:
        weights, beside, silent = tensors[:count], tensors[count:], Silent()
        gradients = _gradients(value_again, weights, beside, silent, graph=True)
        return _stepped(weights, gradients, rate, silent)

    return rematerialize(first, *weights, *loss.beside, recompute=again, random=loss.random)


INNER_STEPS: dict[str, InnerStep] = {"standard": standard_step, "checkpoint": checkpointed_step}


def _gradients(
    loss: WeightsLoss, weights: Weights, beside: Weights, recorder: Recorder, *, graph: bool
) -> tuple[torch.Tensor | None, ...]:
    recorder.born("activations")
    value = loss((*weights, *beside))
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
