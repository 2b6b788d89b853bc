"""Newton's method with a line search, by the Hessian itself or by conjugate gradients.

The first step has phases of its own; the others follow within one, ``further steps``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from core.engine.computed import Computed
from core.engine.conjugate_gradient import Multiply, conjugate_gradient
from core.engine.curvature import dense, flattened, parted, products, solve_damped
from core.engine.data import Batch
from core.engine.descent import METHODS, RIVALS, Method, descend
from core.engine.gradients import gradients_of
from core.engine.parts import Part, Total, parts
from core.engine.problem import Problem
from core.engine.recorder import SILENT, Recorder, prefixed, within
from core.results.categories import graph_category
from core.results.charts import LOSS_BY_ITERATION, LOSS_BY_SECONDS, RESIDUAL, Point
from core.spec.workloads import Newton

FURTHER = "further steps"

_NO_TIME_S = 1e-9
"""Ends after the fewest iterations."""

ENOUGH_DECREASE = 1e-4
"""Share of the decrease that the gradient promises which a step has to bring (Nocedal and Wright
2006, section 3.1)."""

ROUNDING = 10
"""So many rounding errors of a loss may hide its decrease."""

MOST_TRIALS = 20
"""Steps that are tried in a line search, each half as long as the one before."""

_TITLES = {"exact": "Newton, exact", "cg": "Newton, CG"}

Weights = dict[str, torch.Tensor]


@dataclass
class Found:
    """What the steps found in their numbers; empty where tensors have none.

    Attributes:
        losses: before the first step and after each.
        residuals: of each step's equations, relative, after each iteration.
        bent: steps whose damped Hessian is not positive definite, as far as was seen.
        unfinished: steps whose conjugate gradients had too few iterations.
        smallest: the smallest eigenvalue of each Hessian.
        stuck: steps that brought no decrease at any length.
    """

    losses: list[float] = field(default_factory=list)
    residuals: list[tuple[float, ...]] = field(default_factory=list)
    bent: int = 0
    unfinished: int = 0
    smallest: list[float] = field(default_factory=list)
    stuck: int = 0


class Model(NamedTuple):
    """What a step knows of the loss: its value, its negative gradient, and where its second-order
    model is lowest."""

    loss: float | None
    downhill: torch.Tensor
    direction: torch.Tensor


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The weights after the steps, and the loss there."""
    workload, found = problem.spec.workload, Found()
    assert isinstance(workload, Newton)
    weights, loss = step(problem, problem.parameters, recorder, found, "step 1: ")
    if workload.steps > 1:
        with recorder.phase(FURTHER):
            inner = within(recorder)
            for _ in range(workload.steps - 1):
                weights, loss = step(problem, weights, inner, found, "")
            recorder.result(tuple(weights.values()))
    result = {name: weight.detach() for name, weight in weights.items()}
    return Computed(result, loss, tuple(_warnings(workload, found)), _readings(found))


def step(
    problem: Problem, weights: Weights, recorder: Recorder, found: Found, prefix: str
) -> tuple[Weights, torch.Tensor]:
    """One step: new weights, which require grad, and the loss there.

    Args:
        problem: the loss, and how its second-order model is solved.
        weights: where it begins; they require grad.
        recorder: hears of the phases.
        found: is told what the step finds.
        prefix: what the names of its phases begin with.
    """
    workload = problem.spec.workload
    assert isinstance(workload, Newton)
    model = _MODELS[workload.method](problem, weights, workload, recorder, found, prefix)
    with recorder.phase(f"{prefix}line search"):
        recorder.born("fast_weights")
        moved, loss = _line_search(problem, weights, model, recorder, found)
        recorder.hold("fast_weights", moved.values())
        recorder.result(tuple(moved.values()))
    return moved, loss


def loss_at(problem: Problem, weights: Weights, recorder: Recorder) -> torch.Tensor:
    """The loss of the whole batch, part by part where it is cut; the same function of the weights
    each time."""
    total = Total(recorder)
    for part in parts(problem, within(recorder)):
        total.add_loss(_of_part(part.problem, weights, recorder), part)
    return total.loss


def _of_part(problem: Problem, weights: Weights, recorder: Recorder) -> torch.Tensor:
    """The loss of a problem's own examples: with the same random numbers each time, and without a
    trace in the running statistics."""
    data = problem.data
    assert isinstance(data, Batch)
    problem.same_random_numbers()
    return problem.loss(weights, data.x, data.y, recorder, update_statistics=False)


