"""Peak memory and time of the mitigations, relative to none. Bytes repeat exactly."""

import json

import pytest

from core.results.events import Finished
from core.results.measurement import Measurement
from core.runner import run
from core.spec.run import RunSpec
from tests.bench.page import Page

MIB = 2**20


def measure(model: dict, **keys: object) -> Measurement:
    document = {
        "model": model,
        "device": "cpu",
        "measure": {"repetitions": 3, "warmup": 1},
    }
    *_, last = run(RunSpec.from_json(json.dumps(document | keys)))
    assert isinstance(last, Finished)
    assert last.result.memory is not None, last.result.error
    return last.result


def mlp(depth: int, width: int) -> dict:
    block = [{"kind": "linear", "out_features": width}, {"kind": "tanh"}]
    return {"input_shape": [width], "layers": block * depth}


def row(name: str, result: Measurement, base: Measurement) -> list[str]:
    assert result.memory is not None
    assert base.memory is not None
    assert result.time is not None
    assert base.time is not None
    return [
        name,
        f"{result.memory.peak_bytes / MIB:.1f}",
        f"{result.memory.peak_bytes / base.memory.peak_bytes:.3f}",
        f"{result.time.median_s:.3f}",
        f"{result.time.median_s / base.time.median_s:.2f}",
    ]


HEADERS = ["variant", "peak MiB", "of none", "median s", "of none"]


@pytest.mark.parametrize(("order", "bound"), [(1, 0.45), (2, 0.45), (3, 0.35)])
def test_that_rematerialization_of_a_deep_mlp_keeps_its_promise(
    order: int, bound: float, page: Page
) -> None:
    """32 blocks of Linear(256) + Tanh, batch 2048, 8 segments."""
    results = {
        kind: measure(
            mlp(32, 256),
            data={"kind": "synthetic", "batch_size": 2048},
            workload={"kind": "nested_gradient", "order": order},
            mitigation={"checkpointing": {"kind": kind, "segments": 8}},
        )
        for kind in ("none", "torch", "rematerialize")
    }
    base = results["none"]
    rows = [row(kind, result, base) for kind, result in results.items()]
    page.table(f"32×256 MLP, batch 2048, order {order}", HEADERS, rows)
    rematerialized = results["rematerialize"].memory
    assert rematerialized is not None
    assert base.memory is not None
    ratio = rematerialized.peak_bytes / base.memory.peak_bytes
    page.claim(
        f"Peak with rematerialization ÷ without, order {order}",
        f"≤ {bound}",
        f"{ratio:.3f}",
        met=ratio <= bound,
    )


def test_that_checkpointed_inner_steps_keep_their_promise(page: Page) -> None:
    """MAML, 8 blocks of Linear(64) + Tanh, 1024 examples, 10 inner steps."""
    results = {
        kind: measure(
            mlp(8, 64),
            workload={
                "kind": "maml",
                "tasks": 1,
                "inner_steps": 10,
                "support": 1024,
                "query": 1024,
            },
            mitigation={"inner_loop": kind},
        )
        for kind in ("standard", "checkpoint")
    }
    base = results["standard"]
    rows = [row(kind, result, base) for kind, result in results.items()]
    page.table("MAML d64 L8 B1024, 10 inner steps", HEADERS, rows)
    checkpointed = results["checkpoint"].memory
    assert checkpointed is not None
    assert base.memory is not None
    ratio = checkpointed.peak_bytes / base.memory.peak_bytes
    page.claim(
        "Peak with checkpointed inner steps ÷ without, 10 steps",
        "≤ 0.2",
        f"{ratio:.3f}",
        met=ratio <= 0.2,
    )
