"""What a measurement says, as rows: outcome, warnings, figures, readings, check, phases, layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite

from PySide6.QtCore import QCoreApplication

from core.results.categories import CATEGORIES
from core.results.charts import reading_title
from core.results.forecast import Forecast
from core.results.measurement import Check, LayerCost, Measurement, Memory, Phase, Timing
from core.results.outcome import Outcome
from core.results.statistics import explain
from core.spec.layers import LAYER_KINDS, shape_text
from hogui.category_labels import category_label
from hogui.forms.names import declared_text
from hogui.tables.rows_model import Cell, Look, Row, Segment
from hogui.theme import category_colour
from hogui.units import (
    BYTES,
    MIB,
    MINUS,
    MISSING,
    column_decimals,
    format_bytes,
    format_count,
    seconds_scale,
)

COLUMNS = 5
"""Cells of the widest row."""

_OUTCOME_ICONS = {
    Outcome.FINISHED: ("check", "success"),
    Outcome.CANCELLED: ("cancel", "text_secondary"),
    Outcome.INTERRUPTED: ("warning", "warning"),
}


def _tr(text: str) -> str:
    return QCoreApplication.translate("ResultTable", text)


def result_rows(result: Measurement) -> tuple[Row, ...]:
    """Everything that a result table shows. Bytes are in MiB, times in the heading's unit."""
    return tuple(_rows(result))


def _rows(result: Measurement) -> Iterator[Row]:
    why_absent = " ".join(result.warnings) or result.sentence
    icon, token = _OUTCOME_ICONS.get(result.outcome, ("error", "error"))
    yield _sentence(result.sentence, icon, token)
    if result.check is not None and not result.check.passed:
        yield _sentence(failed_check(result.check), "error", "error")
    for warning in result.warnings:
        yield _sentence(warning, "warning", "warning")
    for note in result.notes:
        yield _sentence(note, "info", "text_secondary")
    yield from _memory(result.memory, result.forecast, why_absent)
    yield from _time(result.time, why_absent, fixed=result.spec.measure.repetitions != "auto")
    if result.readings:
        yield from _readings(result.readings)
    if result.check is not None:
        yield from _check(result.check)
    if result.phases:
        yield from _phases(result.phases, why_absent)
    if result.layers:
        yield from _layers(result.layers, result.memory, why_absent)


def failed_check(check: Check) -> str:
    """What went wrong, in one sentence."""
    if check.relative_error is None:
        return _tr("The check failed; its error could not be computed.")
    if check.tolerance is None:
        return _tr("The check failed: its relative error is {error:.1e}.").format(
            error=check.relative_error
        )
    form = _tr("The check failed: its relative error is {error:.1e}, of {most:.1e} allowed.")
    return form.format(error=check.relative_error, most=check.tolerance)


def _check(check: Check) -> Iterator[Row]:
    yield _heading(_tr("Check"), _tr("Relative error"), _tr("Allowed"))
    icon, token, verdict = (
        ("check", "success", _tr("Passed")) if check.passed else ("error", "error", _tr("Failed"))
    )
    why = " ".join(check.failures) or _tr("It could not be computed.")
    yield _figures(
        Cell(verdict, verdict, icon=icon, token=token, tip=check.method),
        _number(check.relative_error, "{:.1e}", why),
        _number(check.tolerance, "{:.1e}", ""),
    )
    for failure in check.failures:
        yield _sentence(failure, "error", "error")
    yield _sentence(check.method, "info", "text_secondary")


def _forecast(forecast: Forecast, memory: Memory, mib: _MibColumn) -> Row:
    """The forecast peak beside the measured one."""
    off = forecast.peak_bytes - memory.peak_bytes
    sign = "+" if off > 0 else MINUS if off < 0 else ""
    difference = _tr("{bytes} off").format(bytes=sign + format_bytes(abs(off)))
    tip = _tr("forecast {forecast} MiB, measured {measured} MiB, {difference}").format(
        forecast=mib.cell(forecast.peak_bytes).text,
        measured=mib.cell(memory.peak_bytes).text,
        difference=difference,
    )
    sentences = "\n".join([tip, *forecast.reasons])
    label = _tr("Forecast of the peak") if forecast.exact else _tr("Forecast, at least")
    return _figures(
        Cell(label, label, tip=sentences),
        mib.cell(forecast.peak_bytes),
        Cell(difference, difference, tip=sentences, at_right=True),
    )


