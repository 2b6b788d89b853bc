"""Forecasts of many configurations at once, from several warm processes."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Sequence
from threading import Lock, Thread
from typing import Final

import psutil

from core.isolation.forecaster import Forecaster
from core.isolation.nursery import NotReady, Nursery
from core.results.forecast import Outlook
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec

MOST: Final = 4
LEARN_S: Final = 10.0
"""How long unknown operations of one configuration may be tried."""


class Forecasters:
    """Processes that forecast side by side, as many as there are cores and four at most.

    One takes configurations from the front and the others from the back, so that like ones, which
    stand together, are asked in one process, which then knows their operations already.
    """

    def __init__(self, nursery: Nursery, count: int | None = None) -> None:
        cores = psutil.cpu_count(logical=False) or 1
        self._children = [Forecaster(nursery) for _ in range(count or max(1, min(MOST, cores)))]

    def ask_all(
        self, specs: Sequence[RunSpec], *, loads_files: bool = False
    ) -> Iterator[tuple[int, Outlook]]:
        """Answers in the order in which they come, each with its place among the specs.

        A process that dies over a configuration is an answer without a forecast. Whoever closes
        the iterator early waits for the answers under way.

        Raises:
            InvalidSpec: this machine cannot run one of them.
        """
        waiting, lock = deque(enumerate(specs)), Lock()
        answers: queue.SimpleQueue[tuple[int, Outlook | InvalidSpec]] = queue.SimpleQueue()

        def next_from(end: int) -> tuple[int, RunSpec] | None:
            with lock:
                if not waiting:
                    return None
                return waiting.popleft() if end == 0 else waiting.pop()

        def work(number: int, child: Forecaster) -> None:
            while (taken := next_from(number)) is not None:
                place, spec = taken
                answers.put((place, _answer(child, spec, loads_files)))

        threads = [
            Thread(target=work, args=(number, child), name=f"forecasts-{number}", daemon=True)
            for number, child in enumerate(self._children[: len(specs)])
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in specs:
                place, answer = answers.get()
                if isinstance(answer, InvalidSpec):
                    raise answer
                yield place, answer
        finally:
            with lock:
                waiting.clear()
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """Ends the processes; questions that wait end without a forecast."""
        for child in self._children:
            child.close()


def _answer(child: Forecaster, spec: RunSpec, loads_files: bool) -> Outlook | InvalidSpec:
    try:
        return child.ask(spec, learn_s=LEARN_S, loads_files=loads_files)
    except InvalidSpec as error:
        return error
    except NotReady as error:
        return Outlook(forecast=None, absent=f"There is no forecast: {error}.")
