"""Hessian-vector products (Pearlmutter 1994), in each way that torch has for them.

The first product has the phases of its way; the others follow within one, ``further vectors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import EllipsisType
from typing import NamedTuple

import torch

from core.engine.computed import Computed, computed
from core.engine.data import Batch
from core.engine.gradients import Derivative, Gradients, gradients_of, is_known
from core.engine.moved_weights import MovedWeights
from core.engine.parts import Total, parts
from core.engine.problem import Problem
from core.engine.recorder import Recorder, within
from core.engine.tangents import moving, tangent_of
from core.results.categories import graph_category
from core.spec.workloads import Hvp

FURTHER = "further vectors"

Vectors = Sequence[torch.Tensor]
"""One tensor for each weight, of its shape; with an axis in front where several are meant."""


class Product(NamedTuple):
    """The Hessian times a vector, None by what the gradient does not depend on, and the loss."""

    by_weight: Gradients
    loss: torch.Tensor


Multiply = Callable[[Vectors, Recorder, bool], Product]
"""Of a vector, whoever listens, and whether it is the last one."""


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The products of the Hessian of the problem's loss with its vectors, theirs the first axis."""
    workload = problem.spec.workload
    assert isinstance(workload, Hvp)
    vectors = [problem.own[f"vectors/{name}"] for name in problem.parameters]
    if problem.parts:
        return _in_parts(problem, recorder, workload, vectors)
    multiply = _WAYS[workload.mode](problem, recorder)
    if workload.batched:
        product = multiply(vectors, recorder, True)
        return _computed(problem, product.by_weight, product.loss)
    last = len(problem.units(workload.vectors)) - 1
    product = multiply([vector[0] for vector in vectors], recorder, last == 0)
    if workload.vectors == 1:
        parts = [None if part is None else part.unsqueeze(0) for part in product.by_weight]
        return _computed(problem, tuple(parts), product.loss)
    with recorder.phase(FURTHER):
        recorder.born("gradients")
        products = [torch.zeros_like(vector) for vector in vectors]
        _put(products, 0, product.by_weight)
        loss = product.loss
        del product
        _further(multiply, vectors, products, last, recorder)
    return _computed(problem, tuple(products), loss)


def _further(
    multiply: Multiply,
    vectors: Vectors,
    products: Sequence[torch.Tensor],
    last: int,
    recorder: Recorder,
    share: float = 1.0,
) -> None:
    """Adds the products of all vectors but the first, the last of them at position ``last``."""
    inner = within(recorder)
    for position in range(1, last + 1):
        vector = [vector[position] for vector in vectors]
        _put(products, position, multiply(vector, inner, position == last).by_weight, share)
    recorder.hold("gradients", products)
    recorder.result(products)


def _in_parts(
    problem: Problem, recorder: Recorder, workload: Hvp, vectors: Sequence[torch.Tensor]
) -> Computed:
    """The products of the parts, added up in one place."""
    recorder.born("gradients")
    products = [torch.zeros_like(vector) for vector in vectors]
    recorder.hold("gradients", products)
    depends, total = [False] * len(products), Total(recorder)
    last = len(problem.units(workload.units(0))) - 1
    for part in parts(problem, recorder):
        multiply = _WAYS[workload.mode](part.problem, part.recorder)
        first = vectors if workload.batched else [vector[0] for vector in vectors]
        product = multiply(first, part.recorder, last == 0)
        depends = [
            known or one is not None for known, one in zip(depends, product.by_weight, strict=True)
        ]
        _put(products, ... if workload.batched else 0, product.by_weight, part.share)
        total.add_loss(product.loss, part)
        del product
        if last:
            with part.recorder.phase(FURTHER):
                part.recorder.born("gradients")
                _further(multiply, vectors, products, last, part.recorder, part.share)
        del multiply  # with the gradient that it keeps
    found = [one if known else None for one, known in zip(products, depends, strict=True)]
    return _computed(problem, tuple(found), total.loss)


def reverse_over_reverse(problem: Problem, recorder: Recorder) -> Multiply:
    """The gradient of gradient·v; the graph of the gradient is kept until the last vector."""
    wrt = tuple(problem.parameters.values())
    gradients, value = kept_gradient(problem, recorder)
    curved = {
        position: gradient
        for position, gradient in enumerate(gradients)
        if gradient is not None and gradient.requires_grad
    }
    positions, outputs, axes = tuple(curved), tuple(curved.values()), wrt[0].ndim

    def multiply(vector: Vectors, recorder: Recorder, is_last: bool) -> Product:
        with recorder.phase("gradient 2"):
            recorder.born("gradients")
            product: Gradients = (None,) * len(gradients)
            if outputs:
                product = torch.autograd.grad(
                    outputs,
                    wrt,
                    [vector[position] for position in positions],
                    retain_graph=not is_last,
                    allow_unused=True,
                    is_grads_batched=vector[0].ndim > axes,
                )
            present = tuple(filter(is_known, product))
            recorder.hold("gradients", present)
            recorder.result(present)
        return Product(product, value)

    return multiply


def kept_gradient(problem: Problem, recorder: Recorder) -> Derivative:
    """The gradient of the problem's loss by its parameters, with a graph to differentiate again."""
    loss = _loss(problem, recorder)
    with recorder.phase("gradient 1"):
        recorder.born(graph_category(1))
        gradients = gradients_of((loss,), tuple(problem.parameters.values()), create_graph=True)
        recorder.result(tuple(filter(is_known, gradients)))
    return Derivative(gradients, loss.detach().clone())


