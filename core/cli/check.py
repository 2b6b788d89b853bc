"""``hogui check``: what would fail or be wrong, before anything runs."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated, Final

import typer
from rich.text import Text

from core.cli.spec_argument import read_spec
from core.cli.terminal import terminal
from core.measure.correctness.preflight import preflight
from core.results.forecast import Finding
from core.results.outcome import Outcome

_STYLES: Final = {"error": "red", "warning": "yellow", "note": "dim"}


def command(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="A file, the name of a preset, or - for stdin.")
    ],
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Prints the findings as JSON, layers counted from 0. Either way the exit status "
            "is 1 where one of them is an error, else 0.",
        ),
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Overrides one key; may be repeated."),
    ] = None,
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
        _print(found)
    fails = any(finding.severity == "error" for finding in found)
    return Outcome.FAILED.exit_status if fails else 0


def _print(found: Sequence[Finding]) -> None:
    console = terminal()
    for finding in found:
        severity = (f"{finding.severity}: ", _STYLES[finding.severity])
        place = "" if finding.layer is None else f"layer {finding.layer + 1} "
        console.print(Text.assemble(severity, place, finding.sentence), soft_wrap=True)
    if not found:
        console.print("Nothing found.")
