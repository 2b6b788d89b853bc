"""The window beside a bare one: start, first live point, gaps of the event loop."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.bench.page import Page

PROBE = Path(__file__).with_name("window_probe.py")
ROUNDS = 9
LENGTH_S = 30

LONG_RUN = {
    "name": "Long",
    "model": {
        "input_shape": [256],
        "layers": [{"kind": "linear", "out_features": 256}, {"kind": "tanh"}] * 8,
    },
    "data": {"kind": "synthetic", "batch_size": 128},
    "device": "cpu",
    "measure": {"repetitions": 100_000, "time_budget_s": 3600},
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, and byte code that is kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {
        "HOGUI_HOME": str(tmp_path / "home"),
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONPATH": str(PROBE.parents[2]),
    }


def probe(environment: dict[str, str], *arguments: str) -> dict:
    started = environment | {"START": str(time.perf_counter())}
    done = subprocess.run(
        [sys.executable, str(PROBE), *arguments],
        env=started,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return json.loads(lines[-1])


@pytest.mark.parametrize("restored_tabs", [0, 4])
def test_that_the_window_starts_like_a_bare_one(
    environment, restored_tabs: int, page: Page
) -> None:
    """Interleaved, byte code cached."""
    if restored_tabs:
        assert probe(environment, "tabs")["tabs"] == restored_tabs
    probe(environment, "bare"), probe(environment, "product")
    pairs = [(probe(environment, "bare"), probe(environment, "product")) for _ in range(ROUNDS)]
    rows = []
    for figure in ("frame_s", "plots_s"):
        bare = statistics.median(pair[0][figure] for pair in pairs)
        ours = statistics.median(pair[1][figure] for pair in pairs)
        ratio = statistics.median(pair[1][figure] / pair[0][figure] for pair in pairs)
        rows.append([figure, f"{bare * 1000:.0f}", f"{ours * 1000:.0f}", f"{ratio:.2f}"])
    page.table(
        f"Start, {restored_tabs} restored tabs, {ROUNDS} pairs",
        ["until", "bare ms", "HoGUI ms", "ratio"],
        rows,
    )
    for what, bound, row in zip(("frame", "plots"), (1.0, 1.6), rows, strict=True):
        page.claim(
            f"Start until the {what}, {restored_tabs} restored tabs ÷ a bare window",
            f"≤ {bound}",
            row[-1],
            met=float(row[-1]) <= bound,
        )


def test_that_the_first_live_point_comes_within_half_a_second(environment, page: Page) -> None:
    seconds = probe(environment, "live_point")["first_live_s"]
    page.table("Run to first live point, warm", ["ms"], [[f"{s * 1000:.0f}"] for s in seconds])
    median = statistics.median(seconds)
    page.claim(
        "From Run to the first live point, warm, median",
        "≤ 0.5 s",
        f"{median:.2f} s",
        met=median <= 0.5,
    )


def test_that_the_event_loop_stays_smooth_while_a_run_measures(
    environment, tmp_path, page: Page
) -> None:
    spec = tmp_path / "long.json"
    spec.write_text(json.dumps(LONG_RUN))
    figures = probe(environment, "gaps", str(spec), str(LENGTH_S))
    assert figures["still_measuring"]
    rows = [
        [
            name,
            *(f"{np.percentile(figures[key], q) * 1000:.1f}" for q in (50, 99, 100)),
        ]
        for name, key in (("idle", "idle_s"), ("measuring", "busy_s"))
    ]
    headers = ["window", "median", "p99", "max"]
    page.table(f"Gaps of the event loop over {LENGTH_S} s, ms", headers, rows)
    gap = np.percentile(figures["busy_s"], 99)
    page.claim(
        "Gap of the event loop while a run measures, 99th percentile",
        "≤ 40 ms",
        f"{gap * 1000:.1f} ms",
        met=gap <= 0.040,
    )
