"""``hogui advise``: what would make a configuration cheaper, within a budget of memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from core.advisor import advise
from core.advisor.words import AS_IT_IS, size
from core.cli.advice_text import print_advice
from core.cli.confirming import confirmed
from core.cli.measuring import cancelled_by_signals
from core.cli.refusal import Refused
from core.cli.spec_argument import ChangesOption, SpecArgument, VariantOption, read_spec
from core.cli.terminal import terminal
from core.cli.units import bytes_from
from core.isolation import Forecasters, NotReady, forecasters, side_by_side
from core.results.advice import Advice, Advising
from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.run import RunSpec


def command(
    spec: SpecArgument,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="MEMORY",
            help="What baseline and peak have to fit into, for example 512MiB; by default what "
            "the device has available.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Prints the advice as JSON.")] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure",
            help="Measures the points that may be the fastest side by side, or trusts the "
            "forecast.",
        ),
    ] = True,
    confirm: Annotated[
        bool,
        typer.Option("--confirm", help="Runs the recommendation and the largest that fit."),
    ] = False,
    changes: ChangesOption = None,
    variant: VariantOption = None,
) -> int:
    """Foretells every sensible combination of mitigations, and recommends one."""
    wanted = read_spec(spec, changes or [], variant)
    given = None if budget is None else _budget(budget)
    console = terminal(stderr=True)
    try:
        with closing(forecasters()) as asked:
            advice = _advice(wanted, given, asked, console, measure=measure)
    except InvalidSpec as error:
        raise Refused(*(problem.sentence for problem in error.problems)) from None
    except NotReady as error:
        raise Refused(f"There is no advice: {error}.", status=1) from None
    if not advice.points:
        reasons = [each.reason for each in advice.impossible if each.label == AS_IT_IS]
        raise Refused(f"There is no advice. {' '.join(reasons)}".rstrip(), status=1)
    if confirm:
        advice = confirmed(advice, console)
    if json:
        sys.stdout.write(advice.model_dump_json(indent=2) + "\n")
    else:
        print_advice(advice, terminal())
    if advice.recommended is None:
        # To stderr too, since the exit status alone does not say what is missing.
        raise Refused(*advice.sentences[:1], status=Outcome.OUT_OF_MEMORY.exit_status)
    return 0


def _budget(text: str) -> int:
    """Bytes.

    Raises:
        Refused: the text is no amount of memory.
    """
    count = bytes_from(text)
    if count is None or count <= 0:
        raise Refused(
            f"--budget: {text!r} was given; allowed: a size above 0 with its unit, such as 512MiB."
        )
    return count


def _advice(
    spec: RunSpec, budget: int | None, asked: Forecasters, console: Console, *, measure: bool
) -> Advice:
    with cancelled_by_signals() as cancelled, _progress(console) as show:
        if budget is None:
            budget = _available(spec, asked)
            console.print(f"The budget is what the device has available, {size(budget)}.")
        ask = partial(asked.ask_all, loads_files=True)
        settle = partial(side_by_side, cancelled=cancelled) if measure else None
        for seen in advise(spec, budget, ask, settle=settle):
            if cancelled.is_set():
                raise KeyboardInterrupt
            if isinstance(seen, Advice):
                return seen
            show(seen)
    raise AssertionError("an advice ends with itself")


def _available(spec: RunSpec, asked: Forecasters) -> int:
    """What the spec's device has available.

    Raises:
        Refused: nobody knows.
    """
    for _, outlook in asked.ask_all([spec], loads_files=True):
        if outlook.forecast is None:
            raise Refused(f"There is no advice. {outlook.absent}", status=1)
        if outlook.forecast.available_bytes is not None:
            return outlook.forecast.available_bytes
    raise Refused("--budget: nothing was given, and the device does not say what it has available.")


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[Advising], None]]:
    bar = Progress(
        BarColumn(bar_width=24),
        TextColumn("{task.completed} of {task.total}"),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("forecasting", total=None)
    said: set[str] = set()

    def show(seen: Advising) -> None:
        words = seen.doing or (seen.point.label if seen.point else "")
        bar.update(task, description=words, completed=seen.done, total=seen.of)
        if not console.is_terminal and seen.doing and seen.doing not in said:
            said.add(seen.doing)
            console.print(seen.doing, soft_wrap=True)

    with bar:
        yield show
