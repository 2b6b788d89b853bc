"""Two configurations that take turns, in a process of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Final

import psutil

from core.cli.refusal import Refused
from core.isolation.child import PROBLEM_LIST
from core.isolation.crash import crash_sentence
from core.isolation.nursery import End
from core.results.interleaved import INTERLEAVED_EVENT, InterleavedEvent
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec

_TARGET: Final = "core.measure.timing.interleaved"
"""Imported by name, since only the child loads torch."""
_EVENT, _INVALID, _FAILED = b"E", b"I", b"F"


def take_turns(a: RunSpec, b: RunSpec, budget_s: float) -> Iterator[InterleavedEvent]:
    """The events of two specs that take turns in a child process.

    Closing the iterator ends the process.

    Raises:
        Refused: a spec cannot run on this machine, or did not get to its end.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=serve, args=(theirs, a.to_json(), b.to_json(), budget_s), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield from _events(ours)
        process.join()
        if process.exitcode:
            end = End(process.exitcode, "")
            raise Refused(crash_sentence(end, 0, psutil.virtual_memory().total), status=1)
    finally:
        process.kill()
        process.join()
        ours.close()


def _events(connection: Connection) -> Iterator[InterleavedEvent]:
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        kind, body = message[:1], message[1:]
        if kind == _INVALID:
            raise Refused(*(found.sentence for found in PROBLEM_LIST.validate_json(body)))
        if kind == _FAILED:
            raise Refused(body.decode(), status=1)
        yield INTERLEAVED_EVENT.validate_json(body)


def serve(connection: Connection, a: str, b: str, budget_s: float) -> None:
    """Body of the child process."""
    # Ctrl-C in a terminal reaches every process of the group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    interleaved: Callable[[RunSpec, RunSpec, float], Iterator[InterleavedEvent]]
    try:
        interleaved = import_module(_TARGET).interleaved
        for event in interleaved(RunSpec.from_json(a), RunSpec.from_json(b), budget_s):
            connection.send_bytes(_EVENT + INTERLEAVED_EVENT.dump_json(event))
    except InvalidSpec as error:
        connection.send_bytes(_INVALID + PROBLEM_LIST.dump_json(error.problems))
    except BrokenPipeError:
        pass
    except Exception as error:  # whatever an operation raises becomes one sentence for the user
        lines = str(error).strip().splitlines() or [type(error).__name__]
        connection.send_bytes(_FAILED + f"It could not be measured: {lines[0]}".encode())
