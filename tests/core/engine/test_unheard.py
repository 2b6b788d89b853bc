"""What nobody hears of, as it is timed, against what is told: same numbers, same memory."""

from typing import Any

import pytest
import torch

from core.engine.inner_loop import (
    Descent,
    InnerStep,
    SupportLoss,
    Weights,
    detached_step,
    standard_step,
)
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Silent
from core.engine.workloads import compute
from core.measure.memory.allocator import allocator_peak
from core.spec.presets import preset, presets
from core.spec.run import RunSpec

CPU = torch.device("cpu")
QUICK = [
    one.name
    for one in presets()
    if not one.name.startswith(("deep", "maml-in-segments", "digits-5"))
]


class Hearing(Silent):
    """Hears of layers, and forgets it."""

    def layer(self, index: int) -> None:
        del index


def peak_of(problem: Problem, recorder: Silent | None) -> int:
    """Of a computation that this recorder hears, or the one which reads the allocator."""
    peak = allocator_peak(CPU, lambda own: compute(problem, recorder or own), problem.reset)
    assert peak is not None
    return peak.peak_bytes


def assert_alike(spec: RunSpec) -> None:
    problem = prepare(spec, CPU)
    found = []
    for recorder in (SILENT, Silent(), Hearing()):
        problem.reset()
        computed = compute(problem, recorder)
        found.append([computed.loss, *computed.result.values()])
    for unheard, heard, layers in zip(*found, strict=True):
        torch.testing.assert_close(unheard, heard, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(unheard, layers, rtol=0, atol=0, equal_nan=True)
    del found, computed, unheard, heard, layers
    peaks = [peak_of(problem, recorder) for recorder in (SILENT, Silent(), Hearing(), None)]
    assert peaks == [peaks[0]] * 4


@pytest.mark.parametrize("name", QUICK)
def test_that_presets_are_the_same(name: str) -> None:
    assert_alike(preset(name).spec.with_value("device", "cpu"))


@pytest.mark.parametrize("variant", ["maml", "anil", "reptile", "imaml"])
@pytest.mark.parametrize("inner_loop", ["standard", "checkpoint", "saved_gradient", "segments"])
def test_that_inner_loops_are_the_same(variant: str, inner_loop: str) -> None:
    changes = {"device": "cpu", "workload.tasks": 2, "workload.inner_steps": 3}
    changes |= {"workload.variant": variant, "mitigation.inner_loop": inner_loop}
    spec = preset("sinusoid-maml").spec.with_changes(changes)
    if spec.problems():
        pytest.skip("not a run")
    assert_alike(spec)


def with_an_idle_weight() -> tuple[SupportLoss, Weights]:
    """A loss of two of three weights."""
    torch.manual_seed(0)
    weights = tuple(torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(3))

    def loss(given: Weights) -> torch.Tensor:
        return (given[0] * given[2].tanh()).sum()

    return SupportLoss(loss, loss), weights


def constant() -> tuple[SupportLoss, Weights]:
    """A loss of no weight."""
    weights = tuple(torch.ones(2, requires_grad=True) for _ in range(2))
    return SupportLoss(lambda _: torch.zeros(()), lambda _: torch.zeros(())), weights


@pytest.mark.parametrize("made", [with_an_idle_weight, constant])
@pytest.mark.parametrize("step", [standard_step, detached_step])
def test_that_steps_nobody_hears_of_are_those_that_are_heard(made: Any, step: InnerStep) -> None:
    loss, initial = made()
    heard, unheard = (
        Descent(step, 0.1, recorder).along(loss, initial, ["one", "two"])
        for recorder in (Hearing(), SILENT)
    )
    is_detached = step is detached_step
    for one, other, first in zip(heard, unheard, initial, strict=True):
        assert torch.equal(one, other)
        assert other.requires_grad
        assert other.is_leaf == one.is_leaf
        assert (other is first) == (one is first)
        assert not (is_detached and (other is first or not other.is_leaf))
    if not is_detached:
        gradients = [
            torch.autograd.grad(sum(w.square().sum() for w in weights), initial, allow_unused=True)
            for weights in (heard, unheard)
        ]
        for one, other in zip(*gradients, strict=True):
            assert torch.equal(one, other)
