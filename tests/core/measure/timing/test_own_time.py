"""Time by itself on a busy machine, told by made-up clocks and by the processor's own."""

import time
from collections.abc import Callable, Iterator

import pytest
import torch

from core.measure.timing.own_time import OwnTime

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clock(*seconds: float) -> Callable[[], float]:
    read = iter(seconds)
    return lambda: next(read)


def test_that_interruptions_are_left_out() -> None:
    watch = OwnTime(CPU, wall=clock(10.0, 14.0), own=clock(2.0, 3.0))
    assert watch.stop() == 1.0


def test_that_the_wall_clock_is_believed_on_a_quiet_machine() -> None:
    """Asking for the processor's count takes time itself, which the count includes."""
    watch = OwnTime(CPU, wall=clock(10.0, 11.0), own=clock(2.0, 3.25))
    assert watch.stop() == 1.0


def test_that_what_other_threads_compute_is_not_left_out() -> None:
    torch.set_num_threads(2)
    watch = OwnTime(CPU, wall=clock(10.0, 14.0), own=clock())
    assert watch.stop() == 4.0


def test_that_what_a_device_computes_is_not_left_out() -> None:
    watch = OwnTime(torch.device("cuda"), wall=clock(10.0, 14.0), own=clock())
    assert watch.stop() == 4.0


def test_that_waiting_is_not_computing() -> None:
    watch = OwnTime(CPU)
    time.sleep(0.2)
    assert watch.stop() < 0.1
