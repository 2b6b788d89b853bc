"""Newton's method against optima in closed form and loops written out here."""

import json
import math
from collections.abc import Iterable

import pytest
import torch
from torch.nn import functional
from typing_extensions import override

from core.engine.computed import Computed
from core.engine.data import Batch
from core.engine.descent import METHODS, descend
from core.engine.excerpt import Excerpt
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Silent, within
from core.engine.workloads import compute, follow
from core.measure.memory.ledger import Ledger
from core.results.charts import LOSS_BY_ITERATION, LOSS_BY_SECONDS, RESIDUAL, curves_of
from core.spec.run import RunSpec
from tests import oracles

LINEAR = [{"kind": "linear", "out_features": 2}]
CURVED = [{"kind": "linear", "out_features": 4}, {"kind": "tanh"}, *LINEAR]
METHODS_OF_NEWTON = ["exact", "cg"]


def problem(layers: list[dict[str, object]] = CURVED, **workload: object) -> Problem:
    document = {
        "model": {"input_shape": [3], "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 12},
        "workload": {"kind": "newton", **workload},
        "mitigation": {"precision": "float64"},
        "device": "cpu",
    }
    spec = RunSpec.from_json(json.dumps(document))
    assert not spec.problems()
    return prepare(spec, torch.device("cpu"))


def computed(made: Problem) -> Computed:
    made.reset()
    return compute(made, SILENT)


def best_linear_map(data: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the least squares."""
    ones = torch.ones(len(data.x), 1, dtype=torch.float64)
    both = torch.linalg.lstsq(torch.cat([data.x, ones], 1), data.y).solution
    return both[:-1].T, both[-1]


@pytest.mark.parametrize("method", METHODS_OF_NEWTON)
def test_that_one_step_on_a_quadratic_reaches_its_optimum(method: str) -> None:
    made = problem(LINEAR, method=method, steps=1, damping=0, cg_tolerance=1e-13)

    found = computed(made)

    assert isinstance(made.data, Batch)
    assert oracles.relative_error(list(found.result.values()), best_linear_map(made.data)) <= 1e-10
    assert found.warnings == ()
    if method == "cg":
        # The Hessian has two equal blocks of four different eigenvalues.
        assert found.readings["cg_iterations"] == 4


def test_that_damping_shortens_the_step_as_its_equations_say() -> None:
    made = problem(LINEAR, method="exact", steps=1, damping=0.7)
    data = made.data
    assert isinstance(data, Batch)
    ones = torch.ones(len(data.x), 1, dtype=torch.float64)
    inputs = torch.cat([data.x, ones], 1)
    # The mean over both outputs halves the usual factor 2/N.
    hessian = inputs.T @ inputs / len(inputs) + 0.7 * torch.eye(4).double()
    weight, bias = made.parameters["0.weight"].detach(), made.parameters["0.bias"].detach()
    start = torch.cat([weight.T, bias[None]])
    gradient = inputs.T @ (inputs @ start - data.y) / len(inputs)
    right = start - torch.linalg.solve(hessian, gradient)

    found = computed(made).result

    assert oracles.relative_error(
        [found["0.weight"].T, found["0.bias"]], [right[:3], right[3]]
    ) <= (1e-12)


def net(weights: list[torch.Tensor], data: Batch) -> torch.Tensor:
    output = functional.linear(torch.tanh(functional.linear(data.x, *weights[:2])), *weights[2:])
    return ((output - data.y) ** 2).mean()


def by_hand(made: Problem, steps: int, damping: float) -> tuple[list[torch.Tensor], list[float]]:
    """Newton's method by torch's own Hessian of one long vector, and the losses on the way."""
    data = made.data
    assert isinstance(data, Batch)
    shapes = [weight.shape for weight in made.parameters.values()]

    def loss(long: torch.Tensor) -> torch.Tensor:
        pieces = long.split([shape.numel() for shape in shapes])
        return net([piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)], data)

    point = torch.cat([weight.detach().flatten() for weight in made.parameters.values()])
    losses = [loss(point).item()]
    for _ in range(steps):
        hessian = torch.autograd.functional.hessian(loss, point)
        gradient = torch.autograd.functional.jacobian(loss, point)
        values, vectors = torch.linalg.eigh(hessian)
        if values[0] + damping <= 0:
            values = values.abs()
        step = vectors @ ((vectors.T @ -gradient) / (values + damping))
        length = 1.0
        while loss(point + length * step) > losses[-1] + 1e-4 * length * (gradient @ step):
            length /= 2
        point = point + length * step
        losses.append(loss(point).item())
    pieces = point.split([shape.numel() for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)], losses


@pytest.mark.parametrize("damping", [0.01, 0.5])
@pytest.mark.parametrize("steps", [1, 4])
def test_that_steps_are_those_of_a_loop_written_out(steps: int, damping: float) -> None:
    made = problem(method="exact", steps=steps, damping=damping)

    found = computed(made)

    weights, losses = by_hand(made, steps, damping)
    assert oracles.relative_error(list(found.result.values()), weights) <= 1e-9
    assert found.loss.item() == pytest.approx(losses[-1], rel=1e-10)
    assert found.readings["loss_before"] == pytest.approx(losses[0], rel=1e-12)
    assert found.readings["loss_after"] == found.loss.item()
    assert losses == sorted(losses, reverse=True)


def test_that_conjugate_gradients_to_the_end_take_the_exact_step() -> None:
    damping = 1.0
    exact = computed(problem(method="exact", steps=3, damping=damping))
    cg = computed(
        problem(method="cg", steps=3, damping=damping, cg_iterations=200, cg_tolerance=1e-12)
    )

    assert exact.readings["steps_with_negative_curvature"] == 0
    assert cg.readings["steps_with_negative_curvature"] == 0
    assert oracles.relative_error(list(cg.result.values()), list(exact.result.values())) <= 1e-9


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("exact", "the damped Hessian is not positive definite; there the absolute values"),
        ("cg", "conjugate gradients met negative curvature"),
    ],
)
def test_that_negative_curvature_is_said_and_the_loss_falls_all_the_same(
    method: str, sentence: str
) -> None:
    found = computed(problem(method=method, steps=3, damping=0))

    assert found.readings["steps_with_negative_curvature"] > 0
    assert sentence in found.warnings[0]
    assert found.readings["loss_after"] < found.readings["loss_before"]
    if method == "exact":
        assert found.readings["smallest_eigenvalue"] < 0


def test_that_conjugate_gradients_that_do_not_converge_give_a_result_and_say_so() -> None:
    found = computed(problem(LINEAR, method="cg", steps=2, cg_iterations=1, damping=0.1))

    assert found.warnings == (
        "At 2 of 2 steps conjugate gradients did not converge within 1 iterations to a relative "
        "residual of 0.001; the steps are only about right.",
    )
    assert found.readings["cg_iterations"] == 2
    assert found.readings["loss_after"] < found.readings["loss_before"]


def test_that_a_loss_that_no_length_lowers_is_said() -> None:
    made = problem(LINEAR, method="exact", steps=1)
    with torch.no_grad():
        made.parameters["0.weight"].fill_(math.nan)

    found = computed(made)

    assert "no length of the step lowered the loss" in found.warnings[-1]


def test_that_it_starts_anew_each_time_and_leaves_weights_and_statistics_alone() -> None:
    layers: list[dict[str, object]] = [
        {"kind": "linear", "out_features": 4},
        {"kind": "batch_norm"},
        {"kind": "tanh"},
        {"kind": "dropout", "p": 0.3},
        *LINEAR,
    ]
    made = problem(layers, steps=2)
    before = {name: tensor.clone() for name, tensor in (made.parameters | made.buffers).items()}

    first, second = computed(made), computed(made)

    for name, tensor in (made.parameters | made.buffers).items():
        assert torch.equal(tensor, before[name]), name
    for name, tensor in first.result.items():
        assert torch.equal(tensor, second.result[name])
        assert not tensor.requires_grad


# ---------------------------------------------------------------------------------- what it draws


@pytest.mark.parametrize("method", METHODS_OF_NEWTON)
def test_that_the_curves_are_those_of_the_steps(method: str) -> None:
    made = problem(method=method, steps=4, damping=0.5)

    curves = {(curve.chart, curve.name): curve for curve in curves_of(follow(made) or ())}

    title = {"exact": "Newton, exact", "cg": "Newton, CG"}[method]
    newton = curves[LOSS_BY_ITERATION, title]
    readings = computed(made).readings
    assert newton.x == (0, 1, 2, 3, 4)
    assert newton.y[0] == readings["loss_before"]
    assert newton.y[-1] == readings["loss_after"]
    assert curves[LOSS_BY_SECONDS, title].y == newton.y
    assert list(curves[LOSS_BY_SECONDS, title].x) == sorted(curves[LOSS_BY_SECONDS, title].x)
    assert ((RESIDUAL, "CG") in curves) == (method == "cg")
    for name in METHODS:
        other = curves[LOSS_BY_ITERATION, name]
        assert other.y[0] == newton.y[0]
        assert len(other.y) >= 5, "at least as many iterations as Newton's steps"


def test_that_the_residuals_are_those_of_the_first_step() -> None:
    one = problem(method="cg", steps=1, damping=0.5)

    residuals = [point.y for point in follow(one) or () if point.chart == RESIDUAL]

    assert len(residuals) == computed(one).readings["cg_iterations"]
    assert residuals[-1] == computed(one).readings["cg_relative_residual"]


def test_that_adam_is_the_one_of_its_paper() -> None:
    made = problem()
    data = made.data
    assert isinstance(data, Batch)
    weights = [weight.detach().clone().requires_grad_() for weight in made.parameters.values()]
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    right = []
    for step in range(1, 5):
        loss = net(weights, data)
        right.append(loss.item())
        for weight, gradient, (mean, square) in zip(
            weights, torch.autograd.grad(loss, weights), moments, strict=True
        ):
            mean.mul_(0.9).add_(0.1 * gradient)
            square.mul_(0.999).add_(0.001 * gradient**2)
            scale = (square / (1 - 0.999**step)).sqrt() + 1e-8
            with torch.no_grad():
                weight -= 0.01 * mean / (1 - 0.9**step) / scale

    found = [at.loss for at in descend(made, METHODS["Adam, rate 0.01"], 1e-9, 3)]

    assert found == pytest.approx(right, rel=1e-10)


def test_that_l_bfgs_finds_the_least_squares() -> None:
    made = problem(LINEAR)
    data = made.data
    assert isinstance(data, Batch)
    weight, bias = best_linear_map(data)
    least = ((data.x @ weight.T + bias - data.y) ** 2).mean().item()
    before = {name: tensor.clone() for name, tensor in made.parameters.items()}

    last = list(descend(made, METHODS["L-BFGS"], 1e-9, 30))[-1]

    assert last.loss == pytest.approx(least, rel=1e-8)
    assert all(torch.equal(made.parameters[name], before[name]) for name in before)


# ------------------------------------------------------------------------- numbers to decide by


class Telling(Silent):
    """Has no numbers."""

    @override
    def hold(self, category: str, tensors: Iterable[torch.Tensor]) -> None:
        del category, tensors

    @override
    def layer(self, index: int) -> None:
        del index

    @override
    def number(self, tensor: torch.Tensor) -> float | None:
        return None


def test_that_without_numbers_all_iterations_are_made_and_nothing_is_said() -> None:
    made = problem(method="cg", steps=2, cg_iterations=3)

    found = compute(made, Telling())

    assert found.readings == {}
    assert found.warnings == ()
    assert set(found.result) == set(made.parameters)


def test_that_a_number_is_read_unseen() -> None:
    ledger, tensor = Ledger(0.0), torch.tensor(2.5)
    with ledger:
        assert ledger.number(tensor) == 2.5
        assert within(ledger).number(tensor) == 2.5
    assert ledger.calls() == {}
    assert SILENT.number(tensor) == 2.5
    assert within(Telling()).number(tensor) is None


@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "newton", "method": "exact", "steps": 2, "damping": 1.0},
        {"kind": "newton", "method": "cg", "steps": 2, "damping": 1.0, "cg_tolerance": 0},
        {"kind": "adversarial", "method": "i_fgsm", "steps": 9},
        {"kind": "adversarial", "method": "second_order", "steps": 9},
    ],
    ids=["exact", "cg", "i_fgsm", "second_order"],
)
def test_that_a_few_like_parts_hold_what_all_of_them_do(workload: dict[str, object]) -> None:
    """So that a forecast need not follow each."""
    spec = problem().spec.with_changes({"workload": workload, "data.batch_size": 64})
    few, all_parts = (prepare(spec, torch.device("cpu"), Excerpt(units=most)) for most in (3, None))

    held = [
        oracles.peak_bytes(lambda made=made: compute(made, SILENT)) for made in (few, all_parts)
    ]

    assert held[0] == held[1] > 0
