"""A result as a person reads it in a terminal: MiB and ms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.results.charts import CHARTS, reading_title
from core.results.forecast import Finding, Forecast
from core.results.measurement import Check, Measurement
from core.results.statistics import explain

_MIB = 2**20
_MOST_PHASES = 24
"""Of MAML's many; a terminal shows no more at a time."""

_SEVERITIES: Final = {"error": "red", "warning": "yellow", "note": "dim"}


def print_summary(result: Measurement, console: Console) -> None:
    """Writes the summary of one run."""
    console.print(Group(*_parts(result)))


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Writes what a run will cost."""
    console.print(Group(*_forecast_parts(forecast)))


def print_findings(found: Sequence[Finding], console: Console) -> None:
    """Writes what would fail, be wrong or surprise, one line each."""
    for finding in found:
        severity = (f"{finding.severity}: ", _SEVERITIES[finding.severity])
        place = "" if finding.layer is None else f"layer {finding.layer + 1} "
        console.print(Text.assemble(severity, place, finding.sentence), soft_wrap=True)


def _forecast_parts(forecast: Forecast) -> Iterator[RenderableType]:
    table = Table.grid(padding=(0, 2))
    _add_memory(table, forecast.peak_bytes, forecast.baseline_bytes, _claimed(forecast))
    if forecast.seconds is not None:
        table.add_row("Time a repetition", f"about {ms(forecast.seconds)} ms")
    if forecast.memory_name is not None:
        table.add_row("Fits", _fit(forecast))
    yield table
    yield _categories(forecast.by_category)
    if forecast.phases:
        phases = new_table(["Phase"], ["Peak, MiB", "Retained, MiB"])
        for phase in forecast.phases[:_MOST_PHASES]:
            phases.add_row(phase.name, mib(phase.peak_bytes), mib(phase.retained_bytes))
        left_out = len(forecast.phases) - _MOST_PHASES
        if left_out > 0:
            phases.add_row(f"and {left_out} more: --json prints all")
        yield phases
    for reason in forecast.reasons:
        yield Text(reason)


def _add_memory(
    table: Table, peak_bytes: int, baseline_bytes: int | None, form: str = "{}"
) -> None:
    """The peak, what was there before, and what a device must hold: the words of the window."""
    table.add_row("Peak above baseline", form.format(f"{mib(peak_bytes)} MiB"))
    if baseline_bytes is not None:
        table.add_row("Baseline", f"{mib(baseline_bytes)} MiB (parameters and data)")
    table.add_row("Together", form.format(f"{mib((baseline_bytes or 0) + peak_bytes)} MiB"))


def _claimed(forecast: Forecast) -> str:
    """The form of a figure that it foretells: one to the byte, or a lower bound."""
    return "{}, exact" if forecast.exact else "at least {}"


def _fit(forecast: Forecast) -> str:
    needed = mib(forecast.total_bytes)
    there = f"{needed} of {mib(forecast.available_bytes)} MiB of {forecast.memory_name}"
    words = {True: "yes", False: "no", None: "perhaps, since that is the least that it needs"}
    return f"{words[forecast.fits]}: {there}"


def _parts(result: Measurement) -> Iterator[RenderableType]:
    yield Text.assemble((result.spec.name, "bold"), f"  {result.sentence}")
    yield _figures(result)
    if result.memory is not None:
        yield _categories(result.memory.by_category)
    if result.phases:
        yield _phases(result)
    for note in result.notes:
        yield Text(note)
    for warning in result.warnings:
        yield Text.assemble(("Warning: ", "yellow"), warning)


def _figures(result: Measurement) -> Table:
    table = Table.grid(padding=(0, 2))
    memory, time, environment = result.memory, result.time, result.environment
    if result.forecast is not None:
        together = f"{mib(result.forecast.total_bytes)} MiB together"
        table.add_row("Forecast", _claimed(result.forecast).format(together))
    if memory is not None:
        _add_memory(table, memory.peak_bytes, memory.baseline_bytes)
    if time is not None:
        low, high = time.interval_s
        table.add_row(
            "Time",
            f"{ms(time.median_s)} ms, between {ms(low)} and {ms(high)} "
            f"({len(time.samples_s)} repetitions)",
        )
        fixed = result.spec.measure.repetitions != "auto"
        table.add_row("", explain(time, fixed=fixed))
    if result.check is not None:
        table.add_row("Check", _check(result.check))
        for failure in result.check.failures:
            table.add_row("", Text(failure, "red"))
    for name, value in result.readings.items():
        table.add_row(reading_title(name), number(value))
    for curve in result.curves:
        chart = CHARTS[curve.chart].title
        ends = f"{number(curve.y[0])} → {number(curve.y[-1])}"
        table.add_row(chart, f"{curve.name}: {ends} in {len(curve.y)} points")
    table.add_row("Device", f"{environment.device} ({environment.device_name})")
    table.add_row("Run", result.run_id)
    return table


def _check(check: Check) -> Text:
    error = "" if check.relative_error is None else f", relative error {check.relative_error:.1e}"
    verdict = ("passed", "green") if check.passed else ("failed", "bold red")
    return Text.assemble(verdict, f"{error}: {check.method}")


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


def number(value: float | None) -> str:
    """Six digits of a number without a unit."""
    return "not finite" if value is None else f"{value:.6g}"
