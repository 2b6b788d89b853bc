"""What measuring processes are told to run in the tests of isolation, by ``module:function``."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

from core.results.device import Device
from core.results.events import Event, Finished, Repetition, StageStarted, Started, Warned
from core.results.forecast import Forecast
from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec
from tests.fake_core import DEVICES, FakeCore


def finishes(
    spec: RunSpec,
    *,
    run_id: str,
    force: bool,
    save_tensors: Path | None,
    forecast: Forecast | None,
) -> Any:
    if save_tensors is not None:
        peak = None if forecast is None else forecast.peak_bytes
        save_tensors.write_text(f"forced: {force}, forecast: {peak}")
    return FakeCore(pause_s=0.005).run(spec, run_id=run_id)


def finishes_on_cuda(spec: RunSpec, **options: Any) -> Iterator[Event]:
    """Says that it computes on a device with CUDA."""
    started, *rest = finishes(spec, **options)
    assert isinstance(started, Started)
    environment = started.environment.model_copy(update={"device": "cuda:1"})
    yield started.model_copy(update={"environment": environment, "clock_s": time.perf_counter()})
    time.sleep(0.2)  # long enough for several samples
    yield from rest


def by_name(spec: RunSpec, **options: Any) -> Iterator[Event]:
    """What the spec's name says, after three timed repetitions."""
    end = {
        "segfault": lambda: ctypes.string_at(0),
        "exit": lambda: os._exit(7),
        "raise": _raise,
        "long step": _ten_seconds_without_a_pause,
        "silence": lambda: None,
    }[spec.name]
    yield from _until_third_repetition(FakeCore().run(spec, run_id=options["run_id"]))
    end()


def _until_third_repetition(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Finished):
            return
        yield event
        if isinstance(event, Repetition) and not event.warm_up and event.index == 2:
            # The child holds a repetition back for a frame; a stage goes out with it.
            yield StageStarted(stage="time", t_s=event.t_s)
            return


def _raise() -> None:
    print("some library's chatter")
    raise ArithmeticError("the runner itself is broken")


def _ten_seconds_without_a_pause() -> None:
    """Never gives the interpreter lock back, like one long operation that holds it."""
    sum(repeat(1, 2_000_000_000))


def crashes_when_asked(spec: RunSpec, **options: Any) -> Iterator[Event]:
    if spec.name == "finish":
        return FakeCore().run(spec, run_id=options["run_id"])
    return by_name(spec, **options)


def refuses(spec: RunSpec, **options: Any) -> Iterator[Event]:
    raise InvalidSpec([Problem(("device",), "device: tpu was given; allowed here: auto, cpu.")])


def chatters(spec: RunSpec, **options: Any) -> Iterator[Event]:
    print("chatter on stdout", flush=True)
    os.write(2, b"chatter of a library in C\n")
    return FakeCore().run(spec, run_id=options["run_id"])


def tells_its_modules(spec: RunSpec, **options: Any) -> Iterator[Event]:
    *events, finished = FakeCore().run(spec, run_id=options["run_id"])
    yield from events
    yield Warned(sentence=" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
    yield finished


def tells_its_pid(spec: RunSpec, **options: Any) -> Iterator[Event]:
    started, *_ = FakeCore().run(spec, run_id=options["run_id"])
    yield started
    yield Warned(sentence=str(os.getpid()))
    time.sleep(30.0)  # gives the interpreter lock back, as torch's operations do


def starts_another(spec: RunSpec, **options: Any) -> Iterator[Event]:
    """As a compiler is started: by a process that waits for it."""
    started, *_ = FakeCore().run(spec, run_id=options["run_id"])
    yield started
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield Warned(sentence=str(other.pid))
    other.wait()


def devices() -> tuple[Device, ...]:
    return DEVICES


def no_devices() -> tuple[Device, ...]:
    raise RuntimeError("the driver is too old")
