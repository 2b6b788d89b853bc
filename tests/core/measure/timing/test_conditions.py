"""What is told of the machine, against made-up ``/proc`` and ``/sys`` and a made-up driver."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from core.measure.timing.conditions import NO_LOAD, TOO_SHORT, Busy, ConditionsWatch, busy
from core.measure.timing.speed import (
    NO_NVML,
    NO_SPEED,
    NO_THROTTLING,
    NOMINAL_SPEED,
    GraphicsSpeed,
    ProcessorSpeed,
    UnknownSpeed,
    speed_of,
)

TICKS = os.sysconf("SC_CLK_TCK")


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def runs_on(root: Path, core: int) -> None:
    """Field 39 of 52, after a name that has a bracket and a space."""
    fields = ["0"] * 50
    fields[36] = str(core)
    write(root / "proc/self/stat", f"123 (py) thon) {' '.join(fields)}\n")


def frequency(root: Path, core: int, khz: int) -> None:
    write(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", f"{khz}\n")


def throttle(root: Path, core: int, count: int) -> None:
    folder = root / f"sys/devices/system/cpu/cpu{core}/thermal_throttle"
    write(folder / "core_throttle_count", f"{count}\n")
    write(folder / "package_throttle_count", "7\n")


def cpuinfo(root: Path, *mhz: float, flags: str) -> None:
    parts = [
        f"processor\t: {k}\nmodel name\t: X: 2\ncpu MHz\t\t: {speed}\nflags\t\t: fpu {flags}\n"
        for k, speed in enumerate(mhz)
    ]
    write(root / "proc/cpuinfo", "\n".join(parts) + "\n")


def stat(root: Path, user_s: float, stolen_s: float = 0.0, cores: int = 2) -> None:
    """``/proc/stat`` of so many seconds in all; the idle time must not count."""
    row = f"{round(user_s * TICKS)} 0 0 99999 5555 0 0 {round(stolen_s * TICKS)} 0 0"
    each = "".join(f"cpu{k} 1 2 3 4 5 6 7 8 9 10\n" for k in range(cores))
    write(root / "proc/stat", f"cpu  {row}\n{each}intr 5\n")


# --------------------------------------------------------------------------------- clock speed


def test_that_the_speed_is_that_of_the_core_this_runs_on(tmp_path: Path) -> None:
    frequency(tmp_path, 0, 800_000)
    frequency(tmp_path, 1, 3_400_000)
    runs_on(tmp_path, 1)
    assert ProcessorSpeed(tmp_path).mhz() == 3400.0
    runs_on(tmp_path, 0)
    assert ProcessorSpeed(tmp_path).mhz() == 800.0


def test_that_the_speed_is_also_found_where_only_the_processor_names_it(tmp_path: Path) -> None:
    cpuinfo(tmp_path, 1200.5, 2500.25, flags="aperfmperf")
    runs_on(tmp_path, 1)
    assert ProcessorSpeed(tmp_path).mhz() == 2500.25


def test_that_the_nominal_speed_of_a_virtual_machine_is_no_measured_one(tmp_path: Path) -> None:
    cpuinfo(tmp_path, 2600.0, 2600.0, flags="hypervisor")
    speed = ProcessorSpeed(tmp_path)
    assert speed.mhz() is None
    assert NOMINAL_SPEED in speed.absent


@pytest.mark.parametrize("content", ["", "<unknown>\n"])
def test_that_a_tree_that_tells_nothing_gives_reasons(tmp_path: Path, content: str) -> None:
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", content)
    speed = ProcessorSpeed(tmp_path)
    assert (speed.mhz(), speed.throttled()) == (None, None)
    assert speed.absent == [NO_SPEED, NO_THROTTLING]


def test_that_throttling_is_a_count_that_grows(tmp_path: Path) -> None:
    throttle(tmp_path, 0, 5)
    throttle(tmp_path, 1, 9)
    speed = ProcessorSpeed(tmp_path)
    assert speed.throttled() is False
    throttle(tmp_path, 1, 10)
    assert speed.throttled() is True
    assert speed.throttled() is False


# ---------------------------------------------------------------------------------------- load


def test_that_the_load_is_read_without_idle_waiting_and_stolen_time(tmp_path: Path) -> None:
    stat(tmp_path, user_s=30.0, stolen_s=4.0, cores=3)
    assert busy(tmp_path) == Busy(cores=3, busy_s=30.0, stolen_s=4.0)


@pytest.mark.parametrize("content", [None, "", "cpu  1 2 3\n", "cpu  a b c d e f g h\n"])
def test_that_a_container_without_counters_has_no_load(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        write(tmp_path / "proc/stat", content)
    assert busy(tmp_path) is None


def test_that_this_machine_gets_busier_while_something_computes() -> None:
    before = busy()
    assert before is not None
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    after = busy()
    assert after is not None
    assert after.busy_s - before.busy_s >= 0.05


# ------------------------------------------------------------------------------------ the watch


@dataclass
class Gauges:
    """A machine whose figures the test sets."""

    speeds: Iterator[float | None] = field(default_factory=lambda: iter(()))
    hot: bool | None = None
    now_s: float = 100.0
    load: Busy | None = None
    own: float = 0.0
    absent: tuple[str, ...] = ()
    closed: bool = False

    def mhz(self) -> float | None:
        return next(self.speeds, None)

    def throttled(self) -> bool | None:
        return self.hot

    def close(self) -> None:
        self.closed = True

    def watch(self) -> ConditionsWatch:
        return ConditionsWatch(self, lambda: self.load, lambda: self.own, lambda: self.now_s)


def test_that_the_load_of_others_is_what_this_process_did_not_use() -> None:
    machine = Gauges(load=Busy(2, 1000.0, 50.0), own=10.0)
    watch = machine.watch()
    machine.now_s, machine.own, machine.load = 105.0, 14.0, Busy(2, 1008.0, 51.0)
    seen = watch.finish()
    assert (seen.cores, seen.other_cores, seen.stolen_cores) == (2, 0.8, 0.2)
    assert machine.closed


def test_that_counting_in_steps_never_makes_others_use_less_than_nothing() -> None:
    machine = Gauges(load=Busy(2, 1000.0, 0.0))
    watch = machine.watch()
    machine.now_s, machine.own, machine.load = 101.0, 1.0, Busy(2, 1000.99, 0.0)
    assert watch.finish().other_cores == 0.0


def test_that_lowest_median_and_highest_clock_speed_are_kept() -> None:
    machine = Gauges(speeds=iter([2000.0, 1000.0, None, 3000.0, 2100.0]))
    watch = machine.watch()
    for _ in range(3):
        machine.now_s += 1.0
        watch.sample()
    assert watch.finish().clock_mhz == (1000.0, 2050.0, 3000.0)


def test_that_samples_which_follow_each_other_closely_are_left_out() -> None:
    machine = Gauges(speeds=iter([2000.0, 5000.0, 1000.0]))
    watch = machine.watch()
    for _ in range(100):
        machine.now_s += 0.001
        watch.sample()
    assert next(machine.speeds) == 5000.0


def test_that_throttling_before_the_first_repetition_is_not_blamed_on_the_run() -> None:
    class Once(Gauges):
        def throttled(self) -> bool | None:
            was, self.hot = self.hot, False
            return was

    machine = Once(hot=True)
    watch = machine.watch()
    assert watch.finish().throttled is False
    watch = machine.watch()
    machine.hot = True
    assert watch.finish().throttled is True


def test_that_figures_which_cannot_be_had_are_none_with_their_reasons() -> None:
    machine = Gauges(absent=("No gauge.",))
    seen = machine.watch().finish()
    assert (seen.clock_mhz, seen.cores, seen.other_cores) == (None, None, None)
    assert (seen.stolen_cores, seen.throttled) == (None, None)
    assert seen.absent == ("No gauge.", NO_LOAD)


def test_that_a_moment_is_too_short_to_see_the_load() -> None:
    machine = Gauges(load=Busy(2, 1000.0, 0.0))
    watch = machine.watch()
    machine.now_s, machine.load = 100.05, Busy(2, 1000.05, 0.0)
    seen = watch.finish()
    assert (seen.cores, seen.other_cores) == (2, None)
    assert seen.absent == (TOO_SHORT,)


def test_that_this_machine_tells_each_figure_or_says_why_not() -> None:
    watch = ConditionsWatch.of(torch.device("cpu"))
    time.sleep(0.25)
    seen = watch.finish()
    figures = [(seen.clock_mhz,), (seen.throttled,), (seen.other_cores, seen.stolen_cores)]
    assert sum(None in group for group in figures) == len(seen.absent)


# -------------------------------------------------------------------------------- NVIDIA's driver


class NvmlError(Exception):
    pass


@dataclass
class Driver:
    """Stands for the module ``pynvml``."""

    reasons: int = 0
    mhz: int = 1980
    refusal: str | None = None
    users: int = 0
    NVMLError: type[Exception] = NvmlError

    def nvmlInit(self) -> None:
        self.users += 1

    def nvmlShutdown(self) -> None:
        self.users -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object:
        if uuid != "GPU-1234":
            raise NvmlError("Not Found")
        return "handle"

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int:
        assert (handle, kind) == ("handle", 1)
        self._answer()
        return self.mhz

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int:
        assert handle == "handle"
        self._answer()
        return self.reasons

    def _answer(self) -> None:
        if self.refusal is not None:
            raise NvmlError(self.refusal)


IDLE, APPLICATION, HEAT = 0x1, 0x2, 0x40


def test_that_the_driver_tells_the_clock_speed_of_the_device_that_computes() -> None:
    driver = Driver()
    speed = GraphicsSpeed("GPU-1234", lambda: driver)
    assert speed.mhz() == 1980.0
    speed.close()
    assert driver.users == 0
    assert (speed.mhz(), speed.throttled()) == (None, None)


@pytest.mark.parametrize(
    ("reasons", "throttled"), [(0, False), (IDLE, False), (APPLICATION, False), (HEAT | IDLE, True)]
)
def test_that_heat_holds_a_device_back_and_idleness_does_not(reasons: int, throttled: bool) -> None:
    assert GraphicsSpeed("GPU-1234", lambda: Driver(reasons)).throttled() is throttled


def test_that_an_unknown_device_and_a_silent_driver_give_a_reason_once() -> None:
    driver = Driver()
    speed = GraphicsSpeed("GPU-5678", lambda: driver)
    assert (speed.mhz(), speed.throttled(), driver.users) == (None, None, 0)
    assert len(speed.absent) == 1
    assert "Not Found" in speed.absent[0]
    silent = GraphicsSpeed("GPU-1234", lambda: Driver(refusal="Not Supported"))
    assert (silent.mhz(), silent.throttled()) == (None, None)
    assert silent.absent == [
        "NVIDIA's driver does not tell the clock speed or throttling: Not Supported."
    ]


def test_that_without_nvidias_library_there_is_a_reason() -> None:
    assert GraphicsSpeed("GPU-1234", lambda: None).absent == [NO_NVML]


def test_that_other_devices_have_a_reason() -> None:
    speed = speed_of(torch.device("mps"))
    assert isinstance(speed, UnknownSpeed)
    assert speed.mhz() is None
    assert "mps" in speed.absent[0]
