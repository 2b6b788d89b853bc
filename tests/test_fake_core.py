"""The made-up core has to say what the real one would."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from core.results.events import (
    ChartPoint,
    Event,
    Finished,
    MemorySamples,
    Repetition,
    Started,
    decode,
    encode,
)
from core.results.measurement import Measurement
from core.results.outcome import Outcome
from core.spec.presets import preset
from core.spec.run import RunSpec
from tests.fake_core import CRASH, FakeCore

SPEC = preset("lecture-second-order").spec


def last(events: Iterator[Event]) -> Measurement:
    *_, event = events
    assert isinstance(event, Finished)
    return event.result


def test_that_a_run_is_the_same_each_time_but_for_its_clock() -> None:
    one, other = (list(FakeCore().run(SPEC, run_id="a"))[1:] for _ in range(2))
    assert one == other


def test_that_every_event_travels_unchanged_through_a_pipe() -> None:
    for event in FakeCore().run(preset("lecture-maml").spec):
        assert decode(encode(event)) == event


@pytest.mark.parametrize("name", ["lecture-second-order", "lecture-maml", "digits-5-way-1-shot"])
def test_that_a_run_adds_up(name: str) -> None:
    spec = preset(name).spec
    events = list(FakeCore(repetitions=5).run(spec))
    assert isinstance(events[0], Started)
    result = last(iter(events))
    assert result.memory is not None
    assert result.time is not None
    assert sum(result.memory.by_category.values()) == result.memory.total_bytes
    timed = [
        event.seconds for event in events if isinstance(event, Repetition) and not event.warm_up
    ]
    assert list(result.time.samples_s) == timed
    assert len(timed) == 5
    points = [event for event in events if isinstance(event, MemorySamples)]
    times = [t_s for event in points for t_s in event.t_s]
    assert all(before < after for before, after in pairwise(times))
    steps = [event.y for event in events if isinstance(event, ChartPoint)]
    assert [list(curve.y) for curve in result.curves] == ([steps] if steps else [])


def test_that_a_crashed_run_keeps_the_repetitions_before() -> None:
    result = last(FakeCore(outcome=Outcome.CRASHED, repetitions=8).run(SPEC))
    assert (result.outcome, result.error) == (Outcome.CRASHED, CRASH)
    assert result.time is not None
    assert len(result.time.samples_s) == 4


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.OUT_OF_MEMORY])
def test_that_a_run_that_cannot_go_on_says_why(outcome: Outcome) -> None:
    result = last(FakeCore(outcome=outcome).run(SPEC))
    assert result.outcome is outcome
    assert result.error
    assert result.memory is None


def test_that_a_stalled_run_ends_when_it_is_cancelled() -> None:
    cancelled = threading.Event()
    seen = 0
    for event in FakeCore(stall_after=3).run(SPEC, cancelled=cancelled):
        if isinstance(event, Repetition) and not event.warm_up:
            seen += 1
            if seen == 3:
                cancelled.set()
    assert isinstance(event, Finished)
    assert event.result.outcome is Outcome.CANCELLED
    assert event.result.time is not None
    assert len(event.result.time.samples_s) == 3


def test_that_a_stalled_run_goes_on_when_it_is_released() -> None:
    core = FakeCore(stall_after=3)
    core.released.set()
    assert last(core.run(SPEC)).outcome is Outcome.FINISHED


def test_that_what_was_asked_is_remembered() -> None:
    core = FakeCore()
    wanted = RunSpec.with_value(SPEC, "name", "Mine")
    last(core.run(wanted))
    assert core.specs == [wanted]
