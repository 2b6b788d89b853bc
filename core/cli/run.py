"""``hogui run``: measures one configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.cli.measuring import exit_status, measure, writable_folder, write_csv
from core.cli.refusal import Refused
from core.cli.spec_argument import ChangesOption, SpecArgument, VariantOption, read_spec
from core.cli.summary import print_summary
from core.cli.terminal import terminal
from core.results.outcome import Outcome


def command(
    spec: SpecArgument,
    csv: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Writes CSV files into this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Prints the result as JSON.")] = False,
    save_tensors: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Writes parameters, data and result as arrays."),
    ] = None,
    changes: ChangesOption = None,
    variant: VariantOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Runs what would be refused as too large.")
    ] = False,
) -> int:
    """Measures, writes what was asked for, and returns the outcome as exit status."""
    wanted = read_spec(spec, changes or [], variant)
    if save_tensors is not None and not _is_folder(save_tensors.absolute().parent):
        raise Refused(f"--save-tensors: {save_tensors.parent} is not a folder.")
    folder = None if csv is None else writable_folder(csv)
    finished = measure(wanted, terminal(stderr=True), force=force, save_tensors=save_tensors)
    result = finished.result
    if folder is not None:
        write_csv([finished], folder)
    if json:
        sys.stdout.write(result.model_dump_json(indent=2) + "\n")
    else:
        print_summary(result, terminal())
    if result.outcome is not Outcome.FINISHED:
        print(result.sentence, file=sys.stderr)
    return exit_status(result)


def _is_folder(path: Path) -> bool:
    """Is it there? What is no possible path, for example one too long, is not."""
    try:
        return path.is_dir()
    except OSError:
        return False
