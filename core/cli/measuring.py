"""Measuring from a terminal: a child process measures, the terminal shows how far it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from core.cli.progress import LiveProgress
from core.cli.refusal import Refused
from core.export.csv_files import export_csv
from core.history import History, HistoryError
from core.isolation import run_isolated
from core.results.events import Finished, Started
from core.results.measurement import Measurement
from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec

EXIT_CHECK_FAILED = 5


def measure(
    spec: RunSpec, console: Console, *, force: bool = False, save_tensors: Path | None = None
) -> Finished:
    """Measures a spec, shows progress on ``console`` and keeps the run in the history.

    The first Ctrl-C cancels the run, which ends with what it had measured.

    Raises:
        Refused: this machine cannot run the spec.
    """
    with cancelled_by_signals() as cancelled, LiveProgress(console) as progress:
        events = run_isolated(spec, force=force, save_tensors=save_tensors, cancelled=cancelled)
        try:
            for event in events:
                progress.add(event)
                if isinstance(event, Started | Finished):
                    _keep(event, console)
        except InvalidSpec as error:
            raise Refused(*(problem.sentence for problem in error.problems)) from None
    assert isinstance(event, Finished)
    return event


def exit_status(result: Measurement) -> int:
    """The outcome as an exit status."""
    failed = result.check is not None and not result.check.passed
    if result.outcome is Outcome.FINISHED and failed:
        return EXIT_CHECK_FAILED
    return result.outcome.exit_status


def writable_folder(folder: Path) -> Path:
    """The folder, made where it was missing.

    Raises:
        Refused: it cannot be made; better known before a run than after it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--csv: {folder} cannot be written to: {error.strerror}.") from None
    return folder


def write_csv(runs: Sequence[Finished], folder: Path) -> None:
    """Writes the CSV files of some runs.

    Raises:
        Refused: they cannot be written.
    """
    try:
        export_csv([(run.result, run.timeline) for run in runs], folder)
    except OSError as error:
        are = "the run is" if len(runs) == 1 else "the runs are"
        raise Refused(
            f"--csv: {folder} cannot be written to: {error.strerror}; {are} in the history.",
            status=1,
        ) from None


@contextmanager
def cancelled_by_signals() -> Iterator[threading.Event]:
    """A flag that Ctrl-C or a request to terminate sets; a second one ends the program."""
    cancelled = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def cancel(number: int, frame: FrameType | None) -> None:
        del frame
        cancelled.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, cancel)
    try:
        yield cancelled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep(event: Started | Finished, console: Console) -> None:
    """A run whose history cannot be written is still a run."""
    history = History()
    try:
        if isinstance(event, Started):
            history.begin(event)
        else:
            history.add(event.result, event.timeline)
    except HistoryError as error:
        if isinstance(event, Finished):
            console.print(f"The run is not in the history. {error}", soft_wrap=True)
    if history.notice is not None:
        console.print(history.notice, soft_wrap=True)
