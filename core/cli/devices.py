"""``hogui devices``: what can be measured on."""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

from core.cli.refusal import Refused
from core.cli.summary import mib, new_table
from core.cli.terminal import terminal
from core.isolation import NotReady, query_devices


def command(
    json: Annotated[bool, typer.Option("--json", help="Prints the list as JSON.")] = False,
) -> int:
    """Lists the devices, asked in a child process; the first is what ``auto`` means."""
    try:
        found = query_devices()
    except NotReady as error:
        raise Refused(f"The devices cannot be listed: {error}.", status=4) from None
    if json:
        print(json_format.dumps([device.model_dump() for device in found], indent=2))
        return 0
    table = new_table(["Device", "Name"], ["Memory, MiB", "Free, MiB"])
    for device in found:
        table.add_row(
            device.name, device.title, mib(device.memory_bytes), mib(device.available_bytes)
        )
    terminal().print(table)
    return 0
