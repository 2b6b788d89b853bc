"""Architecture gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.engine.data import Halves
from core.engine.problem import Problem
from core.measure.correctness.checks.network import Tensors
from core.measure.correctness.checks.oracles.oracle import Expected, Oracle, Oracles
from core.measure.correctness.checks.oracles.shared import detached, gradients, lengths, loss
from core.spec.workloads import Darts

_REACH = 0.01
"""Length of the paper's step beside the weights."""

_SMALL = (1e-5, 1e-6, 1e-7)
"""The same of steps that leave next to no error; one of them should meet no kink."""

_SAME_FORMULA = 1e-8
_EXPLAINED = 1e-5
"""How far the paper's difference may be from the gradient, beside what its step explains."""


def oracles(problem: Problem) -> Oracles:
    """The validation loss after a training step of its own, as a function of the alphas."""
    workload = problem.spec.workload
    assert isinstance(workload, Darts)
    search = _Search(problem, workload)
    exact = Oracle(
        search.after_a_step if workload.order == 2 else search.as_it_is,
        search.alphas,
        lengths(search.alphas),
        1,
        first_order=workload.order,
    )
    if workload.order == 1:
        return Oracles((exact,))
    step = Oracle(
        search.training, search.weights, lengths(search.weights), 1,
        about="The gradient of the training step",
    )  # fmt: skip
    if workload.is_exact:
        return Oracles((exact,), (step,))
    through = Oracle(
        search.after_a_step, search.alphas, lengths(search.alphas), 1,
        about="The gradient through the training step",
    )  # fmt: skip
    return Oracles((), (step, through), search.by_difference(_REACH), (search.by_gradient(),))


class _Search:
    """The losses of a problem apart from the engine."""

    def __init__(self, problem: Problem, workload: Darts) -> None:
        data = problem.data
        assert isinstance(data, Halves)
        self._problem, self._data, self._rate = problem, data, workload.weight_lr
        known = detached(problem.parameters)
        self.alphas = {name: one for name, one in known.items() if name.endswith("alpha")}
        self.weights = {name: one for name, one in known.items() if name not in self.alphas}

    def as_it_is(self, alphas: Tensors, graph: bool) -> Tensor:
        """The validation loss at the weights."""
        del graph
        torch.manual_seed(self._problem.spec.measure.seed)
        return self._validation(self.weights, alphas)

    def after_a_step(self, alphas: Tensors, graph: bool) -> Tensor:
        """The validation loss at the weights after a training step."""
        return self._validation(self._stepped(alphas, graph), alphas)

    def training(self, weights: Tensors, graph: bool) -> Tensor:
        """The training loss."""
        del graph
        return self._train(weights, self.alphas)

    def by_gradient(self) -> Expected:
        """The gradient itself, as far off as the paper's step explains: as its difference is from
        one that reaches next to nowhere."""
        free = _free(self.alphas)
        value = self.after_a_step(free, True)
        exact = gradients(value, free, False)
        near = min(
            (self._formula(reach)[0] for reach in _SMALL),
            key=lambda found: _size({name: found[name] - exact[name] for name in exact}),
        )
        paper = self._formula(_REACH)[0]
        explained = {name: exact[name] + paper[name] - near[name] for name in exact}
        return Expected(
            explained,
            value.item(),
            _EXPLAINED,
            "the gradient through the training step by more than the step of the difference "
            "explains, namely",
        )

    def by_difference(self, reach: float) -> Expected:
        """The paper's formula once more."""
        result, value = self._formula(reach)
        return Expected(result, value, _SAME_FORMULA, "an independent computation")

    def _formula(self, reach: float) -> tuple[dict[str, Tensor], float]:
        """Liu et al. 2019, equations 7 and 8, at a step of any length."""
        after, free = _free(self._stepped(self.alphas, False)), _free(self.alphas)
        value = self._validation(after, free)
        direct = gradients(value, after | free, False)
        epsilon = reach / (_size({name: direct[name] for name in after}) or 1.0)

        def beside(sign: int) -> dict[str, Tensor]:
            moved = {name: w + sign * epsilon * direct[name] for name, w in self.weights.items()}
            return gradients(self._train(moved, free), free, False)

        ahead, behind = beside(1), beside(-1)
        return {
            name: direct[name] - self._rate * (ahead[name] - behind[name]) / (2 * epsilon)
            for name in free
        }, value.item()

    def _stepped(self, alphas: Tensors, graph: bool) -> dict[str, Tensor]:
        weights = _free(self.weights)
        slopes = gradients(self._train(weights, alphas), weights, graph)
        return {name: self.weights[name] - self._rate * slopes[name] for name in weights}

    def _train(self, weights: Tensors, alphas: Tensors) -> Tensor:
        torch.manual_seed(self._problem.spec.measure.seed)
        parameters = {**weights, **alphas}
        return loss(self._problem, parameters, self._data.train_x, self._data.train_y)

    def _validation(self, weights: Tensors, alphas: Tensors) -> Tensor:
        parameters = {**weights, **alphas}
        return loss(self._problem, parameters, self._data.validation_x, self._data.validation_y)


def _free(tensors: Tensors) -> dict[str, Tensor]:
    return {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}


def _size(tensors: Tensors) -> float:
    squares = [tensor.square().sum().item() for tensor in tensors.values()]
    return math.sqrt(sum(squares))
