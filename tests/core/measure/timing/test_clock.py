"""The clock against sleeps of known length; decisions against a clock that the test moves."""

import gc
import itertools
import os
import random
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
import torch

import core.measure.machine.devices as devices_module
from core.engine.recorder import SILENT, Recorder
from core.measure.machine.devices import cpu, devices, resolve
from core.measure.timing.clock import (
    FEWEST,
    FEWEST_OF_SLOW,
    MARK_S,
    MARKS_SHOW,
    PHASES_EVERY,
    WARM_UP_SHARE,
    Clock,
    ClockJumped,
    no_longer_faster,
    phase_medians,
)
from core.measure.timing.stopwatch import Witnesses
from core.results.statistics import STABLE_HALF_WIDTH, half_width
from core.spec.declaration import InvalidSpec

CPU = torch.device("cpu")


def sleeping(seconds: float, parts: int = 1) -> Clock:
    def compute(recorder) -> None:
        for part in range(parts):
            with recorder.phase(f"part {part}"):
                time.sleep(seconds)

    return Clock(CPU, lambda: None, compute)


class Movable:
    """A clock that moves by what a computation is said to take; the date goes along."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self.now_s = self.date_s = 1000.0
        self._seconds = iter(seconds)

    def clock(self) -> Clock:
        witnesses = Witnesses(date=lambda: self.date_s, busy=lambda: 0.0)
        return Clock(CPU, lambda: None, self._compute, lambda: self.now_s, witnesses)

    def _compute(self, recorder) -> None:
        with recorder.phase("forward"):
            taken = next(self._seconds)
            self.now_s += taken
            self.date_s += taken


def scattered(scatter: float, seed: int = 1) -> Iterable[float]:
    generator = random.Random(seed)
    return (max(generator.gauss(1.0, scatter), 0.1) for _ in itertools.count())


def test_that_a_sleep_of_known_length_is_measured() -> None:
    seconds, phases = sleeping(0.02, parts=2).with_phases()
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
    assert len(list(Movable(itertools.repeat(0.02)).clock().repeat("auto", 60))) == FEWEST


@pytest.mark.parametrize("scatter", [0.02, 0.05, 0.1])
def test_that_repetitions_go_on_until_the_median_is_known_to_one_percent(scatter: float) -> None:
    seconds = [timed.seconds for timed in Movable(scattered(scatter)).clock().repeat("auto", 1e6)]
    assert half_width(seconds) <= STABLE_HALF_WIDTH
    assert half_width(seconds[: len(seconds) // 2]) > STABLE_HALF_WIDTH


def test_that_stopping_early_does_not_make_the_interval_lie() -> None:
    """Whoever looks again and again may stop when the samples happen to agree."""
    hits = 0
    for seed in range(100):
        clock = Movable(scattered(0.05, seed)).clock()
        median = statistics.median(timed.seconds for timed in clock.repeat("auto", 1e6))
        hits += abs(median - 1.0) <= STABLE_HALF_WIDTH
    assert hits >= 90


def test_that_a_restless_computation_ends_with_its_budget() -> None:
    timed = list(Movable(scattered(0.5)).clock().repeat("auto", budget_s=50))
    assert 50 <= sum(one.seconds for one in timed) < 53
    assert timed[-1].left_s == pytest.approx(0.0, abs=2.0)


def test_that_warm_up_can_be_left_out_or_counted() -> None:
    assert list(sleeping(0.001).warm_up(0, 1.0)) == []
    assert len(list(sleeping(0.001).warm_up(3, 1.0))) == 3


def test_that_warm_up_goes_on_while_repetitions_get_faster() -> None:
    falling = [1.0, 0.5, 0.3, 0.2, *(0.18 * 0.97**k for k in range(20))]
    flat = itertools.repeat(falling[-1])
    warm = list(Movable(itertools.chain(falling, flat)).clock().warm_up("auto", 1e6))
    assert len(falling) < len(warm) < 3 * len(falling)


@pytest.mark.parametrize("unusual", [0.001, 30.0])
@pytest.mark.parametrize("position", range(9))
def test_that_one_odd_repetition_neither_ends_nor_prolongs_the_warm_up(
    unusual: float, position: int
) -> None:
    steady = [1.0] * 9
    steady[position] = unusual
    assert no_longer_faster(steady)
    falling = [1.0 * 0.9**k for k in range(9)]
    falling[position] *= unusual
    assert not no_longer_faster(falling)


def test_that_a_slow_computation_is_warmed_up_for_a_share_of_its_budget_only() -> None:
    warm = list(Movable(itertools.repeat(1.0)).clock().warm_up("auto", 10.0))
    assert len(warm) == 10.0 * WARM_UP_SHARE + 1


def test_that_a_processor_has_time_to_speed_up_before_a_small_computation() -> None:
    warm = list(Movable(itertools.repeat(0.001)).clock().warm_up("auto", 60))
    assert 50 <= len(warm) <= 52


@pytest.mark.parametrize("jump", [-5.0, -1.0, float("nan"), float("inf")])
def test_that_a_clock_that_goes_back_or_loses_its_way_gives_no_figure(jump: float) -> None:
    with pytest.raises(ClockJumped, match=r"^The clock of this machine jumped: .*; run it again.$"):
        list(Movable([1.0, 1.0, jump]).clock().repeat(3, 1e6))


def test_that_a_clock_that_stands_still_gives_no_figure_instead_of_zero() -> None:
    with pytest.raises(ClockJumped, match=r"took 0 s"):
        Movable([0.0]).clock().once()


def test_that_a_clock_that_leaps_ahead_of_the_date_gives_no_figure() -> None:
    movable = Movable([1.0])

    def compute(_: object) -> None:
        movable.now_s += 3600

    clock = Clock(CPU, lambda: None, compute, lambda: movable.now_s, movable.clock().witnesses)
    with pytest.raises(ClockJumped, match=r"took 3600 s"):
        clock.once()


def test_that_a_clock_that_lost_time_is_found_out_by_what_was_computed_in_it() -> None:
    movable, busy = Movable([1.0]), iter([0.0, 1e6])
    witnesses = Witnesses(date=lambda: movable.date_s, busy=lambda: next(busy))
    clock = Clock(CPU, lambda: None, movable.clock().compute, lambda: movable.now_s, witnesses)
    with pytest.raises(ClockJumped):
        clock.once()


def test_that_no_more_than_all_cores_can_have_computed() -> None:
    """1000 s by the clock, and what all cores do in that time, or half as much again."""
    all_cores = 1000.0 * (os.cpu_count() or 1)
    witnesses = Witnesses(date=lambda: 0.0, busy=lambda: all_cores)
    witnesses.confirm((-1000.0, 0.0), 1000.0, ())
    with pytest.raises(ClockJumped):
        witnesses.confirm((-1000.0, -all_cores / 2), 1000.0, ())


def test_that_a_date_set_ahead_or_a_machine_asleep_is_no_jump_of_the_clock() -> None:
    movable = Movable([1.0])

    def compute(_: object) -> None:
        movable.now_s += 1.0
        movable.date_s += 3600

    clock = Clock(CPU, lambda: None, compute, lambda: movable.now_s, movable.clock().witnesses)
    assert clock.once() == 1.0


def test_that_every_repetition_is_told_with_its_phases() -> None:
    timed = list(Movable([1.0, 9.0, 2.0]).clock().repeat(3, 1.0))
    assert [one.seconds for one in timed] == [1.0, 9.0, 2.0]
    assert [phase.duration_s for one in timed for phase in one.phases] == [9.0, 2.0]


@dataclass
class Marking:
    """A computation of several phases on a clock that marking a phase moves too, by a second."""

    quiet_s: float | tuple[float, ...]
    phases: int = 3
    now_s: float = 1000.0
    marked: list[bool] = field(default_factory=list)

    def clock(self) -> Clock:
        witnesses = Witnesses(date=lambda: self.now_s, busy=lambda: 0.0)
        return Clock(CPU, lambda: None, self._compute, lambda: self.now_s, witnesses)

    def _compute(self, recorder: Recorder) -> None:
        each = self.quiet_s if isinstance(self.quiet_s, tuple) else (self.quiet_s,)
        quiet_s = each[len(self.marked) % len(each)]
        self.marked.append(recorder is not SILENT)
        for number in range(self.phases):
            with recorder.phase(f"part {number}"):
                self.now_s += quiet_s / self.phases
                self.now_s += MARK_S * self.marked[-1]


def test_that_marks_of_phases_are_in_no_time_where_they_would_show() -> None:
    machine = Marking(quiet_s=0.001)
    timed = list(machine.clock().repeat(2 * PHASES_EVERY, 1.0))
    seconds = [one.seconds for one in timed]
    assert seconds == pytest.approx([0.001] * (2 * PHASES_EVERY), rel=1e-6)
    assert [one.index for one in timed if one.phases] == [0, PHASES_EVERY]
    once_in_a_while = [False, True, *[False] * (PHASES_EVERY - 1)]
    assert machine.marked == 2 * once_in_a_while
    assert [phase.name for phase in timed[0].phases] == ["part 0", "part 1", "part 2"]
    assert timed[0].phases[2].duration_s == pytest.approx(0.001 / 3 + MARK_S, rel=1e-6)


def test_that_a_repetition_that_is_long_beside_its_marks_is_computed_once() -> None:
    machine = Marking(quiet_s=0.1)
    clock = machine.clock()
    list(clock.warm_up(2, 1.0))
    timed = list(clock.repeat(5, 1.0, marks=3))
    assert [len(one.phases) for one in timed] == [3] * 5
    assert machine.marked == [False] * 2 + [True] * 5


@pytest.mark.parametrize(("quiet_s", "more"), [(0.1, [True]), (1.0, [])])
def test_that_the_first_of_all_is_one_that_nobody_hears(quiet_s: float, more: list[bool]) -> None:
    machine = Marking(quiet_s)
    timed = list(machine.clock().repeat(5, 1.0))
    assert [len(one.phases) for one in timed] == [3 * len(more), 3, 3, 3, 3]
    assert machine.marked == [False, *more, *[True] * 4]


@pytest.mark.parametrize(("quiet_s", "more"), [(0.001, [False]), (1.0, [])])
def test_that_one_repetition_alone_has_phases_too(quiet_s: float, more: list[bool]) -> None:
    machine = Marking(quiet_s)
    (timed,) = machine.clock().repeat(1, 1.0)
    assert timed.seconds == pytest.approx(quiet_s, rel=MARKS_SHOW)
    assert len(timed.phases) == 3
    assert machine.marked == [True, *more]


def test_that_a_long_computation_of_very_many_phases_is_not_timed_with_their_marks() -> None:
    machine = Marking(quiet_s=1.0, phases=1000)
    timed = list(machine.clock().repeat(6, 1.0, marks=1000))
    assert [one.seconds for one in timed] == pytest.approx([1.0] * 6, rel=1e-9)
    assert [len(one.phases) for one in timed] == [1000, 0, 0, 0, 1000, 0]


def test_that_slow_ones_alone_are_not_kept_for_being_long_beside_their_marks() -> None:
    """Times on both sides of the border at which three marks show."""
    border_s = 3 * MARK_S / MARKS_SHOW
    machine = Marking(quiet_s=(0.9 * border_s, 1.1 * border_s))
    clock = machine.clock()
    list(clock.warm_up(2, 1.0))
    machine.marked.clear()
    timed = list(clock.repeat(PHASES_EVERY, 1.0, marks=3))
    assert machine.marked == [False, True, *[False] * (PHASES_EVERY - 1)]
    assert len({round(one.seconds / border_s, 3) for one in timed}) == 2


def test_that_nobody_hears_a_warm_up() -> None:
    machine = Marking(quiet_s=0.001)
    assert not any(one.phases for one in machine.clock().warm_up(5, 1.0))
    assert machine.marked == [False] * 5


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
    medians = phase_medians([clock.with_phases()[1] for _ in range(5)])
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
