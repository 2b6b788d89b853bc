"""The core's advisor, asked as the window needs it: with rests, and ended at any moment."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from core.results.advice import Advice, Advising
from core.results.forecast import DeviceMemory, Outlook
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

if TYPE_CHECKING:
    from core.advisor import Settle
    from core.isolation import Forecasters


class OwnAdvisor:
    """Processes of its own, which start with the first question and keep what they have learned.

    Those that load a file of the user's end with the answer.
    """

    def __init__(self) -> None:
        self._lasting: Forecasters | None = None
        self._passing: Forecasters | None = None
        self._is_closed = False
        self._question: tuple[RunSpec, DeviceMemory | None] | None = None
        self._budget_bytes = 0
        self._settled: list[dict[RunSpec, float]] = []
        """What took turns and how long it took, for the budgets of one configuration."""

    def advise(
        self,
        spec: RunSpec,
        budget_bytes: int,
        on: DeviceMemory | None,
        resting: threading.Event,
    ) -> Generator[Advising | Advice, None, None]:
        """See `hogui.adviser.Advisor`."""
        # Imported late because the first frame does not wait for it.
        from core.advisor import advise
        from core.isolation import side_by_side

        is_same = (spec, on) == self._question and budget_bytes != self._budget_bytes
        # What a file of the user's does may be another thing by now.
        if not is_same or isinstance(spec.model, PythonModel):
            self._settled.clear()
        self._question, self._budget_bytes = (spec, on), budget_bytes

        def settle(specs: Sequence[RunSpec]) -> Sequence[float | None]:
            return settled_before(
                specs, self._settled, lambda specs: side_by_side(specs, cancelled=resting)
            )

        if not isinstance(spec.model, PythonModel):
            ask = _Ask(self._processes(), on, resting, loads_files=False)
            yield from advise(spec, budget_bytes, ask, settle=settle)
            return
        with closing(self._processes(passing=True)) as processes:
            ask = _Ask(processes, on, resting, loads_files=True)
            yield from advise(spec, budget_bytes, ask, settle=settle)

    def close(self) -> None:
        """Ends the processes."""
        self._is_closed = True
        for processes in (self._lasting, self._passing):
            if processes is not None:
                processes.close()

    def _processes(self, *, passing: bool = False) -> Forecasters:
        from core.isolation import forecasters

        if self._is_closed:
            raise RuntimeError("What advises was closed.")
        if passing:
            self._passing = forecasters()
            return self._passing
        if self._lasting is None:
            self._lasting = forecasters()
        return self._lasting


def settled_before(
    specs: Sequence[RunSpec], known: list[dict[RunSpec, float]], settle: Settle
) -> Sequence[float | None]:
    """Times of configurations that took turns, measured only where they have not done so before.

    Args:
        specs: the rivals.
        known: those that took turns, with their seconds; what is measured now is added.
        settle: measures.
    """
    for times in known:
        if all(spec in times for spec in specs):
            return [times[spec] for spec in specs]
    measured = settle(specs)
    times = {
        spec: seconds for spec, seconds in zip(specs, measured, strict=True) if seconds is not None
    }
    if len(times) == len(specs):
        known.append(times)
    return measured


class _Ask:
    """Forecasts of many configurations; while there is a rest no process computes."""

    def __init__(
        self,
        processes: Forecasters,
        on: DeviceMemory | None,
        resting: threading.Event,
        *,
        loads_files: bool,
    ) -> None:
        self._processes, self._on = processes, on
        self._resting, self._loads_files = resting, loads_files

    def __call__(
        self, specs: Sequence[RunSpec], *, learn_s: float | None = None
    ) -> Iterator[tuple[int, Outlook]]:
        left = dict(enumerate(specs))
        while left:
            places = tuple(left)
            answers = self._processes.ask_all(
                tuple(left.values()), on=self._on, learn_s=learn_s, loads_files=self._loads_files
            )
            last: tuple[int, Outlook] | None = None
            with closing(answers) as coming:
                for number, outlook in coming:
                    place = places[number]
                    del left[place]
                    if self._resting.is_set():
                        last = place, outlook
                        break
                    yield place, outlook
            if last is not None:
                # Whoever takes it waits, and the processes have nothing to do meanwhile.
                yield last
