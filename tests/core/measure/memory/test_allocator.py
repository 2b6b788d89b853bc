"""The allocator's peak against sizes known by hand."""

import torch

from core.measure.memory.allocator import allocator_peak

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
