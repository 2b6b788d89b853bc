"""The product against the scripts that it prints and against scripts written by hand.

Time of the product ÷ time of the script, both warm in processes of their own, block by block in
turn and over several pairs of processes; and the peak of both, which has to be the same.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from core.engine.problem import prepare
from core.export.script import script
from core.spec.presets import Preset, preset, presets
from core.spec.run import RunSpec
from tests.bench.alternating import Program, ratio
from tests.bench.page import Page

SCRIPTS = Path(__file__).parent / "scripts"
SECONDS_OF_PAIR = 4.0
PRINTED_PAIRS = 3
HAND_PAIRS = 7
"""Where the tensors of a process come to lie makes it up to 4 % slower or faster than the same one
started again: a median over pairs of processes. Of the presets there is a median once more."""

HEADERS = ("run", "time ratio", "peak of the product", "peak of the script")
PEAK_TOLERANCE = 1e-3
NESTED_MLP = {
    "device": "cpu",
    "model": {
        "input_shape": [128],
        "layers": [{"kind": "linear", "out_features": 128}, {"kind": "tanh"}] * 8,
    },
    "data": {"kind": "synthetic", "batch_size": 256},
    "workload": {"kind": "nested_gradient", "order": 2},
}
MAML_SINUSOID = {"device": "cpu", "workload.tasks": 4, "workload.inner_steps": 5}
CONVOLUTION = [
    {"kind": "conv2d", "out_channels": 32, "kernel_size": 3, "padding": 1},
    {"kind": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2},
]
MAML_CONVOLUTIONS = {
    "device": "cpu",
    "model": {
        "input_shape": [1, 20, 20],
        "layers": [*CONVOLUTION * 2, {"kind": "flatten"}, {"kind": "linear", "out_features": 5}],
    },
    "loss": "cross_entropy",
    "workload": {"kind": "maml", "inner_steps": 5, "tasks": 4, "support": 5, "query": 25},
}


@dataclass(frozen=True)
class Compared:
    """The product and a script, each in a process of its own."""

    name: str
    time_ratio: float
    peak_bytes: int
    script_peak_bytes: int

    @property
    def off(self) -> float:
        """Deviation of the peaks, relative."""
        return abs(self.peak_bytes / self.script_peak_bytes - 1)


def compared(
    name: str,
    spec: RunSpec,
    source: Path,
    folder: Path,
    pairs: int,
    numbers: Path | None = None,
) -> Compared:
    """The median over pairs of processes, and the peaks of the pair where they differ most."""
    document = folder / "spec.json"
    document.write_text(spec.to_json(), encoding="utf-8")
    found = list[Compared]()
    for _ in range(pairs):
        with Program.of_product(document) as ours, Program.of_script(source, numbers) as theirs:
            quotient = ratio(ours, theirs, SECONDS_OF_PAIR)
            found.append(Compared(name, quotient, ours.peak_bytes, theirs.peak_bytes))
    worst = max(found, key=lambda pair: pair.off)
    return replace(worst, time_ratio=statistics.median(pair.time_ratio for pair in found))


def of_preset(one: Preset, folder: Path) -> Compared:
    spec = one.spec.with_value("device", "cpu")
    source = folder / "script.py"
    source.write_text(script(spec), encoding="utf-8")
    return compared(one.name, spec, source, folder, PRINTED_PAIRS)


def by_hand(name: str, spec: RunSpec, folder: Path) -> Compared:
    """Both compute with the same numbers: how long pooling takes, say, depends on them."""
    problem, numbers = prepare(spec, torch.device("cpu")), folder / "numbers.pt"
    torch.save([*problem.parameters.values(), *problem.data], numbers)
    return compared(name, spec, SCRIPTS / f"{name}.py", folder, HAND_PAIRS, numbers)


def report(page: Page, scripts: str, found: Sequence[Compared]) -> None:
    middle = statistics.median(one.time_ratio for one in found)
    page.claim(
        f"Time in the product ÷ time of {scripts}, median of {len(found)} runs",
        "0.98 to 1.02",
        f"{middle:.3f}",
        met=0.98 <= middle <= 1.02,
    )
    worst = max(one.off for one in found)
    page.claim(
        f"Peak in the product against {scripts}",
        "≤ 0.1 % in every run",
        f"worst {worst:.3%}",
        met=worst <= PEAK_TOLERANCE,
    )
    rows = [
        (one.name, f"{one.time_ratio:.3f}", f"{one.peak_bytes:,}", f"{one.script_peak_bytes:,}")
        for one in found
    ]
    page.table(f"The product and {scripts}", HEADERS, rows)


def test_that_the_product_takes_the_time_of_the_script_that_it_prints(
    page: Page, tmp_path: Path
) -> None:
    report(page, "the scripts that it prints", [of_preset(one, tmp_path) for one in presets()])


def test_that_the_product_takes_the_time_of_scripts_written_by_hand(
    page: Page, tmp_path: Path
) -> None:
    specs = {
        "nested_mlp": RunSpec.from_json(json.dumps(NESTED_MLP)),
        "maml_convolutions": RunSpec.from_json(json.dumps(MAML_CONVOLUTIONS)),
        "maml_sinusoid": preset("sinusoid-maml").spec.with_changes(MAML_SINUSOID),
    }
    found = [by_hand(name, spec, tmp_path) for name, spec in specs.items()]
    report(page, "scripts written by hand", found)
