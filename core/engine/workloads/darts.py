"""Differentiable architecture search (Liu et al. 2019, arXiv 1806.09055).

Layers of the kind ``mixed`` weigh their candidates by the softmax of their ``alpha``. Looked for is
the gradient, by all alphas, of the validation loss at w - ξ ∇L_train(w, α): the weights after a
training step at the rate ξ. First-order DARTS takes the weights as they are, ξ = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from core.engine.computed import Computed, computed
from core.engine.data import Halves
from core.engine.gradients import Derivative, Gradients, derive, gradients_of
from core.engine.problem import Problem
from core.engine.recorder import SILENT, Recorder, is_deaf
from core.engine.straight import WeightsLoss
from core.results.categories import graph_category
from core.results.charts import ARCHITECTURE, SEARCH, Point
from core.spec.layers import ALPHA
from core.spec.workloads import Darts
from core.spec.workloads.darts import is_choice

REACH = 0.01
"""How far the weights move for a difference, all together (Liu et al. 2019, section 2.3)."""

BETAS = (0.5, 0.999)
"""Of Adam on the architecture (Liu et al. 2019, appendix A.1)."""

_SEEDS = 2**63

Weights = Sequence[torch.Tensor]
Loss = Callable[[Weights, Weights], torch.Tensor]
"""Without axes; of the weights and of the alphas."""


@dataclass(frozen=True)
class Losses:
    """What is descended by the weights, and what the architecture is judged by.

    Attributes:
        train: the training loss.
        again: the same at other weights: with the same random numbers, and without side effects.
        validation: the validation loss.
    """

    train: Loss
    again: Loss
    validation: Loss


class Searched(NamedTuple):
    """The architecture gradient with the validation loss, and the training loss before the step;
    None where it is not asked for."""

    derivative: Derivative
    train: torch.Tensor | None


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The gradient of the validation loss by the alphas of the problem."""
    workload = problem.spec.workload
    assert isinstance(workload, Darts)
    weights, alphas = _parted(problem.parameters)
    found = architecture_gradient(
        _losses(problem, recorder), tuple(weights.values()), tuple(alphas.values()), workload,
        recorder,
    )  # fmt: skip
    outcome = computed(found.derivative, alphas, workload.order)
    return (
        outcome
        if found.train is None
        else outcome._replace(readings={"training_loss": found.train})
    )


def architecture_gradient(
    losses: Losses, weights: Weights, alphas: Weights, workload: Darts, recorder: Recorder
) -> Searched:
    """The gradient of the validation loss by the alphas, in the way that the workload asks for.

    Args:
        losses: of weights and alphas.
        weights: where the training step begins; leaf tensors that require grad.
        alphas: leaf tensors that require grad.
        workload: order, method and the rate of the training step.
        recorder: hears of the phases.
    """
    if workload.order == 1:
        return _first_order(losses, weights, alphas, recorder)
    way = _exact if workload.is_exact else _finite_difference
    return way(losses, weights, alphas, workload.weight_lr, recorder)


def _first_order(losses: Losses, weights: Weights, alphas: Weights, recorder: Recorder) -> Searched:
    constants = _constant(weights)
    outputs = [_validation(losses, constants, alphas, recorder)]
    return Searched(derive(outputs, alphas, ["gradient 1"], recorder), None)


def _exact(
    losses: Losses, weights: Weights, alphas: Weights, rate: float, recorder: Recorder
) -> Searched:
    """Through the training step, which keeps its graph."""
    loss = _forward(losses, weights, alphas, recorder)
    train = loss.detach().clone()
    with recorder.phase("weight gradient"):
        recorder.born(graph_category(1))
        gradients = gradients_of((loss,), weights, create_graph=True)
        del loss
        stepped = _stepped(weights, gradients, rate, recorder)
        del gradients
    outputs = [_validation(losses, stepped, alphas, recorder)]
    del stepped  # its graph alone needs it
    return Searched(derive(outputs, alphas, ["gradient 2"], recorder, first_order=2), train)


