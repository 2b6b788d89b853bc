"""Several runs timed side by side in a process that does nothing else and then ends."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import wait
from multiprocessing import connection as pipes
from threading import Event as Flag
from typing import Final

from core.isolation.child import INVALID, PROBLEM_LIST, SECONDS, SECONDS_LIST, Job
from core.isolation.nursery import Child, NotReady, Nursery
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec

POLL_S: Final = 0.033


def timed_side_by_side(
    nursery: Nursery, specs: Sequence[RunSpec], cancelled: Flag
) -> tuple[float | None, ...]:
    """Seconds of a repetition of each, None for what could not be measured.

    Args:
        nursery: where the process comes from.
        specs: runs without problems.
        cancelled: once set, the process is killed, and nothing is known.

    Raises:
        InvalidSpec: this machine cannot run one of them.
    """
    unknown = (None,) * len(specs)
    taken = nursery.take()
    while not wait([taken], POLL_S).done:
        if cancelled.is_set():
            nursery.discard(taken)
            return unknown
    try:
        child = taken.result()
    except (NotReady, OSError):
        return unknown
    try:
        answer = _answer(child, Job(kind="times", specs=tuple(specs)), cancelled)
    finally:
        nursery.end(child)
    if answer[:1] == INVALID:
        raise InvalidSpec(PROBLEM_LIST.validate_json(answer[1:]))
    return SECONDS_LIST.validate_json(answer[1:]) if answer[:1] == SECONDS else unknown


def _answer(child: Child, job: Job, cancelled: Flag) -> bytes:
    """What the process says, nothing where it died or was cancelled."""
    try:
        child.connection.send_bytes(job.model_dump_json().encode())
        while not cancelled.is_set():
            heard = pipes.wait([child.connection, child.sentinel], POLL_S)
            if child.connection in heard:
                message = child.connection.recv_bytes()
                if message[:1] in (SECONDS, INVALID):
                    return message
            elif heard:
                return b""
    except (EOFError, OSError):
        pass
    return b""
