"""A run in a process of its own: what arrives, what is kept when it dies, what is left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.isolation import Isolation, NotReady
from core.isolation.crash import crash_sentence
from core.isolation.nursery import End, StartMethod
from core.results.events import Event, Finished, MemorySamples, ResidentSample, Warned
from core.results.forecast import Forecast
from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.presets import preset
from core.spec.run import RunSpec
from tests.fake_core import FakeCore

ROOT = Path(__file__).resolve().parents[2]
TARGETS = "tests.core.measuring_targets"
SPEC = preset("lecture-second-order").spec
METHODS = [
    name for name in ("forkserver", "spawn") if name in multiprocessing.get_all_start_methods()
]
FASTEST: StartMethod = "forkserver" if "forkserver" in METHODS else "spawn"

Make = Callable[..., Isolation]


@pytest.fixture
def isolated() -> Iterator[Make]:
    """Makes an Isolation whose children run a function of the targets."""
    made: list[Isolation] = []

    def make(run: str, method: StartMethod = FASTEST, devices: str = "devices") -> Isolation:
        made.append(Isolation(method, f"{TARGETS}:{run}", f"{TARGETS}:{devices}"))
        return made[-1]

    yield make
    for isolation in made:
        isolation.shut_down()


def named(name: str) -> RunSpec:
    return SPEC.model_copy(update={"name": name})


def finished(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1
    return events[-1]


def gone(pid: int, patience_s: float) -> bool:
    """Waits until no process has this number."""
    end_s = time.perf_counter() + patience_s
    while time.perf_counter() < end_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("method", METHODS)
def test_that_a_child_gives_the_events_that_the_runner_gives(
    isolated: Make, method: StartMethod
) -> None:
    events = list(isolated("finishes", method).run(SPEC, run_id="abc"))
    expected = list(FakeCore().run(SPEC, run_id="abc"))
    own = [event for event in events if not isinstance(event, ResidentSample)]
    theirs = [event for event in expected if not isinstance(event, ResidentSample)]
    # The first holds the clock; the last is compared below.
    assert own[1:-1] == theirs[1:-1]
    result, other = finished(events).result, finished(expected).result
    assert result.memory is not None
    assert other.memory is not None
    assert result.memory.by_category == other.memory.by_category
    assert (result.time, result.phases, result.layers) == (other.time, other.phases, other.layers)


def test_that_resident_memory_is_sampled_from_outside_into_curve_and_result(isolated: Make) -> None:
    events = list(isolated("finishes").run(SPEC))
    end = finished(events)
    # The made-up core sends samples of its own, of at least 200 MiB.
    outside = [
        event for event in events if isinstance(event, ResidentSample) and event.total_bytes < 200e6
    ]
    assert len(outside) >= 2
    assert all(event.total_bytes > 5e6 for event in outside)
    assert {event.t_s for event in outside} <= set(end.timeline.resident.t_s)
    assert end.result.memory is not None
    assert end.result.memory.process_peak_bytes == max(end.timeline.resident.total_bytes)


def test_that_the_options_of_a_run_reach_the_child(isolated: Make, tmp_path: Path) -> None:
    file = tmp_path / "tensors"
    forecast = Forecast(peak_bytes=123, exact=True, seconds=None)
    list(isolated("finishes").run(SPEC, force=True, save_tensors=file, forecast=forecast))
    assert file.read_text() == "forced: True, forecast: 123"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_that_a_killed_child_is_a_crashed_run_that_keeps_what_it_had_measured(
    isolated: Make,
) -> None:
    isolation = isolated("crashes_when_asked")
    events = list(isolation.run(named("segfault")))
    result = finished(events).result
    assert result.outcome is Outcome.CRASHED
    assert "SIGSEGV" in (result.error or "")
    assert result.time is not None
    assert len(result.time.samples_s) == 3
    assert result.memory is not None
    points = sum(len(event.t_s) for event in events if isinstance(event, MemorySamples))
    assert len(finished(events).timeline.t_s) == points > 0
    assert finished(list(isolation.run(named("finish")))).result.outcome is Outcome.FINISHED


def test_that_an_exit_status_is_named(isolated: Make) -> None:
    result = finished(list(isolated("by_name").run(named("exit")))).result
    assert (result.outcome, result.error) == (Outcome.CRASHED, "It ended with exit status 7.")


def test_that_the_last_words_of_a_child_are_the_reason_of_its_crash(isolated: Make) -> None:
    result = finished(list(isolated("by_name").run(named("raise")))).result
    assert result.outcome is Outcome.CRASHED
    assert result.error == (
        "It ended with exit status 1. Its last words: ArithmeticError: the runner itself is broken"
    )


def test_that_a_child_that_ends_without_a_result_is_a_crash(isolated: Make) -> None:
    result = finished(list(isolated("by_name").run(named("silence")))).result
    assert (result.outcome, result.error) == (Outcome.CRASHED, "It ended without a result.")


def test_that_a_child_that_cannot_load_its_runner_is_a_crash_with_the_reason() -> None:
    isolation = Isolation(FASTEST, "tests.core.no_such_module:run")
    first, last = isolation.run(SPEC)
    isolation.shut_down()
    assert first.type == "started"
    assert isinstance(last, Finished)
    assert "No module named 'tests.core.no_such_module'" in (last.result.error or "")


def test_that_warming_up_says_that_a_runner_cannot_be_loaded() -> None:
    isolation = Isolation(FASTEST, "tests.core.no_such_module:run")
    with pytest.raises(NotReady, match="no_such_module"):
        isolation.warm_up().result()
    assert not isolation.ready()
    isolation.shut_down()


def test_that_a_kill_is_put_down_to_memory_only_where_the_process_held_most_of_it() -> None:
    killed = End(exit_code=-9, last_words="")
    assert "Memory may have run out" in crash_sentence(killed, 9 << 30, 10 << 30)
    assert "emory" not in crash_sentence(killed, 1 << 30, 10 << 30)


def test_that_cancelling_ends_a_ten_second_step_within_a_second(isolated: Make) -> None:
    cancelled = threading.Event()
    cancelled_s = 0.0
    events = []
    for event in isolated("by_name").run(named("long step"), cancelled=cancelled):
        events.append(event)
        if isinstance(event, ResidentSample) and event.t_s > 0.5 and not cancelled.is_set():
            cancelled_s = time.perf_counter()
            cancelled.set()
    took_s = time.perf_counter() - cancelled_s
    result = finished(events).result
    assert result.outcome is Outcome.CANCELLED
    assert result.time is not None
    assert len(result.time.samples_s) == 3
    assert took_s < 1.0


def test_that_the_run_after_a_cancelled_one_works(isolated: Make) -> None:
    isolation = isolated("crashes_when_asked")
    cancelled = threading.Event()
    cancelled.set()
    events = list(isolation.run(named("long step"), cancelled=cancelled))
    assert finished(events).result.outcome is Outcome.CANCELLED
    assert finished(list(isolation.run(named("finish")))).result.outcome is Outcome.FINISHED


@pytest.mark.parametrize("method", METHODS)
def test_that_closing_the_iterator_ends_the_child(isolated: Make, method: StartMethod) -> None:
    events = isolated("tells_its_pid", method).run(SPEC)
    pid = next(int(event.sentence) for event in events if isinstance(event, Warned))
    assert psutil.pid_exists(pid)
    events.close()
    assert gone(pid, 5.0)


@pytest.mark.skipif(sys.platform == "win32", reason="processes have no groups there")
def test_that_what_a_child_has_started_ends_with_it(isolated: Make) -> None:
    events = isolated("starts_another").run(SPEC)
    pid = next(int(event.sentence) for event in events if isinstance(event, Warned))
    assert psutil.pid_exists(pid)
    events.close()
    assert gone(pid, 5.0)


def test_that_a_refused_spec_is_refused_on_this_side(isolated: Make) -> None:
    with pytest.raises(InvalidSpec, match="device: tpu was given"):
        list(isolated("refuses").run(SPEC))


def test_that_what_libraries_print_does_not_reach_the_terminal(
    isolated: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    list(isolated("chatters").run(SPEC))
    assert "chatter" not in "".join(capfd.readouterr())


def test_that_the_devices_are_asked_for_in_a_child(isolated: Make) -> None:
    (device,) = isolated("finishes").query_devices()
    assert device.title == "Fake processor"


def test_that_a_driver_that_raises_is_a_sentence(isolated: Make) -> None:
    with pytest.raises(NotReady, match="the driver is too old"):
        isolated("finishes", devices="no_devices").query_devices()


@pytest.mark.parametrize("method", METHODS)
def test_that_many_runs_leave_no_process_no_file_and_no_descriptor(
    isolated: Make, method: StartMethod, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    isolation = isolated("crashes_when_asked", method)
    here = psutil.Process()

    def run_one(name: str) -> None:
        events = isolation.run(named(name))
        if name == "closed":
            next(events)
            events.close()
        else:
            finished(list(events))

    run_one("finish")
    children, descriptors = len(here.children(recursive=True)), here.num_fds()
    for _ in range(4 if method == "spawn" else 12):
        for name in ("finish", "exit"):
            run_one(name)
    assert len(here.children(recursive=True)) == children
    assert here.num_fds() == descriptors
    assert list(tmp_path.iterdir()) == []


def test_that_runs_started_from_several_threads_read_their_own_exit_codes(isolated: Make) -> None:
    isolation = isolated("crashes_when_asked")
    ends: list[tuple[str, Outcome]] = []

    def run_some(name: str) -> None:
        for _ in range(8):
            ends.append((name, finished(list(isolation.run(named(name)))).result.outcome))

    threads = [threading.Thread(target=run_some, args=(name,)) for name in ("finish", "exit")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == [("exit", Outcome.CRASHED)] * 8 + [("finish", Outcome.FINISHED)] * 8


def test_that_a_spare_process_waits_after_a_spawned_run_and_never_beside_one(
    isolated: Make,
) -> None:
    isolation = isolated("finishes", "spawn")
    isolation.warm_up().result()
    assert isolation.ready()
    waiting = _measuring_children()
    assert len(waiting) == 1
    events = isolation.run(SPEC)
    next(events)
    assert _measuring_children() == waiting
    list(events)
    # A process that was just started has its command line a moment later.
    _until(lambda: len(_measuring_children()) == 1)
    assert _measuring_children().isdisjoint(waiting)
    isolation.shut_down()
    assert _measuring_children() == set()


def _until(true: Callable[[], bool], patience_s: float = 30.0) -> None:
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def _measuring_children() -> set[int]:
    """Of the spawned kind; seen from outside, since asking multiprocessing collects them."""
    children = psutil.Process().children()
    return {child.pid for child in children if "--multiprocessing-fork" in child.cmdline()}


def test_that_shutting_down_ends_a_run_that_is_under_way(isolated: Make) -> None:
    isolation = isolated("tells_its_pid")
    events = isolation.run(SPEC)
    next(events)
    isolation.shut_down()
    assert finished(list(events)).result.outcome is Outcome.CRASHED


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("method", METHODS)
def test_that_a_child_ends_when_its_parent_is_killed(method: str, tmp_path: Path) -> None:
    code = f"""
