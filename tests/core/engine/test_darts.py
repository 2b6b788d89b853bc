"""Architecture gradients: closed forms, by hand, and what the search does with them."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute, follow
from core.engine.workloads.darts import Losses, architecture_gradient
from core.results.charts import ARCHITECTURE, SEARCH
from core.spec.run import RunSpec
from core.spec.workloads import Darts
from tests.core.engine.test_nested_gradient import Listening

CPU = torch.device("cpu")
WAYS = [(1, "exact"), (2, "exact"), (2, "finite_difference")]

# --------------------------------------------------------------------------------- a closed form


class Quadratic:
    """L_train = wᵀAw / 2 - wᵀBα and L_val = wᵀCw / 2 - eᵀw + dᵀα, at a random point."""

    def __init__(self) -> None:
        numbers = torch.Generator().manual_seed(5)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=numbers, dtype=torch.float64)

        a, c = draw(4, 4), draw(4, 4)
        self.a, self.c, self.b, self.d, self.e = a + a.T, c + c.T, draw(4, 3), draw(3), draw(4)
        self.w, self.alpha = draw(4).requires_grad_(), draw(3).requires_grad_()

    def losses(self) -> Losses:
        def train(weights: Sequence[Tensor], alphas: Sequence[Tensor]) -> Tensor:
            (w,), (alpha,) = weights, alphas
            return w @ self.a @ w / 2 - w @ self.b @ alpha

        def validation(weights: Sequence[Tensor], alphas: Sequence[Tensor]) -> Tensor:
            (w,), (alpha,) = weights, alphas
            return w @ self.c @ w / 2 - self.e @ w + self.d @ alpha

        return Losses(train, train, validation)

    def found(self, **fields: object) -> Tensor:
        workload = Darts.model_validate(fields)
        searched = architecture_gradient(self.losses(), (self.w,), (self.alpha,), workload, SILENT)
        (gradient,) = searched.derivative.gradients
        assert gradient is not None
        return gradient


@pytest.mark.parametrize("method", ["exact", "finite_difference"])
def test_that_the_gradient_of_a_quadratic_is_its_closed_form(method: str) -> None:
    one, rate = Quadratic(), 0.1
    with torch.no_grad():
        after = one.w - rate * (one.a @ one.w - one.b @ one.alpha)
        right = one.d + rate * one.b.T @ (one.c @ after - one.e)
    found = one.found(order=2, method=method, weight_lr=rate)
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["exact", "finite_difference"])
def test_that_a_rate_of_zero_is_first_order(method: str) -> None:
    one = Quadratic()
    first = one.found(order=1, weight_lr=0.3)
    torch.testing.assert_close(first, one.d, rtol=1e-15, atol=0)
    torch.testing.assert_close(
        one.found(order=2, method=method, weight_lr=0.0), first, rtol=1e-15, atol=0
    )


def test_that_a_validation_loss_at_its_minimum_has_no_direction_to_move_along() -> None:
    """The paper divides by the length of a gradient that is zero."""
    one = Quadratic()
    one.b = torch.zeros_like(one.b)
    with torch.no_grad():
        one.e = one.c @ (one.w - 0.1 * one.a @ one.w)
        one.c, one.e = torch.zeros_like(one.c), torch.zeros_like(one.e)
    found = one.found(order=2, method="finite_difference", weight_lr=0.1)
    torch.testing.assert_close(found, one.d, rtol=1e-15, atol=0)


# ------------------------------------------------------------------------------------ a network

LAYERS: list[dict[str, object]] = [
    {"kind": "linear", "out_features": 5},
    {"kind": "mixed"},
    {"kind": "residual", "layers": [
        {"kind": "linear", "out_features": 5},
        {"kind": "mixed", "candidates": [{"kind": "tanh"}, {"kind": "linear", "out_features": 5}]},
    ]},
    {"kind": "linear", "out_features": 2},
]  # fmt: skip


def spec_of(
    layers: Sequence[dict[str, object]] = LAYERS,
    *,
    mitigation: dict[str, object] | None = None,
    **fields: object,
) -> RunSpec:
    document = {
        "model": {"input_shape": [3], "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 6},
        "workload": {"kind": "darts", "weight_lr": 0.5, "architecture_lr": 0.02, **fields},
        "mitigation": {"precision": "float64", **(mitigation or {})},
        "measure": {"seed": 7},
        "device": "cpu",
    }
    spec = RunSpec.from_json(json.dumps(document))
    assert not spec.problems()
    return spec


def made(layers: Sequence[dict[str, object]] = LAYERS, **fields: object) -> Problem:
    return prepare(spec_of(layers, **fields), CPU)  # type: ignore[arg-type]


def by_hand(p: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of ``LAYERS``."""
    x = x @ p["0.weight"].T + p["0.bias"]
    shares = torch.softmax(p["1.alpha"], 0)
    x = shares[0] * x.relu() + shares[1] * x.tanh() + shares[2] * functional.silu(x) + shares[3] * x
    y = x @ p["2.0.weight"].T + p["2.0.bias"]
    inner = torch.softmax(p["2.1.alpha"], 0)
    y = inner[0] * y.tanh() + inner[1] * (y @ p["2.1.1.weight"].T + p["2.1.1.bias"])
    return (x + y) @ p["3.weight"].T + p["3.bias"]


