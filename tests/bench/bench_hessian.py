"""What second derivatives cost, in gradients, and beside torch.func and curvlinops.

Times are medians of rounds in which all take turns, on one thread; bytes repeat exactly. curvlinops
is measured where it is installed (``make test-peers`` does).
"""

import json
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from core.engine import tangents
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.memory.allocator import allocator_peak
from core.spec.run import RunSpec
from tests.bench.page import Page

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the peer and of what it brings along
        from curvlinops import HessianLinearOperator
except ImportError:
    HessianLinearOperator = None

CPU = torch.device("cpu")
MIB = 2**20
ROUNDS = 15
FURTHER = 8
GRADIENT = {"kind": "nested_gradient", "order": 1}
Layers = list[dict[str, object]]
Run = Callable[[], object]


@dataclass(frozen=True)
class Net:
    """A network in the product's words and in torch's."""

    layers: Layers
    input_shape: tuple[int, ...]
    batch: int
    module: Callable[[], nn.Module]


def cnn(kind: str, activation: Callable[[], nn.Module]) -> Net:
    """Three convolutions on images of 32 × 32, and a linear layer."""
    layers: Layers = []
    for channels in (16, 32, 64):
        layers += [
            {"kind": "conv2d", "out_channels": channels, "padding": 1},
            {"kind": kind},
            {"kind": "avg_pool2d", "kernel_size": 2},
        ]
    layers[-1:] = [{"kind": "flatten"}, {"kind": "linear", "out_features": 10}]
    return Net(
        layers,
        (3, 32, 32),
        32,
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), activation(), nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), activation(), nn.AvgPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), activation(), nn.Flatten(), nn.Linear(64 * 64, 10),
        ),
    )  # fmt: skip


NETS = {
    "MLP 8×256, tanh": Net(
        [{"kind": "linear", "out_features": 256}, {"kind": "tanh"}] * 8,
        (256,),
        512,
        lambda: nn.Sequential(*(m for _ in range(8) for m in (nn.Linear(256, 256), nn.Tanh()))),
    ),
    "CNN 16-32-64, tanh": cnn("tanh", nn.Tanh),
    "CNN 16-32-64, relu": cnn("relu", nn.ReLU),
}

SMALL: Layers = [
    {"kind": "linear", "out_features": 16},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 6},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 2},
]
"""212 weights."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    tangents.load()


def problem(
    net: Net,
    workload: Mapping[str, object],
    checkpointing: str = "none",
) -> Problem:
    document = {
        "model": {"input_shape": net.input_shape, "layers": net.layers},
        "data": {"kind": "synthetic", "batch_size": net.batch},
        "workload": workload,
        "mitigation": {"checkpointing": {"kind": checkpointing}},
        "device": "cpu",
    }
    return prepare(RunSpec.from_json(json.dumps(document)), CPU)


def ours(
    net: Net,
    workload: Mapping[str, object],
    checkpointing: str = "none",
) -> Run:
    made = problem(net, workload, checkpointing)
    return lambda: compute(made, SILENT)


def hvp(mode: str = "reverse_over_reverse", vectors: int = 1) -> dict[str, object]:
    return {"kind": "hvp", "mode": mode, "vectors": vectors}


def by_torch_func(net: Net, *, forward: bool) -> Run:
    """The same product as its documentation composes it; the square is written out for the forward
    mode, which torch's own mean squared error does not go through."""
    from torch import func  # noqa: TID251

    made = problem(net, hvp())
    x, y = made.data[:2]
    module = net.module()
    weights = dict(zip(dict(module.named_parameters()), made.parameters.values(), strict=True))
    weights = {name: weight.detach() for name, weight in weights.items()}
    vector = {name: part[0] for name, part in zip(weights, made.own.values(), strict=True)}

    def loss(weights: dict[str, Tensor]) -> Tensor:
        output = func.functional_call(module, weights, (x,))
        return (output - y).square().mean() if forward else nn.functional.mse_loss(output, y)

    def along(weights: dict[str, Tensor]) -> Tensor:
        gradient = func.grad(loss)(weights)
        return torch.stack([(gradient[name] * vector[name]).sum() for name in vector]).sum()

    if forward:
        return lambda: func.jvp(func.grad(loss), (weights,), (vector,))[1]
    return lambda: func.grad(along)(weights)


def by_curvlinops(net: Net) -> Run:
    made = problem(net, hvp())
    module = net.module()
    with torch.no_grad():
        for weight, right in zip(module.parameters(), made.parameters.values(), strict=True):
            weight.copy_(right)
    operator = HessianLinearOperator(
        module,
        nn.MSELoss(),
        list(module.parameters()),
        [tuple(made.data)],
        check_deterministic=False,
    )
    vector = [part[0] for part in made.own.values()]
    return lambda: operator @ vector


def seconds(runs: Mapping[str, Run], rounds: int = ROUNDS) -> dict[str, float]:
    """Medians, all in turn, every second round in reverse."""
    for run in runs.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            result = runs[name]()
            taken[name].append(time.perf_counter() - start)
            del result
    return {name: statistics.median(times) for name, times in taken.items()}


