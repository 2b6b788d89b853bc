"""Clock, allocator, devices and ledger on accelerators that keep time and books as CUDA's do."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.engine.recorder import Recorder
from core.measure.machine import surroundings
from core.measure.machine.devices import describe, devices, resolve
from core.measure.machine.surroundings import environment
from core.measure.memory.allocator import allocator_peak
from core.measure.timing import clock as clock_module
from core.measure.timing.clock import Clock
from core.spec.declaration import InvalidSpec
from tests.core.measure.machine.fake_accelerator import FakeAccelerator

ROOT = Path(__file__).resolve().parents[4]
FIRST, SECOND = torch.device("cuda", 0), torch.device("cuda", 1)
BOTH = [FIRST, SECOND]

Plug = Callable[[FakeAccelerator], FakeAccelerator]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Makes torch find made-up devices."""

    def into(fake: FakeAccelerator) -> FakeAccelerator:
        monkeypatch.setattr(torch, "accelerator", fake)
        monkeypatch.setattr(torch, "Event", fake.event)
        monkeypatch.setattr(torch, "get_device_module", lambda _: fake)
        monkeypatch.setattr(clock_module, "time", fake.time)
        return fake

    return into


@pytest.fixture
def two(plug: Plug) -> FakeAccelerator:
    return plug(FakeAccelerator(["Alpha 1", "Beta 2"]))


# ------------------------------------------------------------------------------------- devices


def test_that_accelerators_are_listed_before_the_processor_with_their_memory(two) -> None:
    two.allocate(SECOND, 400)
    first, second, cpu = devices()
    assert (first.name, first.title) == ("cuda:0", "Alpha 1")
    assert (second.name, second.memory_bytes, second.available_bytes) == ("cuda:1", 1000, 600)
    assert cpu.name == "cpu"


def test_that_auto_is_the_first_accelerator_and_a_kind_alone_its_first_device(two) -> None:
    assert resolve("auto") == resolve("cuda") == FIRST
    assert resolve("cuda:1") == SECOND
    assert resolve("cpu") == torch.device("cpu")
    with pytest.raises(InvalidSpec, match="allowed here: auto, cuda:0, cuda:1, cpu"):
        resolve("cuda:2")


def test_that_a_run_takes_no_memory_on_devices_that_it_does_not_use(two) -> None:
    environment(resolve("cpu"), threads=1)
    assert [device.has_context for device in two.devices] == [False, False]
    environment(resolve("cuda:1"), threads=1)
    assert [device.has_context for device in two.devices] == [False, True]


def test_that_without_accelerators_auto_is_the_processor(plug: Plug) -> None:
    plug(FakeAccelerator([]))
    assert resolve("auto") == torch.device("cpu")
    assert [device.name for device in devices()] == ["cpu"]


def test_that_a_device_that_does_not_tell_its_memory_is_listed_all_the_same(plug: Plug) -> None:
    class Silent(FakeAccelerator):
        def get_memory_info(self, device: torch.device) -> tuple[int, int]:
            raise RuntimeError("The device doesn't support querying the available free memory.")

    plug(Silent(["Alpha 1"], kind="xpu"))
    described = describe(torch.device("xpu", 0))
    assert (described.title, described.memory_bytes) == ("Alpha 1", None)


def test_that_the_environment_names_the_device_its_driver_and_what_rounds(two, monkeypatch) -> None:
    monkeypatch.setattr(surroundings, "driver_version", lambda: "570.86")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    taken = environment(SECOND, threads=1)
    assert (taken.device, taken.device_name, taken.device_memory_bytes) == (
        "cuda:1",
        "Beta 2",
        1000,
    )
    assert taken.driver == "CUDA 13.0, driver 570.86"
    assert taken.numerics is not None
    assert taken.numerics.endswith("chosen by rule; float32 shortened to TF32 in convolutions")


def test_that_the_processor_has_neither_driver_nor_numerics() -> None:
    taken = environment(torch.device("cpu"), threads=1)
    assert (taken.driver, taken.numerics) == (None, None)


# --------------------------------------------------------------------------------------- clock


@pytest.mark.parametrize("device", BOTH)
def test_that_a_repetition_lasts_until_the_device_is_done(two, device) -> None:
    def compute(recorder: Recorder) -> None:
        with recorder.phase("forward"):
            two.launch(device, 0.5)
        with recorder.phase("gradient 1"):
            two.launch(device, 1.5)

    seconds, phases = Clock(device, lambda: None, compute).with_phases()
    assert seconds == pytest.approx(2.0, abs=1e-4)
    assert [phase.name for phase in phases] == ["forward", "gradient 1"]
    assert [phase.start_s for phase in phases] == pytest.approx([0.0, 0.5], abs=1e-4)
    assert [phase.duration_s for phase in phases] == pytest.approx([0.5, 1.5], abs=1e-4)


