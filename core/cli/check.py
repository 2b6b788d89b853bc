"""``hogui check``: what would fail or be wrong, before anything runs."""

from __future__ import annotations

import json as json_format
import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from core.cli.spec_argument import ChangesOption, SpecArgument, read_spec
from core.cli.summary import print_findings
from core.cli.terminal import terminal
from core.measure.correctness.preflight import preflight
from core.results.outcome import Outcome


def command(
    spec: SpecArgument,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Prints the findings as JSON, layers counted from 0. Either way the exit status "
            "is 1 where one of them is an error, else 0.",
        ),
    ] = False,
    changes: ChangesOption = None,
) -> int:
    """Prints what preflight finds; the exit status is 1 where there is an error among it."""
    wanted = read_spec(spec, changes or [])
    # A file of the user's may print.
    with redirect_stdout(sys.stderr):
        found = preflight(wanted)
    if json:
        document = {"findings": [finding.model_dump() for finding in found]}
        print(json_format.dumps(document, indent=2, ensure_ascii=False))
    else:
        print_findings(found, terminal())
        if not found:
            terminal().print("Nothing found.")
    fails = any(finding.severity == "error" for finding in found)
    return Outcome.FAILED.exit_status if fails else 0
