"""A run in a process of its own: the same events as ``core.runner``, from a child process.

The child does nothing but measure, can be ended at any moment, and may die without taking the
caller with it. Everything here may be called from any thread.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from multiprocessing import connection as pipes
from pathlib import Path
from threading import Event as Flag
from typing import Final

import psutil

from core.isolation.child import (
    DEVICE_LIST,
    DEVICES,
    EVENTS,
    FAILURE,
    INVALID,
    PROBLEM_LIST,
    Job,
    Targets,
)
from core.isolation.crash import crash_sentence
from core.isolation.forecaster import Forecaster
from core.isolation.forecasters import Forecasters
from core.isolation.inspecting import PATIENCE_S, inspected
from core.isolation.nursery import Child, End, NotReady, Nursery, StartMethod
from core.isolation.samples import ProcessMemory
from core.isolation.side_by_side import timed_side_by_side
from core.measure.machine.driver_memory import DriverMemory
from core.partial import PartialRun, is_of_here, started_here
from core.results.device import Device
from core.results.events import Event, Finished, Started, decode
from core.results.forecast import Forecast
from core.results.inspection import Inspection
from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec

__all__ = [
    "Forecaster",
    "Forecasters",
    "Isolation",
    "NotReady",
    "forecaster",
    "forecasters",
    "inspect",
    "is_of_here",
    "query_devices",
    "ready",
    "run_isolated",
    "side_by_side",
    "warm_up",
]

POLL_S: Final = 0.033


class Isolation:
    """Runs in processes of their own.

    Args:
        method: how processes are started; by default what is fastest on this platform.
        run: ``module:function`` of the runner, which only the children import.
        devices: ``module:function`` that lists the devices.
        outlook: ``module:function`` that forecasts.
        inspect: ``module:function`` that looks at the user's own model.
        times: ``module:function`` that times several runs.
        driver_memory: follows a process, by its number, on devices with CUDA.
    """

    def __init__(
        self,
        method: StartMethod | None = None,
        run: str = Targets().run,
        devices: str = Targets().devices,
        outlook: str = Targets().outlook,
        inspect: str = Targets().inspect,
        times: str = Targets().times,
        driver_memory: Callable[[int], DriverMemory] = DriverMemory,
    ) -> None:
        fastest: StartMethod = "spawn" if sys.platform == "win32" else "forkserver"
        self._nursery = Nursery(method or fastest, Targets(run, devices, outlook, inspect, times))
        self._driver_memory = driver_memory
        self._warming: Future[bool] | None = None

    def warm_up(self) -> Future[bool]:
        """Starts what later runs start from, in the background; returns at once.

        The result comes after about the time that torch takes to load. It is false where processes
        do not find the runner loaded, and raises NotReady where the runner cannot be loaded.
        """
        self._warming = self._nursery.warm_up()
        return self._warming

    def ready(self) -> bool:
        """True once a run starts within milliseconds."""
        warming = self._warming
        return warming is not None and warming.done() and warming.exception() is None

    def run(
        self,
        spec: RunSpec,
        *,
        run_id: str | None = None,
        force: bool = False,
        save_tensors: Path | None = None,
        forecast: Forecast | None = None,
        cancelled: Flag | None = None,
    ) -> Iterator[Event]:
        """The events of a run; the last one is Finished, whatever happens.

        Args:
            spec: what to measure.
            run_id: name of the run, by default a new one.
            force: runs what would be refused as too large.
            save_tensors: where the .npz with parameters, data and result goes.
            forecast: of this spec, where there is one already.
            cancelled: once set, the process is killed and the run ends as cancelled, with what it
                had measured. Closing the iterator kills the process too.

        Raises:
            InvalidSpec: the runner refuses the spec.
        """
        started = started_here(run_id or uuid.uuid4().hex[:12], spec)
        job = Job(
            kind="run",
            spec=spec,
            run_id=started.run_id,
            force=force,
            save_tensors=None if save_tensors is None else save_tensors.absolute(),
            forecast=forecast,
        )
        run = _Run(self._nursery, started, job, cancelled or Flag(), self._driver_memory)
        return run.events()

    def query_devices(self) -> tuple[Device, ...]:
        """The devices of this machine, asked in a child process.

        Raises:
            NotReady: no answer; the message says why.
        """
        child = self._nursery.take().result()
        answer = b""
        try:
            child.connection.send_bytes(Job(kind="devices").model_dump_json().encode())
            while answer[:1] not in (DEVICES, FAILURE):
                answer = child.connection.recv_bytes()
        except (EOFError, OSError):
            words = self._nursery.end(child).last_words
            raise NotReady(words or "the process that lists the devices died") from None
        self._nursery.end(child)
        if answer[:1] == FAILURE:
            raise NotReady(answer[1:].decode())
        return DEVICE_LIST.validate_json(answer[1:])

    def inspect(
        self, spec: RunSpec, cancelled: Flag | None = None, patience_s: float = PATIENCE_S
    ) -> Inspection | None:
        """What the file of the user's own model defines, in a process that then ends.

        Args:
            spec: with a model of the user's own.
            cancelled: once set, the process is killed.
            patience_s: so long may it take, once its process is there.

        Returns:
            Also what is wrong with the file, in a sentence; None where it was cancelled.
        """
        return inspected(self._nursery, spec, cancelled or Flag(), patience_s)

    def forecaster(self) -> Forecaster:
        """A process of its own that forecasts; it starts with the first question."""
        return Forecaster(self._nursery)

    def forecasters(self, count: int | None = None) -> Forecasters:
        """Several such processes, which answer many questions side by side.

        Args:
            count: how many; by default one for each core, and four at most.
        """
        return Forecasters(self._nursery, count)

    def side_by_side(
        self, specs: Sequence[RunSpec], cancelled: Flag | None = None
    ) -> tuple[float | None, ...]:
        """Seconds of a repetition of each of several runs, which take turns for a few seconds.

        Args:
            specs: runs without problems.
            cancelled: once set, the process is killed.

        Returns:
            None for what could not be measured.

        Raises:
            InvalidSpec: this machine cannot run one of them.
        """
        return timed_side_by_side(self._nursery, specs, cancelled or Flag())

    def shut_down(self) -> None:
        """Ends the processes that wait. Nothing can be started afterwards."""
        self._nursery.shut_down()


class _Run:
    """One run in one process, seen from outside."""

    def __init__(
        self,
        nursery: Nursery,
        started: Started,
        job: Job,
        cancelled: Flag,
        driver_memory: Callable[[int], DriverMemory],
    ) -> None:
        self._nursery = nursery
        self._driver_memory = driver_memory
        self._cancelled = cancelled
        self._job = job
        self._partial = PartialRun(started)
        self._spoken = False
        self._finished: Finished | None = None

    def events(self) -> Iterator[Event]:
        try:
            child = self._child()
        except OSError as error:
            yield self._partial.started
            yield self._partial.end(Outcome.CRASHED, f"It could not be started: {error}.")
            return
        if child is None:
            yield self._partial.started
            yield self._partial.end(Outcome.CANCELLED)
            return
        end: End | None = None
        memory = ProcessMemory(child.pid, self._driver_memory)
        try:
            yield from self._listen(child, memory)
            self._nursery.kill(child)
            yield from self._remaining(child)
            end = self._nursery.end(child)
        finally:
            warnings = tuple(memory.end())
            if end is None:
                self._nursery.end(child)
        if not self._spoken:
            yield self._partial.started
        yield from self._seen(warnings)
        yield self._last(end)

    def _child(self) -> Child | None:
        """A process, or None where the run was cancelled before there was one."""
        taken = self._nursery.take()
        while not wait([taken], POLL_S).done:
            if self._cancelled.is_set():
                self._nursery.discard(taken)
                return None
        return taken.result()

    def _listen(self, child: Child, memory: ProcessMemory) -> Iterator[Event]:
        """Events and samples as they come, until the run is over, cancelled or dead."""
        try:
            child.connection.send_bytes(self._job.model_dump_json().encode())
        except OSError:
            return
        while self._finished is None and not self._cancelled.is_set():
            patience = min(POLL_S, memory.wait_s)
            heard = pipes.wait([child.connection, child.sentinel], patience)
            if child.connection in heard:
                try:
                    yield from self._received(child.connection.recv_bytes())
                except (EOFError, OSError):
                    return
            elif heard:
                return
            if self._spoken:
                yield from self._seen(memory.samples(self._partial.started))

    def _remaining(self, child: Child) -> Iterator[Event]:
        """What a process had sent before it ended."""
        try:
            while self._finished is None and child.connection.poll():
                yield from self._received(child.connection.recv_bytes())
        except (EOFError, OSError):
            return

    def _received(self, message: bytes) -> Iterator[Event]:
        kind, body = message[:1], message[1:]
        if kind == INVALID:
            raise InvalidSpec(PROBLEM_LIST.validate_json(body))
        if kind != EVENTS:
            return
        for line in body.split(b"\n"):
            event = decode(line)
            if isinstance(event, Finished):
                self._finished = event
                return
            self._spoken = True
            yield from self._seen((event,))

    def _seen(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self._partial.add(event)
            yield event

    def _last(self, end: End) -> Finished:
        if self._finished is not None:
            return self._partial.complete(self._finished)
        if self._cancelled.is_set():
            return self._partial.end(Outcome.CANCELLED)
        return self._partial.end(
            Outcome.CRASHED,
            crash_sentence(
                end, self._partial.resident_peak_bytes or 0, psutil.virtual_memory().total
            ),
        )


_here: Final = Isolation()
run_isolated = _here.run
warm_up = _here.warm_up
ready = _here.ready
query_devices = _here.query_devices
forecaster = _here.forecaster
forecasters = _here.forecasters
inspect = _here.inspect
side_by_side = _here.side_by_side
