"""Meta-learning: how memory grows over inner steps, against other packages, and Finn's result."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.problem import prepare
from core.engine.workloads import compute, follow
from core.measure.memory.allocator import allocator_peak
from core.results.charts import Point, Reading
from core.spec.presets import preset
from core.spec.run import RunSpec
from tests.bench.alternating import Program, ratio
from tests.bench.page import Page

CPU = torch.device("cpu")
MIB = 2**20
SECONDS = 12.0
STEPS = (1, 5, 10, 20)
LINEAR = {"kind": "linear", "out_features": 64}
LARGE = {
    "input_shape": [64],
    "layers": [LINEAR, {"kind": "tanh"}] * 8 + [LINEAR],
}
ACTIVATIONS = 8 * 64 * 1024 * 4
"""Bytes of what the eight blocks put out for 1024 examples."""

SMALL = {
    "input_shape": [1],
    "layers": [
        {"kind": "linear", "out_features": 40},
        {"kind": "relu"},
        {"kind": "linear", "out_features": 40},
        {"kind": "relu"},
        {"kind": "linear", "out_features": 1},
    ],
}
SIZES = {"large": (LARGE, 1024), "small": (SMALL, 10)}
"""The same as in scripts/meta_peers.py."""

STEPS_SHOWN = 11
PEERS = {"higher": "by_higher", "torchopt": "by_torchopt"}


def spec_of(size: str, **workload: object) -> RunSpec:
    model, examples = SIZES[size]
    asked = {"kind": "maml", "tasks": 1, "inner_steps": 5, "support": examples, "query": examples}
    document = {"model": model, "workload": asked | workload, "device": "cpu"}
    return RunSpec.from_json(json.dumps(document))


def peak_of(spec: RunSpec) -> int:
    problem = prepare(spec, CPU)
    peak = allocator_peak(CPU, lambda recorder: compute(problem, recorder), problem.reset)
    assert peak is not None
    return peak.peak_bytes


def product(spec: RunSpec, file: Path) -> Program:
    file.write_text(spec.to_json(), encoding="utf-8")
    return Program.of_product(file)


def peer(function: str, size: str, file: Path) -> Program:
    file.write_text(
        f"from tests.bench.scripts.meta_peers import {function}\n"
        f"seconds, peak_on_cpu = {function}({size!r})\n",
        encoding="utf-8",
    )
    return Program.of_script(file)


def test_that_memory_grows_along_a_line_at_second_order_and_not_at_first(page: Page) -> None:
    """8 blocks of Linear(64) + Tanh and a last Linear, 1024 examples."""
    second = [peak_of(spec_of("large", inner_steps=steps)) for steps in STEPS]
    first = [peak_of(spec_of("large", inner_steps=steps, order=1)) for steps in STEPS]
    slope, offset = np.polyfit(STEPS, second, 1)
    rest = np.square(second - (slope * np.array(STEPS) + offset)).sum()
    fit = 1 - rest / np.square(second - np.mean(second)).sum()
    page.claim(
        "Peak of MAML over 1, 5, 10 and 20 inner steps, fit of a line (R²)",
        "> 0.999",
        f"{fit:.6f}",
        met=fit > 0.999,
    )
    after_the_first = first[1:]
    spread = max(after_the_first) / min(after_the_first) - 1
    page.claim(
        "Peak of first-order MAML over 5, 10 and 20 inner steps, spread",
        "≤ 0.1 %",
        f"{spread:.3%}",
        met=spread <= 1e-3,
    )
    share = slope / ACTIVATIONS
    page.claim(
        "Bytes that an inner step adds ÷ bytes of its activations",
        "3.0 to 3.4",
        f"{share:.2f}",
        met=3.0 <= share <= 3.4,
    )
    rows = [
        (steps, f"{two / MIB:.2f}", f"{one / MIB:.2f}", f"{two / one:.2f}")
        for steps, two, one in zip(STEPS, second, first, strict=True)
    ]
    page.table("Peak, MiB", ("inner steps", "order 2", "order 1", "ratio"), rows)


def test_that_the_second_order_takes_a_few_times_as_long_as_the_first(
    page: Page, tmp_path: Path
) -> None:
    with (
        product(spec_of("large"), tmp_path / "second.json") as second,
        product(spec_of("large", order=1), tmp_path / "first.json") as first,
    ):
        found = ratio(second, first, SECONDS)
    page.claim(
        "Time of MAML ÷ time of first-order MAML, 5 inner steps",
        "1.7 to 3.5",
        f"{found:.2f}",
        met=1.7 <= found <= 3.5,
    )


@pytest.mark.parametrize("size", SIZES)
def test_that_the_unrolled_loop_costs_no_more_than_that_of_other_packages(
    size: str, page: Page, tmp_path: Path
) -> None:
    """``pip install higher torchopt`` brings them."""
    rows, times, peaks = [], [], []
    for name, function in PEERS.items():
        if importlib.util.find_spec(name) is None:
            rows.append((name, "not installed", ""))
            continue
        with (
            product(spec_of(size), tmp_path / "spec.json") as ours,
            peer(function, size, tmp_path / "peer.py") as theirs,
        ):
            times.append(ratio(ours, theirs, SECONDS))
            peaks.append(ours.peak_bytes / theirs.peak_bytes)
        rows.append((name, f"{times[-1]:.3f}", f"{peaks[-1]:.3f}"))
    page.table(f"The product ÷ a package, {size} network", ("package", "time", "peak"), rows)
    if times:
        page.claim(
            f"Peak ÷ the best of {len(times)} other packages, {size} network",
            "≤ 1.02",
            f"{max(peaks):.3f}",
            met=max(peaks) <= 1.02,
        )
        page.claim(
            f"Time ÷ the best of {len(times)} other packages, {size} network",
            "≤ 1.05",
            f"{max(times):.3f}",
            met=max(times) <= 1.05,
        )


def test_what_sixteen_tasks_at_once_cost(page: Page, tmp_path: Path) -> None:
    """torch.func's vmap against one task after the other; a report without a promise."""
    with (
        peer("by_vmap", "small", tmp_path / "peer.py") as together,
        product(spec_of("small", tasks=16), tmp_path / "spec.json") as apart,
    ):
        found = ratio(together, apart, SECONDS)
        peak = together.peak_bytes / apart.peak_bytes
    row = ("1-40-40-1", f"{found:.2f}", f"{peak:.1f}")
    headers = ("16 tasks, 5 inner steps", "time", "peak")
    page.table("vmap ÷ one after the other", headers, [row])


