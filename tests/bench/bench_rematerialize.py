"""Rematerialization at every order beside torch's checkpointing, JAX's and none."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.memory.allocator import allocator_peak
from core.spec.run import RunSpec
from tests.bench.alternating import ROOT, Program, ratio
from tests.bench.page import Page

CPU = torch.device("cpu")
MIB = 2**20
SECONDS = 20.0
JAX_REPETITIONS = 5
KINDS = ("none", "torch", "rematerialize")
HEADERS = ("variant", "peak MiB", "of none", "time of none")


def layer(kind: str, **fields: object) -> dict[str, object]:
    return {"kind": kind, **fields}


def stage(channels: int, stride: int) -> list[dict[str, object]]:
    """Four convolutions, the first of them with a stride."""
    sizes = {"out_channels": channels, "kernel_size": 3, "padding": 1}
    return [
        one
        for step in (stride, 1, 1, 1)
        for one in (layer("conv2d", stride=step, **sizes), layer("batch_norm"), layer("relu"))
    ]


NETS: dict[str, dict[str, object]] = {
    "32×256 MLP, batch 2048": {
        "model": {
            "input_shape": [256],
            "layers": [layer("linear", out_features=256), layer("tanh")] * 32,
        },
        "data": {"kind": "synthetic", "batch_size": 2048},
    },
    "transformer 4×128, 64 positions, batch 16": {
        "model": {
            "input_shape": [64, 128],
            "layers": [layer("transformer_encoder_layer", dim_feedforward=512, dropout=0.0)] * 4,
        },
        "data": {"kind": "synthetic", "batch_size": 16},
    },
    "12 convolutions, 3×32×32, batch 32": {
        "model": {
            "input_shape": [3, 32, 32],
            "layers": [
                *stage(16, 1),
                *stage(32, 2),
                *stage(64, 2),
                layer("adaptive_avg_pool2d"),
                layer("flatten"),
                layer("linear", out_features=10),
            ],
        },
        "data": {"kind": "synthetic", "batch_size": 32},
        "loss": "cross_entropy",
    },
}
MLP, TRANSFORMER, CONVOLUTIONS = NETS

BOUNDS: dict[tuple[str, int], tuple[float | None, float | None]] = {
    (MLP, 1): (None, None),
    (MLP, 2): (0.40, 2.1),
    (MLP, 3): (0.30, 2.6),
    (TRANSFORMER, 2): (0.60, None),
    (CONVOLUTIONS, 2): (0.60, None),
}
"""Most of none's peak and time that is promised."""


def run_of(net: str, order: int, kind: str) -> RunSpec:
    workload = {"kind": "nested_gradient", "order": order}
    mitigation = {"checkpointing": {"kind": kind}}
    more = {"workload": workload, "mitigation": mitigation, "device": "cpu"}
    return RunSpec.from_json(json.dumps(NETS[net] | more))


def peak_of(spec: RunSpec) -> int:
    torch.set_num_threads(spec.measure.threads)
    problem = prepare(spec, CPU)
    peak = allocator_peak(CPU, lambda recorder: compute(problem, recorder), problem.reset)
    assert peak is not None
    return peak.peak_bytes


def product(spec: RunSpec, file: Path) -> Program:
    file.write_text(spec.to_json(), encoding="utf-8")
    return Program.of_product(file)


def times(net: str, order: int, folder: Path) -> dict[str, float]:
    """Of each kind, by that of none."""
    found = {"none": 1.0}
    with product(run_of(net, order, "none"), folder / "none.json") as none:
        for kind in KINDS[1:]:
            with product(run_of(net, order, kind), folder / f"{kind}.json") as other:
                found[kind] = ratio(other, none, SECONDS)
    return found


def by_jax(spec: RunSpec, folder: Path) -> dict[str, dict[str, float]] | None:
    """JAX's figures for the same network, cut in the same places; None where it is missing."""
    if importlib.util.find_spec("jax") is None:
        return None
    problem = prepare(spec, CPU)
    tensors = {f"parameters/{name}": one for name, one in problem.parameters.items()}
    tensors |= dict(zip(("data/x", "data/y"), problem.data, strict=True))
    np.savez(folder / "tensors.npz", **{name: one.detach() for name, one in tensors.items()})
    (folder / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    script = "tests.bench.scripts.jax_checkpoint"
    arguments = [folder / "spec.json", folder / "tensors.npz", JAX_REPETITIONS]
    done = subprocess.run(
        [sys.executable, "-m", script, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, dict[str, float]] = json.loads(done.stdout)
    result = compute(problem, SILENT).result.values()
    ours = float(torch.sqrt(sum((one.double().square().sum() for one in result), torch.zeros(()))))
    for found in figures.values():
        assert found["norm"] == pytest.approx(ours, rel=1e-3)  # the same computation
    return figures


@pytest.mark.parametrize(("net", "order"), BOUNDS, ids=[f"{net}, {k}" for net, k in BOUNDS])
def test_that_rematerialization_at_every_order_keeps_its_promise(
    net: str, order: int, page: Page, tmp_path: Path
) -> None:
    """Memory as the allocator counts it, time in turns with none; JAX beside them."""
    peaks = {kind: peak_of(run_of(net, order, kind)) for kind in KINDS}
    took = times(net, order, tmp_path)
    rows: list[tuple[object, ...]] = [
        (kind, f"{peak / MIB:.1f}", f"{peak / peaks['none']:.3f}", f"{took[kind]:.2f}")
        for kind, peak in peaks.items()
    ]
    jax = by_jax(run_of(net, order, "rematerialize"), tmp_path)
    if jax is None:
        rows.append(("JAX", "not installed", "", ""))
    else:
        bytes_of = {way: found["temporary_bytes"] for way, found in jax.items()}
        none_s = jax["none"]["seconds"]
        rows += [
            (
                f"JAX, {way}",
                f"{bytes_of[way] / MIB:.1f}",
                f"{bytes_of[way] / bytes_of['none']:.3f}",
                f"{found['seconds'] / none_s:.2f}",
            )
            for way, found in jax.items()
        ]
    page.table(f"{net}, order {order}", HEADERS, rows)
    share, most_bytes = peaks["rematerialize"] / peaks["none"], BOUNDS[net, order][0]
    if most_bytes is None:
        most_bytes = peaks["torch"] / peaks["none"]
        page.claim(
            f"Peak with rematerialization ÷ without, {net}, order {order}",
            f"≤ torch's checkpointing, {most_bytes:.3f}",
            f"{share:.3f}",
            met=share <= most_bytes + 5e-4,
        )
    else:
        page.claim(
            f"Peak with rematerialization ÷ without, {net}, order {order}",
            f"≤ {most_bytes}",
            f"{share:.3f}",
            met=share <= most_bytes,
        )
    most_seconds = BOUNDS[net, order][1]
    if most_seconds is not None:
        page.claim(
            f"Time with rematerialization ÷ without, {net}, order {order}",
            f"≤ {most_seconds}",
            f"{took['rematerialize']:.2f}",
            met=took["rematerialize"] <= most_seconds,
        )
