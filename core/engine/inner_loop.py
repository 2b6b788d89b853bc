"""Steps of adaptation to a task, and what is kept of them for the meta-gradient.

A step is differentiated through its gradient, whose derivative times a vector is a Hessian-vector
product. That can keep the graph of the gradient, or the weights alone, to compute the graph again
when the product is asked for: MixFlow-MG (Kemaev et al. 2025, arXiv 2505.00793) makes the inner
gradient a primitive with this rule. What is then left to grow are the weights of each step. Runs of
steps that keep the first weights alone, and walk the run once more when it is differentiated, bring
their number down to about √(2n) (Griewank and Walther 2000, Revolve, with one repetition).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.autograd import Function

from core.engine.gradients import gradients_of
from core.engine.recorder import SILENT, Recorder
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
        closed: whether it is known to depend on no other tensor that requires grad.
        beside: further arguments, which no step changes and gradients may lead through.
    """

    first: WeightsLoss
    again: WeightsLoss
    random: bool = False
    closed: bool = False
    beside: Weights = ()


InnerStep = Callable[[SupportLoss, Weights, float, Recorder], Weights]
"""The weights after one step of gradient descent of a given rate."""


def detached_step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
    """Keeps nothing: the new weights do not know where they came from (first-order MAML)."""
    gradients = _gradients(loss.first, weights, loss.beside, recorder, graph=False)
    with torch.no_grad():
        stepped = _stepped(weights, gradients, rate, recorder)
    return _leaves(stepped, weights)


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
        return _leaves(stepped, weights)

    return step


def _leaves(stepped: Weights, weights: Weights) -> Weights:
    """New weights without a graph as leaves; one that did not move is not the old one."""
    return tuple(
        [
            (new.detach() if new is weight else new).requires_grad_()
            for new, weight in zip(stepped, weights, strict=True)
        ]
    )


def standard_step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
    """Keeps the graph of the loss and of its gradient."""
    recorder.born("activations")
    value = loss.first((*weights, *loss.beside))
    recorder.born(_GRAPH)
    gradients = gradients_of((value,), weights, create_graph=True)
    del value
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
        weights, beside, silent = tensors[:count], tensors[count:], SILENT
        gradients = _gradients(value_again, weights, beside, silent, graph=True)
        return _stepped(weights, gradients, rate, silent)

    return rematerialize(
        first,
        *weights,
        *loss.beside,
        recompute=again,
        random=loss.random,
        closed=loss.closed,
    )


def saved_gradient_step(
    loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder
) -> Weights:
    """Keeps the weights alone, at every order: the gradient is a primitive.

    Its backward is one Hessian-vector product, reverse over reverse. Unlike in a step that is
    computed again, the new weights are not. The gradient itself stays in them: gradient descent
    has no further use for it.
    """
    count = len(weights)
    value, value_again, present = loss.first, loss.again, list[int]()

    def first(*tensors: torch.Tensor) -> Weights:
        found = _gradients(value, tensors[:count], tensors[count:], recorder, graph=False)
        present.extend(i for i, gradient in enumerate(found) if gradient is not None)
        return _depending([found[i] for i in present], tensors)

    def again(*tensors: torch.Tensor) -> Weights:
        found = _gradients(value_again, tensors[:count], tensors[count:], SILENT, graph=True)
        return _depending([found[i] for i in present], tensors)

    gradients = rematerialize(
        first,
        *weights,
        *loss.beside,
        recompute=again,
        random=loss.random,
        closed=loss.closed,
    )
    known = dict(zip(present, gradients, strict=True))
    return _stepped(weights, [known.get(i) for i in range(count)], rate, recorder)


INNER_STEPS: dict[str, InnerStep] = {
    "standard": standard_step,
    "checkpoint": checkpointed_step,
    "saved_gradient": saved_gradient_step,
    "segments": standard_step,
    "segments_saved_gradient": saved_gradient_step,
}
"""How a step is computed where its graph is kept; of a run of steps, when it is walked again."""


def _standard_unheard(loss: SupportLoss, weights: Weights, alpha: float) -> Weights:
    value = loss.first((*weights, *loss.beside))
    gradients = gradients_of((value,), weights, create_graph=True)
    del value
    return _moved(weights, gradients, alpha)


