"""``hogui forecast``: what a run will cost, without computing it."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from core.cli.refusal import Refused
from core.cli.spec_argument import ChangesOption, SpecArgument, VariantOption, read_spec
from core.cli.summary import print_findings, print_forecast
from core.cli.terminal import terminal
from core.cli.units import bytes_from
from core.isolation import NotReady, forecaster
from core.results.forecast import DeviceMemory
from core.spec.declaration import InvalidSpec

PATIENT_S: Final = 10.0
"""How long unknown operations may be tried; the window asks again instead."""


def command(
    spec: SpecArgument,
    json: Annotated[bool, typer.Option("--json", help="Prints the forecast as JSON.")] = False,
    changes: ChangesOption = None,
    variant: VariantOption = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,MEMORY",
            help='Another CUDA device to fit into, for example "RTX 4090,24GiB"; it need not be '
            "here.",
        ),
    ] = None,
) -> int:
    """Predicts, and prints what there is to know before running."""
    wanted = read_spec(spec, changes or [], variant)
    memory = None if on is None else device_memory(on)
    asked = forecaster()
    try:
        outlook = asked.ask(wanted, memory, PATIENT_S, loads_files=True)
    except InvalidSpec as error:
        raise Refused(*(problem.sentence for problem in error.problems)) from None
    except NotReady as error:
        raise Refused(f"There is no forecast: {error}.", status=1) from None
    finally:
        asked.close()
    if outlook.forecast is None:
        raise Refused(f"There is no forecast. {outlook.absent}", status=1)
    if json:
        sys.stdout.write(outlook.forecast.model_dump_json(indent=2) + "\n")
    else:
        print_forecast(outlook.forecast, terminal())
        print_findings(outlook.findings, terminal())
    return 0


def device_memory(text: str) -> DeviceMemory:
    """A device by its name and memory; its vendor's GB are GiB.

    Raises:
        Refused: the text is no such thing.
    """
    name, comma, size = text.rpartition(",")
    total = bytes_from(size)
    if not comma or not name.strip() or total is None:
        raise Refused(
            f"--on: {text!r} was given; allowed: a name, a comma and a size with its unit, such as "
            '"RTX 4090,24GiB".'
        )
    if total <= 0:
        raise Refused(f"--on: {text!r} was given; allowed: a size above 0.")
    return DeviceMemory(name=name.strip(), total_bytes=total)
