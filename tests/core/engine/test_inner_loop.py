"""Ways of keeping inner steps: equal to the loop that keeps everything, and holding what they say.

Their agreement with loops written by hand is in test_maml.py and test_meta_variants.py.
"""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from core.engine.inner_loop import INNER_STEPS, Descent, SupportLoss, saved_gradient_step
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.memory.allocator import allocator_peak
from core.spec.inner_segments import adapted_numbers, graph_numbers, inner_segments
from core.spec.mitigations import IN_SEGMENTS, INNER_LOOPS
from core.spec.run import RunSpec
from tests import oracles
from tests.core.engine.test_nested_gradient import Listening
from tests.core.measure.memory.exactness import forecast

CPU = torch.device("cpu")
TOLERANCE = 1e-12


def linear(size: int) -> dict[str, Any]:
    return {"kind": "linear", "out_features": size}


LAYERS = {
    "smooth": [linear(6), {"kind": "tanh"}, linear(5), {"kind": "softplus"}, linear(3)],
    "random": [linear(6), {"kind": "tanh"}, {"kind": "dropout", "p": 0.4}, linear(3)],
    "batch norm": [linear(6), {"kind": "batch_norm"}, {"kind": "silu"}, linear(3)],
}
SAVING = [way for way in INNER_LOOPS if way != "standard"]


def made(
    net: str,
    inner_loop: str,
    segments: int | str = "auto",
    checkpointing: str = "none",
    **more: Any,
) -> Problem:
    workload = {"kind": "maml", "inner_steps": 7, "inner_lr": 0.1, "tasks": 1}
    document = {
        "model": {"input_shape": [4], "layers": LAYERS[net]},
        "workload": workload | {"support": 6, "query": 5} | more,
        "mitigation": {
            "inner_loop": inner_loop,
            "inner_segments": segments,
            "precision": "float64",
            "checkpointing": {"kind": checkpointing},
        },
        "device": "cpu",
    }
    return prepare(RunSpec.from_json(json.dumps(document)), CPU)


def result(problem: Problem) -> list[torch.Tensor]:
    problem.reset()
    computed = compute(problem, SILENT)
    return [computed.loss, *computed.result.values(), *problem.buffers.values()]


WAYS = [
    (way, segments)
    for way in SAVING
    for segments in (("auto", 1, 3, 4) if way in IN_SEGMENTS else ("auto",))
]


@pytest.mark.parametrize(
    ("order", "variant", "tasks", "checkpointing"),
    [
        (2, "maml", 1, "none"),
        (2, "maml", 2, "rematerialize"),
        (2, "anil", 2, "torch"),
        (3, "maml", 1, "torch"),
        (3, "anil", 1, "none"),
    ],
)
@pytest.mark.parametrize("net", LAYERS)
@pytest.mark.parametrize(("inner_loop", "segments"), WAYS)
def test_that_every_way_ends_where_the_loop_that_keeps_everything_does(
    inner_loop: str,
    segments: int | str,
    net: str,
    order: int,
    variant: str,
    tasks: int,
    checkpointing: str,
) -> None:
    more = {"order": order, "variant": variant, "tasks": tasks}
    more["inner_steps"] = 7 if order == 2 else 4
    right = result(made(net, "standard", **more))

    found = result(made(net, inner_loop, segments, checkpointing, **more))

    assert oracles.relative_error(found, right) <= TOLERANCE


@pytest.mark.parametrize("inner_loop", SAVING)
def test_that_the_fourth_order_through_runs_is_exact(inner_loop: str) -> None:
    more = {"order": 4, "inner_steps": 3}
    right = result(made("random", "standard", **more))

    assert oracles.relative_error(result(made("random", inner_loop, 2, **more)), right) <= TOLERANCE


@pytest.mark.parametrize("inner_loop", INNER_LOOPS)
def test_that_each_step_is_a_phase_and_has_the_same_result(inner_loop: str) -> None:
    class Norms(Listening):
        def result(self, tensors: Sequence[torch.Tensor]) -> None:
            norms.append(float(sum(tensor.detach().square().sum() for tensor in tensors)))

    norms: list[float] = []
    recorder = Norms()
    compute(made("random", inner_loop, 3), recorder)
    found, norms = norms, []
    compute(made("random", "standard"), Norms())

    said = [word for word in recorder.said if isinstance(word, str)]
    steps = [f"inner step {number}" for number in range(1, 8)]
    assert said == [*steps, "query loss", "meta-gradient"]
    assert found == pytest.approx(norms, rel=1e-12)


def test_that_a_gradient_that_is_the_same_everywhere_has_no_derivative() -> None:
    """And one by a tensor without an influence does not exist."""
    loss = SupportLoss(lambda tensors: (3 * tensors[0]).sum(), lambda tensors: 3 * tensors[0].sum())
    weights = (torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True))

    stepped = saved_gradient_step(loss, weights, 0.5, SILENT)
    (through,) = torch.autograd.grad(stepped[0].sum(), weights[:1])

    assert stepped[1] is weights[1]
    assert torch.equal(stepped[0], torch.full((2,), -0.5))
    assert torch.equal(through, torch.ones(2))