def shown(point: Point) -> str:
    return f"{point.y:.3f} ({point.low:.3f} to {point.high:.3f})"


def test_that_meta_training_adapts_to_sine_curves_as_finn_showed(page: Page) -> None:
    """The preset ``finn-sinusoid``: 600 held-out curves, 95 % intervals over them."""
    points, readings = {}, {}
    found = follow(prepare(preset("finn-sinusoid").spec, CPU))
    assert found is not None
    for one in found:
        if isinstance(one, Reading):
            readings[one.name] = one.value
        elif isinstance(one, Point) and one.chart == "adaptation":
            points[one.curve, one.x] = one
    name = "held_out_loss_ratio_after_1_step"
    low, high = readings[f"{name}_low"], readings[f"{name}_high"]
    page.claim(
        "Loss after one inner step ÷ that of a network trained on all tasks together, 600 tasks",
        "≤ 0.5",
        f"{readings[name]:.3f} ({low:.3f} to {high:.3f})",
        met=high <= 0.5,
    )
    one, ten = points["meta-trained", 1], points["meta-trained", 10]
    page.claim(
        "Loss by inner step 10 against that after step 1",
        "lower",
        f"{ten.y:.3f} against {one.y:.3f}",
        met=ten.high < one.low,
    )
    curves = ("meta-trained", "trained on all tasks together")
    rows = [
        (step, *(shown(points[curve, step]) for curve in curves)) for step in range(STEPS_SHOWN)
    ]
    page.table("Loss on held-out tasks", ("inner step", *curves), rows)
