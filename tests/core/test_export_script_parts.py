"""The printed script computes a batch in parts, and in coarser formats, as the product does."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.export.script import script
from core.spec.run import RunSpec
from tests.core.test_export_script import CPU, assert_same, module, spec_of
from tests.core.workloads_on_a_batch import ON_A_BATCH

NEEDS_EIGENVALUES = ("exact", "second_order")


@pytest.mark.parametrize("workload", ON_A_BATCH, ids=str)
@pytest.mark.parametrize("stack", ["activations", "noise"])
@pytest.mark.parametrize("parts", [2, 3])
def test_that_parts_are_the_same(stack: str, workload: dict[str, Any], parts: int) -> None:
    attacks = workload["kind"] == "adversarial"
    spec = spec_of(
        stack,
        workload=workload,
        loss="cross_entropy" if attacks else "mse",
        mitigation__accumulation=parts,
    )
    # Of a curved attack the product compares what the parts have left out.
    assert_same(spec, but=2 * 4 if workload.get("method") == "second_order" else 0)


@pytest.mark.parametrize("checkpointing", ["torch", "rematerialize"])
def test_that_checkpointed_parts_are_the_same(checkpointing: str) -> None:
    assert_same(
        spec_of(
            "noise",
            workload__order=2,
            mitigation__accumulation=3,
            mitigation__checkpointing__kind=checkpointing,
        )
    )


@pytest.mark.parametrize("workload", ON_A_BATCH, ids=str)
@pytest.mark.parametrize("precision", ["bfloat16", "autocast"])
def test_that_coarser_formats_are_the_same(workload: dict[str, Any], precision: str) -> None:
    if precision == "bfloat16" and workload.get("method") in NEEDS_EIGENVALUES:
        precision = "autocast"
    loss = "cross_entropy" if workload["kind"] == "adversarial" else "mse"
    assert_same(spec_of("noise", workload=workload, loss=loss, mitigation__precision=precision))


@pytest.mark.parametrize("stack", ["convolutions", "attention", "recurrent", "composites"])
@pytest.mark.parametrize("precision", ["bfloat16", "autocast"])
@pytest.mark.parametrize("order", [1, 2])
def test_that_layers_in_coarser_formats_are_the_same(
    stack: str, precision: str, order: int
) -> None:
    assert_same(spec_of(stack, workload__order=order, mitigation__precision=precision))


@pytest.mark.parametrize("precision", ["bfloat16", "autocast"])
@pytest.mark.parametrize(
    ("variant", "order"),
    [("maml", 1), ("maml", 2), ("anil", 2), ("reptile", 1), ("imaml", 2)],
)
@pytest.mark.parametrize("checkpointing", ["none", "rematerialize"])
def test_that_meta_gradients_in_coarser_formats_are_the_same(
    variant: str, order: int, precision: str, checkpointing: str
) -> None:
    workload = {"kind": "maml", "variant": variant, "order": order, "support": 4, "query": 6}
    assert_same(
        spec_of(
            "noise",
            workload=workload | {"inner_steps": 2, "tasks": 2},
            mitigation__precision=precision,
            mitigation__checkpointing__kind=checkpointing,
        )
    )


def test_that_darts_under_autocast_is_the_same() -> None:
    for method in ("exact", "finite_difference"):
        workload = {"kind": "darts", "method": method}
        assert_same(spec_of("noise", workload=workload, mitigation__precision="autocast"))


def test_that_its_parts_stand_at_the_top_beside_the_format() -> None:
    text = script(spec_of("noise", mitigation__accumulation=3, mitigation__precision="autocast"))
    assert "DTYPE = torch.float32\n" in text
    assert "PARTS = 3\n" in text
    assert "@torch.autocast(DEVICE.type, torch.bfloat16)\ndef loss(p, x, y):" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    "mitigation",
    [{"precision": "autocast"}, {"precision": "bfloat16", "accumulation": 3}],
    ids=str,
)
@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "nested_gradient", "order": 2},
        {"kind": "hvp", "vectors": 2, "mode": "finite_difference"},
        {"kind": "newton", "method": "cg"},
        {"kind": "adversarial"},
    ],
    ids=str,
)
def test_that_a_module_of_ones_own_is_computed_alike(
    workload: dict[str, Any], mitigation: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from torch import nn\n"
        "def model():\n"
        "    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.3), nn.Linear(5, 3))\n",
        encoding="utf-8",
    )
    document = {
        "device": "cpu",
        "model": {"kind": "python", "file": str(file), "input_shape": [4]},
        "data": {"kind": "synthetic", "batch_size": 7},
        "loss": "cross_entropy",
        "workload": workload,
        "mitigation": mitigation,
    }
    spec = RunSpec.from_json(json.dumps(document))
    problem, found = prepare(spec, CPU), module(spec)
    problem.reset()
    computed = compute(problem, SILENT)
    found["reset"]()
    loss, result = found["compute"]()

    assert torch.equal(loss, computed.loss)
    for ours, theirs in zip(computed.result.values(), result, strict=True):
        assert torch.equal(ours, theirs)