def _memory(memory: Memory | None, forecast: Forecast | None, why_absent: str) -> Iterator[Row]:
    yield _heading(_tr("Memory"), _tr("MiB"), _tr("Share"))
    if memory is None:
        yield _figures(_tr("Peak above baseline"), _absent(why_absent))
        yield _figures(_tr("Baseline"), _absent(why_absent))
        return
    total = memory.total_bytes
    mib = _MibColumn([total])
    peak, baseline = memory.peak_bytes, memory.baseline_bytes
    what_baseline = _tr("Parameters, buffers and data that exist before the run")
    held = _held_at_peak(memory)
    yield _bar(
        Segment(
            category_label(name),
            size / total,
            _share(size, total).text,
            swatch=category_colour(name).name(),
        )
        for name, size in held.items()
    )
    yield _figures(_tr("Peak above baseline"), mib.cell(peak), _share(peak, total))
    if forecast is not None:
        yield _forecast(forecast, memory, mib)
    yield _figures(
        Cell(_tr("Baseline"), tip=what_baseline), mib.cell(baseline), _share(baseline, total)
    )
    together = Cell(_tr("Together"), tip=_tr("What a device must hold"))
    yield _figures(together, mib.cell(total), _share(total, total))
    if memory.process_peak_bytes is not None:
        yield _figures(
            Cell(
                _tr("Process, sampled"),
                tip=_tr("Highest resident memory of the whole measuring process"),
            ),
            mib.cell(memory.process_peak_bytes),
        )
    yield _heading(_tr("Held at the peak"), _tr("MiB"), _tr("Share"))
    for name, size in held.items():
        label = Cell(category_label(name), swatch=category_colour(name).name())
        yield _figures(label, mib.cell(size), _share(size, total))


def _held_at_peak(memory: Memory) -> dict[str, int]:
    """The categories that held anything, in the order of stacking."""
    known = [name for name in CATEGORIES if name in memory.by_category]
    names = (*known, *sorted(set(memory.by_category) - set(known)))
    return {name: size for name in names if (size := memory.by_category[name])}


def _time(time: Timing | None, why_absent: str, *, fixed: bool) -> Iterator[Row]:
    seconds = _SecondsColumn([time.median_s if time is not None else None], why_absent)
    yield _heading(_tr("Time a repetition"), seconds.unit)
    if time is None:
        yield _figures(_tr("Median"), _absent(why_absent))
        return
    low, high = (seconds.cell(end).text for end in time.interval_s)
    yield _figures(_tr("Median"), seconds.cell(time.median_s))
    yield _figures(
        Cell(_tr("Interval"), tip=_tr("95 % interval of the median")),
        Cell(f"{low} … {high}", tip=_tr("95 % interval of the median"), at_right=True),
    )
    yield _figures(_tr("First call"), seconds.cell(time.first_s))
    verdict = {
        "stable": Cell(
            _tr("stable"),
            tip=_tr("The interval is at most 2 % of the median wide"),
            at_right=True,
        ),
        "noisy": Cell(
            _tr("noisy"),
            token="warning",
            tip=_tr("The interval is wider than 2 % of the median"),
            at_right=True,
        ),
    }
    yield _figures(_tr("Verdict"), verdict[time.verdict])
    yield _figures(_tr("Repetitions"), Cell(str(len(time.samples_s)), len(time.samples_s)))
    if time.verdict == "stable":
        yield _sentence(explain(time, fixed=fixed), "info", "text_secondary")
    else:
        yield _sentence(explain(time, fixed=fixed), "warning", "warning")


def _readings(readings: Mapping[str, float | None]) -> Iterator[Row]:
    """What the workload found besides, as single numbers."""
    yield _heading(_tr("Readings"), _tr("Value"))
    for name, value in readings.items():
        cell = _number(value, "{:.6g}", _tr("The number is not finite."))
        yield _figures(declared_text(reading_title(name)), cell)


