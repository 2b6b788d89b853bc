"""The combinations of an advice as rows: what each costs, forecast and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from PySide6.QtCore import QCoreApplication

from core.advisor import known_bytes, known_seconds, time_factor
from core.results.advice import AdvicePoint
from core.spec.run import RunSpec
from hogui.plots.point_marks import Kind
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

LABEL, PEAK, SHARE, TIME, FACTOR, FITS, ANSWER, FORETOLD_PEAK, FORETOLD_TIME = range(9)
"""The columns. Peak and time are as measured where that is known, else as foretold."""
NUMBERS = (PEAK, SHARE, TIME, FACTOR, FORETOLD_PEAK, FORETOLD_TIME)
OF_RUNS = (FORETOLD_PEAK, FORETOLD_TIME)
"""Columns that are empty until something was measured."""


@dataclass(frozen=True)
class AdviceRows:
    """Titles of the columns, and as many cells in each row.

    Attributes:
        recommended: the number of the row to take.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    recommended: int | None = None


def kind_of(point: AdvicePoint) -> Kind:
    """How a point is marked."""
    if point.approximates:
        return Kind.TOO_LARGE_APPROXIMATION if point.fits is False else Kind.APPROXIMATES
    if point.fits is None:
        return Kind.MAY_FIT
    return Kind.FITS if point.fits else Kind.TOO_LARGE


def advice_rows(
    points: Sequence[AdvicePoint], budget_bytes: int, recommended: RunSpec | None
) -> AdviceRows:
    """Rows in the order of the points.

    Args:
        points: the one that was asked about first, with what was measured of each.
        budget_bytes: what baseline and peak have to fit into.
        recommended: the point that is recommended.
    """
    totals = [known_bytes(point) for point in points]
    times = [known_seconds(point) for point in points]
    own_totals = [point.forecast.total_bytes for point in points]
    own_times = [point.forecast.seconds for point in points]
    memory = _Column(BYTES[2], (*totals, *own_totals))
    known = [time for time in (*times, *own_times) if time]
    # In the unit of the middle, since hundreds of combinations may take from µs to seconds.
    middle = sqrt(min(known) * max(known)) if known else 0.0
    clock = _Column(seconds_scale(middle), (*times, *own_times))
    first = points[0] if points and not points[0].changes else None
    rows = []
    best = None
    for number, point in enumerate(points):
        has_run, is_timed = point.measured_bytes is not None, point.measured_s is not None
        if point.spec == recommended:
            best = number
        peak, time = memory.cell(totals[number]), clock.cell(times[number])
        if has_run:
            peak = _measured(peak, memory, totals[number], own_totals[number])
        elif not point.forecast.exact:
            peak = replace(peak, tip=_lower_bound(point))
        if is_timed:
            time = _measured(time, clock, times[number], own_times[number])
        share = ratio(totals[0], totals[number]) if first is not None else None
        rows.append(
            (
                _label(point, is_recommended=number == best),
                peak,
                _ratio_cell(share),
                time,
                _ratio_cell(None if first is None else time_factor(point, first)),
                _fits(point, budget_bytes),
                _answer(point),
                memory.cell(own_totals[number] if has_run else None),
                clock.cell(own_times[number] if is_timed else None),
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
        _tr("Foretold, {unit}").format(unit=memory.scale.unit),
        _tr("Foretold, {unit}").format(unit=clock.scale.unit),
    )
    return AdviceRows(headers, tuple(rows), best)


class _Column:
    """Figures in one unit, with as many decimals as three digits of the smallest need."""

    def __init__(self, scale: Scale, values: Sequence[float | None]) -> None:
        self.scale = scale
        smallest = min((value for value in values if value), default=scale.factor)
        self._decimals = column_decimals(smallest / scale.factor) - 1

    def cell(self, value: float | None) -> Cell:
        if value is None:
            return Cell(MISSING)
        text = self.scale.number(value, self._decimals)
        return Cell(text, value / self.scale.factor)


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
    missing = known_bytes(point) - budget_bytes
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


def _measured(cell: Cell, column: _Column, measured: float | None, foretold: float | None) -> Cell:
    """The cell of a figure that was measured, with the mark of that."""
    tip, part = _tr("Measured"), ratio(measured, foretold)
    if part is not None:
        form = _tr("Measured; {figure} {unit} were foretold, {percent:+.2f} %")
        tip = form.format(
            figure=column.cell(foretold).text, unit=column.scale.unit, percent=100 * (part - 1)
        )
    return replace(cell, icon="run", tip=tip)


def _tr(text: str) -> str:
    return QCoreApplication.translate("AdviceTable", text)