def _detached_unheard(loss: SupportLoss, weights: Weights, alpha: float) -> Weights:
    value = loss.first((*weights, *loss.beside))
    gradients = gradients_of((value,), weights, create_graph=False)
    del value
    with torch.no_grad():
        return _leaves(_moved(weights, gradients, alpha), weights)


_UNHEARD: dict[InnerStep, Callable[[SupportLoss, Weights, float], Weights]] = {
    standard_step: _standard_unheard,
    detached_step: _detached_unheard,
}
"""The same steps, of the negative rate, where nobody hears of them: what they would say in between
is 2 % of a small network's time."""


@dataclass(frozen=True)
class Descent:
    """Inner steps one after the other.

    Attributes:
        step: how each of them is computed.
        rate: of gradient descent.
        recorder: hears of a phase for each step.
    """

    step: InnerStep
    rate: float
    recorder: Recorder

    def along(self, loss: SupportLoss, weights: Weights, phases: Sequence[str]) -> Weights:
        """The weights after as many steps as there are names of phases."""
        step, rate, recorder = self.step, self.rate, self.recorder
        if recorder is SILENT and step in _UNHEARD:
            unheard = _UNHEARD[step]
            for _ in phases:
                weights = unheard(loss, weights, -rate)
            return weights
        for phase in phases:
            with recorder.phase(phase):
                weights = step(loss, weights, rate, recorder)
                recorder.result(weights)
        return weights

    def once_more(self, loss: SupportLoss, weights: Weights, phases: Sequence[str]) -> Weights:
        """The same, of which gradients of every order keep the first weights alone.

        The steps are walked without a graph at first, and again with theirs for each gradient.
        """
        count, value, value_again = len(weights), loss.first, loss.again
        random, closed = loss.random, loss.closed
        fleeting = replace(self, step=_fleeting_step)
        # Nobody hears the names of phases: without them walks of as many steps are alike.
        silent, unheard = replace(self, recorder=SILENT), ("",) * len(phases)

        def first(*tensors: torch.Tensor) -> Weights:
            once = SupportLoss(value, value_again, random, closed, tensors[count:])
            return fleeting.along(once, tensors[:count], phases)

        def again(*tensors: torch.Tensor) -> Weights:
            more = SupportLoss(value_again, value_again, random, closed, tensors[count:])
            return silent.along(more, tensors[:count], unheard)

        return rematerialize(
            first, *weights, *loss.beside, recompute=again, random=random, closed=closed
        )


def _fleeting_step(loss: SupportLoss, weights: Weights, rate: float, recorder: Recorder) -> Weights:
    """Keeps nothing, but the new weights know that they come from the old ones."""
    gradients = _gradients(loss.first, weights, loss.beside, recorder, graph=False)
    return _stepped(weights, gradients, rate, recorder)


class _Depending(Function):
    """Tensors said to depend on others, in a way whose derivative is zero."""

    @staticmethod
    def forward(ctx: Any, values: Sequence[torch.Tensor], *tensors: torch.Tensor) -> Weights:
        return tuple(values)

    @staticmethod
    def backward(ctx: Any, *received: Any) -> tuple[None, ...]:
        del received
        return None, *(None for _ in ctx.next_functions)


def _depending(values: Sequence[torch.Tensor | None], tensors: Weights) -> Weights:
    """The values, those that do not depend on the tensors as if they did.

    A gradient that was taken without its graph has one when it is taken again; one that is the same
    everywhere has none even then.
    """
    known = [value for value in values if value is not None]
    assert len(known) == len(values)
    constant = [i for i, value in enumerate(known) if not value.requires_grad]
    if constant:
        connected: Weights = _Depending.apply(  # type: ignore[no-untyped-call]
            [known[i] for i in constant], *tensors
        )
        for i, value in zip(constant, connected, strict=True):
            known[i] = value
    return tuple(known)


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
    stepped = _moved(weights, gradients, -rate)
    recorder.hold("fast_weights", stepped)
    return stepped


def _moved(weights: Weights, gradients: Sequence[torch.Tensor | None], alpha: float) -> Weights:
    return tuple(
        [
            weight if gradient is None else torch.add(weight, gradient, alpha=alpha)
            for weight, gradient in zip(weights, gradients, strict=True)
        ]
    )
