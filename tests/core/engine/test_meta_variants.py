"""ANIL, Reptile and iMAML against algebra on quadratics, and against loops written out by hand."""

from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional

from core.engine.data import Tasks
from core.engine.gradients import Derivative
from core.engine.implicit import solve
from core.engine.inner_loop import INNER_STEPS, SupportLoss
from core.engine.meta_gradient import Learner, Task, meta_gradient
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.workloads import Maml
from tests import oracles
from tests.core.engine.test_maml import (
    SIZE,
    Quadratic,
    adaptation,
    adapted,
    convolutional,
    perceptron,
    problem,
)
from tests.core.engine.test_nested_gradient import Listening

CPU = torch.device("cpu")
EYE = torch.eye(SIZE, dtype=torch.float64)
STAYING = 2
"""Of the entries of a quadratic's argument, those that ANIL's inner steps leave alone."""


def start() -> torch.Tensor:
    return torch.linspace(-1, 2, SIZE, dtype=torch.float64)


def quadratics(tasks: int = 1) -> list[tuple[Quadratic, Quadratic]]:
    return [(Quadratic(2 * number), Quadratic(2 * number + 1)) for number in range(tasks)]


def whole(workload: Maml, pairs: Sequence[tuple[Quadratic, Quadratic]]) -> Derivative:
    learner = Learner((start().requires_grad_(),), workload, SILENT, INNER_STEPS["standard"])
    return meta_gradient(
        learner, [Task(SupportLoss(inner, inner), outer) for inner, outer in pairs]
    )