def _finite_difference(
    losses: Losses, weights: Weights, alphas: Weights, rate: float, recorder: Recorder
) -> Searched:
    """By the difference of the training loss's gradient along that of the validation loss."""
    loss = _forward(losses, weights, _constant(alphas), recorder)
    train = loss.detach().clone()
    with recorder.phase("weight gradient"):
        recorder.born("gradients")
        gradients = gradients_of((loss,), weights, create_graph=False)
        del loss
        with torch.no_grad():
            stepped = _stepped(weights, gradients, rate, recorder)
        stepped = tuple([weight.detach().requires_grad_() for weight in stepped])
        del gradients
    value = _validation(losses, stepped, alphas, recorder)
    with recorder.phase("gradient 1"):
        recorder.born("gradients")
        both = gradients_of((value,), (*alphas, *stepped), create_graph=False)
        direct, along = both[: len(alphas)], both[len(alphas) :]
        del both, stepped
        _heard(recorder, (*direct, *along))
    value = value.detach().clone()
    with torch.no_grad():
        step = REACH / _length(along)

    def beside(step: torch.Tensor, name: str) -> Gradients:
        with recorder.phase(name):
            recorder.born("fast_weights")
            with torch.no_grad():
                moved = tuple(
                    [
                        weight if part is None else torch.addcmul(weight, part, step)
                        for weight, part in zip(weights, along, strict=True)
                    ]
                )
            recorder.hold("fast_weights", moved)
            recorder.born("activations")
            loss = losses.again(moved, alphas)
            recorder.born("gradients")
            found = gradients_of((loss,), alphas, create_graph=False)
            _heard(recorder, found)
            return found

    ahead, behind = beside(step, "gradient ahead"), beside(-step, "gradient behind")
    with recorder.phase("difference"), torch.no_grad():
        recorder.born("gradients")
        factor = rate / (2 * step)
        result = tuple(
            [_difference(*parts, factor) for parts in zip(direct, ahead, behind, strict=True)]
        )
        _heard(recorder, result)
    return Searched(Derivative(result, value), train)


def _difference(
    direct: torch.Tensor | None,
    ahead: torch.Tensor | None,
    behind: torch.Tensor | None,
    factor: torch.Tensor,
) -> torch.Tensor | None:
    """What the alphas do by themselves, less what they do to the training step."""
    if ahead is None or behind is None:
        return direct
    through = (ahead - behind) * factor
    return -through if direct is None else direct - through


def _constant(tensors: Weights) -> tuple[torch.Tensor, ...]:
    """The same numbers, which nothing is differentiated by: nothing is kept for it."""
    return tuple([tensor.detach() for tensor in tensors])


def _forward(losses: Losses, weights: Weights, alphas: Weights, recorder: Recorder) -> torch.Tensor:
    with recorder.phase("forward"):
        recorder.born("activations")
        loss = losses.train(weights, alphas)
        recorder.result((loss,))
        return loss


def _validation(
    losses: Losses, weights: Weights, alphas: Weights, recorder: Recorder
) -> torch.Tensor:
    with recorder.phase("validation"):
        recorder.born("activations")
        value = losses.validation(weights, alphas)
        recorder.result((value,))
        return value


def _stepped(
    weights: Weights, gradients: Gradients, rate: float, recorder: Recorder
) -> tuple[torch.Tensor, ...]:
    recorder.born("fast_weights")
    stepped = tuple(
        [
            weight if gradient is None else torch.add(weight, gradient, alpha=-rate)
            for weight, gradient in zip(weights, gradients, strict=True)
        ]
    )
    recorder.hold("fast_weights", stepped)
    recorder.result(stepped)
    return stepped


def _length(gradients: Gradients) -> torch.Tensor:
    """Euclidean length of all entries together, above 0."""
    lengths = [torch.linalg.vector_norm(part) for part in gradients if part is not None]
    length: torch.Tensor = torch.linalg.vector_norm(torch.stack(lengths))
    return length.clamp_min(torch.finfo(length.dtype).tiny)


def _heard(recorder: Recorder, gradients: Gradients) -> None:
    present = [gradient for gradient in gradients if gradient is not None]
    recorder.hold("gradients", present)
    recorder.result(present)