def _exact(
    problem: Problem,
    weights: Weights,
    workload: Newton,
    recorder: Recorder,
    found: Found,
    prefix: str,
) -> Model:
    matrix, total = None, Flat(recorder)
    for part in parts(problem, recorder, prefix):
        loss, downhill, multiply = _differentiated(part.problem, weights, 0.0, part.recorder)
        total.add(loss, downhill, part)
        with part.recorder.phase("Hessian"):
            recorder.born("gradients")
            rows = problem.units(len(downhill))
            matrix = dense(multiply, downhill, rows, matrix, part.share)
            del multiply, downhill
            recorder.hold("gradients", (matrix,))
            part.recorder.result((matrix,))
    loss, downhill = total.loss, total.vector
    assert matrix is not None
    with recorder.phase(f"{prefix}solve"):
        recorder.born("other")
        solution = solve_damped(matrix, downhill, workload.damping)
        del matrix
        recorder.result((solution.vector,))
        smallest = recorder.number(solution.smallest)
        if smallest is not None:
            found.smallest.append(smallest)
            found.bent += smallest + workload.damping <= 0
    return Model(loss, downhill, solution.vector)


def _by_conjugate_gradients(
    problem: Problem,
    weights: Weights,
    workload: Newton,
    recorder: Recorder,
    found: Found,
    prefix: str,
) -> Model:
    way = _differentiated_in_parts if problem.parts else _differentiated
    named = prefixed(recorder, prefix)
    loss, downhill, multiply = way(problem, weights, workload.damping, named)
    with recorder.phase(f"{prefix}solve"):
        recorder.born("other")
        solution = conjugate_gradient(
            multiply,
            downhill,
            iterations=problem.units(workload.cg_iterations),
            tolerance=workload.cg_tolerance,
            number=recorder.number,
        )
        del multiply
        recorder.result((solution.vector,))
        found.residuals.append(solution.residuals)
        found.bent += solution.verdict == "negative curvature"
        found.unfinished += bool(solution.residuals) and solution.verdict == "too few iterations"
    return Model(loss, downhill, solution.vector)


_MODELS: dict[str, Callable[[Problem, Weights, Newton, Recorder, Found, str], Model]] = {
    "exact": _exact,
    "cg": _by_conjugate_gradients,
}


def _differentiated(
    problem: Problem,
    weights: Weights,
    damping: float,
    recorder: Recorder,
    *,
    create_graph: bool = True,
) -> tuple[float | None, torch.Tensor, Multiply]:
    """The loss, its negative gradient, and products with its damped Hessian on one kept graph."""
    wrt = tuple(weights.values())
    with recorder.phase("forward"):
        recorder.born("activations")
        loss = _of_part(problem, weights, recorder)
        recorder.result((loss,))
    with recorder.phase("gradient"):
        recorder.born(graph_category(1) if create_graph else "gradients")
        gradients = gradients_of((loss,), wrt, create_graph=create_graph)
        value = recorder.number(loss)
        del loss
        downhill = flattened(gradients, wrt).neg_()
        recorder.hold("gradients", (downhill,))
        recorder.result((downhill,))
    return value, downhill, products(gradients, wrt, damping)


def _differentiated_in_parts(
    problem: Problem, weights: Weights, damping: float, recorder: Recorder
) -> tuple[float | None, torch.Tensor, Multiply]:
    """The same without a kept graph: each product makes that of one part after the other again."""
    total = Flat(recorder)
    for part in parts(problem, recorder):
        loss, downhill, unused = _differentiated(
            part.problem, weights, 0.0, part.recorder, create_graph=False
        )
        total.add(loss, downhill, part)
        del downhill, unused

    def multiply(vector: torch.Tensor) -> torch.Tensor:
        product = torch.mul(vector, damping)
        for part in parts(problem, within(recorder)):
            *_, of_part = _differentiated(part.problem, weights, 0.0, within(recorder))
            product.add_(of_part(vector), alpha=part.share)
            del of_part
        return product

    return total.loss, total.vector, multiply


