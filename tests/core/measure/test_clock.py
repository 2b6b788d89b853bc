"""The clock against sleeps of known length; decisions against a computation that costs nothing."""

import gc
import time

import pytest
import torch

import core.measure.devices as devices_module
from core.measure.clock import FEWEST_OF_SLOW, MOST, Clock, phase_medians
from core.measure.devices import cpu, devices, resolve
from core.spec.declaration import InvalidSpec

CPU = torch.device("cpu")


def sleeping(seconds: float, parts: int = 1) -> Clock:
    def compute(recorder) -> None:
        for part in range(parts):
            with recorder.phase(f"part {part}"):
                time.sleep(seconds)

    return Clock(CPU, lambda: None, compute)


def test_that_a_sleep_of_known_length_is_measured() -> None:
    seconds, phases = sleeping(0.02, parts=2).once()
    assert 0.04 <= seconds < 0.08
    assert [phase.name for phase in phases] == ["part 0", "part 1"]
    assert phases[1].start_s >= 0.02
    assert all(0.02 <= phase.duration_s < 0.05 for phase in phases)


def test_that_a_given_number_of_repetitions_is_kept() -> None:
    timed = list(sleeping(0.001).repeat(7, budget_s=0.0001))
    assert [t.index for t in timed] == list(range(7))
    assert all(t.about == 7 for t in timed)
    assert timed[-1].left_s == 0.0


def test_that_a_slow_computation_is_repeated_beyond_its_budget_a_few_times_only() -> None:
    assert len(list(sleeping(0.02).repeat("auto", budget_s=0.001))) == FEWEST_OF_SLOW


def test_that_a_steady_computation_ends_before_its_budget() -> None:
    began = time.perf_counter()
    timed = list(sleeping(0.02).repeat("auto", budget_s=60))
    assert len(timed) < MOST
    assert time.perf_counter() - began < 30


def test_that_warm_up_can_be_left_out_or_counted() -> None:
    assert list(sleeping(0.001).warm_up(0, 1.0)) == []
    assert len(list(sleeping(0.001).warm_up(3, 1.0))) == 3


def test_that_warm_up_goes_on_while_repetitions_get_faster() -> None:
    seconds = iter([0.05, 0.03, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01])
    clock = Clock(CPU, lambda: None, lambda _: time.sleep(next(seconds)))
    assert 3 <= len(list(clock.warm_up("auto", 60))) <= 8


def test_that_the_collector_rests_inside_a_repetition_and_the_state_is_reset_before() -> None:
    seen: list[object] = []
    clock = Clock(CPU, lambda: seen.append("reset"), lambda _: seen.append(gc.isenabled()))
    clock.once()
    clock.once()
    assert seen == ["reset", False, "reset", False]
    assert gc.isenabled()


def test_that_the_collector_works_again_after_an_error() -> None:
    def fail(_: object) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Clock(CPU, lambda: None, fail).once()
    assert gc.isenabled()


def test_that_phases_are_summed_up_by_their_medians() -> None:
    clock = sleeping(0.002, parts=2)
    medians = phase_medians([clock.once()[1] for _ in range(5)])
    assert list(medians) == ["part 0", "part 1"]
    assert medians["part 1"].start_s > medians["part 0"].duration_s * 0.9


def test_that_the_cpu_is_listed_with_its_memory_and_auto_finds_a_device() -> None:
    listed = devices()
    assert listed[-1].name == "cpu"
    assert 0 < (cpu().available_bytes or 0) <= (cpu().memory_bytes or 0)
    assert str(resolve("auto")) == listed[0].name


def test_that_a_container_has_what_its_limit_leaves_beside_files_that_can_be_dropped(
    tmp_path, monkeypatch
) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 400\n")
    monkeypatch.setattr(devices_module, "_CGROUP", tmp_path)
    assert (cpu().memory_bytes, cpu().available_bytes) == (1000, 700)
    (tmp_path / "memory.max").write_text("max\n")
    assert (cpu().memory_bytes or 0) > 1000


def test_that_an_absent_device_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidSpec, match=r"device: quantum:0 was given; allowed here: auto, .*cpu"
    ):
        resolve("quantum:0")
