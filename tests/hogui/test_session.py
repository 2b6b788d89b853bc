"""Tabs, their runs and the queue, without a widget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QEvent

from core.results.device import Device
from core.results.events import Event, Finished, Started
from core.results.outcome import Outcome
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.open_tab import OpenTab, RunState
from hogui.run_worker import RunWorker
from hogui.session import Session, free_name
from tests.fake_core import FakeCore

PATIENCE_MS = 20_000

Finish = Callable[[OpenTab], None]


class Kept:
    """Stands for the history."""

    def __init__(self) -> None:
        self.events: list[Started | Finished] = []

    def __call__(self, event: Started | Finished) -> None:
        self.events.append(event)

    def outcomes(self) -> list[Outcome]:
        return [event.result.outcome for event in self.events if isinstance(event, Finished)]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def make_session(qtbot: object, kept: Kept) -> Iterator[Callable[[FakeCore], Session]]:
    made: list[Session] = []

    def make(core: FakeCore) -> Session:
        made.append(Session(lambda job: core.run, kept))
        return made[-1]

    yield make
    for session in made:
        assert session.shut_down()


@pytest.fixture
def spec() -> RunSpec:
    return preset("lecture-second-order").spec


def test_that_a_run_brings_its_result_to_its_tab(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish, kept: Kept
) -> None:
    session = make_session(FakeCore(repetitions=7))
    tab = session.open(spec)
    session.run(tab)
    assert tab.state is RunState.RUNNING
    finish(tab)
    assert tab.result is not None
    assert tab.result.time is not None
    assert len(tab.result.time.samples_s) == 7
    assert kept.outcomes() == [Outcome.FINISHED]
    assert isinstance(kept.events[0], Started)


def test_that_events_arrive_in_order_and_once(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish
) -> None:
    core = FakeCore(repetitions=40, pause_s=0.002)
    session, seen = make_session(core), []
    tab = session.open(spec)
    tab.eventsArrived.connect(seen.extend)
    session.run(tab)
    finish(tab)
    expected = [type(event) for event in FakeCore(repetitions=40).run(spec)]
    assert [type(event) for event in seen] == expected


def test_that_a_second_tab_waits_for_the_device_and_then_runs(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish
) -> None:
    core = FakeCore(stall_after=1)
    session = make_session(core)
    first, second, third = (session.open(spec) for _ in range(3))
    session.run_all()
    assert [tab.state for tab in (first, second, third)] == [
        RunState.RUNNING,
        RunState.QUEUED,
        RunState.QUEUED,
    ]
    assert (second.ahead, third.ahead) == (1, 2)
    core.released.set()
    for tab in (first, second, third):
        finish(tab)
        assert tab.result is not None
    assert len(core.specs) == 3


def test_that_tabs_of_different_devices_do_not_wait_for_each_other(
    make_session: Callable[[FakeCore], Session], spec: RunSpec
) -> None:
    core = FakeCore(stall_after=1)
    session = make_session(core)
    on_cpu = session.open(spec.with_value("device", "cpu"))
    on_gpu = session.open(spec.with_value("device", "cuda:0"))
    session.run_all()
    assert {on_cpu.state, on_gpu.state} == {RunState.RUNNING}
    core.released.set()


def test_that_auto_is_the_first_accelerator_once_it_is_known(
    make_session: Callable[[FakeCore], Session], spec: RunSpec
) -> None:
    session = make_session(FakeCore())
    assert session.device_of(spec) == "cpu"
    session.set_devices(
        tuple(
            Device(name=name, title=name, memory_bytes=None, available_bytes=None)
            for name in ("cpu", "cuda:0", "cuda:1")
        )
    )
    assert session.device_of(spec) == "cuda:0"
    assert session.device_of(spec.with_value("device", "cpu")) == "cpu"


def test_that_cancel_ends_a_run_that_hangs_and_the_next_one_works(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish, kept: Kept
) -> None:
    core = FakeCore(stall_after=2)
    session = make_session(core)
    tab = session.open(spec)
    session.run(tab)
    session.cancel(tab)
    assert tab.state is RunState.CANCELLING
    finish(tab)
    assert tab.result is not None
    assert tab.result.outcome is Outcome.CANCELLED
    core.released.set()
    session.run(tab)
    finish(tab)
    assert tab.result.outcome is Outcome.FINISHED
    assert kept.outcomes() == [Outcome.CANCELLED, Outcome.FINISHED]


def test_that_cancel_takes_a_waiting_run_out_of_the_queue(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish
) -> None:
    core = FakeCore(stall_after=1)
    session = make_session(core)
    first, second, third = (session.open(spec) for _ in range(3))
    session.run_all()
    session.cancel(second)
    assert second.state is RunState.IDLE
    assert third.ahead == 1
    core.released.set()
    finish(third)
    assert second.result is None
    assert len(core.specs) == 2
    assert first.result is not None


def test_that_a_closed_tabs_events_reach_nobody(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, qtbot: object
) -> None:
    core = FakeCore(stall_after=1)
    session, seen = make_session(core), []
    session.open(spec)
    tab = session.open(spec)
    session.run(tab)
    tab.eventsArrived.connect(seen.append)
    session.close(tab)
    qtbot.waitUntil(lambda: not session.busy, timeout=PATIENCE_MS)
    assert seen == []


def test_that_a_crash_leaves_what_was_measured(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish, kept: Kept
) -> None:
    session = make_session(FakeCore(outcome=Outcome.CRASHED, repetitions=8))
    tab = session.open(spec)
    session.run(tab)
    finish(tab)
    assert tab.result is not None
    assert tab.result.outcome is Outcome.CRASHED
    assert tab.result.time is not None
    assert len(tab.result.time.samples_s) == 4
    assert kept.outcomes() == [Outcome.CRASHED]


def test_that_a_source_that_breaks_becomes_a_sentence(qtbot: object, spec: RunSpec) -> None:
    def broken(
        spec: RunSpec, *, run_id: str, force: bool, cancelled: threading.Event
    ) -> Iterator[Event]:
        yield from ()
        raise OSError("no more processes")

    session, told = Session(lambda job: broken, lambda event: None), []
    tab = session.open(spec)
    tab.noted.connect(lambda sentence, is_error: told.append((sentence, is_error)))
    session.run(tab)
    qtbot.waitUntil(lambda: not session.busy, timeout=PATIENCE_MS)
    assert told == [("OSError: no more processes", True)]
    assert tab.state is RunState.IDLE


def test_that_the_object_of_a_thread_outlives_it_but_not_for_long(
    make_session: Callable[[FakeCore], Session],
    spec: RunSpec,
    finish: Finish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Deleted at once, it is torn from a thread that still cleans up behind itself."""
    session = make_session(FakeCore(repetitions=2))
    tab = session.open(spec)
    for _ in range(3):
        session.run(tab)
        finish(tab)
    assert len(session.findChildren(RunWorker)) == 3
    monkeypatch.setattr("hogui.session.LINGER_S", 0.0)
    session.run(tab)
    finish(tab)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert len(session.findChildren(RunWorker)) == 1


