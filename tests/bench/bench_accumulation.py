"""A batch in parts: what it saves, what it takes, and that it is the same. Bytes repeat exactly."""

import json
from pathlib import Path

import pytest
import torch

from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec
from tests.bench.alternating import Program, ratio
from tests.bench.bench_memory import MIB, mlp
from tests.bench.page import Page

CPU = torch.device("cpu")
PARTS = (2, 4, 8, 16)
AT, GAIN, TIME = 4, 2.1, 1.3
"""For so many parts: peak of the whole batch ÷ theirs, and their time ÷ that of the batch."""

SINGLE, DOUBLE = 4e-9, 1e-13
"""Largest difference of an entry in 32 bits, and relative difference of all entries in 64."""

UNEQUAL = 5
SECONDS = 5.0

DEEP, BROAD = (32, 256, 2048), (8, 256, 512)
"""Layers, width, batch: of the network that the mitigations are compared on, and of one whose
gradients weigh as much as a part's graph."""


def spec_of(net: tuple[int, int, int], order: int, parts: int, precision: str) -> RunSpec:
    layers, width, batch = net
    document = {
        "device": "cpu",
        "model": mlp(layers, width),
        "data": {"kind": "synthetic", "batch_size": batch},
        "workload": {"kind": "nested_gradient", "order": order},
        "mitigation": {"accumulation": parts, "precision": precision},
    }
    return RunSpec.from_json(json.dumps(document))


@pytest.mark.parametrize("order", [1, 2])
def test_that_four_parts_need_less_than_half_and_little_more_time(
    order: int, page: Page, tmp_path: Path
) -> None:
    """MLP of 32 layers, width 256, batch 2048; each number of parts in turn with the batch."""
    rows = _rows(DEEP, order, PARTS, tmp_path)
    gain, time = rows[AT]
    page.claim(
        f"Peak of the batch ÷ peak of {AT} parts, order {order}",
        f"≥ {GAIN}",
        f"{gain:.2f}",
        met=gain >= GAIN,
    )
    page.claim(
        f"Time of {AT} parts ÷ time of the batch, order {order}",
        f"≤ {TIME}",
        f"{time:.2f}",
        met=time <= TIME,
    )
    _table(page, f"MLP 32×256, batch 2048, order {order}", rows)
    broad = _rows(BROAD, order, PARTS, tmp_path)
    _table(page, f"MLP 8×256, batch 512, order {order}; nothing is promised of it", broad)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_unequal_parts_give_what_the_batch_gives(order: int, page: Page) -> None:
    """MLP of 8 layers, width 256, batch 512 in 5 parts: two of 103 examples and three of 102."""
    found = {
        (precision, parts): _result(spec_of(BROAD, order, parts, precision))
        for precision in ("float32", "float64")
        for parts in (1, UNEQUAL)
    }
    if order == 1:
        largest = float((found["float32", UNEQUAL] - found["float32", 1]).abs().max())
        page.claim(
            f"Largest difference of an entry, float32, order {order}",
            f"≤ {SINGLE}",
            f"{largest:.1e}",
            met=largest <= SINGLE,
        )
    right = found["float64", 1]
    apart = float((found["float64", UNEQUAL] - right).norm() / right.norm())
    page.claim(
        f"Relative difference, float64, order {order}",
        f"≤ {DOUBLE}",
        f"{apart:.1e}",
        met=apart <= DOUBLE,
    )


def _result(spec: RunSpec) -> torch.Tensor:
    result = compute(prepare(spec, CPU), SILENT).result
    return torch.cat([tensor.reshape(-1) for tensor in result.values()])


def _rows(
    net: tuple[int, int, int], order: int, numbers: tuple[int, ...], folder: Path
) -> dict[int, tuple[float, float]]:
    """Gain and time of each number of parts, which takes turns with the whole batch."""
    files = {}
    for parts in (1, *numbers):
        files[parts] = folder / f"{parts}.json"
        files[parts].write_text(spec_of(net, order, parts, "float32").to_json(), encoding="utf-8")
    found = {}
    with Program.of_product(files[1]) as whole:
        for parts in numbers:
            with Program.of_product(files[parts]) as cut:
                print(f"{parts} parts: {cut.peak_bytes / MIB:.2f} of {whole.peak_bytes / MIB:.2f}")
                found[parts] = whole.peak_bytes / cut.peak_bytes, ratio(cut, whole, SECONDS)
    return found


def _table(page: Page, title: str, rows: dict[int, tuple[float, float]]) -> None:
    page.table(
        title,
        ["parts", "peak of the batch ÷ theirs", "their time ÷ that of the batch"],
        [(parts, f"{gain:.2f}", f"{time:.2f}") for parts, (gain, time) in rows.items()],
    )
