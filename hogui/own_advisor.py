"""The core's advisor, asked as the window needs it: with rests, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from core.results.advice import Advice, Advising
from core.results.forecast import DeviceMemory, Outlook
from core.spec.run import RunSpec
from hogui.tab_advice import nameless

if TYPE_CHECKING:
    from core.isolation import Forecasters

MOST_KEPT = 2000
"""Answers; beyond that all are forgotten."""


class OwnAdvisor:
    """Processes of its own, which start with the first question."""

    def __init__(self) -> None:
        # Imported late because the first frame does not wait for it.
        from core.isolation import forecasters

        self._forecasters: Forecasters = forecasters()
        self._known: dict[RunSpec, Outlook] = {}

    def advise(
        self,
        spec: RunSpec,
        budget_bytes: int,
        on: DeviceMemory | None,
        rests: Callable[[], bool],
    ) -> Generator[Advising | Advice, None, None]:
        """See `hogui.adviser.Advisor`."""
        from core.advisor import advise

        yield from advise(spec, budget_bytes, partial(self._ask, rests=rests))

    def close(self) -> None:
        """Ends the processes."""
        self._forecasters.close()

    def _ask(
        self, specs: Sequence[RunSpec], rests: Callable[[], bool]
    ) -> Iterator[tuple[int, Outlook]]:
        """Answers that are known first, then the others; while there is a rest no process works."""
        left: dict[int, RunSpec] = {}
        for place, spec in enumerate(specs):
            known = self._known.get(nameless(spec))
            if known is None:
                left[place] = spec
            else:
                yield place, known
        while left:
            asked = list(left.items())
            with closing(self._forecasters.ask_all([spec for _, spec in asked])) as answers:
                for number, outlook in answers:
                    place, spec = asked[number]
                    del left[place]
                    self._keep(spec, outlook)
                    is_resting = rests()
                    if is_resting:
                        break
                    yield place, outlook
                else:
                    is_resting = False
            if is_resting:
                # Whoever takes the answer waits, and the processes have nothing to do meanwhile.
                yield place, outlook

    def _keep(self, spec: RunSpec, outlook: Outlook) -> None:
        if outlook.forecast is None or outlook.unfinished:
            return
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[nameless(spec)] = outlook
