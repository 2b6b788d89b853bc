"""A look at the user's own model in a process that does nothing else and then ends."""

from __future__ import annotations

import time
from concurrent.futures import wait
from multiprocessing import connection as pipes
from threading import Event as Flag
from typing import Final

import psutil

from core.isolation.child import INSPECTION, Job
from core.isolation.crash import crash_sentence
from core.isolation.nursery import Child, NotReady, Nursery
from core.results.inspection import Inspection
from core.spec.run import RunSpec

POLL_S: Final = 0.033
PATIENCE_S: Final = 60.0


def inspected(
    nursery: Nursery, spec: RunSpec, cancelled: Flag, patience_s: float
) -> Inspection | None:
    """What the file of a spec defines; whatever it does, there is an answer.

    Args:
        nursery: where the process comes from.
        spec: with a model of the user's own.
        cancelled: once set, the process is killed.
        patience_s: so long may it take, once the process is there.

    Returns:
        None where it was cancelled.
    """
    taken = nursery.take()
    while not wait([taken], POLL_S).done:
        if cancelled.is_set():
            nursery.discard(taken)
            return None
    try:
        child = taken.result()
    except (NotReady, OSError) as error:
        return Inspection(fault=f"The file was not loaded: {error}.")
    end_s = time.monotonic() + patience_s
    answer = _answer(child, spec, cancelled, end_s)
    end = nursery.end(child)
    if answer is not None:
        return Inspection.model_validate_json(answer)
    if cancelled.is_set():
        return None
    if time.monotonic() > end_s:
        return Inspection(fault=f"Loading the file has not come to an end after {patience_s:g} s.")
    why = crash_sentence(end, 0, psutil.virtual_memory().total)
    return Inspection(fault=f"The file ended the process that loaded it. {why}")


def _answer(child: Child, spec: RunSpec, cancelled: Flag, end_s: float) -> bytes | None:
    """What the process says, None where it says nothing."""
    try:
        child.connection.send_bytes(Job(kind="inspect", spec=spec).model_dump_json().encode())
        while not cancelled.is_set() and time.monotonic() < end_s:
            if child.connection.poll(POLL_S):
                message = child.connection.recv_bytes()
                if message[:1] == INSPECTION:
                    return message[1:]
            elif pipes.wait([child.sentinel], 0) and not child.connection.poll():
                return None
    except (EOFError, OSError):
        return None
    return None
