"""The check of a batch in parts: right ones pass, and errors put in on purpose are found."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from core.engine import parts as parts_module
from core.engine.parts import Part
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads import (
    adversarial,
    hessian,
    hutchinson_trace,
    hvp,
    nested_gradient,
    newton,
)
from core.measure.correctness.check import check
from core.spec.run import RunSpec
from tests.core.measure.correctness.checked_specs import MLP

CPU = torch.device("cpu")
PLACES = (adversarial, hessian, hutchinson_trace, hvp, nested_gradient, newton)
WORKLOADS: list[dict[str, Any]] = [
    {"kind": "nested_gradient", "order": 1},
    {"kind": "nested_gradient", "order": 3},
    {"kind": "nested_gradient", "order": 2, "wrt": "inputs"},
    {"kind": "hvp", "vectors": 2},
    {"kind": "hvp", "mode": "finite_difference"},
    {"kind": "hessian"},
    {"kind": "hutchinson_trace", "probes": 3},
    {"kind": "newton", "method": "exact", "steps": 1, "damping": 1.0},
    {"kind": "newton", "method": "cg", "steps": 1, "damping": 1.0},
]
DROPOUT = [*MLP[:2], {"kind": "dropout", "p": 0.3}, *MLP[2:]]


def spec_of(workload: dict[str, Any], layers: list[dict[str, Any]] = MLP) -> RunSpec:
    document = {
        "model": {"input_shape": [4], "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 16},
        "workload": workload,
        "mitigation": {"accumulation": 5},
    }
    spec = RunSpec.from_json(json.dumps(document))
    assert not spec.problems()
    return spec


@pytest.mark.parametrize("layers", [MLP, DROPOUT], ids=["plain", "dropout"])
@pytest.mark.parametrize(
    "workload", [*WORKLOADS, {"kind": "adversarial", "method": "second_order"}], ids=str
)
def test_that_unequal_parts_pass(workload: dict[str, Any], layers: list[dict[str, Any]]) -> None:
    found = check(spec_of(workload, layers), CPU)

    assert found.passed, found.failures
    assert "parts 3 of 5" in found.method


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_that_parts_of_equal_weight_are_found(
    workload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of the parts' means is not that of unequal parts: 3, 3 and 2 of 8 examples."""
    right = parts_module.parts

    def of_equal_weight(problem: Problem, recorder: Recorder, prefix: str = "") -> Iterator[Part]:
        for part in right(problem, recorder, prefix):
            yield part if part.is_whole else replace(part, share=1 / 3)

    for place in PLACES:
        monkeypatch.setattr(place, "parts", of_equal_weight)

    assert not check(spec_of(workload), CPU).passed


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_that_a_part_that_is_left_out_is_found(
    workload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = parts_module.parts

    def but_the_last(problem: Problem, recorder: Recorder, prefix: str = "") -> Iterator[Part]:
        all_of_them = list(right(problem, recorder, prefix))
        yield from all_of_them[:-1] or all_of_them

    for place in PLACES:
        monkeypatch.setattr(place, "parts", but_the_last)

    assert not check(spec_of(workload), CPU).passed


def test_that_the_same_masks_in_every_part_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of({"kind": "nested_gradient", "order": 1}, DROPOUT)

    def always_the_first(problem: Problem) -> None:
        torch.manual_seed(problem.spec.measure.seed)

    monkeypatch.setattr(Problem, "same_random_numbers", always_the_first)

    assert not check(spec, CPU).passed


def test_that_a_loss_that_is_no_mean_fails_in_parts(tmp_path: Any) -> None:
    """A sum over the examples does not add up by shares; only the user's file knows."""
    file = tmp_path / "own.py"
    file.write_text(
        "from torch import nn\n"
        "def model():\n    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))\n"
        "def loss(module, batch):\n    return (module(batch[0]) - batch[1]).square().KIND()\n"
    )
    verdicts = {}
    for kind in ("mean", "sum"):
        file.write_text(file.read_text().replace("KIND" if kind == "mean" else "mean", kind))
        spec = RunSpec.from_json(
            json.dumps(
                {
                    "model": {"kind": "python", "file": str(file), "input_shape": [4]},
                    "data": {"kind": "synthetic", "batch_size": 16},
                    "workload": {"kind": "nested_gradient", "order": 2},
                    "mitigation": {"accumulation": 4},
                }
            )
        )
        verdicts[kind] = check(spec, CPU).passed
    assert verdicts == {"mean": True, "sum": False}
