"""Asking the core with rests: every answer once, and no process computes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from core.results.forecast import DeviceMemory, Forecast, Outlook
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.own_advisor import _Ask

SPEC = preset("lecture-second-order").spec
SPECS = [SPEC.with_changes({"data.batch_size": size}) for size in range(1, 8)]


class FakeForecasters:
    """Answers with the batch size, and says how often it was asked and let go."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.is_answering = False

    def ask_all(
        self,
        specs: Sequence[RunSpec],
        *,
        on: DeviceMemory | None = None,
        learn_s: float | None = None,
        loads_files: bool = False,
    ) -> Iterator[tuple[int, Outlook]]:
        self.asked.append(len(specs))
        self.is_answering = True
        try:
            for place in reversed(range(len(specs))):
                peak = specs[place].data.batch_size
                yield place, Outlook(forecast=Forecast(peak_bytes=peak, exact=True, seconds=1.0))
        finally:
            self.is_answering = False


def test_that_every_configuration_is_answered_once_in_spite_of_rests() -> None:
    processes, resting = FakeForecasters(), threading.Event()
    ask = _Ask(processes, None, resting, loads_files=False)
    found: dict[int, int] = {}
    for place, outlook in ask(SPECS):
        assert place not in found
        found[place] = outlook.forecast.peak_bytes
        if len(found) in (2, 5):
            resting.set()
        elif resting.is_set():
            assert not processes.is_answering, "nothing computes during a rest"
            resting.clear()
    assert found == {place: spec.data.batch_size for place, spec in enumerate(SPECS)}
    assert processes.asked == [7, 4, 1]


def test_that_whoever_stops_listening_lets_the_processes_go() -> None:
    processes = FakeForecasters()
    ask = _Ask(processes, None, threading.Event(), loads_files=False)
    answers = ask(SPECS)
    next(answers)
    answers.close()
    assert not processes.is_answering