def losses_by_hand(problem: Problem, p: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    train_x, train_y, validation_x, validation_y = problem.data
    train = (by_hand(p, train_x) - train_y).square().mean()
    return train, (by_hand(p, validation_x) - validation_y).square().mean()


def gradient_by_hand(problem: Problem, order: int, rate: float) -> tuple[Tensor, dict[str, Tensor]]:
    p = {name: w.detach().clone().requires_grad_() for name, w in problem.parameters.items()}
    alphas = {name: w for name, w in p.items() if name.endswith("alpha")}
    weights = {name: w for name, w in p.items() if name not in alphas}
    train, validation = losses_by_hand(problem, p)
    if order == 2:
        slopes = torch.autograd.grad(train, list(weights.values()), create_graph=True)
        after = {n: w - rate * g for (n, w), g in zip(weights.items(), slopes, strict=True)}
        validation = losses_by_hand(problem, alphas | after)[1]
    found = torch.autograd.grad(validation, list(alphas.values()))
    return validation.detach(), dict(zip(alphas, found, strict=True))


@pytest.mark.parametrize(("order", "method"), WAYS)
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
def test_that_a_network_has_the_gradient_that_is_worked_out_by_hand(
    order: int, method: str, checkpointing: str
) -> None:
    mitigation = {"checkpointing": {"kind": checkpointing}}
    problem = made(order=order, method=method, mitigation=mitigation)
    loss, right = gradient_by_hand(problem, order, 0.5)

    found = compute(problem, SILENT)

    torch.testing.assert_close(found.loss, loss, rtol=1e-13, atol=0)
    assert list(found.result) == ["1.alpha", "2.1.alpha"]
    # The relu of a choice has kinks, and the paper's step is a hundredth.
    tolerance = 1e-11 if method == "exact" else 2e-2
    for name, gradient in found.result.items():
        torch.testing.assert_close(gradient, right[name], rtol=tolerance, atol=tolerance / 10)
    if order == 2:
        train = losses_by_hand(problem, problem.parameters)[0].item()
        assert found.readings["training_loss"].item() == pytest.approx(train, rel=1e-13)


def test_that_the_difference_is_the_formula_of_the_paper() -> None:
    problem = made(order=2, method="finite_difference")
    p = {name: w.detach().clone().requires_grad_() for name, w in problem.parameters.items()}
    alphas = {name: w for name, w in p.items() if name.endswith("alpha")}
    weights = {name: w for name, w in p.items() if name not in alphas}
    slopes = torch.autograd.grad(losses_by_hand(problem, p)[0], list(weights.values()))
    after = {
        n: (w - 0.5 * g).detach().requires_grad_()
        for (n, w), g in zip(weights.items(), slopes, strict=True)
    }
    validation = losses_by_hand(problem, alphas | after)[1]
    direct = torch.autograd.grad(validation, list(alphas.values()), retain_graph=True)
    along = torch.autograd.grad(validation, list(after.values()))
    epsilon = 0.01 / torch.cat([part.flatten() for part in along]).norm()

    def beside(sign: int) -> tuple[Tensor, ...]:
        moved = {
            n: w.detach() + sign * epsilon * v
            for (n, w), v in zip(weights.items(), along, strict=True)
        }
        return torch.autograd.grad(
            losses_by_hand(problem, alphas | moved)[0], list(alphas.values())
        )

    right = [
        d - 0.5 * (a - b) / (2 * epsilon)
        for d, a, b in zip(direct, beside(1), beside(-1), strict=True)
    ]
    found = compute(problem, SILENT).result.values()
    for gradient, expected in zip(found, right, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-13)


def test_that_the_phases_are_those_of_the_algorithm() -> None:
    phases = {}
    for order, method in WAYS:
        recorder = Listening()
        compute(made(order=order, method=method), recorder)
        phases[order, method] = [said for said in recorder.said if isinstance(said, str)]
    assert phases == {
        (1, "exact"): ["validation", "gradient 1"],
        (2, "exact"): ["forward", "weight gradient", "validation", "gradient 2"],
        (2, "finite_difference"): [
            "forward",
            "weight gradient",
            "validation",
            "gradient 1",
            "gradient ahead",
            "gradient behind",
            "difference",
        ],
    }


NOISY: list[dict[str, object]] = [
    {"kind": "linear", "out_features": 12},
    {"kind": "batch_norm"},
    {"kind": "mixed", "candidates": [{"kind": "dropout"}, {"kind": "tanh"}]},
    {"kind": "linear", "out_features": 2},
]


@pytest.mark.parametrize(("order", "method"), WAYS)
def test_that_one_pass_leaves_its_trace_in_running_statistics(order: int, method: str) -> None:
    problem = made(NOISY, order=order, method=method)
    compute(problem, SILENT)
    assert problem.buffers["1.num_batches_tracked"] == 1


def test_that_both_sides_of_a_difference_drop_the_same() -> None:
    right = compute(made(NOISY, order=2), SILENT).result
    found = compute(made(NOISY, order=2, method="finite_difference"), SILENT).result
    torch.testing.assert_close(found["2.alpha"], right["2.alpha"], rtol=1e-3, atol=1e-6)


# ------------------------------------------------------------------------------------- choices

PLAIN: list[dict[str, object]] = [
    {"kind": "linear", "out_features": 4},
    {"kind": "gelu"},
    {"kind": "residual", "layers": [{"kind": "softmax"}, {"kind": "sigmoid"}]},
    {"kind": "linear", "out_features": 2},
]


def test_that_activations_are_searched_where_no_layer_is_mixed() -> None:
    problem = made(PLAIN)
    found = compute(problem, SILENT).result
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "1.alpha": (4,),
        "2.1.alpha": (4,),
    }
    assert problem.spec.model.leaves[5].kind == "softmax"
    mixed = [*PLAIN[:1], {"kind": "mixed"}, *PLAIN[1:]]
    assert list(compute(made(mixed), SILENT).result) == ["1.alpha"]


