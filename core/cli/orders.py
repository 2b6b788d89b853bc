"""``hogui orders``: one configuration at every order of its workload, and how its cost grows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.cli.measuring import exit_status, measure, writable_folder, write_csv
from core.cli.refusal import Refused
from core.cli.spec_argument import ChangesOption, SpecArgument, read_spec
from core.cli.summary import mib, ms, new_table
from core.cli.terminal import terminal
from core.results.events import Finished
from core.results.growth_by_order import GrowthByOrder, growth_by_order, growth_sentence
from core.results.outcome import Outcome
from core.spec.orders import at_each_order


def command(
    spec: SpecArgument,
    csv: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Writes CSV files into this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Prints the growth as JSON.")] = False,
    changes: ChangesOption = None,
) -> int:
    """Measures order after order, until one does not finish, and fits the growth."""
    wanted = read_spec(spec, changes or [])
    specs = at_each_order(wanted)
    if not specs:
        raise Refused(
            f"workload.kind: {wanted.workload.kind} was given, which has no order; allowed: one "
            "that has, for example nested_gradient."
        )
    folder = None if csv is None else writable_folder(csv)
    console = terminal(stderr=True)
    runs: list[Finished] = []
    for each in specs:
        runs.append(measure(each, console))
        if runs[-1].result.outcome is not Outcome.FINISHED:
            break
    if folder is not None:
        write_csv(runs, folder)
    growth = growth_by_order(run.result for run in runs)
    if json:
        sys.stdout.write(growth.model_dump_json(indent=2) + "\n")
    else:
        _print(growth)
    last = runs[-1].result
    if last.outcome is not Outcome.FINISHED:
        print(f"{last.spec.name}: {last.sentence}", file=sys.stderr)
    return next((status for run in runs if (status := exit_status(run.result))), 0)


def _print(growth: GrowthByOrder) -> None:
    table = new_table(["Order"], ["Peak, MiB", "Time, ms"])
    for cost in growth.costs:
        table.add_row(str(cost.order), mib(cost.peak_bytes), ms(cost.median_s))
    console = terminal()
    console.print(table)
    console.print(growth_sentence(growth), soft_wrap=True)
