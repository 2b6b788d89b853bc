"""``hogui presets``: the configurations that ship with the program."""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from core.cli.refusal import Refused
from core.cli.terminal import terminal
from core.spec.declaration import InvalidSpec
from core.spec.presets import preset, presets


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Prints the spec of this preset.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Prints the list as JSON.")] = False,
) -> int:
    """Lists, or prints one spec, which ``hogui run`` takes as a file."""
    if name is not None:
        try:
            print(preset(name).spec.to_json())
        except InvalidSpec as error:
            raise Refused(str(error)) from None
        return 0
    listed = [{"name": one.name, "title": one.title, "about": one.about} for one in presets()]
    if json:
        print(json_format.dumps(listed, indent=2, ensure_ascii=False))
        return 0
    table = Table.grid(padding=(0, 2, 1, 0))
    for one in listed:
        about = Text.assemble(one["title"], "\n", (one["about"], "dim"))
        table.add_row(Text(one["name"], "bold"), about)
    terminal().print(table)
    return 0
