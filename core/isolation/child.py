"""The measuring process: waits for one job, does it, tells what happens, ends.

Imports nothing heavy itself; what it measures with is named by the job's target and imported
before it says that it is ready.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Thread
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter

from core.results.device import Device
from core.results.events import Event, Repetition, encode
from core.results.forecast import DeviceMemory, Forecast, Outlook
from core.results.memory_timeline import MemoryTimeline
from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec

READY, EVENTS, INVALID, DEVICES = b"R", b"E", b"I", b"D"
OUTLOOK, INSPECTION, SECONDS, FAILURE = b"O", b"N", b"S", b"F"
"""First byte of a message. READY: what follows is b"1" where the target was loaded beforehand."""

DEVICE_LIST: TypeAdapter[tuple[Device, ...]] = TypeAdapter(tuple[Device, ...])
SECONDS_LIST: TypeAdapter[tuple[float | None, ...]] = TypeAdapter(tuple[float | None, ...])
PROBLEM_LIST: TypeAdapter[tuple[Problem, ...]] = TypeAdapter(tuple[Problem, ...])

HOLD_S = 0.016
"""Repetitions that follow each other faster than this travel together."""


class Job(BaseModel):
    """What a measuring process is asked to do, once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["run", "devices", "outlooks", "inspect", "times"]
    spec: RunSpec | None = None
    specs: tuple[RunSpec, ...] = ()
    run_id: str | None = None
    force: bool = False
    save_tensors: Path | None = None
    forecast: Forecast | None = None


class Question(BaseModel):
    """What a process that was asked for outlooks is told, any number of times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: RunSpec
    on: DeviceMemory | None = None
    learn_s: float | None = None
    loads_files: bool = False
    brief: bool = False


class Targets(NamedTuple):
    """What measuring processes call, as ``module:function``; they alone import it.

    Attributes:
        run: yields the events of a spec.
        devices: lists the devices.
        outlook: says what is known of a spec before it runs.
        inspect: says what the user's own model is like.
        times: how long several specs take.
    """

    run: str = "core.runner:run"
    devices: str = "core.measure.machine.devices:devices"
    outlook: str = "core.outlook:outlook"
    inspect: str = "core.outlook:inspect"
    times: str = "core.measure.timing.side_by_side:side_by_side"


def serve(connection: Connection, log: str, targets: Targets) -> None:
    """Body of the measuring process.

    Args:
        connection: where the job comes from and the messages go.
        log: file that takes everything that libraries print.
        targets: what it calls.
    """
    # Ctrl-C in a terminal reaches every process of the group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        # A group of its own, so that what it starts, such as a compiler, can be ended with it.
        os.setpgid(0, 0)
    _redirect_output(log)
    Thread(target=_end_with_parent, args=(log,), name="end-with-parent", daemon=True).start()
    try:
        loaded = targets.run.partition(":")[0] in sys.modules
        measure = _find(targets.run)
        connection.send_bytes(READY + (b"1" if loaded else b"0"))
        job = Job.model_validate_json(connection.recv_bytes())
        if job.kind == "run":
            _run(job, measure, connection)
        elif job.kind == "devices":
            _list_devices(_find(targets.devices), connection)
        elif job.kind == "times":
            _time(job, _find(targets.times), connection)
        elif job.kind == "inspect":
            found = _find(targets.inspect)(job.spec)
            connection.send_bytes(INSPECTION + found.model_dump_json().encode())
        else:
            _answer(_find(targets.outlook), connection)
        status = 0
    except (EOFError, BrokenPipeError):
        status = 0
    except BaseException:
        # First what libraries printed: the last words are the reason of a crash.
        sys.stdout.flush()
        traceback.print_exc()
        status = 1
    # Taking torch down in good order takes longer than some runs.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _redirect_output(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _end_with_parent(log: str) -> None:
    """A killed parent cannot end its children, so they watch it (between or, where these give the
    interpreter lock back, during operations)."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        # Windows does not delete what is open, and nobody is left to do it there.
        with suppress(OSError):
            os.unlink(log)
        os._exit(1)


def _find(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def _run(job: Job, measure: Callable[..., Iterator[Event]], connection: Connection) -> None:
    try:
        events = measure(
            job.spec,
            run_id=job.run_id,
            force=job.force,
            save_tensors=job.save_tensors,
            forecast=job.forecast,
        )
        _send(events, connection)
    except InvalidSpec as error:
        connection.send_bytes(INVALID + PROBLEM_LIST.dump_json(error.problems))


def _send(events: Iterator[Event], connection: Connection) -> None:
    """Sends each event at once, except repetitions that follow each other within a frame.

    Nothing else is held back: it would stay unseen while a long step runs.
    """
    held: list[bytes] = []
    sent_s = 0.0
    for event in events:
        held.append(encode(event))
        now = time.perf_counter()
        if not isinstance(event, Repetition) or now - sent_s > HOLD_S:
            connection.send_bytes(EVENTS + b"\n".join(held))
            held.clear()
            sent_s = now
    if held:
        connection.send_bytes(EVENTS + b"\n".join(held))


def _time(job: Job, times: Callable[..., tuple[float | None, ...]], connection: Connection) -> None:
    try:
        connection.send_bytes(SECONDS + SECONDS_LIST.dump_json(times(job.specs)))
    except InvalidSpec as error:
        connection.send_bytes(INVALID + PROBLEM_LIST.dump_json(error.problems))


def _list_devices(devices: Callable[[], tuple[Device, ...]], connection: Connection) -> None:
    try:
        found = DEVICE_LIST.dump_json(devices())
    except Exception as error:  # whatever a driver raises becomes one sentence for the user
        connection.send_bytes(FAILURE + f"{type(error).__name__}: {error}".encode())
        return
    connection.send_bytes(DEVICES + found)


def _answer(outlook: Callable[..., Outlook], connection: Connection) -> None:
    """Answers questions until nobody asks any more."""
    while True:
        question = Question.model_validate_json(connection.recv_bytes())
        unusual: dict[str, Any] = {}
        if question.learn_s is not None:
            unusual["learn_s"] = question.learn_s
        if question.loads_files:
            unusual["loads_files"] = True
        try:
            known = outlook(question.spec, question.on, **unusual)
            if question.brief:
                known = known.model_copy(update={"timeline": MemoryTimeline()})
        except InvalidSpec as error:
            connection.send_bytes(INVALID + PROBLEM_LIST.dump_json(error.problems))
        except Exception as error:  # an odd spec must not end the process that others wait for
            connection.send_bytes(FAILURE + f"{type(error).__name__}: {error}".encode())
        else:
            connection.send_bytes(OUTLOOK + known.model_dump_json().encode())
