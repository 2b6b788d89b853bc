"""Forecasts of many configurations at once, from several warm processes."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Lock, Thread
from typing import Final

import psutil

from core.isolation.forecaster import Forecaster
from core.isolation.nursery import NotReady, Nursery
from core.results.forecast import DeviceMemory, Outlook
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

MOST: Final = 4
LEARN_S: Final = 10.0
"""How long unknown operations of one configuration may be tried."""

_MOST_KEPT: Final = 4096


class Forecasters:
    """Processes that forecast side by side, as many as there are cores and four at most.

    One takes configurations from the front and the others from the back, so that like ones, which
    stand together, are asked in one process, which then knows their operations already. Finished
    answers are kept: the same configurations for another budget are answered at once.
    """

    def __init__(self, nursery: Nursery, count: int | None = None) -> None:
        cores = psutil.cpu_count(logical=False) or 1
        self._children = [Forecaster(nursery) for _ in range(count or max(1, min(MOST, cores)))]
        self._known: dict[str, Outlook] = {}

    def ask_all(
        self,
        specs: Sequence[RunSpec],
        *,
        on: DeviceMemory | None = None,
        learn_s: float | None = None,
        loads_files: bool = False,
    ) -> Iterator[tuple[int, Outlook]]:
        """Answers without their predicted curves, in the order in which they come, each with its
        place among the specs.

        A process that dies over a configuration is an answer without a forecast. Whoever closes
        the iterator early waits for the answers under way.

        Args:
            specs: runs without problems.
            on: memory to fit into instead of this machine's.
            learn_s: seconds to spend for each on operations that are not known yet.
            loads_files: whether the processes may run the user's own file.

        Raises:
            InvalidSpec: this machine cannot run one of them.
        """
        keys = [_key(spec, on) for spec in specs]
        unknown: deque[int] = deque()
        for place, key in enumerate(keys):
            if key in self._known:
                yield place, self._known[key]
            else:
                unknown.append(place)
        put = partial(
            _answer,
            on=on,
            learn_s=LEARN_S if learn_s is None else learn_s,
            loads_files=loads_files,
        )
        for place, answer in self._asked(specs, unknown, put):
            # What could not be learned for want of time may be known at the next question.
            if answer.forecast is not None and not answer.unfinished:
                self._keep(keys[place], answer)
            yield place, answer

    def _asked(
        self,
        specs: Sequence[RunSpec],
        places: deque[int],
        put: Callable[[Forecaster, RunSpec], Outlook],
    ) -> Iterator[tuple[int, Outlook]]:
        lock, count = Lock(), len(places)
        answers: queue.SimpleQueue[tuple[int, Outlook | Exception]] = queue.SimpleQueue()

        def next_for(number: int) -> int | None:
            with lock:
                if not places:
                    return None
                return places.popleft() if number == 0 else places.pop()

        def work(number: int, child: Forecaster) -> None:
            while (place := next_for(number)) is not None:
                try:
                    answers.put((place, put(child, specs[place])))
                except Exception as error:  # else whoever waits for this answer waits for ever
                    answers.put((place, error))

        threads = [
            Thread(target=work, args=(number, child), name=f"forecasts-{number}", daemon=True)
            for number, child in enumerate(self._children[:count])
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(count):
                place, answer = answers.get()
                if isinstance(answer, Exception):
                    raise answer
                yield place, answer
        finally:
            with lock:
                places.clear()
            for thread in threads:
                thread.join()

    def _keep(self, key: str, answer: Outlook) -> None:
        self._known[key] = answer
        while len(self._known) > _MOST_KEPT:
            del self._known[next(iter(self._known))]

    def close(self) -> None:
        """Ends the processes; questions that wait end without a forecast."""
        for child in self._children:
            child.close()


def _key(spec: RunSpec, on: DeviceMemory | None) -> str:
    """What an answer depends on; a file of the user's may have changed since."""
    state = str(spec.model.state) if isinstance(spec.model, PythonModel) else ""
    device = "" if on is None else on.model_dump_json()
    return state + device + spec.model_copy(update={"name": ""}).to_json(indent=None)


def _answer(
    child: Forecaster,
    spec: RunSpec,
    on: DeviceMemory | None,
    learn_s: float,
    loads_files: bool,
) -> Outlook:
    try:
        return child.ask(spec, on, learn_s, loads_files=loads_files, brief=True)
    except NotReady as error:
        return Outlook(forecast=None, absent=f"There is no forecast: {error}.")
