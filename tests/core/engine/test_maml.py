"""Meta-gradients against algebra on quadratics, and against loops written out by hand."""

import json
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch.nn import functional

from core.engine.data import Tasks
from core.engine.gradients import Derivative
from core.engine.inner_loop import INNER_STEPS, SupportLoss
from core.engine.meta_gradient import Learner, Task, meta_gradient
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec
from core.spec.workloads import Maml
from tests import oracles
from tests.core.engine.test_nested_gradient import Listening

Weights = Mapping[str, torch.Tensor]
SIZE = 5


class Quadratic:
    """½ wᵀAw - bᵀw with a random positive definite A."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        root = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
        self.A = root @ root.T / SIZE + torch.eye(SIZE, dtype=torch.float64)
        self.b = torch.randn(SIZE, generator=generator, dtype=torch.float64)

    def __call__(self, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        (w,) = weights
        return w @ self.A @ w / 2 - self.b @ w

    def gradient(self, w: torch.Tensor) -> torch.Tensor:
        return self.A @ w - self.b


def on_quadratics(
    order: int, inner_loop: str = "standard", tasks: int = 1, steps: int = 3, rate: float = 0.1
) -> tuple[Derivative, list[tuple[Quadratic, Quadratic]], torch.Tensor]:
    pairs = [(Quadratic(2 * number), Quadratic(2 * number + 1)) for number in range(tasks)]
    initial = torch.linspace(-1, 2, SIZE, dtype=torch.float64).requires_grad_()
    found = meta_gradient(
        Learner(
            (initial,),
            Maml(order=order, inner_steps=steps, inner_lr=rate),
            SILENT,
            INNER_STEPS[inner_loop],
        ),
        [Task(SupportLoss(inner, inner), outer) for inner, outer in pairs],
    )
    return found, pairs, initial.detach()


def adaptation(inner: Quadratic, steps: int, rate: float) -> torch.Tensor:
    """The adapted weights are affine in the initial ones; this is the matrix."""
    eye = torch.eye(SIZE, dtype=torch.float64)
    return torch.linalg.matrix_power(eye - rate * inner.A, steps)


def adapted(inner: Quadratic, initial: torch.Tensor, steps: int, rate: float) -> torch.Tensor:
    optimum = torch.linalg.solve(inner.A, inner.b)
    return adaptation(inner, steps, rate) @ (initial - optimum) + optimum


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_that_the_meta_gradient_of_quadratics_is_what_algebra_says(
    steps: int, inner_loop: str
) -> None:
    found, [(inner, outer)], initial = on_quadratics(2, inner_loop, steps=steps)

    end = adapted(inner, initial, steps, 0.1)
    right = adaptation(inner, steps, 0.1) @ outer.gradient(end)
    assert oracles.relative_error(found.gradients, [right]) <= 1e-10
    assert found.loss.item() == pytest.approx(outer([end]).item(), rel=1e-12)


def test_that_the_first_order_is_the_gradient_at_the_adapted_weights() -> None:
    found, [(inner, outer)], initial = on_quadratics(1)

    right = outer.gradient(adapted(inner, initial, 3, 0.1))
    assert oracles.relative_error(found.gradients, [right]) <= 1e-10


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
def test_that_the_exact_meta_gradient_is_the_first_order_one_times_the_adaptation(
    inner_loop: str,
) -> None:
    exact, [(inner, _)], _ = on_quadratics(2, inner_loop)
    first_order, _, _ = on_quadratics(1)

    right = adaptation(inner, 3, 0.1) @ first_order.gradients[0]
    assert oracles.relative_error(exact.gradients, [right]) <= 1e-10


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
def test_that_the_third_order_of_quadratics_is_what_algebra_says(inner_loop: str) -> None:
    found, [(inner, outer)], _ = on_quadratics(3, inner_loop)

    matrix = adaptation(inner, 3, 0.1)
    right = (matrix @ outer.A @ matrix).T @ torch.ones(SIZE, dtype=torch.float64)
    assert oracles.relative_error(found.gradients, [right]) <= 1e-10


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
def test_that_the_fourth_order_of_quadratics_vanishes(inner_loop: str) -> None:
    found, _, _ = on_quadratics(4, inner_loop)

    assert found.gradients[0] is None or not found.gradients[0].any()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_several_tasks_are_averaged(order: int) -> None:
    together, pairs, initial = on_quadratics(order, tasks=3)
    apart = [
        meta_gradient(
            Learner(
                (initial.clone().requires_grad_(),),
                Maml(order=order, inner_steps=3, inner_lr=0.1),
                SILENT,
                INNER_STEPS["standard"],
            ),
            [Task(SupportLoss(inner, inner), outer)],
        )
        for inner, outer in pairs
    ]

    mean = torch.stack([one.gradients[0] for one in apart]).mean(0)
    assert oracles.relative_error(together.gradients, [mean]) <= 1e-12
    assert together.loss.item() == pytest.approx(sum(one.loss.item() for one in apart) / 3)


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
def test_that_without_an_inner_rate_every_order_is_that_of_the_query_loss(inner_loop: str) -> None:
    for order in (1, 2):
        found, [(_, outer)], initial = on_quadratics(order, inner_loop, rate=0.0)
        assert oracles.relative_error(found.gradients, [outer.gradient(initial)]) <= 1e-12


# ------------------------------------------------------------------------------- real networks


def perceptron(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    hidden = torch.tanh(x @ weights["0.weight"].T + weights["0.bias"])
    return torch.sigmoid(hidden @ weights["2.weight"].T + weights["2.bias"])


def noisy(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    hidden = torch.tanh(x @ weights["0.weight"].T + weights["0.bias"])
    hidden = functional.dropout(hidden, 0.4)
    hidden = torch.sigmoid(hidden @ weights["3.weight"].T + weights["3.bias"])
    return functional.dropout(hidden, 0.2) @ weights["6.weight"].T


def convolutional(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    image = functional.conv2d(x, weights["0.weight"], weights["0.bias"], padding=1)
    mean = image.mean((0, 2, 3), keepdim=True)
    variance = ((image - mean) ** 2).mean((0, 2, 3), keepdim=True)
    image = (image - mean) / (variance + 1e-5) ** 0.5
    image = image * weights["1.weight"].view(1, -1, 1, 1) + weights["1.bias"].view(1, -1, 1, 1)
    return functional.softplus(image).flatten(1) @ weights["4.weight"].T + weights["4.bias"]


NETS: dict[str, tuple[object, str, Callable[[Weights, torch.Tensor], torch.Tensor]]] = {
    "perceptron": (
        {"input_shape": [3], "layers": [{"kind": "linear", "out_features": 5}, {"kind": "tanh"},
                                        {"kind": "linear", "out_features": 2},
                                        {"kind": "sigmoid"}]},
        "mse",
        perceptron,
    ),
    "dropout": (
        {"input_shape": [3], "layers": [{"kind": "linear", "out_features": 6}, {"kind": "tanh"},
                                        {"kind": "dropout", "p": 0.4},
                                        {"kind": "linear", "out_features": 6},
                                        {"kind": "sigmoid"}, {"kind": "dropout", "p": 0.2},
                                        {"kind": "linear", "out_features": 3, "bias": False}]},
        "cross_entropy",
        noisy,
    ),
    "batch norm": (
        {"input_shape": [2, 4, 4], "layers": [{"kind": "conv2d", "out_channels": 3, "padding": 1},
                                              {"kind": "batch_norm"}, {"kind": "softplus"},
                                              {"kind": "flatten"},
                                              {"kind": "linear", "out_features": 3}]},
        "cross_entropy",
        convolutional,
    ),
}  # fmt: skip


def problem(net: str, order: int, **mitigation: object) -> Problem:
    model, loss, _ = NETS[net]
    spec = RunSpec.from_json(
        json.dumps(
            {
                "model": model,
                "data": {"kind": "synthetic"},
                "loss": loss,
                "workload": {"kind": "maml", "order": order, "inner_steps": 2, "inner_lr": 0.3,
                             "tasks": 2, "support": 5, "query": 4},
                "mitigation": {"precision": "float64", "inner_segments": 2} | mitigation,
                "measure": {"seed": 3},
            }
        )
    )  # fmt: skip
    assert not spec.problems()
    return prepare(spec, torch.device("cpu"))


def by_hand(made: Problem, order: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """All tasks in one graph, every gradient with its graph, nothing saved."""
    _, loss_name, net = NETS[next(name for name in NETS if NETS[name][0] == _model(made))]
    criterion = {"mse": functional.mse_loss, "cross_entropy": functional.cross_entropy}[loss_name]
    assert isinstance(made.data, Tasks)
    torch.manual_seed(made.spec.measure.seed)
    losses, first_order = [], []
    for support_x, support_y, query_x, query_y in zip(*made.data, strict=True):
        fast = dict(made.parameters)
        for _ in range(2):
            value = criterion(net(fast, support_x), support_y)
            gradients = torch.autograd.grad(value, list(fast.values()), create_graph=True)
            fast = {
                name: weight - 0.3 * gradient
                for (name, weight), gradient in zip(fast.items(), gradients, strict=True)
            }
        losses.append(criterion(net(fast, query_x), query_y))
        if order == 1:
            first_order.append(torch.autograd.grad(losses[-1], list(fast.values())))
    loss = sum(losses, torch.zeros((), dtype=torch.float64)) / len(losses)
    if order == 1:
        result = [torch.stack(parts).mean(0) for parts in zip(*first_order, strict=True)]
        return dict(zip(made.parameters, result, strict=True)), loss
    outputs = loss
    parameters = list(made.parameters.values())
    for _ in range(order - 1):
        gradients = torch.autograd.grad(outputs, parameters, create_graph=True)
        outputs = sum((gradient.sum() for gradient in gradients), torch.zeros(()))
    return dict(zip(made.parameters, gradients, strict=True)), loss


def _model(made: Problem) -> object:
    given = [model for model, _, _ in NETS.values()]
    (found,) = (
        model
        for model in given
        if RunSpec.from_json(json.dumps({"model": model})).model == made.spec.model
    )
    return found


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
@pytest.mark.parametrize("net", NETS)
def test_that_meta_gradients_equal_a_loop_written_by_hand(
    net: str, checkpointing: str, inner_loop: str, order: int
) -> None:
    made = problem(
        net, order, checkpointing={"kind": checkpointing, "segments": 2}, inner_loop=inner_loop
    )
    right, loss = by_hand(made, order)
    made.reset()

    computed = compute(made, SILENT)

    assert list(computed.result) == list(made.parameters)
    error = oracles.relative_error(list(computed.result.values()), list(right.values()))
    assert error <= 1e-10
    assert computed.loss.item() == pytest.approx(loss.item(), rel=1e-12)
    assert computed.warnings == ()
    assert not any(tensor.requires_grad for tensor in computed.result.values())


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
def test_that_running_statistics_see_each_batch_once(checkpointing: str, inner_loop: str) -> None:
    plain = problem("batch norm", 2)
    saving = problem("batch norm", 2, checkpointing={"kind": checkpointing}, inner_loop=inner_loop)

    compute(plain, SILENT)
    compute(saving, SILENT)

    assert plain.buffers["1.num_batches_tracked"] == 2 * 3
    for name, buffer in plain.buffers.items():
        assert torch.allclose(buffer, saving.buffers[name], rtol=1e-12)


@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
def test_that_random_numbers_after_a_repetition_do_not_depend_on_what_is_computed_again(
    checkpointing: str, inner_loop: str
) -> None:
    plain = problem("dropout", 2)
    saving = problem("dropout", 2, checkpointing={"kind": checkpointing}, inner_loop=inner_loop)
    states = []
    for made in (plain, saving):
        made.reset()
        compute(made, SILENT)
        states.append(torch.get_rng_state())

    assert torch.equal(*states)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
@pytest.mark.parametrize("tasks", [1, 2])
def test_that_a_sparse_embedding_has_the_meta_gradient_of_a_dense_one(
    tasks: int, checkpointing: str, inner_loop: str, order: int
) -> None:
    results = []
    for sparse in (False, True):
        embedding = {"kind": "embedding", "num_embeddings": 9, "embedding_dim": 2, "sparse": sparse}
        rest = [{"kind": "flatten"}, {"kind": "linear", "out_features": 3}, {"kind": "tanh"}]
        spec = problem("perceptron", order, inner_loop=inner_loop).spec.with_changes(
            {
                "model": {"input_shape": [2], "layers": [embedding, *rest]},
                "workload.tasks": tasks,
                "mitigation.checkpointing.kind": checkpointing,
            }
        )
        made = prepare(spec, torch.device("cpu"))
        results.append(list(compute(made, SILENT).result.values()))

    dense, sparse = results
    assert oracles.relative_error(sparse, dense) <= 1e-12


def test_that_torch_still_differentiates_sparse_embedding_gradients_wrongly() -> None:
    """When this fails, torch is repaired and the engine's workaround can go."""

    def third_order(sparse: bool) -> torch.Tensor:
        torch.manual_seed(0)
        weight = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
        rows, cotangent = torch.tensor([0, 1, 1]), torch.tanh(weight)
        looked_up = functional.embedding(rows, weight, sparse=sparse)
        (first,) = torch.autograd.grad((looked_up**3).sum(), weight, create_graph=True)
        (second,) = torch.autograd.grad(first, weight, cotangent, create_graph=True)
        return torch.autograd.grad(second.sum(), weight)[0].to_dense()

    assert oracles.relative_error([third_order(True)], [third_order(False)]) > 1e-3


def test_that_phases_are_named_after_task_and_step() -> None:
    recorder = Listening()

    compute(problem("perceptron", 3), recorder)

    assert [said for said in recorder.said if isinstance(said, str)] == [
        f"task {task}: {phase}"
        for task in (1, 2)
        for phase in ("inner step 1", "inner step 2", "query loss", "meta-gradient", "gradient 3")
    ]


def test_that_the_phases_of_a_single_task_do_not_name_it() -> None:
    recorder = Listening()
    made = problem("perceptron", 2)

    compute(prepare(made.spec.with_value("workload.tasks", "1"), torch.device("cpu")), recorder)

    assert recorder.said == [
        "inner step 1", ("born", "activations"), 0, 1, 2, 3, -1,
        ("born", "graph_1"), ("born", "fast_weights"), ("fast_weights", 4),
        "inner step 2", ("born", "activations"), 0, 1, 2, 3, -1,
        ("born", "graph_1"), ("born", "fast_weights"), ("fast_weights", 4),
        "query loss", ("born", "activations"), 0, 1, 2, 3, -1,
        "meta-gradient", ("born", "gradients"), ("gradients", 4),
    ]  # fmt: skip
