"""What operations cost beside themselves is measured on a small copy and shared out evenly."""

import json
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest
import torch

from core.measure.correctness.checks.reduced import reduced
from core.measure.forecasting import overhead
from core.measure.forecasting.overhead import USUAL_S, overhead_s
from core.measure.forecasting.prediction import predict
from core.measure.memory.calls import Call
from core.measure.memory.kernels import Kernels
from core.measure.timing.own_time import OwnTime
from core.spec.run import RunSpec

CPU = torch.device("cpu")
TICK_S = 0.125


class Pretended(Kernels):
    """Every operation alone takes as long as it is told."""

    def __init__(self, taken: float | None) -> None:
        super().__init__(CPU, 1)
        self.taken = taken

    def seconds(self, call: Call) -> float | None:
        return self.taken


class Ticking:
    """A clock by which anything takes ``TICK_S``."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += TICK_S
        return self.now


def believe(clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processor's count it takes no less than by this clock."""
    days = count(step=86_400)
    watch = partial(OwnTime, wall=clock, own=lambda: next(days))
    monkeypatch.setattr(overhead, "OwnTime", watch)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """Nothing is known yet, and repetitions take the same time."""
    ticking = Ticking()
    monkeypatch.setattr(overhead, "_known", {})
    believe(ticking.perf_counter, monkeypatch)
    return ticking


def mlp(width: int = 8, order: int = 2, **mitigation: object) -> RunSpec:
    layers = [{"kind": "linear", "out_features": width}, {"kind": "dropout"}]
    document = {
        "model": {"input_shape": [4], "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 16},
        "workload": {"kind": "nested_gradient", "order": order},
        "mitigation": mitigation,
        "device": "cpu",
    }
    return RunSpec.from_json(json.dumps(document))


def test_that_the_time_beside_operations_is_shared_out_among_all_of_them() -> None:
    spec = mlp()
    copy = reduced(spec)
    assert copy is not None
    operations = len(predict(copy.spec, CPU).made)
    assert operations > 20
    assert overhead_s(spec, Pretended(0.0)) == pytest.approx(TICK_S / operations)


def test_that_the_time_of_operations_alone_is_taken_off() -> None:
    free = overhead_s(mlp(), Pretended(0.0))
    overhead._known.clear()
    assert overhead_s(mlp(), Pretended(free / 4)) == pytest.approx(free * 3 / 4)


def test_that_the_copy_takes_what_it_usually_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undisturbed: neither the fastest of its repetitions nor one that was interrupted."""
    instants = iter([0.0, 0.09, 1.0, 1.01, 2.0, 2.03, 3.0, 3.12])
    constant = overhead_s(mlp(), Pretended(0.0))
    overhead._known.clear()
    believe(lambda: next(instants), monkeypatch)
    assert overhead_s(mlp(), Pretended(0.0)) == pytest.approx(constant * 0.03 / TICK_S)


def test_that_operations_slower_alone_than_together_leave_nothing_beside() -> None:
    assert overhead_s(mlp(), Pretended(1.0)) == 0


def test_that_a_wider_network_is_not_measured_again(clock: Ticking) -> None:
    first = overhead_s(mlp(8), Pretended(0.0))
    at = clock.now
    assert overhead_s(mlp(64), Pretended(0.0)) == first
    assert clock.now == at


@pytest.mark.parametrize("other", [mlp(order=3), mlp(checkpointing={"kind": "torch"})])
def test_that_another_order_or_mitigation_is_measured(other: RunSpec, clock: Ticking) -> None:
    overhead_s(mlp(), Pretended(0.0))
    at = clock.now
    overhead_s(other, Pretended(0.0))
    assert clock.now > at


def test_that_the_usual_time_is_said_where_an_operation_cannot_run_alone() -> None:
    assert overhead_s(mlp(), Pretended(None)) == USUAL_S


def test_that_torch_s_random_numbers_are_left_as_they_were() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    overhead_s(mlp(), Pretended(0.0))
    assert torch.equal(torch.rand(4), expected)


def test_that_it_is_measured_again_once_times_have_proved_wrong(clock: Ticking) -> None:
    kernels = Pretended(0.0)
    overhead_s(mlp(), kernels)
    at = clock.now
    kernels.revision += 1
    overhead_s(mlp(), kernels)
    assert clock.now > at