def by_parts(
    workload: Maml, pair: tuple[Quadratic, Quadratic], inner_loop: str = "standard"
) -> Derivative:
    """The first entries stay; what they make of the support set is themselves."""
    inner, outer = pair
    body, head = start()[:STAYING], start()[STAYING:]

    def support(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        adapting, features = tensors
        return inner([torch.cat([features, adapting])])

    task = Task(
        SupportLoss(support, support),
        lambda weights: outer([torch.cat(list(weights))]),
        features=lambda weights: weights[0] * 1,
    )
    learner = Learner(
        (body.clone().requires_grad_(), head.clone().requires_grad_()),
        workload,
        SILENT,
        INNER_STEPS[inner_loop],
        staying=1,
    )
    return meta_gradient(learner, [task])


def joined(found: Derivative) -> torch.Tensor:
    return torch.cat([gradient for gradient in found.gradients if gradient is not None])


# ------------------------------------------------------------------------------- on quadratics


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_that_anil_is_maml_with_a_masked_inner_matrix(steps: int, inner_loop: str) -> None:
    [(inner, outer)] = quadratics()
    workload = Maml(variant="anil", inner_steps=steps, inner_lr=0.1)

    found = by_parts(workload, (inner, outer), inner_loop)

    mask = torch.diag(torch.tensor([0.0] * STAYING + [1.0] * (SIZE - STAYING)).double())
    one, end = EYE - 0.1 * mask @ inner.A, start()
    for _ in range(steps):
        end = one @ end + 0.1 * mask @ inner.b
    right = torch.linalg.matrix_power(one, steps).T @ outer.gradient(end)
    assert oracles.relative_error([joined(found)], [right]) <= 1e-10
    assert found.loss.item() == pytest.approx(outer([end]).item(), rel=1e-12)


def test_that_first_order_anil_is_the_gradient_at_the_adapted_weights() -> None:
    [(inner, outer)] = quadratics()

    found = by_parts(Maml(variant="anil", order=1, inner_steps=4, inner_lr=0.1), (inner, outer))

    end = start()
    for _ in range(4):
        end = torch.cat([end[:STAYING], (end - 0.1 * inner.gradient(end))[STAYING:]])
    assert oracles.relative_error([joined(found)], [outer.gradient(end)]) <= 1e-10


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("steps", [1, 5])
def test_that_reptile_goes_where_the_inner_steps_lead(steps: int, tasks: int) -> None:
    pairs = quadratics(tasks)

    found = whole(Maml(variant="reptile", order=1, inner_steps=steps, inner_lr=0.1), pairs)

    ways = []
    for inner, _ in pairs:
        optimum = torch.linalg.solve(inner.A, inner.b)
        ways.append((EYE - adaptation(inner, steps, 0.1)) @ (start() - optimum) / 0.1)
    assert oracles.relative_error(found.gradients, [torch.stack(ways).mean(0)]) <= 1e-10
    ends = [outer([adapted(inner, start(), steps, 0.1)]).item() for inner, outer in pairs]
    assert found.loss.item() == pytest.approx(sum(ends) / tasks, rel=1e-12)


def test_that_one_step_of_reptile_is_the_gradient_of_the_support_loss() -> None:
    [(inner, outer)] = quadratics()

    found = whole(Maml(variant="reptile", order=1, inner_steps=1, inner_lr=0.1), [(inner, outer)])

    assert oracles.relative_error(found.gradients, [inner.gradient(start())]) <= 1e-10


@pytest.mark.parametrize("regularisation", [0.5, 2.0])
@pytest.mark.parametrize("tasks", [1, 3])
def test_that_imaml_is_the_implicit_gradient_at_the_proximal_minimum(
    tasks: int, regularisation: float
) -> None:
    """Conjugate gradients take no more steps than there are entries."""
    pairs = quadratics(tasks)
    workload = Maml(
        variant="imaml",
        inner_steps=400,
        inner_lr=0.1,
        regularisation=regularisation,
        cg_iterations=SIZE,
    )

    found = whole(workload, pairs)

    parts = []
    for inner, outer in pairs:
        near = inner.A + regularisation * EYE
        end = torch.linalg.solve(near, inner.b + regularisation * start())
        parts.append(torch.linalg.solve(EYE + inner.A / regularisation, outer.gradient(end)))
    assert oracles.relative_error(found.gradients, [torch.stack(parts).mean(0)]) <= 1e-10


def test_that_imaml_holds_every_inner_step_near_the_start() -> None:
    [(inner, outer)] = quadratics()
    workload = Maml(
        variant="imaml", inner_steps=3, inner_lr=0.1, regularisation=2.0, cg_iterations=SIZE
    )

    found = whole(workload, [(inner, outer)])

    end = start()
    for _ in range(3):
        end = end - 0.1 * (inner.gradient(end) + 2.0 * (end - start()))
    right = torch.linalg.solve(EYE + inner.A / 2.0, outer.gradient(end))
    assert oracles.relative_error(found.gradients, [right]) <= 1e-10
    assert found.loss.item() == pytest.approx(outer([end]).item(), rel=1e-12)


@pytest.mark.parametrize("variant", ["anil", "imaml"])
def test_that_without_an_inner_rate_the_loss_is_that_of_the_initial_weights(variant: str) -> None:
    [(inner, outer)] = quadratics()
    workload = Maml(variant=variant, inner_lr=0.0, regularisation=1e12, cg_iterations=SIZE)

    found = (
        by_parts(workload, (inner, outer))
        if variant == "anil"
        else whole(workload, [(inner, outer)])
    )

    # As λ grows, nothing adapts and the matrix is I.
    assert oracles.relative_error([joined(found)], [outer.gradient(start())]) <= 1e-10
    assert found.loss.item() == pytest.approx(outer([start()]).item(), rel=1e-12)


# ------------------------------------------------------------------------ conjugate gradients


def solution(
    matrix: torch.Tensor, right: torch.Tensor, iterations: int
) -> tuple[torch.Tensor, list[float]]:
    """Of (I + matrix)x = right, and the residual after each iteration."""
    point = torch.zeros_like(right).requires_grad_()
    (gradient,) = torch.autograd.grad(point @ matrix @ point / 2, point, create_graph=True)
    residuals: list[float] = []
    (found,) = solve(
        (gradient,),
        (point,),
        [right.clone()],
        1.0,
        iterations,
        lambda number, residual: residuals.append(residual.item()),
    )
    return found, residuals


def test_that_conjugate_gradients_end_after_as_many_steps_as_there_are_eigenvalues() -> None:
    matrix = torch.diag(torch.tensor([1.0, 3, 3, 8, 8, 8, 8, 20, 20, 20]).double())
    right = torch.linspace(-2, 3, 10, dtype=torch.float64)

    found, residuals = solution(matrix, right, 4)

    exact = torch.linalg.solve(torch.eye(10).double() + matrix, right)
    assert oracles.relative_error([found], [exact]) <= 1e-12
    assert residuals[2] > 1e-3
    assert residuals[3] < 1e-12


def test_that_iterations_beyond_the_solution_change_nothing() -> None:
    matrix = torch.diag(torch.tensor([1.0, 3.0]).double())
    right = torch.tensor([1.0, 2.0], dtype=torch.float64)

    found, residuals = solution(matrix, right, 500)

    assert torch.allclose(found, right / torch.tensor([2.0, 4.0]).double(), rtol=1e-15)
    assert residuals[-1] < 1e-15


def test_that_conjugate_gradients_stop_before_a_direction_of_negative_curvature() -> None:
    """Along the second axis the matrix is negative; the first direction does not show it yet."""
    matrix = torch.diag(torch.tensor([3.0, -2.0]).double())
    right = torch.tensor([2.0, 1.0], dtype=torch.float64)

    found, residuals = solution(matrix, right, 5)

    first_step = (right @ right) / (4 * right[0] ** 2 - right[1] ** 2)
    assert torch.allclose(found, first_step * right, rtol=1e-14)
    assert residuals[1:] == [residuals[0]] * 4


def test_that_a_right_side_of_zeros_has_the_solution_zero() -> None:
    found, residuals = solution(EYE, torch.zeros(SIZE, dtype=torch.float64), 3)

    assert not found.any()
    assert residuals == [0, 0, 0]


# ------------------------------------------------------------------------------- real networks

FORWARD = {"perceptron": perceptron, "batch norm": convolutional}
RATE = {"anil": 0.3, "reptile": 0.3, "imaml": 0.03}
NEAR = 20.0
"""A regularisation at which no direction of these networks has a negative curvature."""

CRITERIA = {"mse": functional.mse_loss, "cross_entropy": functional.cross_entropy}


def variant_of(net: str, variant: str, order: int, **mitigation: object) -> Problem:
    spec = problem(net, 2, **mitigation).spec.with_changes(
        {
            "workload.variant": variant,
            "workload.order": order,
            "workload.inner_lr": RATE[variant],
            "workload.regularisation": NEAR,
            "workload.cg_iterations": 200,
        }
    )
    assert not spec.problems()
    return prepare(spec, CPU)


def losses_of(made: Problem, net: str, weights: dict[str, torch.Tensor], number: int, part: str):
    data = made.data
    assert isinstance(data, Tasks)
    x, y = getattr(data, f"{part}_x")[number], getattr(data, f"{part}_y")[number]
    return CRITERIA[made.spec.loss](FORWARD[net](weights, x), y)


def mean_of(parts: Sequence[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
    return [torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
@pytest.mark.parametrize("net", FORWARD)
def test_that_anil_equals_a_loop_that_steps_the_last_layer(
    net: str, checkpointing: str, inner_loop: str, order: int
) -> None:
    made = variant_of(
        net,
        "anil",
        order,
        checkpointing={"kind": checkpointing, "segments": 2},
        inner_loop=inner_loop,
    )
    head = [*made.parameters][-2:]
    losses, first_order = [], []
    for number in range(2):
        fast = dict(made.parameters)
        for _ in range(2):
            value = losses_of(made, net, fast, number, "support")
            slopes = torch.autograd.grad(value, [fast[name] for name in head], create_graph=True)
            if order == 1:
                slopes = tuple(slope.detach() for slope in slopes)
            fast |= {name: fast[name] - 0.3 * g for name, g in zip(head, slopes, strict=True)}
        losses.append(losses_of(made, net, fast, number, "query"))
        slopes = torch.autograd.grad(losses[-1], list(fast.values()), retain_graph=True)
        first_order.append(dict(zip(fast, slopes, strict=True)))
    right = mean_of(first_order)
    total = torch.stack(losses).mean()
    for _ in range(order - 1):
        slopes = torch.autograd.grad(total, list(made.parameters.values()), create_graph=True)
        right, total = list(slopes), torch.stack([slope.sum() for slope in slopes]).sum()
    made.reset()

    computed = compute(made, SILENT)

    assert oracles.relative_error(list(computed.result.values()), right) <= 1e-10
    assert computed.loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-12)


@pytest.mark.parametrize("variant", ["reptile", "imaml"])
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
@pytest.mark.parametrize("net", FORWARD)
def test_that_reptile_and_imaml_equal_loops_and_a_dense_hessian(
    net: str, checkpointing: str, variant: str
) -> None:
    order, rate = {"reptile": 1, "imaml": 2}[variant], RATE[variant]
    made = variant_of(net, variant, order, checkpointing={"kind": checkpointing, "segments": 2})
    names, first = list(made.parameters), {n: w.detach() for n, w in made.parameters.items()}
    results, losses = [], []
    for number in range(2):
        fast = first
        for _ in range(2):
            leaves = {name: w.clone().requires_grad_() for name, w in fast.items()}
            slopes = torch.autograd.grad(
                losses_of(made, net, leaves, number, "support"), list(leaves.values())
            )
            pull = NEAR if variant == "imaml" else 0.0
            fast = {
                name: (leaves[name] - rate * (slope + pull * (leaves[name] - first[name]))).detach()
                for name, slope in zip(names, slopes, strict=True)
            }
        losses.append(losses_of(made, net, fast, number, "query").item())
        if variant == "reptile":
            results.append({name: (first[name] - fast[name]) / rate for name in names})
        else:
            results.append(dense_solution(made, net, fast, number))
    made.reset()

    computed = compute(made, SILENT)

    assert oracles.relative_error(list(computed.result.values()), mean_of(results)) <= 1e-9
    assert computed.loss.item() == pytest.approx(sum(losses) / 2, rel=1e-12)


def dense_solution(
    made: Problem, net: str, fast: dict[str, torch.Tensor], number: int
) -> dict[str, torch.Tensor]:
    sizes = [w.numel() for w in fast.values()]

    def loss(flat: torch.Tensor, part: str) -> torch.Tensor:
        weights = {
            name: piece.view_as(w)
            for (name, w), piece in zip(fast.items(), torch.split(flat, sizes), strict=True)
        }
        return losses_of(made, net, weights, number, part)

    point = torch.cat([w.reshape(-1) for w in fast.values()]).requires_grad_()
    hessian = torch.autograd.functional.hessian(lambda flat: loss(flat, "support"), point.detach())
    (right,) = torch.autograd.grad(loss(point, "query"), point)
    found = torch.linalg.solve(torch.eye(len(right)).double() + hessian / NEAR, right)
    pieces = torch.split(found, sizes)
    return {n: p.view_as(w) for (n, w), p in zip(fast.items(), pieces, strict=True)}


def test_that_the_body_of_anil_sees_each_batch_once() -> None:
    """In one pass over the support set and one over the query set, whatever the inner steps."""
    made = variant_of("batch norm", "anil", 2)

    compute(made, SILENT)

    assert made.buffers["1.num_batches_tracked"] == 2 * 2


@pytest.mark.parametrize(
    ("variant", "phases"),
    [
        ("anil", ["features", "inner step 1", "inner step 2", "query loss", "meta-gradient"]),
        ("reptile", ["inner step 1", "inner step 2", "query loss", "meta-gradient"]),
        (
            "imaml",
            [
                "inner step 1",
                "inner step 2",
                "query loss",
                "query gradient",
                "support gradient",
                "conjugate gradients",
            ],
        ),
    ],
)
def test_that_each_variant_names_its_phases(variant: str, phases: list[str]) -> None:
    recorder = Listening()
    made = variant_of("perceptron", variant, 1 if variant == "reptile" else 2)

    compute(prepare(made.spec.with_value("workload.tasks", "1"), CPU), recorder)

    assert [said for said in recorder.said if isinstance(said, str)] == phases
