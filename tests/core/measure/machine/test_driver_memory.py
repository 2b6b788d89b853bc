"""What the driver says of a process, and what is said where it says nothing."""

import pytest

from core.measure.machine import driver_memory
from core.measure.machine.driver_memory import (
    NOT_COUNTED,
    NOT_INSTALLED,
    NOT_LISTED,
    DriverMemory,
    driver_version,
    installed_nvml,
)
from tests.core.measure.machine.fake_nvml import FakeNvml, Process

OTHERS = Process(pid=1, usedGpuMemory=10**9)


def follow(nvml: FakeNvml, pid: int = 42) -> DriverMemory:
    return DriverMemory(pid, lambda: nvml)


def test_that_a_process_is_found_on_whatever_device_the_driver_lists_it() -> None:
    memory = follow(FakeNvml([[OTHERS], [OTHERS, Process(42, 700)]]))
    assert memory.used_bytes() == 700
    assert memory.problem is None


def test_that_a_process_on_several_devices_is_their_sum() -> None:
    assert follow(FakeNvml([[Process(42, 500)], [Process(42, 70)]])).used_bytes() == 570


def test_that_a_device_of_other_users_does_not_hide_ours() -> None:
    assert follow(FakeNvml([None, [Process(42, 500)]])).used_bytes() == 500


@pytest.mark.parametrize(
    ("nvml", "problem"),
    [
        (FakeNvml([[OTHERS]]), NOT_LISTED),
        (FakeNvml([[Process(42, None)]]), NOT_COUNTED),
        (FakeNvml([None]), "Insufficient Permissions"),
        (FakeNvml([]), NOT_LISTED),
        (FakeNvml(missing="NVML Shared Library Not Found"), "NVML Shared Library Not Found"),
    ],
)
def test_that_no_figure_is_never_zero_and_has_a_reason(nvml: FakeNvml, problem: str) -> None:
    memory = follow(nvml)
    assert memory.used_bytes() is None
    assert memory.problem == problem


def test_that_without_the_library_there_is_a_reason() -> None:
    memory = DriverMemory(42, lambda: None)
    assert memory.used_bytes() is None
    assert memory.problem == NOT_INSTALLED


def test_that_a_process_that_has_ended_leaves_its_figures_without_a_complaint() -> None:
    nvml = FakeNvml([[Process(42, 500)]])
    memory = follow(nvml)
    assert memory.problem is None, "nobody has asked yet"
    memory.used_bytes()
    nvml.devices = [[]]
    assert memory.used_bytes() is None
    assert memory.problem is None


def test_that_a_process_that_is_listed_late_is_no_problem_any_more() -> None:
    nvml = FakeNvml([[]])
    memory = follow(nvml)
    memory.used_bytes()
    nvml.devices = [[Process(42, 500)]]
    assert memory.used_bytes() == 500
    assert memory.problem is None


def test_that_the_driver_is_let_go_once() -> None:
    nvml = FakeNvml([[Process(42, 500)]])
    memory = follow(nvml)
    assert nvml.users == 1
    memory.close()
    memory.close()
    assert nvml.users == 0
    assert memory.used_bytes() is None


def test_that_the_version_of_the_driver_is_told_where_there_is_one() -> None:
    nvml = FakeNvml()
    assert driver_version(lambda: nvml) == "570.86.15"
    assert nvml.users == 0
    assert driver_version(lambda: FakeNvml(missing="Driver Not Loaded")) is None
    assert driver_version(lambda: None) is None


def test_that_a_library_that_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(driver_memory, "import_module", absent)
    assert installed_nvml() is None
