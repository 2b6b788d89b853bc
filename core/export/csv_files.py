"""Runs as CSV files, one per kind of row, for ``csv.DictReader`` and ``pandas.read_csv``.

UTF-8, comma, header; bytes and seconds in plain numbers, lists as JSON text, absent is empty.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from core.results.categories import CATEGORIES
from core.results.environment import Environment
from core.results.measurement import LayerCost, Measurement, Phase
from core.results.memory_timeline import MemoryTimeline, PhaseSpan

Row = Iterable[object]
Run = tuple[Measurement, MemoryTimeline]

RUN_COLUMNS: Final = (
    "run_id",
    "name",
    "started_at",
    "outcome",
    "device",
    "forecast_peak_bytes",
    "memory_baseline_bytes",
    "memory_peak_bytes",
    "time_median_s",
    "time_low_s",
    "time_high_s",
    "repetitions",
    "check_relative_error",
    "check_passed",
    "forecast_exact",
    "forecast_seconds",
    "time_verdict",
)
ENVIRONMENT_COLUMNS: Final = tuple(f"environment.{key}" for key in Environment.model_fields)
MEMORY_COLUMNS: Final = ("run_id", "source", "t_s", "phase", "total_bytes", *CATEGORIES)
TIME_COLUMNS: Final = ("run_id", "repetition", "seconds")
PHASE_COLUMNS: Final = ("run_id", *Phase.model_fields)
LAYER_COLUMNS: Final = ("run_id", *LayerCost.model_fields)
CURVE_COLUMNS: Final = ("run_id", "chart", "curve", "x", "y", "low", "high")
READING_COLUMNS: Final = ("run_id", "name", "value")

_AS_JSON = (bool, list, tuple, dict)


def export_csv(runs: Iterable[Run], folder: Path) -> tuple[Path, ...]:
    """Writes runs.csv, memory.csv, time.csv, phases.csv, layers.csv, curves.csv and readings.csv.

    Files of these names are replaced, each whole or not at all. Runs are taken one after the
    other, so any number of them fits.

    Args:
        runs: results with their curves.
        folder: where the files go; made where it is missing.

    Returns:
        The files, in that order.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Measurement] = []
    with ExitStack() as stack:
        memory = _Table(folder / "memory.csv", MEMORY_COLUMNS, stack)
        times = _Table(folder / "time.csv", TIME_COLUMNS, stack)
        phases = _Table(folder / "phases.csv", PHASE_COLUMNS, stack)
        layers = _Table(folder / "layers.csv", LAYER_COLUMNS, stack)
        curves = _Table(folder / "curves.csv", CURVE_COLUMNS, stack)
        readings = _Table(folder / "readings.csv", READING_COLUMNS, stack)
        for result, timeline in runs:
            results.append(result)
            memory.write(_memory_rows(result.run_id, timeline))
            times.write(_time_rows(result))
            phases.write((result.run_id, *row.model_dump().values()) for row in result.phases)
            layers.write((result.run_id, *row.model_dump().values()) for row in result.layers)
            curves.write(_curve_rows(result))
            readings.write((result.run_id, *reading) for reading in result.readings.items())
        rows = [run_row(result) for result in results]
        spec_columns = dict.fromkeys(key for row in rows for key in row if key.startswith("spec."))
        columns = (*RUN_COLUMNS, *spec_columns, *ENVIRONMENT_COLUMNS)
        table = _Table(folder / "runs.csv", columns, stack)
        table.write([row.get(column) for column in columns] for row in rows)
        tables = (table, memory, times, phases, layers, curves, readings)
        return tuple(part.finish() for part in tables)