def peak(run: Run) -> int:
    run()
    seen = allocator_peak(CPU, lambda _: run())
    assert seen is not None
    return seen.peak_bytes


def at_most(page: Page, promise: str, ratio: float, bound: float) -> None:
    page.claim(promise, f"≤ {bound}", f"{ratio:.2f}", met=ratio <= bound)


@pytest.mark.parametrize("name", NETS)
def test_that_hessian_vector_products_cost_few_gradients_and_less_than_the_peers(
    name: str, page: Page
) -> None:
    net = NETS[name]
    runs: dict[str, Run] = {
        "gradient": ours(net, GRADIENT),
        "reverse over reverse": ours(net, hvp()),
        "forward over reverse": ours(net, hvp("forward_over_reverse")),
        "reverse over forward": ours(net, hvp("reverse_over_forward")),
        "finite difference": ours(net, hvp("finite_difference")),
        f"{1 + FURTHER} vectors, one graph": ours(net, hvp(vectors=1 + FURTHER)),
        "torch.func, reverse over reverse": by_torch_func(net, forward=False),
        "torch.func, forward over reverse": by_torch_func(net, forward=True),
    }
    if HessianLinearOperator is not None:
        runs["curvlinops"] = by_curvlinops(net)
    times, peaks = seconds(runs), {one: peak(run) for one, run in runs.items()}
    once, base = times["gradient"], peaks["gradient"]
    page.table(
        name,
        ["computation", "ms", "gradients", "peak MiB", "of a gradient's"],
        [
            [
                one,
                f"{times[one] * 1e3:.1f}",
                f"{times[one] / once:.2f}",
                f"{peaks[one] / MIB:.2f}",
                f"{peaks[one] / base:.2f}",
            ]
            for one in runs
        ],
    )
    rr, fr, fd = (
        f"{word}" for word in ("reverse over reverse", "forward over reverse", "finite difference")
    )
    further = times[f"{1 + FURTHER} vectors, one graph"] - times[rr]
    at_most(page, f"{name}: product ÷ gradient, time", times[rr] / once, 4.0)
    at_most(page, f"{name}: product ÷ gradient, memory", peaks[rr] / base, 3.0)
    at_most(page, f"{name}: a further product ÷ gradient, time", further / FURTHER / once, 2.3)
    at_most(page, f"{name}: difference ÷ gradient, time", times[fd] / once, 2.4)
    at_most(page, f"{name}: difference ÷ gradient, memory", peaks[fd] / base, 1.35)
    theirs = peaks["torch.func, reverse over reverse"]
    at_most(page, f"{name}: product ÷ torch.func's, memory", peaks[rr] / theirs, 0.65)
    theirs = peaks["torch.func, forward over reverse"]
    at_most(page, f"{name}: forward mode ÷ torch.func's, memory", peaks[fr] / theirs, 0.8)
    if "curvlinops" in peaks:
        theirs = peaks["curvlinops"]
        at_most(page, f"{name}: product ÷ curvlinops', memory", peaks[rr] / theirs, 1.0)


def test_that_differences_of_gradients_hold_little_more_than_a_gradient(page: Page) -> None:
    """16 blocks with large activations and few weights, of which a difference holds three copies;
    checkpoints save much of a first gradient."""
    net = Net(
        [{"kind": "linear", "out_features": 128}, {"kind": "tanh"}] * 16,
        (128,),
        2048,
        nn.Identity,
    )
    gradient = peak(ours(net, GRADIENT))
    plain = peak(ours(net, hvp("finite_difference")))
    checkpointed = peak(ours(net, hvp("finite_difference"), "torch"))
    at_most(page, "Difference ÷ gradient, memory", plain / gradient, 1.35)
    at_most(page, "Difference with checkpoints ÷ gradient, memory", checkpointed / gradient, 0.6)


def test_that_several_rows_of_a_hessian_at_once_are_worth_their_memory(page: Page) -> None:
    """212 weights, 64 examples; 32 rows at once, which is the default."""
    net = Net(SMALL, (5,), 64, nn.Identity)
    runs = {
        "row by row": ours(net, {"kind": "hessian"}),
        "16 at once": ours(net, {"kind": "hessian", "method": "vmap", "chunk_size": 16}),
        "32 at once": ours(net, {"kind": "hessian", "method": "vmap"}),
        "all at once": ours(net, {"kind": "hessian", "method": "vmap", "chunk_size": 212}),
    }
    times, peaks = seconds(runs), {one: peak(run) for one, run in runs.items()}
    page.table(
        "Hessian of 212 weights",
        ["method", "ms", "times as fast", "peak MiB", "times the memory"],
        [
            [
                one,
                f"{times[one] * 1e3:.1f}",
                f"{times['row by row'] / times[one]:.1f}",
                f"{peaks[one] / MIB:.2f}",
                f"{peaks[one] / peaks['row by row']:.2f}",
            ]
            for one in runs
        ],
    )
    faster = times["row by row"] / times["32 at once"]
    page.claim("Rows one by one ÷ 32 at once, time", "≥ 4", f"{faster:.1f}", met=faster >= 4)
    more = peaks["32 at once"] / peaks["row by row"]
    at_most(page, "32 rows at once ÷ one by one, memory", more, 3.0)
