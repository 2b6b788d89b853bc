"""Time on the device, against the wall clock."""

import time

import pytest
import torch

from core.engine.recorder import SILENT, Recorder
from core.measure.machine.devices import describe, devices, resolve
from core.measure.machine.surroundings import environment
from core.measure.timing.clock import Clock

PRODUCTS = 200


def multiplying(device: torch.device) -> Clock:
    matrix = torch.randn(4096, 4096, device=device)

    def compute(recorder: Recorder) -> None:
        for phase in ("first half", "second half"):
            with recorder.phase(phase):
                for _ in range(PRODUCTS // 2):
                    matrix @ matrix

    return Clock(device, lambda: None, compute)


def test_that_events_agree_with_the_wall_clock_on_every_device() -> None:
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        clock = multiplying(device)
        clock.once()
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        seconds, phases = clock.with_phases()
        elapsed = time.perf_counter() - began
        assert seconds == pytest.approx(elapsed, rel=0.05)
        assert sum(phase.duration_s for phase in phases) == pytest.approx(elapsed, rel=0.05)
        assert phases[0].duration_s == pytest.approx(phases[1].duration_s, rel=0.05)


def test_that_launching_alone_is_not_taken_for_the_time(device: torch.device) -> None:
    """Queueing the products is far faster than they are."""
    clock = multiplying(device)
    seconds = (clock.once(), clock.once())[-1]
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    clock.compute(SILENT)
    queued = time.perf_counter() - began
    torch.cuda.synchronize(device)
    assert seconds > 2 * queued


def test_that_the_device_is_listed_first_and_described_in_full(device: torch.device) -> None:
    listed = devices()
    assert [found.name for found in listed[:1]] == ["cuda:0"]
    assert resolve("auto") == resolve("cuda") == device
    described = describe(device)
    assert described.title == torch.cuda.get_device_name(device)
    assert described.memory_bytes == torch.cuda.mem_get_info(device)[1]
    taken = environment(device, threads=1)
    assert taken.driver is not None
    assert taken.numerics is not None