def _parted(
    parameters: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights, and the alphas."""
    alphas = {name: tensor for name, tensor in parameters.items() if is_choice(name)}
    weights = {name: tensor for name, tensor in parameters.items() if name not in alphas}
    return weights, alphas


def _losses(problem: Problem, recorder: Recorder) -> Losses:
    """The problem's loss on both halves of its examples."""
    if not is_deaf(recorder):
        train, train_again, validation = _each_loss(problem, recorder)
    else:
        if "losses" not in problem.kept:
            problem.kept["losses"] = _each_loss(problem, SILENT)
        train, train_again, validation = problem.kept["losses"]

    def again(weights: Weights, alphas: Weights) -> torch.Tensor:
        problem.same_random_numbers()
        return train_again((*weights, *alphas))

    return Losses(
        train=lambda weights, alphas: train((*weights, *alphas)),
        again=again,
        validation=lambda weights, alphas: validation((*weights, *alphas)),
    )


def _each_loss(problem: Problem, recorder: Recorder) -> tuple[WeightsLoss, ...]:
    """The training loss, the same again, and the validation loss, of weights and alphas."""
    data, workload = problem.data, problem.spec.workload
    assert isinstance(data, Halves)
    assert isinstance(workload, Darts)
    names = [name for part in _parted(problem.parameters) for name in part]
    # One pass through the initial weights leaves its trace, as in training.
    of = [
        (data.train_x, data.train_y, True),
        (data.train_x, data.train_y, False),
        (data.validation_x, data.validation_y, workload.order == 1),
    ]
    return tuple(
        problem.loss_of(x, y, recorder, names=names, update_statistics=update_statistics)
        for x, y, update_statistics in of
    )


# ------------------------------------------------------------------------------------- the search


def follow(problem: Problem) -> Iterator[Point] | None:
    """The search: losses and shares of candidates by step; None without search steps."""
    workload = problem.spec.workload
    assert isinstance(workload, Darts)
    return _search(problem, workload) if workload.search_steps else None


def _search(problem: Problem, workload: Darts) -> Iterator[Point]:
    """Steps of Adam along the architecture gradient and of gradient descent of the training loss,
    in turn (Liu et al. 2019, algorithm 1).

    Starts from the problem's initial state and does not change it. A loss may be infinite or not a
    number.
    """
    problem.reset()
    parameters = {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in problem.parameters.items()
    }
    buffers = {name: buffer.clone() for name, buffer in problem.buffers.items()}
    weights, alphas = _parted(parameters)
    optimizer = torch.optim.Adam(alphas.values(), lr=workload.architecture_lr, betas=BETAS)
    for step in range(workload.search_steps):
        yield from _shares(problem, alphas, step)
        state = replace(_seeded(problem, step), parameters=parameters, buffers=buffers)
        state.same_random_numbers()
        outcome = compute(state, SILENT)
        for name, alpha in alphas.items():
            alpha.grad = outcome.result[name]
        optimizer.step()
        train = _descend(state, weights, alphas, workload.weight_lr)
        yield Point(SEARCH, "validation loss", step, outcome.loss.item())
        done = (step + 1) / workload.search_steps
        yield Point(SEARCH, "training loss", step, train, done=done)
    yield from _shares(problem, alphas, workload.search_steps)


def _seeded(problem: Problem, step: int) -> Problem:
    """The problem with random numbers of its own for each step."""
    measure = problem.spec.measure
    seeded = measure.model_copy(update={"seed": (measure.seed + step) % _SEEDS})
    return replace(problem, spec=problem.spec.model_copy(update={"measure": seeded}))


def _descend(
    state: Problem,
    weights: Mapping[str, torch.Tensor],
    alphas: Mapping[str, torch.Tensor],
    rate: float,
) -> float:
    """Moves the weights one step; returns the training loss before it."""
    leaves = tuple(weights.values())
    loss = _losses(state, SILENT).train(leaves, _constant(tuple(alphas.values())))
    gradients = gradients_of((loss,), leaves, create_graph=False)
    with torch.no_grad():
        for weight, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                weight.add_(gradient, alpha=-rate)
    return loss.item()


def _shares(problem: Problem, alphas: Mapping[str, torch.Tensor], step: int) -> Iterator[Point]:
    """What each candidate is weighed by."""
    names = candidate_names(problem)
    for name, alpha in alphas.items():
        for candidate, share in zip(
            names[name], torch.softmax(alpha.detach(), 0).tolist(), strict=True
        ):
            yield Point(ARCHITECTURE, candidate, step, share)


def candidate_names(problem: Problem) -> dict[str, list[str]]:
    """For each alpha what its candidates are called, such as ``layer 2: relu``."""
    found = {}
    for place, row in problem.spec.model.outline():
        if ALPHA in row.layer.parameter_shapes(row.input_shape or ()):
            layer = ".".join(str(position + 1) for position in place)
            kinds = [part.kind for part in row.layer.parts]
            found[".".join([*map(str, place), ALPHA])] = [
                f"layer {layer}: {kind}"
                if kinds.count(kind) == 1
                else f"layer {layer}: {kind} ({position + 1})"
                for position, kind in enumerate(kinds)
            ]
    return found