def run_row(result: Measurement) -> dict[str, object]:
    """One run as a row of runs.csv, by column."""
    memory, time = result.memory, result.time
    row: dict[str, object] = {
        "run_id": result.run_id,
        "name": result.spec.name,
        "started_at": result.started_at,
        "outcome": str(result.outcome),
        "device": result.environment.device,
    }
    if result.forecast is not None:
        row["forecast_peak_bytes"] = result.forecast.peak_bytes
        row["forecast_exact"] = result.forecast.exact
        row["forecast_seconds"] = result.forecast.seconds
    if memory is not None:
        row["memory_baseline_bytes"] = memory.baseline_bytes
        row["memory_peak_bytes"] = memory.peak_bytes
    if time is not None:
        row["time_median_s"] = time.median_s
        row["time_low_s"], row["time_high_s"] = time.interval_s
        row["repetitions"] = len(time.samples_s)
        row["time_verdict"] = time.verdict
    if result.check is not None:
        row["check_relative_error"] = result.check.relative_error
        row["check_passed"] = result.check.passed
    row |= {f"spec.{key}": value for key, value in result.spec.flatten().items()}
    row |= {f"environment.{key}": value for key, value in result.environment.model_dump().items()}
    return row


def _memory_rows(run_id: str, timeline: MemoryTimeline) -> Iterator[Row]:
    nothing = (None,) * len(timeline.t_s)
    columns = [timeline.columns.get(name, nothing) for name in CATEGORIES]
    phases = _phases_at(timeline.t_s, timeline.phases)
    for t_s, phase, total, *values in zip(
        timeline.t_s, phases, timeline.totals(), *columns, strict=True
    ):
        yield run_id, "ledger", t_s, phase, total, *values
    for source, curve in (("resident", timeline.resident), ("driver", timeline.driver)):
        phases = _phases_at(curve.t_s, timeline.phases)
        for t_s, phase, total in zip(curve.t_s, phases, curve.total_bytes, strict=True):
            yield run_id, source, t_s, phase, total, *(None,) * len(CATEGORIES)


def _phases_at(times: Sequence[float], phases: Sequence[PhaseSpan]) -> Iterator[str]:
    """The phase at each of the ascending times, empty outside the memory pass."""
    position = -1
    for t_s in times:
        while position + 1 < len(phases) and phases[position + 1].start_s <= t_s:
            position += 1
        inside = position >= 0 and t_s <= phases[-1].end_s
        yield phases[position].name if inside else ""


def _time_rows(result: Measurement) -> Iterator[Row]:
    samples = result.time.samples_s if result.time is not None else ()
    for index, seconds in enumerate(samples):
        yield result.run_id, index, seconds


def _curve_rows(result: Measurement) -> Iterator[Row]:
    for curve in result.curves:
        nothing = (None,) * len(curve.x)
        ends = curve.low or nothing, curve.high or nothing
        for point in zip(curve.x, curve.y, *ends, strict=True):
            yield result.run_id, curve.chart, curve.name, *point


_RETURN_AND_FEED: Final = "\r\n"


class _LineFeeds:
    """Ends each row with a line feed.

    WORKAROUND: before Python 3.11.9 and 3.12.3, csv quotes a carriage return in a cell only where
    the end of a row holds one too (python/cpython#67044).
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        self._stream.write(row.removesuffix(_RETURN_AND_FEED) + "\n")


class _Table:
    """One CSV file, written beside its place and moved there when it is whole."""

    def __init__(self, file: Path, columns: tuple[str, ...], stack: ExitStack) -> None:
        self._file = file
        self._unfinished = file.with_name(f".{file.name}.{os.getpid()}.unfinished")
        # Registered before the stream, so that it is done after the stream was closed.
        stack.callback(self._unfinished.unlink, missing_ok=True)
        self._stream: IO[str] = stack.enter_context(
            self._unfinished.open("w", encoding="utf-8", newline="")
        )
        self._writer = csv.writer(_LineFeeds(self._stream), lineterminator=_RETURN_AND_FEED)
        self._writer.writerow(columns)

    def write(self, rows: Iterable[Row]) -> None:
        self._writer.writerows(map(_cell, row) for row in rows)

    def finish(self) -> Path:
        self._stream.close()
        os.replace(self._unfinished, self._file)
        return self._file


def _cell(value: object) -> object:
    """A value as it is written: lists and truth values as JSON, the rest as it is."""
    if isinstance(value, _AS_JSON):
        return json.dumps(value, ensure_ascii=False)
    return value