def _forward_over_reverse(problem: Problem, _: Recorder) -> Multiply:
    """The tangent of the gradient while the weights move along v."""

    def multiply(vector: Vectors, recorder: Recorder, is_last: bool) -> Product:
        del is_last
        with moving(problem.parameters, vector) as weights:
            loss = _loss(problem, recorder, weights)
            with recorder.phase("gradient 1"):
                recorder.born("tangents")
                gradients = gradients_of((loss,), tuple(weights.values()), create_graph=False)
                product = tuple([None if one is None else tangent_of(one) for one in gradients])
                del gradients
                _heard(recorder, product)
            return Product(product, loss.detach().clone())

    return multiply


def _reverse_over_forward(problem: Problem, _: Recorder) -> Multiply:
    """The gradient of the loss's tangent while the weights move along v."""

    def multiply(vector: Vectors, recorder: Recorder, is_last: bool) -> Product:
        del is_last
        with moving(problem.parameters, vector) as weights:
            loss = _loss(problem, recorder, weights)
            slope = tangent_of(loss)
            value = loss.detach().clone()
        del weights, loss
        wrt = tuple(problem.parameters.values())
        with recorder.phase("gradient 2"):
            recorder.born("gradients")
            product: Gradients = (None,) * len(wrt)
            if slope is not None:
                product = gradients_of((slope,), wrt, create_graph=False)
            del slope
            _heard(recorder, product)
        return Product(product, value)

    return multiply


def _finite_difference(problem: Problem, recorder: Recorder) -> Multiply:
    """The central difference of two gradients; the weights themselves are not touched."""
    weights = problem.parameters
    recorder.born("other")
    with torch.no_grad():
        reach = difference_step(tuple(weights.values()), problem.epsilon)

    def gradient(
        vector: Vectors, step: torch.Tensor, name: str, recorder: Recorder
    ) -> tuple[Gradients, torch.Tensor]:
        with recorder.phase(name):
            moved = MovedWeights(weights, vector, step, recorder)
            recorder.born("activations")
            with moved.forgotten():
                loss = _loss_at(problem, recorder, moved)
            recorder.born("gradients")
            gradients = gradients_of((loss,), tuple(weights.values()), create_graph=False)
            _heard(recorder, gradients)
            return gradients, loss.detach().clone()

    def multiply(vector: Vectors, recorder: Recorder, is_last: bool) -> Product:
        del is_last
        with torch.no_grad():
            step = reach / _length(vector)
        ahead, one = gradient(vector, step, "gradient ahead", recorder)
        behind, other = gradient(vector, -step, "gradient behind", recorder)
        with recorder.phase("difference"), torch.no_grad():
            recorder.born("temporaries")
            twice = 2 * step
            for first, second in zip(ahead, behind, strict=True):
                if first is not None and second is not None:
                    first.sub_(second).div_(twice)
            recorder.result([part for part in ahead if part is not None])
        return Product(ahead, (one + other) / 2)

    return multiply


def difference_step(weights: Sequence[torch.Tensor], precision: float) -> torch.Tensor:
    """How far a central difference reaches: the cube root of the number format's precision, where
    truncation and rounding are balanced (Nocedal and Wright 2006, section 8.1), by the length of
    the weights.

    Args:
        weights: where the gradients are taken.
        precision: of the format that they are computed in.
    """
    reach: torch.Tensor = (1 + _length(weights)) * precision ** (1 / 3)
    return reach


_WAYS: dict[str, Callable[[Problem, Recorder], Multiply]] = {
    "reverse_over_reverse": reverse_over_reverse,
    "forward_over_reverse": _forward_over_reverse,
    "reverse_over_forward": _reverse_over_forward,
    "finite_difference": _finite_difference,
}


def _loss(
    problem: Problem, recorder: Recorder, weights: dict[str, torch.Tensor] | None = None
) -> torch.Tensor:
    with recorder.phase("forward"):
        recorder.born("activations")
        loss = _loss_at(problem, recorder, problem.parameters if weights is None else weights)
        recorder.result((loss,))
        return loss


def _loss_at(
    problem: Problem, recorder: Recorder, weights: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    data = problem.data
    assert isinstance(data, Batch)
    if weights is problem.parameters:
        return problem.loss(weights, data.x, data.y, recorder)
    # Beside the initial weights it is the same function of them: with the same random numbers, and
    # without a trace in the running statistics.
    problem.same_random_numbers()
    return problem.loss(weights, data.x, data.y, recorder, update_statistics=False)


def _length(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Euclidean length of all entries together."""
    lengths = torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors])
    length: torch.Tensor = torch.linalg.vector_norm(lengths)
    return length


def _heard(recorder: Recorder, product: Gradients) -> None:
    present = tuple(filter(is_known, product))
    recorder.hold("gradients", present)
    recorder.result(present)


def _put(
    products: Sequence[torch.Tensor],
    position: int | EllipsisType,
    product: Gradients,
    share: float = 1.0,
) -> None:
    with torch.no_grad():
        for room, part in zip(products, product, strict=True):
            if part is not None:
                room[position].add_(part, alpha=share)  # a sparse one too


def _computed(problem: Problem, products: Gradients, loss: torch.Tensor) -> Computed:
    vectors = {name: problem.own[f"vectors/{name}"] for name in problem.parameters}
    return computed(Derivative(products, loss), vectors, 2)
