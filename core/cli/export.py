"""``hogui export``: files from stored runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from core.cli.measuring import writable_folder
from core.cli.refusal import Refused
from core.export.csv_files import Run, export_csv
from core.history import History, HistoryError, UnknownRun


def command(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Ids, or their first characters; see `hogui history`."),
    ],
    csv: Annotated[Path, typer.Option(metavar="DIR", help="Writes CSV files into this folder.")],
) -> int:
    """Writes all of the named runs into one set of files."""
    history = History()
    try:
        # Found first, so that a misspelt one leaves the files alone.
        found = list(dict.fromkeys(history.get(run).run_id for run in runs))
        files = export_csv(_read(history, found), writable_folder(csv))
    except UnknownRun as error:
        raise Refused(str(error)) from None
    except HistoryError as error:
        raise Refused(str(error), status=1) from None
    except OSError as error:
        raise Refused(f"--csv: {csv} cannot be written to: {error.strerror}.", status=1) from None
    if history.notice is not None:
        print(history.notice, file=sys.stderr)
    for file in files:
        print(file)
    return 0


def _read(history: History, run_ids: list[str]) -> Iterator[Run]:
    for run_id in run_ids:
        yield history.get(run_id), history.timeline(run_id)