def test_that_a_full_disk_is_told_and_costs_no_result(
    qtbot: object, spec: RunSpec, finish: Finish
) -> None:
    def full(event: Started | Finished) -> None:
        raise OSError("No space left on device")

    session, told = Session(lambda job: FakeCore().run, full), []
    tab = session.open(spec)
    tab.noted.connect(lambda sentence, is_error: told.append(sentence))
    session.run(tab)
    finish(tab)
    assert tab.result is not None
    assert tab.result.outcome is Outcome.FINISHED
    assert told == ["The run is not in the history: No space left on device"]


def test_that_a_wrong_configuration_is_not_run(
    make_session: Callable[[FakeCore], Session], spec: RunSpec
) -> None:
    core = FakeCore()
    session = make_session(core)
    tab = session.open(spec.with_changes({"model.layers": []}))
    session.run(tab)
    assert tab.state is RunState.IDLE
    assert core.specs == []


def test_that_force_reaches_the_source(qtbot: object, spec: RunSpec, finish: Finish) -> None:
    forced: list[bool] = []

    def source(
        spec: RunSpec, *, run_id: str, force: bool, cancelled: threading.Event
    ) -> Iterator[Event]:
        forced.append(force)
        return FakeCore().run(spec, run_id=run_id, cancelled=cancelled)

    session = Session(lambda job: source, lambda event: None)
    tab = session.open(spec)
    for force in (False, True):
        session.run(tab, force=force)
        finish(tab)
    assert forced == [False, True]


def test_that_a_closed_tab_comes_back_with_its_configuration_and_run(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish
) -> None:
    session = make_session(FakeCore())
    session.open(spec)
    tab = session.open(spec.with_value("workload.order", "3"))
    session.run(tab)
    finish(tab)
    assert tab.result is not None
    run_id, edited = tab.result.run_id, tab.spec
    session.close(tab)
    back = session.reopen()
    assert back is not None
    assert back.spec == edited
    assert back.shown_run_id == run_id
    assert session.reopen() is None


def test_that_a_rename_does_not_make_the_result_another_ones(
    make_session: Callable[[FakeCore], Session], spec: RunSpec, finish: Finish
) -> None:
    session = make_session(FakeCore())
    tab = session.open(spec)
    session.run(tab)
    finish(tab)
    tab.rename("Mine")
    assert not tab.result_is_of_another_spec
    tab.edit(tab.spec.with_value("workload.order", "3"))
    assert tab.result_is_of_another_spec
    tab.undo()
    assert not tab.result_is_of_another_spec


@pytest.mark.parametrize(
    ("name", "taken", "free"),
    [
        ("MAML", set(), "MAML"),
        ("MAML", {"MAML"}, "MAML (2)"),
        ("MAML (2)", {"MAML", "MAML (2)"}, "MAML (3)"),
        ("f(x)", {"f(x)"}, "f(x) (2)"),
    ],
)
def test_that_a_copy_has_a_name_of_its_own(name: str, taken: set[str], free: str) -> None:
    assert free_name(name, taken) == free
