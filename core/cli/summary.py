"""A result as a person reads it in a terminal: MiB and ms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.results.measurement import Measurement

_MIB = 2**20
_MOST_PHASES = 24
"""Of MAML's many; a terminal shows no more at a time."""


def print_summary(result: Measurement, console: Console) -> None:
    """Writes the summary of one run."""
    console.print(Group(*_parts(result)))


def _parts(result: Measurement) -> Iterator[RenderableType]:
    yield Text.assemble((result.spec.name, "bold"), f"  {result.sentence}")
    yield _figures(result)
    if result.memory is not None:
        yield _categories(result.memory.by_category)
    if result.phases:
        yield _phases(result)
    for warning in result.warnings:
        yield Text.assemble(("Warning: ", "yellow"), warning)


def _figures(result: Measurement) -> Table:
    table = Table.grid(padding=(0, 2))
    memory, time, environment = result.memory, result.time, result.environment
    if memory is not None:
        table.add_row("Peak", f"{mib(memory.peak_bytes)} MiB above the baseline")
        table.add_row("Baseline", f"{mib(memory.baseline_bytes)} MiB (parameters and data)")
    if time is not None:
        low, high = time.interval_s
        table.add_row(
            "Time",
            f"{ms(time.median_s)} ms, between {ms(low)} and {ms(high)} "
            f"({len(time.samples_s)} repetitions, {time.verdict})",
        )
    if result.check is not None:
        words = "passed" if result.check.passed else "failed"
        table.add_row("Check", f"{words}: {result.check.method}")
    if result.learning_curve:
        first, last = result.learning_curve[0], result.learning_curve[-1]
        table.add_row(
            "Outer loss", f"{_loss(first)} → {_loss(last)} in {len(result.learning_curve)} steps"
        )
    table.add_row("Device", f"{environment.device} ({environment.device_name})")
    table.add_row("Run", result.run_id)
    return table


def _categories(by_category: dict[str, int]) -> Table:
    table = new_table(["At the peak"], ["MiB"])
    for name, count in sorted(by_category.items(), key=lambda item: -item[1]):
        if count:
            table.add_row(name.replace("_", " "), mib(count))
    return table


def _phases(result: Measurement) -> Table:
    table = new_table(["Phase"], ["ms", "Peak, MiB", "Retained, MiB"])
    left_out = len(result.phases) - _MOST_PHASES
    for phase in result.phases[:_MOST_PHASES]:
        table.add_row(
            phase.name, ms(phase.duration_s), mib(phase.peak_bytes), mib(phase.retained_bytes)
        )
    if left_out > 0:
        table.add_row(f"and {left_out} more: --csv writes all")
    return table


def new_table(words: Sequence[str], figures: Sequence[str]) -> Table:
    """A table whose first columns hold words and whose last ones hold figures."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in words:
        table.add_column(name, no_wrap=name == words[0])
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def mib(count: int | None) -> str:
    """Bytes in MiB, three decimals; a dash where there is no figure."""
    if count is None:
        return "–"
    text = f"{count / _MIB:,.3f}"
    return "<0.001" if count > 0 and text == "0.000" else text


def ms(seconds: float | None) -> str:
    """Seconds in milliseconds, four digits; a dash where there is no figure."""
    return "–" if seconds is None else f"{seconds * 1e3:,.4g}"


def _loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
