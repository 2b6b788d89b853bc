"""``hogui script``: the same computation as plain PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.cli.refusal import Refused
from core.cli.spec_argument import ChangesOption, SpecArgument, read_spec
from core.export.script import script


def command(
    spec: SpecArgument,
    changes: ChangesOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Writes the script into this file."),
    ] = None,
) -> int:
    """Prints the script, or writes it where it was asked to."""
    text = script(read_spec(spec, changes or []))
    if output is None:
        sys.stdout.write(text)
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(
            f"--output: {output} cannot be written: {error.strerror or error}.", status=1
        ) from None
    return 0
