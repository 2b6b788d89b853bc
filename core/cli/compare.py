"""``hogui compare``: stored runs beside each other, or two configurations that take turns."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from core.cli.interleaving import take_turns
from core.cli.refusal import Refused
from core.cli.spec_argument import read_spec
from core.cli.summary import mib, ms, new_table, number
from core.cli.terminal import terminal
from core.history import History, HistoryError, UnknownRun
from core.results.charts import reading_title
from core.results.comparison import Comparison, compare, leaves
from core.results.interleaved import Compared, PairTimed
from core.results.measurement import Measurement
from core.results.time_comparison import sentence
from core.spec.presets import presets
from core.spec.run import RunSpec

MOST_KEYS: Final = 40
"""Of those that differ; two different models differ in hundreds."""


def command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN…",
            help="Ids, their first characters, or names; the first is the reference. "
            "With --interleaved: two specs (files or presets) or runs.",
        ),
    ],
    interleaved: Annotated[
        bool,
        typer.Option("--interleaved", help="Measures both now, in turns: A B B A A B B A …"),
    ] = False,
    budget: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1.0, max=86_400.0, help="Longest time in turns."),
    ] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Prints the comparison as JSON.")] = False,
) -> int:
    """Compares runs with the first of them."""
    if len(runs) < 2 or (interleaved and len(runs) != 2):
        allowed = "two" if interleaved else "two or more"
        raise Refused(f"RUN: {len(runs)} given; allowed: {allowed}.")
    if interleaved:
        a, b = (_spec(argument) for argument in runs)
        return _print_turns(a, b, budget, json)
    found = [_stored(argument) for argument in runs]
    comparisons = [compare(found[0], run) for run in found[1:]]
    if json:
        _print_json(
            {
                "runs": [_facts(run) for run in found],
                "comparisons": [one.model_dump(mode="json") for one in comparisons],
            }
        )
        return 0
    _print_comparisons(found, comparisons)
    return 0


# -------------------------------------------------------------------------------- stored runs


def _stored(argument: str) -> Measurement:
    """The run with this id, with an id that begins so, or with this name.

    Raises:
        Refused: there is none, or there are several.
    """
    history = History()
    try:
        try:
            run = history.get(argument)
        except UnknownRun:
            named = [row.run_id for row in history.list() if row.name == argument]
            if not named:
                raise
            if len(named) > 1:
                raise Refused(
                    f"{argument} is the name of {len(named)} runs: {', '.join(named)}."
                ) from None
            run = history.get(named[0])
    except UnknownRun as error:
        raise Refused(f"{error} Configurations are compared with --interleaved.") from None
    except HistoryError as error:
        raise Refused(str(error), status=1) from None
    if history.notice is not None:
        print(history.notice, file=sys.stderr)
    return run


def _facts(run: Measurement) -> dict[str, object]:
    """What the comparison is made from."""
    memory, time, check = run.memory, run.time, run.check
    return {
        "run_id": run.run_id,
        "name": run.spec.name,
        "started_at": run.started_at,
        "outcome": str(run.outcome),
        "device": run.environment.device,
        "baseline_bytes": memory.baseline_bytes if memory else None,
        "peak_bytes": memory.peak_bytes if memory else None,
        "median_s": time.median_s if time else None,
        "interval_s": time.interval_s if time else None,
        "verdict": time.verdict if time else None,
        "check_relative_error": check.relative_error if check else None,
        "check_passed": check.passed if check else None,
        "readings": run.readings,
    }


def _print_comparisons(found: Sequence[Measurement], comparisons: Sequence[Comparison]) -> None:
    console = terminal()
    console.print(_table(found, comparisons))
    for comparison in comparisons:
        console.print(comparison.sentence, soft_wrap=True)
    for warning in dict.fromkeys(words for one in comparisons for words in one.warnings):
        console.print(Text.assemble(("Warning: ", "yellow"), warning), soft_wrap=True)


def _table(found: Sequence[Measurement], comparisons: Sequence[Comparison]) -> Table:
    """A column for each run: its figures, then what it was asked to do differently."""
    table = new_table([""], [run.run_id[:12] for run in found])
    for label, cell in _FIGURES:
        table.add_row(label, *map(cell, found, [None, *comparisons]))
    for name in dict.fromkeys(name for run in found for name in run.readings):
        table.add_row(reading_title(name), *(_reading(run, name) for run in found))
    keys = list(dict.fromkeys(one.key for each in comparisons for one in each.differences))
    values = [leaves(run.spec) for run in found]
    for key in keys[:MOST_KEYS]:
        table.add_row(key, *(_value(each, key) for each in values))
    if len(keys) > MOST_KEYS:
        table.add_row(f"and {len(keys) - MOST_KEYS} more: --json has all")
    if not keys:
        table.add_row("The configurations are the same.")
    return table


def _peak(run: Measurement, _: Comparison | None) -> str:
    return mib(run.memory.peak_bytes if run.memory else None)


def _peak_ratio(_: Measurement, comparison: Comparison | None) -> str:
    return _ratio(comparison.memory.peak_ratio if comparison and comparison.memory else None)


def _median(run: Measurement, _: Comparison | None) -> str:
    return ms(run.time.median_s if run.time else None)


def _time_ratio(_: Measurement, comparison: Comparison | None) -> str:
    return _ratio(comparison.time.ratio if comparison and comparison.time else None)


def _interval(_: Measurement, comparison: Comparison | None) -> str:
    interval = comparison.time.interval if comparison and comparison.time else None
    return "–" if interval is None else f"{interval[0]:.3f} – {interval[1]:.3f}"


def _verdict(_: Measurement, comparison: Comparison | None) -> str:
    time = comparison.time if comparison else None
    return "–" if time is None else time.verdict.replace("_", " ")


def _check(run: Measurement, _: Comparison | None) -> str:
    if run.check is None:
        return "–"
    error = run.check.relative_error
    words = "passed" if run.check.passed else "failed"
    return words if error is None else f"{error:.1e} {words}"


def _reading(run: Measurement, name: str) -> str:
    return number(run.readings[name]) if name in run.readings else "–"


_FIGURES: Final[tuple[tuple[str, Callable[[Measurement, Comparison | None], str]], ...]] = (
    ("Name", lambda run, _: run.spec.name),
    ("Peak, MiB", _peak),
    ("Peak, × the first", _peak_ratio),
    ("Time, ms", _median),
    ("Time, × the first", _time_ratio),
    ("95 % interval", _interval),
    ("Verdict", _verdict),
    ("Check, relative error", _check),
)


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _value(values: Mapping[str, object], key: str) -> str:
    if key not in values:
        return "–"
    value = values[key]
    return value if isinstance(value, str) else json_format.dumps(value)


# ------------------------------------------------------------------------------------ in turns


def _spec(argument: str) -> RunSpec:
    """The spec of a preset, a file, or a stored run, in this order."""
    is_preset = any(argument == preset.name for preset in presets())
    if argument == "-" or is_preset or Path(argument).suffix or len(Path(argument).parts) > 1:
        return read_spec(argument, ())
    return _stored(argument).spec


def _print_turns(a: RunSpec, b: RunSpec, budget_s: float, as_json: bool) -> int:
    compared = _last(_shown(a, b, budget_s))
    names = _names(a, b)
    words = (
        f"There is no comparison. {compared.absent}"
        if compared.time is None
        else sentence(compared.time, *names)
    )
    if as_json:
        _print_json({"a": names[0], "b": names[1], "sentence": words, **_dumped(compared)})
        return 0 if compared.time is not None else 1
    console = terminal()
    console.print(words, soft_wrap=True)
    console.print(f"{len(compared.a_samples_s):,} pairs of repetitions.", soft_wrap=True)
    return 0 if compared.time is not None else 1


def _dumped(compared: Compared) -> dict[str, object]:
    return compared.model_dump(mode="json", exclude={"type"})


def _names(a: RunSpec, b: RunSpec) -> tuple[str, str]:
    return (a.name, b.name) if a.name != b.name else (f"{a.name} (A)", f"{b.name} (B)")


def _shown(a: RunSpec, b: RunSpec, budget_s: float) -> Iterator[Compared]:
    """Says on stderr how far it is."""
    console = terminal(stderr=True)
    with console.status("Starting …") as status:
        for event in take_turns(a, b, budget_s):
            if isinstance(event, Compared):
                yield event
            elif isinstance(event, PairTimed):
                status.update(f"Pair {event.index + 1:,}, at most {event.left_s:.0f} s left")
            else:
                status.update(f"Warming up {event.of.upper()} …")


def _last(events: Iterator[Compared]) -> Compared:
    for compared in events:
        return compared
    raise Refused("The measuring process ended without a result.", status=1)


def _print_json(document: dict[str, object]) -> None:
    print(json_format.dumps(document, indent=2, ensure_ascii=False))
