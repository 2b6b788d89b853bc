"""The combinations of an advice as rows: what each costs, forecast and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from PySide6.QtCore import QCoreApplication

from core.results.advice import AdvicePoint
from core.results.measurement import Measurement
from core.spec.run import RunSpec
from hogui.forecast_text import total_bytes
from hogui.plots.point_marks import Kind
from hogui.tab_advice import nameless
from hogui.tables.rows_model import Cell
from hogui.units import (
    BYTES,
    MISSING,
    Scale,
    column_decimals,
    format_memory,
    format_ratio,
    ratio,
    seconds_scale,
)

LABEL, PEAK, SHARE, TIME, FACTOR, FITS, ANSWER, MEASURED_PEAK, MEASURED_TIME = range(9)
"""The columns."""
NUMBERS = (PEAK, SHARE, TIME, FACTOR, MEASURED_PEAK, MEASURED_TIME)
OF_RUNS = (MEASURED_PEAK, MEASURED_TIME)
"""Columns that are empty until something was measured."""

Measured = Mapping[RunSpec, Measurement]
"""Results by the configuration without its name."""


@dataclass(frozen=True)
class AdviceRows:
    """Titles of the columns, and as many cells in each row."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def kind_of(point: AdvicePoint) -> Kind:
    """How a point is marked."""
    if point.approximates:
        return Kind.TOO_LARGE_APPROXIMATION if point.fits is False else Kind.APPROXIMATES
    if point.fits is None:
        return Kind.MAY_FIT
    return Kind.FITS if point.fits else Kind.TOO_LARGE


def advice_rows(
    points: Sequence[AdvicePoint],
    budget_bytes: int,
    recommended: RunSpec | None,
    measured: Measured,
) -> AdviceRows:
    """Rows in the order of the points.

    Args:
        points: the one that was asked about first.
        budget_bytes: what baseline and peak have to fit into.
        recommended: the point that is recommended.
        measured: what is known from runs.
    """
    # Hashing hundreds of configurations takes a while.
    runs = [measured.get(nameless(point.spec)) if measured else None for point in points]
    totals = [total_bytes(point.forecast) for point in points]
    times = [point.forecast.seconds for point in points]
    run_totals = [_total(run) for run in runs]
    run_times = [
        point.measured_s if run is None else _median(run)
        for run, point in zip(runs, points, strict=True)
    ]
    memory = _Column(BYTES[2], (*totals, *run_totals))
    known = [time for time in (*times, *run_times) if time]
    # In the unit of the middle, since hundreds of combinations may take from µs to seconds.
    middle = sqrt(min(known) * max(known)) if known else 0.0
    clock = _Column(seconds_scale(middle), (*times, *run_times))
    first_total = totals[0] if points and not points[0].changes else None
    first_time = times[0] if first_total is not None else None
    rows = []
    for number, point in enumerate(points):
        total, time = totals[number], times[number]
        rows.append(
            (
                _label(point, is_recommended=point.spec == recommended),
                memory.cell(total, "" if point.forecast.exact else _lower_bound(point)),
                _ratio_cell(ratio(first_total, total)),
                clock.cell(time),
                _ratio_cell(ratio(time, first_time)),
                _fits(point, budget_bytes),
                _answer(point),
                memory.cell(run_totals[number], _off(run_totals[number], total)),
                clock.cell(run_times[number], _off(run_times[number], time)),
            )
        )
    headers = (
        _tr("What it does"),
        _tr("Peak, {unit}").format(unit=memory.scale.unit),
        _tr("÷ as it is"),
        _tr("Time, {unit}").format(unit=clock.scale.unit),
        _tr("× as it is"),
        _tr("Fits"),
        _tr("Result"),
        # Short, since what a row does needs the width.
        _tr("Run, {unit}").format(unit=memory.scale.unit),
        _tr("Run, {unit}").format(unit=clock.scale.unit),
    )
    return AdviceRows(headers, tuple(rows))


class _Column:
    """Figures in one unit, with as many decimals as three digits of the smallest need."""

    def __init__(self, scale: Scale, values: Sequence[float | None]) -> None:
        self.scale = scale
        smallest = min((value for value in values if value), default=scale.factor)
        self._decimals = column_decimals(smallest / scale.factor) - 1

    def cell(self, value: float | None, tip: str = "") -> Cell:
        if value is None:
            return Cell(MISSING)
        text = self.scale.number(value, self._decimals)
        return Cell(text, value / self.scale.factor, tip=tip)


def _label(point: AdvicePoint, *, is_recommended: bool) -> Cell:
    text = point.label[:1].upper() + point.label[1:]
    notes = []
    if is_recommended:
        notes.append(_tr("recommended"))
    if point.on_front:
        notes.append(_tr("on the Pareto front"))
    lines = [text, ", ".join(notes), *(f"{key} = {value}" for key, value in point.changes.items())]
    if is_recommended:
        text = f"{text} · {_tr('recommended')}"
    return Cell(text, text, tip="\n".join(line for line in lines if line))


def _fits(point: AdvicePoint, budget_bytes: int) -> Cell:
    missing = total_bytes(point.forecast) - budget_bytes
    if point.fits:
        left = _tr("{bytes} are left").format(bytes=format_memory(-missing))
        return Cell(_tr("yes"), _tr("yes"), icon="check", token="success", tip=left)
    if point.fits is None:
        return Cell(_tr("perhaps"), _tr("perhaps"), tip=_lower_bound(point))
    over = _tr("{bytes} over").format(bytes=format_memory(missing))
    return Cell(over, over)


def _answer(point: AdvicePoint) -> Cell:
    if not point.approximates:
        return Cell(_tr("exact"), _tr("exact"))
    return Cell(point.approximates, point.approximates, tip=point.approximates)


def _lower_bound(point: AdvicePoint) -> str:
    return "\n".join((_tr("The peak is a lower bound."), *point.forecast.reasons))


def _ratio_cell(value: float | None) -> Cell:
    return Cell(MISSING) if value is None else Cell(format_ratio(value).rstrip("×"), value)


def _off(measured: float | None, foretold: float | None) -> str:
    part = ratio(measured, foretold)
    if part is None:
        return ""
    return _tr("{percent:+.2f} % against the forecast").format(percent=100 * (part - 1))


def _total(run: Measurement | None) -> float | None:
    return run.memory.total_bytes if run is not None and run.memory is not None else None


def _median(run: Measurement | None) -> float | None:
    return run.time.median_s if run is not None and run.time is not None else None


def _tr(text: str) -> str:
    return QCoreApplication.translate("AdviceTable", text)
