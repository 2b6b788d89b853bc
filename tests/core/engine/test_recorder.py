"""Recorders that hear a part only, and the one that hears nothing."""

import sys

import pytest
import torch

from core.engine.recorder import SILENT, Silent, is_deaf, prefixed, within


def entered(recorder) -> list[str]:
    """Names of the Python functions that ``told`` enters."""
    names: list[str] = []

    def heard(frame, event: str, _: object) -> None:
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(heard)
    try:
        told(recorder)
    finally:
        sys.setprofile(None)
    return names[1:]


def told(recorder) -> None:
    with recorder.phase("forward"):
        recorder.born("activations")
        recorder.layer(3)
    recorder.hold("gradients", [])
    recorder.result([])


@pytest.mark.parametrize(
    "recorder", [SILENT, Silent(), within(SILENT), prefixed(SILENT, "part 1: ")]
)
def test_that_telling_nobody_enters_no_function(recorder) -> None:
    assert entered(recorder) == []
    assert is_deaf(recorder)


def test_that_an_error_leaves_a_phase_that_nobody_hears_of() -> None:
    with pytest.raises(ValueError, match="broken"), SILENT.phase("forward"):
        raise ValueError("broken")


def test_that_there_is_always_one_more_phase() -> None:
    for _ in range(3):
        with SILENT.phase("forward"):
            pass


def test_that_whoever_hears_nothing_still_decides_by_numbers() -> None:
    assert SILENT.number(torch.tensor(0.5)) == 0.5


class Hearing(Silent):
    """Writes down phases."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def phase(self, name: str):
        self.names.append(name)
        return SILENT.phase(name)


def test_that_phases_are_heard_under_longer_names_and_within_others_not_at_all() -> None:
    hearing = Hearing()
    told(prefixed(hearing, "part 1: "))
    told(prefixed(hearing, ""))
    assert hearing.names == ["part 1: forward", "forward"]
    told(within(hearing))
    assert hearing.names == ["part 1: forward", "forward"]
