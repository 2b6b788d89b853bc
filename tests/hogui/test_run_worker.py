"""The thread between a source of events and the window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from core.results.events import Event, Finished, Repetition, Started
from core.results.outcome import Outcome
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.preferences import Place
from hogui.run_worker import Job, RunWorker, Source, source_for
from tests.fake_core import FakeCore

PATIENCE_MS = 20_000


@pytest.fixture
def spec() -> RunSpec:
    return preset("lecture-second-order").spec


@pytest.fixture
def start(qtbot: object, spec: RunSpec) -> Iterator[Callable[[Source], RunWorker]]:
    """Starts a worker; its batches are in ``batches``, what ended it in ``ends``."""
    started: list[RunWorker] = []

    def start_(source: Source) -> RunWorker:
        worker = RunWorker(Job("run1", spec), source, lambda event: None)
        worker.batches, worker.ends = [], []
        worker.events.connect(worker.batches.append)
        worker.ended.connect(worker.ends.append)
        started.append(worker)
        worker.start()
        return worker

    yield start_
    for worker in started:
        worker.cancel()
        assert worker.wait(PATIENCE_MS)


def test_that_a_batch_is_shown_while_the_source_is_silent(
    start: Callable[[Source], RunWorker], qtbot: object
) -> None:
    core = FakeCore(stall_after=3)
    worker = start(core.run)

    def timed() -> int:
        events = [event for batch in worker.batches for event in batch]
        return sum(isinstance(event, Repetition) and not event.warm_up for event in events)

    qtbot.waitUntil(lambda: timed() == 3, timeout=PATIENCE_MS)
    assert worker.isRunning(), "the source hangs, and what it had said is here all the same"
    core.released.set()
    qtbot.waitUntil(lambda: bool(worker.ends), timeout=PATIENCE_MS)


def test_that_a_flood_of_events_becomes_a_few_batches(
    start: Callable[[Source], RunWorker], qtbot: object
) -> None:
    worker = start(FakeCore(repetitions=3000).run)
    qtbot.waitUntil(lambda: bool(worker.ends), timeout=PATIENCE_MS)
    events = sum(len(batch) for batch in worker.batches)
    assert events > 6000
    assert len(worker.batches) < events / 20


def test_that_the_end_comes_after_the_last_event(
    start: Callable[[Source], RunWorker], qtbot: object
) -> None:
    worker, order = start(FakeCore().run), []
    worker.events.connect(lambda batch: order.append(type(batch[-1])))
    worker.ended.connect(lambda _: order.append("end"))
    qtbot.waitUntil(lambda: bool(worker.ends), timeout=PATIENCE_MS)
    assert order[-2:] == [Finished, "end"]


def test_that_a_result_is_kept_before_the_window_hears_of_it(qtbot: object, spec: RunSpec) -> None:
    order: list[str] = []

    def keep(event: Started | Finished) -> None:
        order.append(f"kept {event.type} in {threading.current_thread() is main}")

    main = threading.main_thread()
    worker = RunWorker(Job("run1", spec), FakeCore().run, keep)
    worker.events.connect(lambda batch: order.extend(event.type for event in batch[-1:]))
    with qtbot.waitSignal(worker.ended, timeout=PATIENCE_MS):
        worker.start()
    assert order[0] == "kept started in False"
    assert order.index("kept finished in False") < order.index("finished")


def test_that_cancel_reaches_the_source(
    start: Callable[[Source], RunWorker], qtbot: object
) -> None:
    worker = start(FakeCore(stall_after=0).run)
    worker.cancel()
    qtbot.waitUntil(lambda: bool(worker.ends), timeout=PATIENCE_MS)
    last = worker.batches[-1][-1]
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.CANCELLED


def test_that_a_source_that_raises_ends_with_its_words(
    start: Callable[[Source], RunWorker], qtbot: object
) -> None:
    def broken(
        spec: RunSpec, *, run_id: str, force: bool, cancelled: threading.Event
    ) -> Iterator[Event]:
        yield from list(FakeCore().run(spec, run_id=run_id))[:3]
        raise RuntimeError("torn pipe")

    worker = start(broken)
    qtbot.waitUntil(lambda: bool(worker.ends), timeout=PATIENCE_MS)
    assert worker.ends == ["RuntimeError: torn pipe"]
    assert sum(len(batch) for batch in worker.batches) == 3


SMALL = {
    "measure.repetitions": 5,
    "measure.warmup": 1,
    "data.batch_size": 8,
}


@pytest.mark.parametrize("place", list(Place))
def test_that_both_places_give_a_finished_run_with_equal_memory(
    place: Place, start: Callable[[Source], RunWorker], qtbot: object, spec: RunSpec
) -> None:
    worker = RunWorker(Job("run1", spec.with_changes(SMALL)), source_for(place), lambda event: None)
    events: list[Event] = []
    worker.events.connect(events.extend)
    with qtbot.waitSignal(worker.ended, timeout=120_000) as ended:
        worker.start()
    assert ended.args == [""]
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.FINISHED
    assert last.result.memory is not None
    # One Linear without bias on 500 inputs: weights, and inputs and targets of 8 examples.
    assert last.result.memory.baseline_bytes == 4 * (500 + 8 * 500 + 8)


def test_that_a_run_in_this_process_ends_at_its_next_event_when_cancelled(
    qtbot: object, spec: RunSpec
) -> None:
    long = spec.with_changes({"measure.time_budget_s": 600.0})
    worker = RunWorker(Job("run1", long), source_for(Place.THIS_PROCESS), lambda event: None)
    events: list[Event] = []
    worker.events.connect(events.extend)
    with qtbot.waitSignal(worker.ended, timeout=120_000):
        worker.start()
        qtbot.waitUntil(
            lambda: any(isinstance(event, Repetition) for event in events), timeout=120_000
        )
        worker.cancel()
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.CANCELLED
    assert last.result.run_id == "run1"
