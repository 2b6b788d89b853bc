"""What the driver counts reaches the events, the timeline and the files; its absence is said."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.export.csv_files import export_csv
from core.isolation import Isolation
from core.isolation.samples import ProcessMemory
from core.measure.machine.driver_memory import NOT_INSTALLED, NOT_LISTED, DriverMemory
from core.partial import started_here
from core.results.events import Event, Finished, ResidentSample, Warned
from core.spec.presets import preset
from tests.core.measure.machine.fake_nvml import FakeNvml, Process

TARGETS = "tests.core.measuring_targets"
SPEC = preset("lecture-second-order").spec
BYTES = 700 << 20

Follow = Callable[[int], DriverMemory]
Run = Callable[[str, Follow], list[Event]]


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a function of the targets while somebody follows it."""
    made: list[Isolation] = []

    def events(target: str, follow: Follow) -> list[Event]:
        isolation = Isolation(
            run=f"{TARGETS}:{target}", devices=f"{TARGETS}:devices", driver_memory=follow
        )
        made.append(isolation)
        return list(isolation.run(SPEC))

    yield events
    for isolation in made:
        isolation.shut_down()


def from_driver(events: list[Event]) -> list[ResidentSample]:
    return [
        event for event in events if isinstance(event, ResidentSample) and event.source == "driver"
    ]


def finished(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def test_that_what_the_driver_counts_is_sampled_beside_resident_memory(
    run: Run, tmp_path: Path
) -> None:
    nvml = FakeNvml()

    def follow(pid: int) -> DriverMemory:
        nvml.devices = [[Process(pid + 1, 1)], [Process(pid, BYTES)]]
        return DriverMemory(pid, lambda: nvml)

    events = run("finishes_on_cuda", follow)
    samples = from_driver(events)
    assert len(samples) >= 3
    assert {sample.total_bytes for sample in samples} == {BYTES}
    end = finished(events)
    assert end.timeline.driver.t_s == tuple(sample.t_s for sample in samples)
    assert set(end.timeline.driver.t_s) <= set(end.timeline.resident.t_s)
    assert end.result.warnings == tuple(e.sentence for e in events if isinstance(e, Warned))
    assert nvml.users == 0, "the driver is let go at the end"

    export_csv([(end.result, end.timeline)], tmp_path)
    with (tmp_path / "memory.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "driver"]
    assert [int(row["total_bytes"]) for row in rows] == [BYTES] * len(samples)


@pytest.mark.parametrize(
    ("find", "reason"), [(lambda: None, NOT_INSTALLED), (lambda: FakeNvml([[]]), NOT_LISTED)]
)
def test_that_a_missing_driver_curve_is_said_and_is_not_a_row_of_zeros(
    run: Run, find: Callable[[], FakeNvml | None], reason: str
) -> None:
    events = run("finishes_on_cuda", lambda pid: DriverMemory(pid, find))
    assert from_driver(events) == []
    end = finished(events)
    assert end.timeline.driver.total_bytes == ()
    sentence = f"The driver's memory curve is missing: {reason}."
    assert end.result.warnings[-1] == sentence
    assert Warned(sentence=sentence) in events


def test_that_on_the_processor_nobody_asks_the_driver(run: Run) -> None:
    def follow(pid: int) -> DriverMemory:
        raise AssertionError("There is no driver to ask.")

    events = run("finishes", follow)
    assert from_driver(events) == []
    assert not any("driver" in warning for warning in finished(events).result.warnings)


def test_that_a_process_that_has_just_ended_is_not_a_sample_of_zero() -> None:
    """It stays listed, without memory, until somebody asks for its exit code."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    end_s = time.perf_counter() + 20
    while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.perf_counter() < end_s
        time.sleep(0.01)
    try:
        assert psutil.Process(ended.pid).memory_info().rss == 0
        started = started_here("abc", SPEC)
        assert list(ProcessMemory(ended.pid, DriverMemory).samples(started)) == []
    finally:
        ended.wait()
