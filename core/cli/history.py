"""``hogui history``: the stored runs."""

from __future__ import annotations

import json as json_format
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from core.cli.refusal import Refused
from core.cli.summary import mib, ms, new_table
from core.cli.terminal import terminal
from core.history import History, HistoryError


def command(
    json: Annotated[bool, typer.Option("--json", help="Prints the list as JSON.")] = False,
) -> int:
    """Lists every stored run."""
    history = History()
    try:
        rows = history.list()
    except HistoryError as error:
        raise Refused(str(error), status=1) from None
    if history.notice is not None:
        print(history.notice, file=sys.stderr)
    if json:
        listed = [asdict(row) for row in rows]
        print(json_format.dumps(listed, indent=2, ensure_ascii=False))
        return 0
    if not rows:
        print("There are no stored runs yet; `hogui run` makes one.", file=sys.stderr)
        return 0
    table = new_table(["Run", "Started, UTC", "Name", "Outcome", "Device"], ["Peak, MiB", "ms"])
    for row in rows:
        started = row.started_at[:16].replace("T", " ")
        table.add_row(
            row.run_id[:12],
            started,
            row.name,
            row.outcome,
            row.device,
            mib(row.peak_bytes),
            ms(row.median_s),
        )
    terminal().print(table)
    return 0