@pytest.mark.parametrize("device", BOTH)
def test_that_work_left_over_from_before_is_not_counted(two, device) -> None:
    clock = Clock(device, lambda: two.launch(device, 9.0), lambda _: two.launch(device, 0.25))
    assert clock.once() == pytest.approx(0.25, abs=1e-4)


def test_that_what_another_device_does_is_not_waited_for(two) -> None:
    two.launch(FIRST, 60.0)
    clock = Clock(SECOND, lambda: None, lambda _: two.launch(SECOND, 0.25))
    assert clock.once() == pytest.approx(0.25, abs=1e-4)


# ----------------------------------------------------------------------------------- allocator


@pytest.mark.parametrize("device", BOTH)
def test_that_peaks_are_those_of_each_phase_above_what_lived_before(two, device) -> None:
    two.allocate(device, 900)
    two.allocate(device, -800)

    def compute(recorder: Recorder) -> None:
        with recorder.phase("forward"):
            two.allocate(device, 50)
        two.allocate(device, 500)
        two.allocate(device, -500)
        with recorder.phase("gradient 1"):
            two.allocate(device, 30)
            two.allocate(device, -80)

    peak = allocator_peak(device, compute)
    assert peak is not None
    assert peak.phases == {"forward": 50, "gradient 1": 80}
    assert peak.peak_bytes == 550


def test_that_workspaces_that_stay_for_good_are_not_the_computations(two) -> None:
    """As the first matrix product of a thread takes one."""
    workspaces: list[int] = []

    def compute(recorder: Recorder) -> None:
        with recorder.phase("forward"):
            if not workspaces:
                workspaces.append(300)
                two.allocate(FIRST, 300)
            two.allocate(FIRST, 40)
        two.allocate(FIRST, -40)

    peak = allocator_peak(FIRST, compute)
    assert peak is not None
    assert (peak.peak_bytes, peak.phases) == (40, {"forward": 40})


def test_that_no_block_of_another_pass_is_left_when_the_peak_is_taken(two) -> None:
    cached: list[int] = []

    def compute(recorder: Recorder) -> None:
        with recorder.phase("forward"):
            cached.append(two.devices[0].cached)
        two.allocate(FIRST, 40)
        two.allocate(FIRST, -40)

    allocator_peak(FIRST, compute)
    assert cached[-1] == 0


def test_that_what_an_earlier_computation_gave_is_gone_before_the_peak_is_taken(two) -> None:
    """Its release would else be taken off the peak."""
    kept: list[int] = []

    def reset() -> None:
        two.allocate(FIRST, -sum(kept))
        kept.clear()

    def compute(recorder: Recorder) -> None:
        with recorder.phase("forward"):
            two.allocate(FIRST, 40)
            kept.append(40)

    peak = allocator_peak(FIRST, compute, reset)
    assert peak is not None
    assert peak.peak_bytes == 40
    assert kept == [40], "the result of the pass that was seen is kept"


def test_that_a_device_without_counters_has_no_true_peak() -> None:
    assert allocator_peak(torch.device("mps", 0), lambda _: None) is None


def test_that_running_out_of_memory_is_not_hidden(two) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        allocator_peak(FIRST, lambda _: two.allocate(FIRST, 1001))


# -------------------------------------------------------------------------------------- ledger

# Run in a process of its own: a registered kind of device stays.
LAYERS_BY_DEVICE = """
import json
import torch
from core.measure.memory.ledger import Ledger
from tests.core.measure.machine.pretend_device import DEVICE, leave

def layers(device):
    torch.manual_seed(0)
    weights = [torch.randn(4, 4).to(device).requires_grad_() for _ in range(3)]
    ledger = Ledger(0.0, device)
    with ledger:
        for repetition in range(2):
            hidden = torch.ones(4, 4).to(device)
            for index, weight in enumerate(weights):
                ledger.layer(index)
                hidden = torch.sin(hidden * weight)
            ledger.layer(-1)
            first = torch.autograd.grad(hidden.sum(), weights, create_graph=True)
            second = torch.autograd.grad(sum(g.sum() for g in first), weights)
    return [block.layer for block in ledger._blocks]

leave(json.dumps([layers(torch.device("cpu")), layers(DEVICE)]))
"""


def test_that_layers_are_told_apart_although_accelerators_have_a_thread_for_backward() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAYERS_BY_DEVICE], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cpu, pretend = json.loads(done.stdout)
    assert {0, 1, 2} <= set(cpu)
    assert pretend == cpu
