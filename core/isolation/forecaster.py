"""Forecasts from a warm process that answers one question after the other."""

from __future__ import annotations

from threading import Lock

from core.isolation.child import (
    FAILURE,
    INVALID,
    OUTLOOK,
    PROBLEM_LIST,
    READY,
    Job,
    Question,
)
from core.isolation.nursery import Child, NotReady, Nursery
from core.results.forecast import DeviceMemory, Outlook
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec


class Forecaster:
    """A process that says what a run will cost. May be used from any thread.

    A process that died is replaced when the next question comes.
    """

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._child: Child | None = None
        self._asking = Lock()
        self._closed = False

    def ask(
        self,
        spec: RunSpec,
        on: DeviceMemory | None = None,
        learn_s: float | None = None,
        *,
        loads_files: bool = False,
        brief: bool = False,
    ) -> Outlook:
        """What is known of a spec before it runs; waits for the answer.

        Args:
            spec: a run without problems.
            on: memory to fit into instead of this machine's.
            learn_s: seconds to spend on operations that are not known yet, if not the usual ones.
            loads_files: whether the process may run the user's own file, which is the last that a
                process should do.
            brief: without the predicted curve, which is most of an answer.

        Raises:
            InvalidSpec: this machine cannot run it.
            NotReady: there is no answer; the message says why.
        """
        question = Question(spec=spec, on=on, learn_s=learn_s, loads_files=loads_files, brief=brief)
        with self._asking:
            self._refuse_if_closed()
            child = self._child or self._started()
            self._refuse_if_closed()
            try:
                child.connection.send_bytes(question.model_dump_json().encode())
                answer = child.connection.recv_bytes()
            except (EOFError, OSError):
                self._child = None
                words = self._nursery.end(child).last_words
                raise NotReady(words or "the process that forecasts died") from None
        return _outlook(answer)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotReady("the forecaster was closed")

    def close(self) -> None:
        """Ends the process; a question that waits ends with NotReady."""
        self._closed = True
        child = self._child
        if child is not None:
            self._nursery.kill(child)
        with self._asking:
            if self._child is not None:
                self._nursery.end(self._child)
                self._child = None

    def _started(self) -> Child:
        child = self._nursery.take(lasting=True).result()
        # Known from here on, so that closing need not wait until it has loaded torch.
        self._child = child
        try:
            child.connection.send_bytes(Job(kind="outlooks").model_dump_json().encode())
            while child.connection.recv_bytes()[:1] != READY:
                pass
        except (EOFError, OSError):
            self._child = None
            words = self._nursery.end(child).last_words
            raise NotReady(words or "the process that forecasts died") from None
        return child


def _outlook(answer: bytes) -> Outlook:
    kind, body = answer[:1], answer[1:]
    if kind == INVALID:
        raise InvalidSpec(PROBLEM_LIST.validate_json(body))
    if kind == FAILURE:
        return Outlook(forecast=None, absent=f"There is no forecast: {body.decode()}.")
    assert kind == OUTLOOK
    return Outlook.model_validate_json(body)