from core.isolation import Isolation
from core.spec.presets import preset
spec = preset("lecture-second-order").spec
for event in Isolation({method!r}, "{TARGETS}:tells_its_pid").run(spec):
    if event.type == "warned":
        print(event.sentence, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        assert len(list(tmp_path.glob("hogui-*.log"))) == 1
        os.kill(parent.pid, signal.SIGKILL)
        assert gone(pid, 3.0)
    assert list(tmp_path.glob("hogui-*.log")) == []


def test_that_a_child_of_the_program_loads_no_qt_and_finds_the_runner_loaded(
    tmp_path: Path,
) -> None:
    """Starts as the console script does: what the main module imports, children import too."""
    script = tmp_path / "hogui"
    script.write_text(
        "from hogui.__main__ import main\n"
        "if __name__ == '__main__':\n"
        "    from core.isolation import Isolation, warm_up\n"
        "    from core.spec.presets import preset\n"
        "    print(warm_up().result())\n"
        f"    isolation = Isolation(run='{TARGETS}:tells_its_modules')\n"
        "    for event in isolation.run(preset('lecture-second-order').spec):\n"
        "        if event.type == 'warned':\n"
        "            print(event.sentence)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    warm, modules = done.stdout.splitlines()
    assert warm == "True"
    assert "torch" in modules.split()
    assert {"PySide6", "shiboken6", "pyqtgraph", "typer"}.isdisjoint(modules.split())


def test_that_a_fork_server_that_has_died_is_a_sentence(isolated: Make, monkeypatch) -> None:
    """Starting a process from it ends in a bare EOFError."""
    isolation = isolated("finishes")

    def start(_: object) -> None:
        raise EOFError("unexpected EOF")

    process = multiprocessing.get_context(FASTEST).Process
    monkeypatch.setattr(process, "start", start)
    with pytest.raises(NotReady, match="starting the program again"):
        list(isolation.run(SPEC))