def _phases(phases: tuple[Phase, ...], why_absent: str) -> Iterator[Row]:
    seconds = _SecondsColumn((phase.duration_s for phase in phases), why_absent)
    mib = _MibColumn(phase.peak_bytes for phase in phases)
    yield _heading(_tr("Phases"), seconds.unit, _tr("Peak MiB"), _tr("Retained MiB"), _tr("Norm"))
    for phase in phases:
        yield _figures(
            phase.name,
            seconds.cell(phase.duration_s),
            mib.cell(phase.peak_bytes, why_absent),
            mib.cell(phase.retained_bytes, why_absent),
            _number(phase.result_norm, "{:.4g}", why_absent),
        )


def _layers(layers: tuple[LayerCost, ...], memory: Memory | None, why_absent: str) -> Iterator[Row]:
    mib = _MibColumn(layer.bytes_at_peak for layer in layers)
    yield _heading(_tr("Layers"), _tr("At peak MiB"), _tr("Parameters"), _tr("Output"))
    if memory is not None and memory.total_bytes:
        yield _bar(_layer_segments(layers, memory.total_bytes))
    for layer in layers:
        shape = shape_text(layer.output_shape)
        yield _figures(
            _layer_name(layer),
            mib.cell(layer.bytes_at_peak, why_absent),
            Cell(format_count(layer.parameters), layer.parameters),
            Cell(shape, shape, at_right=True),
        )


def _layer_segments(layers: tuple[LayerCost, ...], total: int) -> Iterator[Segment]:
    """What each layer held of all that was held, and what no layer did."""
    held = sum(layer.bytes_at_peak or 0 for layer in layers)
    whole = max(total, held)
    for layer in layers:
        if layer.bytes_at_peak:
            share = _share(layer.bytes_at_peak, whole)
            token = "accent" if layer.index % 2 == 0 else "accent_hover"
            yield Segment(_layer_name(layer), layer.bytes_at_peak / whole, share.text, token=token)
    if whole > held:
        share = _share(whole - held, whole)
        name, left = _tr("no layer"), (whole - held) / whole
        yield Segment(name, left, share.text, token="border_strong")


def _layer_name(layer: LayerCost) -> str:
    cls = LAYER_KINDS.get(layer.kind)
    title = declared_text(cls.title) if cls is not None else layer.kind
    return f"{layer.index + 1}  {title}"


class _MibColumn:
    """Byte counts in MiB with decimals enough for the largest of them."""

    def __init__(self, sizes: Iterable[int | None]) -> None:
        largest = max((abs(size) for size in sizes if size is not None), default=0)
        self._decimals = column_decimals(largest / MIB)

    def cell(self, size: int | None, why_absent: str = "") -> Cell:
        if size is None:
            return _absent(why_absent)
        return Cell(BYTES[2].number(size, self._decimals), size / MIB)


class _SecondsColumn:
    """Durations in one unit, with decimals enough for the largest of them."""

    def __init__(self, durations: Iterable[float | None], why_absent: str) -> None:
        usable = [seconds for seconds in durations if seconds is not None and isfinite(seconds)]
        largest = max(usable, default=1e-3)
        self._scale = seconds_scale(largest)
        self._decimals = column_decimals(largest / self._scale.factor)
        self._why_absent = why_absent

    @property
    def unit(self) -> str:
        return self._scale.unit

    def cell(self, seconds: float | None) -> Cell:
        if seconds is None or not isfinite(seconds):
            return _absent(self._why_absent)
        text = self._scale.number(seconds, self._decimals)
        return Cell(text, seconds / self._scale.factor)


def _heading(*titles: str) -> Row:
    return Row(tuple(Cell(title, title) for title in titles), Look.HEADING)


def _figures(label: str | Cell, *cells: Cell) -> Row:
    return Row((label if isinstance(label, Cell) else Cell(label, label), *cells))


def _sentence(text: str, icon: str, token: str) -> Row:
    return Row((Cell(text, text, icon=icon, token=token),), Look.SENTENCE)


def _bar(segments: Iterable[Segment]) -> Row:
    return Row((Cell(""),), Look.BAR, tuple(segments))


def _absent(why: str) -> Cell:
    return Cell(MISSING, tip=why)


def _number(value: float | None, form: str, why_absent: str) -> Cell:
    if value is None or not isfinite(value):
        return _absent(why_absent)
    return Cell(form.format(value), value)


def _share(part: int, whole: int) -> Cell:
    if not whole:
        return _absent("")
    return Cell(f"{100 * part / whole:.1f} %", part / whole)