class Flat:
    """The loss and the flat negative gradient of parts, added up by their shares."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._vector: torch.Tensor | None = None
        self.loss: float | None = None

    def add(self, loss: float | None, vector: torch.Tensor, part: Part) -> None:
        """Adds what a part has found; what a whole batch has is kept as it is."""
        if part.is_whole:
            self.loss, self._vector = loss, vector
            return
        self.loss = None if loss is None else (self.loss or 0.0) + part.share * loss
        if self._vector is None:
            self._recorder.born("gradients")
            self._vector = vector * part.share
            self._recorder.hold("gradients", (self._vector,))
        else:
            self._vector.add_(vector, alpha=part.share)

    @property
    def vector(self) -> torch.Tensor:
        """The negative gradient."""
        assert self._vector is not None
        return self._vector


def _line_search(
    problem: Problem, weights: Weights, model: Model, recorder: Recorder, found: Found
) -> tuple[Weights, torch.Tensor]:
    """The longest of the whole step, half of it, a quarter, ... that lowers the loss enough; the
    shortest that is tried where none does."""
    slope = recorder.number(torch.dot(model.downhill, model.direction))
    parts = parted(model.direction, tuple(weights.values()))
    length, trials = 1.0, 0
    while True:
        moved, loss = _moved(problem, weights, parts, length, recorder)
        after, trials = recorder.number(loss), trials + 1
        if after is None or model.loss is None or slope is None:
            return moved, loss
        rounding = ROUNDING * problem.epsilon * abs(model.loss)
        lowered = after <= model.loss - ENOUGH_DECREASE * length * slope + rounding
        if lowered or trials == MOST_TRIALS:
            found.losses += [after] if found.losses else [model.loss, after]
            found.stuck += not lowered
            return moved, loss
        del moved, loss  # not kept beside the next trial's
        length /= 2


def _moved(
    problem: Problem,
    weights: Weights,
    parts: Sequence[torch.Tensor],
    length: float,
    recorder: Recorder,
) -> tuple[Weights, torch.Tensor]:
    """The weights a share of a step away, and the loss there without what it lies in."""
    with torch.no_grad():
        moved = {
            name: torch.add(weight, part, alpha=length).requires_grad_()
            for (name, weight), part in zip(weights.items(), parts, strict=True)
        }
        return moved, loss_at(problem, moved, recorder).clone()


def _readings(found: Found) -> dict[str, torch.Tensor | float]:
    readings: dict[str, torch.Tensor | float] = {}
    if found.losses:
        readings |= {"loss_before": found.losses[0], "loss_after": found.losses[-1]}
        readings["steps_with_negative_curvature"] = found.bent
    if found.smallest:
        readings["smallest_eigenvalue"] = found.smallest[-1]
    if any(found.residuals):
        readings["cg_iterations"] = sum(map(len, found.residuals))
        last = next(residuals for residuals in reversed(found.residuals) if residuals)
        readings["cg_relative_residual"] = last[-1]
    return readings


def _warnings(workload: Newton, found: Found) -> Iterator[str]:
    steps = f"of {workload.steps} steps"
    if found.bent and workload.method == "exact":
        yield (
            f"At {found.bent} {steps} the damped Hessian is not positive definite; there the "
            "absolute values of its eigenvalues are used, and the step leads downhill."
        )
    if found.bent and workload.method == "cg":
        yield (
            f"At {found.bent} {steps} conjugate gradients met negative curvature and ended there; "
            "the step is what they had, or the steepest descent."
        )
    if found.unfinished:
        yield (
            f"At {found.unfinished} {steps} conjugate gradients did not converge within "
            f"{workload.cg_iterations} iterations to a relative residual of "
            f"{workload.cg_tolerance:g}; the steps are only about right."
        )
    if found.stuck:
        yield (
            f"At {found.stuck} {steps} no length of the step lowered the loss; more damping may "
            "help."
        )


def follow(problem: Problem) -> Iterator[Point]:
    """The residuals of the first step, then the loss by Newton's method and by two others."""
    workload = problem.spec.workload
    assert isinstance(workload, Newton)
    problem.reset()
    weights, found, seconds = problem.parameters, Found(), 0.0
    title = _TITLES[workload.method]
    for number in range(1, workload.steps + 1):
        began = time.perf_counter()
        weights, _ = step(problem, weights, SILENT, found, "")
        elapsed = time.perf_counter() - began
        if number == 1:
            for iteration, residual in enumerate(sum(found.residuals, ()), start=1):
                yield Point(RESIDUAL, "CG", iteration, residual)
            yield from _pair(title, 0, 0.0, found.losses[0], None)
        seconds += elapsed
        yield from _pair(title, number, seconds, found.losses[-1], number / workload.steps / 2)
    for position, (name, method) in enumerate(METHODS.items()):
        for at in descend(problem, method, seconds, workload.steps):
            share = (position + at.share) / len(METHODS)
            yield from _pair(name, at.iteration, at.seconds, at.loss, (1 + share) / 2)


def rivals(problem: Problem) -> dict[str, Callable[[], object]]:
    """As many iterations of the other two as there are steps."""
    workload = problem.spec.workload
    assert isinstance(workload, Newton)

    def iterations(method: Method) -> Callable[[], object]:
        return lambda: deque(descend(problem, method, _NO_TIME_S, workload.steps), maxlen=0)

    return {name: iterations(method) for name, method in RIVALS.items()}


def _pair(
    curve: str, iteration: int, seconds: float, loss: float, done: float | None
) -> Iterator[Point]:
    yield Point(LOSS_BY_ITERATION, curve, iteration, loss, done=done)
    yield Point(LOSS_BY_SECONDS, curve, seconds, loss, done=done)