# ------------------------------------------------------------------------------------ the search


@pytest.mark.parametrize("order", [1, 2])
def test_that_a_search_takes_steps_of_adam_and_of_descent_in_turn(order: int) -> None:
    problem = made(order=order, search_steps=3)
    initial = {name: w.detach().clone() for name, w in problem.parameters.items()}
    points = list(follow(problem) or ())

    p = {name: w.clone().requires_grad_() for name, w in initial.items()}
    first = {name: torch.zeros_like(w) for name, w in p.items()}
    second = {name: torch.zeros_like(w) for name, w in p.items()}
    train, validation, shares = [], [], []
    for step in range(1, 4):
        shares.append(torch.softmax(p["1.alpha"].detach(), 0).tolist())
        moved = replace(problem, parameters=p)
        loss, slopes = gradient_by_hand(moved, order, 0.5)
        validation.append(loss.item())
        with torch.no_grad():
            for name, slope in slopes.items():
                first[name] = 0.5 * first[name] + 0.5 * slope
                second[name] = 0.999 * second[name] + 0.001 * slope**2
                mean = first[name] / (1 - 0.5**step)
                spread = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
                p[name].sub_(0.02 * mean / spread)
        weights = {name: w for name, w in p.items() if not name.endswith("alpha")}
        loss = losses_by_hand(problem, p)[0]
        train.append(loss.item())
        slopes_of_weights = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            for weight, slope in zip(weights.values(), slopes_of_weights, strict=True):
                weight.sub_(0.5 * slope)
    shares.append(torch.softmax(p["1.alpha"].detach(), 0).tolist())

    def curve(chart: str, name: str) -> list[float]:
        return [one.y for one in points if (one.chart, one.curve) == (chart, name)]

    assert curve(SEARCH, "training loss") == pytest.approx(train, rel=1e-10)
    assert curve(SEARCH, "validation loss") == pytest.approx(validation, rel=1e-10)
    names = [f"layer 2: {kind}" for kind in ("relu", "tanh", "silu", "identity")]
    for position, name in enumerate(names):
        found = curve(ARCHITECTURE, name)
        assert found == pytest.approx([share[position] for share in shares], rel=1e-10)
    assert math.isclose(sum(curve(ARCHITECTURE, name)[-1] for name in names), 1)
    assert points[-1].x == 3
    assert max(one.done or 0 for one in points) == 1
    for name, weight in problem.parameters.items():
        assert torch.equal(weight, initial[name])


def test_that_candidates_of_one_kind_are_told_apart() -> None:
    twins = {"kind": "mixed", "candidates": [{"kind": "tanh"}, {"kind": "tanh"}]}
    layers = [LAYERS[0], {"kind": "residual", "layers": [twins]}, LAYERS[3]]
    points = list(follow(made(layers, search_steps=1)) or ())
    names = {one.curve for one in points if one.chart == ARCHITECTURE}
    assert names == {"layer 2.1: tanh (1)", "layer 2.1: tanh (2)"}


def test_that_nothing_is_searched_unless_asked() -> None:
    assert follow(made()) is None
