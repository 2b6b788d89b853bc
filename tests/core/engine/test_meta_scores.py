"""What adapting is worth: readings, live accuracy, and held-out tasks."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.engine.data import Tasks, draw_tasks
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute, follow
from core.engine.workloads.held_out import _mean, _ratio
from core.engine.workloads.meta_scores import paths
from core.engine.workloads.meta_training import Training
from core.results.charts import Point, Reading
from core.spec.run import RunSpec

CPU = torch.device("cpu")
NET = {
    "input_shape": [1],
    "layers": [
        {"kind": "linear", "out_features": 6},
        {"kind": "tanh"},
        {"kind": "linear", "out_features": 1},
    ],
}
DIGITS = {
    "input_shape": [64],
    "layers": [
        {"kind": "linear", "out_features": 12},
        {"kind": "batch_norm"},
        {"kind": "tanh"},
        {"kind": "linear", "out_features": 3},
    ],
}


def sinusoid(**workload: object) -> Problem:
    return made({"model": NET, "data": {"kind": "sinusoid"}}, workload)


def digits(**workload: object) -> Problem:
    document = {"model": DIGITS, "data": {"kind": "digits", "ways": 3}, "loss": "cross_entropy"}
    return made(document, {"support": 6, "query": 9, **workload})


def made(document: dict[str, object], workload: dict[str, object]) -> Problem:
    asked = {"kind": "maml", "tasks": 3, "inner_lr": 0.1, "inner_steps": 2, **workload}
    whole = document | {"workload": asked, "mitigation": {"precision": "float64"}}
    spec = RunSpec.from_json(json.dumps(whole))
    assert not spec.problems()
    return prepare(spec, CPU)


def followed(problem: Problem) -> tuple[dict[str, float], dict[tuple[str, str], list[Point]]]:
    readings: dict[str, float] = {}
    points: dict[tuple[str, str], list[Point]] = {}
    found = follow(problem)
    assert found is not None
    for one in found:
        if isinstance(one, Reading):
            readings[one.name] = one.value
        else:
            points.setdefault((one.chart, one.curve), []).append(one)
    return readings, points


def output(weights: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    if len(weights) == 4:
        return torch.tanh(x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]
    hidden = functional.batch_norm(
        x @ weights[0].T + weights[1], None, None, weights[2], weights[3], training=True
    )
    return torch.tanh(hidden) @ weights[4].T + weights[5]


def judged_by_hand(
    weights: list[torch.Tensor], tasks: Tasks, steps: int, rate: float, classes: bool
) -> list[list[tuple[float, float]]]:
    """Loss and accuracy of every task before and after each step."""
    criterion = functional.cross_entropy if classes else functional.mse_loss
    found = []
    for support_x, support_y, query_x, query_y in zip(*tasks, strict=True):
        fast, path = [w.detach().requires_grad_() for w in weights], []
        for _ in range(steps + 1):
            answer = output(fast, query_x)
            right = (answer.argmax(1) == query_y).double().mean().item() if classes else math.nan
            path.append((criterion(answer, query_y).item(), right))
            slopes = torch.autograd.grad(criterion(output(fast, support_x), support_y), fast)
            fast = [
                (w - rate * g).detach().requires_grad_() for w, g in zip(fast, slopes, strict=True)
            ]
        found.append(path)
    return found


@pytest.mark.parametrize("order", [1, 2, 4])
def test_that_readings_tell_the_loss_before_and_after_adapting(order: int) -> None:
    problem = sinusoid(order=order)
    assert isinstance(problem.data, Tasks)
    right = judged_by_hand(list(problem.parameters.values()), problem.data, 2, 0.1, classes=False)

    readings, points = followed(problem)

    before, after = (sum(path[end][0] for path in right) / 3 for end in (0, -1))
    assert readings == {
        "loss_before_adaptation": pytest.approx(before, rel=1e-12),
        "loss_after_adaptation": pytest.approx(after, rel=1e-12),
    }
    assert readings["loss_after_adaptation"] == pytest.approx(compute(problem, SILENT).loss.item())
    assert points == {}


def test_that_classes_have_accuracies_too() -> None:
    problem = digits(inner_steps=4)
    assert isinstance(problem.data, Tasks)
    before = {name: buffer.clone() for name, buffer in problem.buffers.items()}
    right = judged_by_hand(list(problem.parameters.values()), problem.data, 4, 0.1, classes=True)

    readings, _ = followed(problem)

    for end, when in ((0, "before"), (-1, "after")):
        loss, accuracy = (sum(path[end][part] for path in right) / 3 for part in (0, 1))
        assert readings[f"loss_{when}_adaptation"] == pytest.approx(loss, rel=1e-12)
        assert readings[f"accuracy_{when}_adaptation"] == pytest.approx(accuracy, rel=1e-12)
    for name, buffer in problem.buffers.items():
        assert torch.equal(buffer, before[name])


def test_that_the_accuracy_of_adapted_weights_is_drawn_before_each_outer_step() -> None:
    problem = digits(outer_steps=3, outer_lr=0.01)
    assert isinstance(problem.data, Tasks)
    first = judged_by_hand(list(problem.parameters.values()), problem.data, 2, 0.1, classes=True)

    readings, points = followed(problem)

    accuracies = points["accuracy", "query accuracy"]
    assert [point.x for point in accuracies] == [0, 1, 2]
    assert accuracies[0].y == pytest.approx(sum(path[-1][1] for path in first) / 3, rel=1e-12)
    losses = points["learning", "outer loss"]
    assert losses[0].y == pytest.approx(sum(path[-1][0] for path in first) / 3, rel=1e-12)
    assert {"trained_accuracy_before_adaptation", "trained_loss_after_adaptation"} < set(readings)


@pytest.mark.parametrize("variant", ["anil", "reptile", "imaml"])
def test_that_each_variant_ends_where_its_result_was_judged(variant: str) -> None:
    problem = digits(variant=variant, regularisation=3.0)

    ends = [path[-1].loss for path in paths(problem, 2)]

    assert sum(ends) / 3 == pytest.approx(compute(problem, SILENT).loss.item(), rel=1e-12)


def test_that_imaml_reads_what_conjugate_gradients_leave() -> None:
    asked = {"variant": "imaml", "inner_lr": 0.01, "regularisation": 20.0}
    rough, _ = followed(sinusoid(**asked, cg_iterations=1))
    fine, _ = followed(sinusoid(**asked, cg_iterations=60))

    assert rough["cg_residual"] > 0.01
    assert fine["cg_residual"] < 1e-10


def test_that_rough_conjugate_gradients_are_said_to_be_so() -> None:
    workload = sinusoid(variant="imaml", cg_iterations=3).spec.workload

    assert list(workload.remarks({"cg_residual": 0.005})) == []
    assert list(workload.remarks({"cg_residual": None})) == []
    (sentence,) = workload.remarks({"cg_residual": 0.25})
    assert sentence.startswith("Conjugate gradients have not converged: after 3 iterations 25.0%")


# ------------------------------------------------------------------------------ held-out tasks


def test_that_held_out_tasks_are_none_of_those_trained_on() -> None:
    spec = sinusoid().spec
    trained = [draw_tasks(spec, CPU, torch.float64, step).support_x for step in range(4)]
    apart = [
        draw_tasks(spec, CPU, torch.float64, step, held_out=True).support_x for step in range(4)
    ]

    drawn = {tuple(task.flatten().tolist()) for x in (*trained, *apart) for task in x}
    assert len(drawn) == 2 * 4 * 3


def test_that_training_together_is_adam_on_all_examples_of_all_tasks() -> None:
    problem = sinusoid(outer_steps=3, outer_lr=0.01)
    weights = [w.detach().clone().requires_grad_() for w in problem.parameters.values()]
    adam = torch.optim.Adam(weights, lr=0.01)
    training = Training.of(problem)
    for step in range(3):
        tasks = draw_tasks(problem.spec, CPU, torch.float64, step)
        squares = [
            (output(weights, x) - y) ** 2
            for x, y in [
                *zip(tasks.support_x, tasks.support_y, strict=True),
                *zip(tasks.query_x, tasks.query_y, strict=True),
            ]
        ]
        adam.zero_grad()
        torch.cat(squares).mean().backward()
        adam.step()
        training.together(training.tasks(step))

    for mine, right in zip(training.parameters.values(), weights, strict=True):
        assert torch.allclose(mine, right, rtol=1e-10)


def test_that_both_ways_of_training_are_compared_on_the_same_held_out_tasks() -> None:
    problem = sinusoid(outer_steps=2, outer_lr=0.05, test_tasks=7, tasks=2)
    apart, together = Training.of(problem), Training.of(problem)
    for step in range(2):
        apart.apart(apart.tasks(step))
        together.together(together.tasks(step))
    one = problem.spec.with_value("workload.tasks", "1")

    def right(training: Training) -> np.ndarray:
        rows = []
        for number in range(7):
            task = draw_tasks(one, CPU, torch.float64, number, held_out=True)
            weights = list(training.parameters.values())
            (path,) = judged_by_hand(weights, task, 10, 0.1, classes=False)
            rows.append([loss for loss, _ in path])
        return np.array(rows)

    ours, theirs = right(apart), right(together)
    readings, points = followed(problem)

    for name, losses in (("meta-trained", ours), ("trained on all tasks together", theirs)):
        curve = points["adaptation", name]
        assert [point.x for point in curve] == list(range(11))
        mean, error = losses.mean(0), losses.std(0, ddof=1) / math.sqrt(7)
        assert [point.y for point in curve] == pytest.approx(mean, rel=1e-10)
        assert [point.low for point in curve] == pytest.approx(mean - 1.959964 * error, rel=1e-8)
        assert [point.high for point in curve] == pytest.approx(mean + 1.959964 * error, rel=1e-8)
    for step, name in ((1, "after_1_step"), (10, "after_10_steps")):
        ratio = readings[f"held_out_loss_ratio_{name}"]
        assert ratio == pytest.approx(ours[:, step].mean() / theirs[:, step].mean(), rel=1e-10)
        assert readings[f"held_out_loss_ratio_{name}_low"] < ratio
        assert ratio < readings[f"held_out_loss_ratio_{name}_high"]


def test_that_nothing_else_changes_where_there_are_held_out_tasks() -> None:
    without, curve = followed(sinusoid(outer_steps=3))
    with_them, curves = followed(sinusoid(outer_steps=3, test_tasks=2))

    assert curves["learning", "outer loss"] == curve["learning", "outer loss"]
    assert without.items() <= with_them.items()


def test_that_intervals_of_ratios_cover_the_truth_as_often_as_they_say() -> None:
    numbers = np.random.default_rng(0)
    covered, runs = 0, 2000
    for _ in range(runs):
        under = numbers.gamma(4.0, 1.0, 200)
        over = 0.3 * under + numbers.gamma(2.0, 0.4, 200)
        ratio, margin = _ratio(over.tolist(), under.tolist())
        covered += abs(ratio - (0.3 * 4.0 + 0.8) / 4.0) <= margin
    assert 0.93 <= covered / runs <= 0.97


def test_that_a_single_task_and_losses_of_zero_have_no_interval() -> None:
    assert _mean([2.0]) == (2.0, math.inf)
    assert all(math.isnan(part) for part in _ratio([1.0, 2.0], [0.0, 0.0]))
    assert math.isnan(_mean([math.nan, 1.0])[1])
    assert _mean([1e300, -1e300, 1e300])[1] == math.inf


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"workload.outer_steps": 0},
            "workload.test_tasks: 5 was given, but workload.outer_steps is 0, so that nothing is "
            "trained; allowed: 0.",
        ),
        (
            {"data": {"kind": "synthetic"}},
            "workload.test_tasks: 5 was given; data.kind synthetic has the same tasks at every "
            "outer step and no others; allowed: 0.",
        ),
    ],
)
def test_that_held_out_tasks_need_training_and_fresh_tasks(
    changes: dict[str, object], sentence: str
) -> None:
    spec = sinusoid(outer_steps=1, test_tasks=5).spec

    (problem,) = spec.with_changes(changes).problems()

    assert problem.sentence == sentence
