"""The allocator's peak against sizes known by hand, and the counters of a fake accelerator."""

import pytest
import torch

from core.measure import allocator
from core.measure.allocator import allocator_peak

MIB = 2**20
CPU = torch.device("cpu")


def test_that_the_peak_of_known_tensors_is_exact() -> None:
    def compute(recorder) -> object:
        with recorder.phase("up"):
            kept = torch.empty(3 * MIB, dtype=torch.uint8)
            passing = torch.empty(2 * MIB, dtype=torch.uint8)
        del passing
        with recorder.phase("down"):
            more = torch.empty(MIB, dtype=torch.uint8)
        return kept, more

    peak = allocator_peak(CPU, compute)
    assert peak is not None
    assert peak.peak_bytes == 5 * MIB
    assert peak.phases == {"up": 5 * MIB, "down": 4 * MIB}


def test_that_scratch_memory_inside_an_operation_is_seen() -> None:
    """A matrix product copies an operand whose stride is zero."""
    matrix = torch.randn(256, 256)
    expanded = torch.ones(1).expand(256, 256)

    def compute(recorder) -> object:
        with recorder.phase("product"):
            return matrix @ expanded

    peak = allocator_peak(CPU, compute)
    assert peak is not None
    assert peak.peak_bytes >= 2 * matrix.nbytes


class FakeAccelerator:
    """Counts like the CUDA caching allocator: a current total and a highest one."""

    def __init__(self) -> None:
        self.current = self.highest = 100

    def allocate(self, nbytes: int) -> None:
        self.current += nbytes
        self.highest = max(self.highest, self.current)

    def memory_allocated(self, _: torch.device) -> int:
        return self.current

    def max_memory_allocated(self, _: torch.device) -> int:
        return self.highest

    def reset_peak_memory_stats(self, _: torch.device) -> None:
        self.highest = self.current

    def synchronize(self, _: torch.device) -> None:
        pass


@pytest.fixture
def accelerator(monkeypatch) -> FakeAccelerator:
    fake = FakeAccelerator()
    monkeypatch.setattr(allocator.torch, "accelerator", fake)
    return fake


def test_that_an_accelerator_is_asked_phase_by_phase_above_its_start(accelerator) -> None:
    accelerator.allocate(900)
    accelerator.allocate(-900)

    def compute(recorder) -> None:
        with recorder.phase("forward"):
            accelerator.allocate(50)
        accelerator.allocate(500)
        accelerator.allocate(-500)
        with recorder.phase("gradient 1"):
            accelerator.allocate(30)
            accelerator.allocate(-80)

    peak = allocator_peak(torch.device("cuda", 0), compute)
    assert peak is not None
    assert peak.phases == {"forward": 50, "gradient 1": 80}
    assert peak.peak_bytes == 550


def test_that_a_device_without_counters_has_no_true_peak() -> None:
    assert allocator_peak(torch.device("mps"), lambda _: None) is None
