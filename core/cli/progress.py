"""What a run is doing, on one line of the terminal that changes, or line by line in a log."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from core.results.events import (
    ChartPoint,
    Event,
    MemorySamples,
    PhaseStarted,
    Repetition,
    ResidentSample,
    Stage,
    StageStarted,
)

_STAGES: Final[dict[Stage, str]] = {
    "forecast": "forecasting",
    "prepare": "preparing",
    "compile": "compiling",
    "memory": "memory pass",
    "allocator": "allocator's peak",
    "warm_up": "warm-up",
    "time": "timing",
    "follow": "curves",
    "check": "checking the result",
}
_MIB: Final = 2**20


class ProgressWords:
    """Follows the events of a run and says in words where it is.

    Attributes:
        stage: the pass that runs.
        share: how much of it is done, None where nobody knows.
    """

    def __init__(self) -> None:
        self.stage = "starting"
        self.share: float | None = None
        self._step = ""
        self._left_s: float | None = None
        self._highest_bytes = 0
        self._resident_bytes = 0

    def add(self, event: Event) -> None:
        """Takes the next event."""
        match event:
            case StageStarted():
                self.stage = _STAGES[event.stage]
                self._step, self.share, self._left_s = "", None, None
            case PhaseStarted():
                self._step = event.name
            case MemorySamples():
                totals = map(sum, zip(*event.columns.values(), strict=True))
                self._highest_bytes = max(self._highest_bytes, *totals)
            case ResidentSample():
                self._resident_bytes = event.total_bytes
            case Repetition():
                self._count("repetition", event.index, event.about)
                self._left_s = event.left_s
            case ChartPoint():
                self._step, self.share = f"{event.curve} at {event.x:g}", event.done
            case _:
                pass

    def place(self) -> str:
        """Stage, and phase or repetition."""
        return " · ".join(word for word in (self.stage, self._step) if word)

    def words(self) -> str:
        """The place, the time left, the highest total so far and the resident memory."""
        words = [self.place()]
        if self._left_s is not None:
            words.append(f"{self._left_s:.0f} s left")
        if self._highest_bytes:
            words.append(f"highest {self._highest_bytes / _MIB:,.4g} MiB")
        if self._resident_bytes:
            words.append(f"resident {self._resident_bytes / _MIB:,.0f} MiB")
        return " · ".join(words)

    def _count(self, what: str, index: int, about: int | None) -> None:
        self._step = f"{what} {index + 1}" + (f" of about {about}" if about else "")
        self.share = min((index + 1) / about, 1.0) if about else None


class LiveProgress:
    """Shows the words on a console while it is entered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._words = ProgressWords()
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=16),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(self._words.words(), total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def add(self, event: Event) -> None:
        """Takes the next event and shows where the run is now."""
        self._words.add(event)
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                description=self._words.words(),
                completed=self._words.share or 0.0,
                total=None if self._words.share is None else 1.0,
            )
        elif isinstance(event, StageStarted | PhaseStarted):
            self._console.print(self._words.place(), highlight=False, soft_wrap=True)
