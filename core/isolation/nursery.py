"""The one thread that starts, kills and joins measuring processes.

Two threads that start and join children at once read wrong exit codes, since every start also
collects the children that have ended. So all of it happens on this thread, for callers on any.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal, TypeVar

from core.isolation.child import READY, Targets, serve

StartMethod = Literal["forkserver", "spawn"]
T = TypeVar("T")

_LAST_WORDS_BYTES = 4096
_LAST_WORDS_LENGTH = 300
LOADED_LATE = ("torch.fx.experimental.symbolic_shapes", "torch._dynamo")
"""What torch loads at the first gradient, and at the first checkpoint, optimizer step or
forecast."""

_PATIENCE_S = 120.0
_NO_SERVER = (
    "The process that measuring processes are copied from has ended; starting the program again "
    "starts a new one."
)


class NotReady(RuntimeError):
    """A measuring process ended before it was ready; the message holds its last words."""


@dataclass(frozen=True)
class Child:
    """A measuring process. Only the nursery touches ``process``; others may wait for it to end."""

    process: BaseProcess
    connection: Connection
    log: Path
    pid: int
    sentinel: int


@dataclass(frozen=True)
class End:
    """How a measuring process ended.

    Attributes:
        exit_code: negative for the signal that ended it.
        last_words: the last line that it printed, empty if it printed nothing.
    """

    exit_code: int | None
    last_words: str


class Nursery:
    """Measuring processes, started the way that is fastest on this platform.

    Args:
        method: ``forkserver`` starts each process as a copy of one that has loaded the target;
            ``spawn`` starts it afresh, so that a spare one waits once ``warm_up`` was asked for.
        targets: what the processes call.
    """

    def __init__(self, method: StartMethod, targets: Targets) -> None:
        self._method = method
        self._targets = targets
        # Imports only: a preload that computes makes the copies hang. A module that cannot be
        # imported is passed over in silence, which `warm_up` reports.
        self._preload = [targets.run.partition(":")[0], serve.__module__]
        self._context = _context(method, self._preload)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nursery")
        self._taken: dict[int, Child] = {}
        self._lasting: dict[int, Child] = {}
        self._spare: Child | None = None
        self._keeps_spare = False

    def warm_up(self) -> Future[bool]:
        """Makes the next start a fast one; its result is true where copies find the target loaded.

        The result raises NotReady where the target cannot be loaded.
        """
        return self._thread.submit(self._warm_up)

    def take(self, *, lasting: bool = False) -> Future[Child]:
        """A process that is ready or about to be; the caller gives it back to ``end``.

        Args:
            lasting: it stays beside the runs, which do not wait for its end.
        """
        return self._thread.submit(self._take, lasting)

    def discard(self, taken: Future[Child]) -> None:
        """Ends a process that nobody waits for any more."""
        self._thread.submit(lambda: self._end(taken.result()))

    def kill(self, child: Child) -> None:
        """Ends the process at once; what it had sent can still be read."""
        self._do(lambda: _kill(child))

    def end(self, child: Child) -> End:
        """Ends the process if it has not ended by itself and frees what it held."""
        end = self._do(lambda: self._end(child))
        self._do(self._restock)
        return end

    def shut_down(self) -> None:
        """Ends every process and the thread. Nothing can be started afterwards."""
        self._do(self._end_all)
        self._thread.shutdown(wait=True)

    def _do(self, work: Callable[[], T]) -> T:
        try:
            waiting = self._thread.submit(work)
        except RuntimeError:
            # The thread has ended, here or with the interpreter, so it cannot disturb this one.
            return work()
        return waiting.result()

    def _warm_up(self) -> bool:
        if self._spare is not None:
            return True
        if isinstance(self._context, ForkServerContext):
            # Whoever warms up has the time that these take, and every run after it starts sooner.
            self._context.set_forkserver_preload([*self._preload, *LOADED_LATE])
        child = self._start()
        try:
            loaded = _was_loaded(child)
        except (EOFError, OSError):
            words = self._end(child).last_words
            raise NotReady(words or "the measuring process ended without a word") from None
        if self._method == "spawn":
            self._keeps_spare = True
            self._spare = child
        else:
            self._end(child)
        return loaded

    def _take(self, lasting: bool) -> Child:
        spare, self._spare = self._spare, None
        if spare is not None and not spare.process.is_alive():
            self._end(spare)
            spare = None
        child = self._start() if spare is None else spare
        (self._lasting if lasting else self._taken)[child.pid] = child
        return child

    def _restock(self) -> None:
        """A waiting process is started after a run, never beside one."""
        if self._keeps_spare and self._spare is None and not self._taken:
            self._spare = self._start()

    def _start(self) -> Child:
        descriptor, log = tempfile.mkstemp(prefix="hogui-", suffix=".log")
        os.close(descriptor)
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(
            target=serve, args=(theirs, log, self._targets), name="hogui-measure", daemon=True
        )
        try:
            process.start()
        except BaseException as error:
            ours.close()
            Path(log).unlink()
            if isinstance(error, EOFError | ConnectionError):
                raise NotReady(_NO_SERVER) from error
            raise
        finally:
            theirs.close()
        assert process.pid is not None
        return Child(process, ours, Path(log), process.pid, process.sentinel)

    def _end(self, child: Child) -> End:
        _kill(child)
        child.process.join()
        end = End(child.process.exitcode, _last_words(child.log))
        child.process.close()
        child.connection.close()
        child.log.unlink(missing_ok=True)
        self._taken.pop(child.pid, None)
        self._lasting.pop(child.pid, None)
        return end

    def _end_all(self) -> None:
        self._keeps_spare = False
        for child in (*self._taken.values(), *self._lasting.values()):
            _kill(child)
        spare, self._spare = self._spare, None
        if spare is not None:
            self._end(spare)


def _context(method: StartMethod, preload: list[str]) -> ForkServerContext | SpawnContext:
    if method == "spawn":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    return context


def _kill(child: Child) -> None:
    # Asked first, so that a process that took over the number of an ended one is left alone.
    if child.process.is_alive():
        if sys.platform != "win32":
            _kill_group(child.pid)
        child.process.kill()


def _kill_group(pid: int) -> None:
    """Ends what the process has started, such as a C++ compiler, where it leads a group."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)


def _was_loaded(child: Child) -> bool:
    """Waits until the process is ready; true where it had its target from the start.

    Raises:
        EOFError: it ended instead.
    """
    if not child.connection.poll(_PATIENCE_S):
        raise EOFError
    return child.connection.recv_bytes() == READY + b"1"


def _last_words(log: Path) -> str:
    """The last line of a log, shortened to what a sentence can hold."""
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - _LAST_WORDS_BYTES, 0))
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:_LAST_WORDS_LENGTH] if lines else ""
