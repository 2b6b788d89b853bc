"""Kept runs, as the window needs them. Everything here may be called from any thread.

The history is imported with the first call: the window's first picture does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.results.events import Finished, Started
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline

if TYPE_CHECKING:
    from core.history import History, HistoryRow

Run = tuple[Measurement, MemoryTimeline]


class StoreError(RuntimeError):
    """The history or the files cannot be used; the message is one sentence."""


class RunStore:
    """The history of one folder, and CSV files from it."""

    def __init__(self, home: Path, tell: Callable[[str], None]) -> None:
        """Opens nothing yet.

        Args:
            home: the folder of the history.
            tell: takes a sentence about a history that had to be begun anew, from any thread.
        """
        self._home, self._tell = home, tell

    def keep(self, event: Started | Finished) -> None:
        """Commits a run when it begins and when it ends.

        Raises:
            StoreError: the history cannot be written.
        """
        with self._history() as history:
            if isinstance(event, Started):
                history.begin(event)
            else:
                history.add(event.result, event.timeline)

    def read(self, run_id: str) -> Run | None:
        """A kept run, None where it was deleted.

        Raises:
            StoreError: the history cannot be read.
        """
        from core.history import UnknownRun

        with self._history() as history:
            try:
                return history.get(run_id), history.timeline(run_id)
            except UnknownRun:
                return None

    def rows(self) -> list[HistoryRow]:
        """Every kept run, newest first.

        Raises:
            StoreError: the history cannot be read.
        """
        with self._history() as history:
            return history.list()

    def export(self, run_ids: Sequence[str], folder: Path) -> int:
        """Writes the CSV files of some runs; returns how many runs they hold.

        Raises:
            StoreError: the history cannot be read.
            OSError: the files cannot be written.
        """
        from core.export.csv_files import export_csv

        runs = [run for run_id in run_ids if (run := self.read(run_id)) is not None]
        export_csv(runs, folder)
        return len(runs)

    @contextmanager
    def _history(self) -> Iterator[History]:
        from core.history import History, HistoryError

        history = History(self._home)
        try:
            yield history
        except HistoryError as error:
            raise StoreError(str(error)) from error
        finally:
            if history.notice is not None:
                self._tell(history.notice)