def test_that_a_gradient_by_what_stands_beside_is_a_mixed_derivative() -> None:
    """L = Σ w² b: by way of w - ½ ∂L/∂w = w(1 - b), of which the sum has the derivative -w."""

    def loss(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        w, b = tensors
        return (w.square() * b).sum()

    w, b = (torch.tensor(values, requires_grad=True) for values in ([2.0, 3.0], [0.5, 0.25]))
    (stepped,) = saved_gradient_step(SupportLoss(loss, loss, beside=(b,)), (w,), 0.5, SILENT)

    by_w, by_b = torch.autograd.grad(stepped.sum(), (w, b), create_graph=True)
    assert torch.allclose(by_w, 1 - b)
    assert torch.allclose(by_b, -w)
    (mixed,) = torch.autograd.grad(by_b.sum(), w)
    assert torch.equal(mixed, -torch.ones(2))


def test_that_a_run_is_walked_as_often_as_there_are_gradients_and_once_before() -> None:
    walks: list[bool] = []

    def loss(again: bool):
        def value(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
            walks.append(again)
            return tensors[0].square().sum() ** 2

        return value

    weights = (torch.ones(3, requires_grad=True),)
    support = SupportLoss(loss(False), loss(True))
    descent = Descent(INNER_STEPS["segments"], 0.01, SILENT)
    stepped = descent.once_more(support, weights, ["step"] * 4)
    assert walks == [False] * 4
    torch.autograd.grad(stepped[0].sum(), weights)
    assert walks == [False] * 4 + [True] * 4


# --------------------------------------------------------------------------------------- memory

WIDE = {
    "many examples": (16, 4, 200),
    "many weights": (64, 3, 8),
    "both": (32, 6, 40),
}


def sized(net: str, inner_loop: str, steps: int, segments: int | str = "auto") -> RunSpec:
    width, blocks, examples = WIDE[net]
    layers = [linear(width), {"kind": "tanh"}] * blocks + [linear(width)]
    sizes = {"inner_steps": steps, "tasks": 1, "support": examples, "query": examples}
    document = {
        "model": {"input_shape": [width], "layers": layers},
        "workload": {"kind": "maml", **sizes},
        "mitigation": {"inner_loop": inner_loop, "inner_segments": segments},
        "device": "cpu",
    }
    return RunSpec.from_json(json.dumps(document))


def peak_of(spec: RunSpec) -> int:
    problem = prepare(spec, CPU)
    peak = allocator_peak(CPU, lambda recorder: compute(problem, recorder), problem.reset)
    assert peak is not None
    return peak.peak_bytes


@pytest.mark.parametrize("net", WIDE)
def test_that_sizes_counted_from_shapes_are_those_that_a_step_adds(net: str) -> None:
    """P and G of the memory model, against the growth of the standard loop and of one that keeps
    its weights alone. The graph does not keep what no derivative needs, such as biases and the
    first layer's weights."""
    spec = sized(net, "standard", 8)
    per_step = (peak_of(spec) - peak_of(sized(net, "standard", 6))) / 2
    kept = sized(net, "saved_gradient", 8)
    weights = (peak_of(kept) - peak_of(sized(net, "saved_gradient", 6))) / 2

    assert weights == 4 * adapted_numbers(spec)
    assert 4 * graph_numbers(spec) + weights == pytest.approx(per_step, rel=0.3)


@pytest.mark.parametrize("checkpointing", ["none", "rematerialize"])
@pytest.mark.parametrize("net", WIDE)
@pytest.mark.parametrize("inner_loop", IN_SEGMENTS)
def test_that_auto_needs_hardly_more_than_the_best_number_of_runs(
    inner_loop: str, net: str, checkpointing: str
) -> None:
    steps = 15

    def foretold(segments: int | str) -> int:
        spec = sized(net, inner_loop, steps, segments)
        found = forecast(spec.with_value("mitigation.checkpointing.kind", checkpointing))
        assert found.exact
        return found.peak_bytes

    assert foretold("auto") <= 1.1 * min(map(foretold, range(1, steps + 1)))


@pytest.mark.parametrize("net", WIDE)
def test_that_runs_of_saved_gradients_need_the_least(net: str) -> None:
    peaks = {way: peak_of(sized(net, way, 15)) for way in INNER_LOOPS}

    assert min(peaks, key=lambda way: peaks[way]) == "segments_saved_gradient"
    assert peaks["segments"] <= peaks["checkpoint"]


def test_that_another_run_costs_its_first_weights() -> None:
    spec = sized("many examples", "segments_saved_gradient", 15)
    runs = inner_segments(spec)
    longer = sized("many examples", "segments_saved_gradient", 21)

    assert len(inner_segments(longer)) == len(runs) + 1
    assert peak_of(longer) - peak_of(spec) == 4 * adapted_numbers(spec)
