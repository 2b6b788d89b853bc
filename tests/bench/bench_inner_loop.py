"""What each way of keeping the inner loop of MAML saves and costs, JAX's ways beside them.

Bytes repeat exactly. Times are those of one process, each beside the standard loop in turn.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.memory.allocator import allocator_peak
from core.spec.inner_segments import inner_segments
from core.spec.run import RunSpec
from tests import oracles
from tests.bench.page import Page

CPU = torch.device("cpu")
MIB = 2**20
PAIRS = {4: 7, 16: 5, 36: 3}
"""How often two ways are timed in turn, by the number of inner steps."""

STEPS = tuple(PAIRS)
LONGEST = 2.0
"""Times the standard loop."""

CLOSEST = 1e-12
JAX = Path(__file__).parent / "scripts" / "inner_loop_jax.py"


@dataclass(frozen=True)
class Net:
    """Blocks of Linear + Tanh and a last Linear, all of one width; one task.

    Attributes:
        gains: what the best way has to save at a number of inner steps.
    """

    width: int
    blocks: int
    examples: int
    gains: dict[int, float]

    @property
    def name(self) -> str:
        return f"d{self.width} L{self.blocks} B{self.examples}"

    def spec(self, steps: int, inner_loop: str, checkpointing: str, precision: str) -> RunSpec:
        linear = {"kind": "linear", "out_features": self.width}
        layers = [linear, {"kind": "tanh"}] * self.blocks + [linear]
        sizes = {"inner_steps": steps, "support": self.examples, "query": self.examples}
        document = {
            "model": {"input_shape": [self.width], "layers": layers},
            "workload": {"kind": "maml", "tasks": 1, **sizes},
            "mitigation": {
                "inner_loop": inner_loop,
                "checkpointing": {"kind": checkpointing},
                "precision": precision,
            },
            "device": "cpu",
        }
        return RunSpec.from_json(json.dumps(document))


NETS = [
    Net(64, 8, 1024, {4: 3.4, 16: 11.0, 36: 25.0}),
    Net(256, 4, 256, {36: 7.0}),
]
WAYS = [
    ("checkpoint", "none"),
    ("saved_gradient", "none"),
    ("segments", "none"),
    ("segments_saved_gradient", "none"),
    ("saved_gradient", "rematerialize"),
    ("segments_saved_gradient", "rematerialize"),
]


def peak_of(problem: Problem) -> int:
    peak = allocator_peak(CPU, lambda recorder: compute(problem, recorder), problem.reset)
    assert peak is not None
    return peak.peak_bytes


def result_of(problem: Problem) -> list[torch.Tensor]:
    problem.reset()
    return list(compute(problem, SILENT).result.values())


def seconds_of(problem: Problem) -> float:
    problem.reset()
    begun = time.perf_counter()
    compute(problem, SILENT)
    return time.perf_counter() - begun


def ratio(one: Problem, other: Problem, count: int) -> float:
    """Time of one ÷ time of the other, the median over pairs taken in turn."""
    pairs = []
    for pair in range(count):
        order = (one, other) if pair % 2 else (other, one)
        taken = [seconds_of(problem) for problem in order]
        pairs.append(taken if pair % 2 else taken[::-1])
    return statistics.median(ours / theirs for ours, theirs in pairs)


@dataclass(frozen=True)
class Found:
    """One way at one number of inner steps."""

    way: str
    runs: tuple[int, ...]
    peak_bytes: int
    gain: float
    time: float
    error: float


def measured(net: Net, steps: int) -> Iterator[Found]:
    """Every way beside the standard loop."""
    torch.set_num_threads(1)

    def made(inner_loop: str, checkpointing: str, precision: str) -> Problem:
        return prepare(net.spec(steps, inner_loop, checkpointing, precision), CPU)

    standard = made("standard", "none", "float32")
    right = result_of(made("standard", "none", "float64"))
    whole = peak_of(standard)
    yield Found("standard", (steps,), whole, 1.0, 1.0, 0.0)
    for way in WAYS:
        problem = made(*way, "float32")
        peak = peak_of(problem)
        inner_loop, checkpointing = way
        yield Found(
            way=inner_loop if checkpointing == "none" else f"{inner_loop} + {checkpointing}",
            runs=inner_segments(problem.spec),
            peak_bytes=peak,
            gain=whole / peak,
            time=ratio(problem, standard, PAIRS[steps]),
            error=oracles.relative_error(result_of(made(*way, "float64")), right),
        )


def in_jax(net: Net, steps: int) -> Iterator[tuple[str, int, float]]:
    """Name, bytes and seconds of each way in JAX."""
    sizes = map(str, (net.width, net.blocks, net.examples, steps))
    answer = subprocess.run(
        [sys.executable, str(JAX), *sizes], capture_output=True, text=True, check=True
    )
    for line in answer.stdout.splitlines():
        found = json.loads(line)
        yield found["way"], found["bytes"], found["seconds"]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_that_an_inner_loop_can_be_had_for_a_fraction_of_its_memory(net: Net, page: Page) -> None:
    """MAML with gradient descent, order 2; memory and time by the inner steps."""
    rows = []
    for steps in STEPS:
        found = list(measured(net, steps))
        rows += [
            (
                steps,
                one.way,
                _lengths(one.runs),
                f"{one.peak_bytes / MIB:.2f}",
                f"{one.gain:.2f}",
                f"{one.time:.2f}",
                f"{one.error:.1e}",
            )
            for one in found
        ]
        wanted = net.gains.get(steps)
        if wanted is None:
            continue
        allowed = [one for one in found if one.time <= LONGEST and one.error <= CLOSEST]
        best = max(allowed, key=lambda one: one.gain)
        page.claim(
            f"Peak of the standard loop ÷ peak of the best way, {net.name}, {steps} inner steps, "
            f"at most {LONGEST} times as long",
            f"≥ {wanted}",
            f"{best.gain:.1f} ({best.way}, {best.time:.2f} times as long)",
            met=best.gain >= wanted,
        )
        worst = max(one.error for one in found)
        page.claim(
            f"Largest relative error of all ways in float64, {net.name}, {steps} inner steps",
            f"≤ {CLOSEST:g}",
            f"{worst:.1e}",
            met=worst <= CLOSEST,
        )
    headers = ("inner steps", "inner loop", "runs", "peak MiB", "gain", "time", "error")
    page.table(net.name, headers, rows)
    show_jax(net, page)


def show_jax(net: Net, page: Page) -> None:
    """Temporary memory of the compiled program, without its result."""
    rows: list[tuple[object, ...]] = []
    if importlib.util.find_spec("jax") is None:
        rows.append(("", "jax is not installed", "", "", ""))
    else:
        for steps in STEPS:
            found = list(in_jax(net, steps))
            _, whole, longest = found[0]
            rows += [
                (steps, way, f"{count / MIB:.2f}", f"{whole / count:.2f}", f"{taken / longest:.2f}")
                for way, count, taken in found
            ]
    page.table(
        f"JAX, {net.name}, a scan over the steps, compiled",
        ("inner steps", "inner loop", "temporary MiB", "gain", "time"),
        rows,
    )


def _lengths(runs: tuple[int, ...]) -> str:
    """Runs in few words, for example ``8, 7, 6`` or ``36 × 1``."""
    if len(runs) > 1 and len(set(runs)) == 1:
        return f"{len(runs)} × {runs[0]}"
    return ", ".join(map(str, runs)) if len(runs) > 1 else ""
