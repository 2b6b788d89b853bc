"""Kept runs, as the window needs them. Everything here may be called from any thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.export.csv_files import export_csv
from core.history import History, HistoryError, HistoryRow, UnknownRun
from core.results.events import Finished, Started
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline

Run = tuple[Measurement, MemoryTimeline]


class StoreError(RuntimeError):
    """The history or the files cannot be used; the message is one sentence."""


class RunStore:
    """The history of one folder, and CSV files from it."""

    def __init__(self, home: Path) -> None:
        self._history = History(home)

    def keep(self, event: Started | Finished) -> None:
        """Commits a run when it begins and when it ends.

        Raises:
            StoreError: the history cannot be written.
        """
        try:
            if isinstance(event, Started):
                self._history.begin(event)
            else:
                self._history.add(event.result, event.timeline)
        except HistoryError as error:
            raise StoreError(str(error)) from error

    def read(self, run_id: str) -> Run | None:
        """A kept run, None where it was deleted.

        Raises:
            StoreError: the history cannot be read.
        """
        try:
            return self._history.get(run_id), self._history.timeline(run_id)
        except UnknownRun:
            return None
        except HistoryError as error:
            raise StoreError(str(error)) from error

    def rows(self) -> list[HistoryRow]:
        """Every kept run, newest first.

        Raises:
            StoreError: the history cannot be read.
        """
        try:
            return self._history.list()
        except HistoryError as error:
            raise StoreError(str(error)) from error

    def export(self, run_ids: Sequence[str], folder: Path) -> int:
        """Writes the CSV files of some runs; returns how many runs they hold.

        Raises:
            StoreError: the history cannot be read.
            OSError: the files cannot be written.
        """
        runs = [run for run_id in run_ids if (run := self.read(run_id)) is not None]
        export_csv(runs, folder)
        return len(runs)
