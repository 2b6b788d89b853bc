"""A forecast in words: one line for the tool bar, and all of it for the tip."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from PySide6.QtCore import QCoreApplication

from core.results.categories import CATEGORIES
from core.results.forecast import Finding, Forecast, Outlook
from hogui.category_labels import category_label
from hogui.units import bytes_form, format_memory, format_seconds

Line = tuple[str, str]
"""A name and its figure; a sentence has none."""


@dataclass(frozen=True)
class Words:
    """What is said of an outlook.

    Attributes:
        line: for the tool bar.
        is_warning: whether it does not fit.
        lines: everything, for the tip.
    """

    line: str
    is_warning: bool = False
    lines: tuple[Line, ...] = ()

    @property
    def plain(self) -> str:
        """All of it as plain text."""
        return "\n".join(f"{name}: {figure}" if figure else name for name, figure in self.lines)

    @property
    def html(self) -> str:
        """All of it as a table whose figures stand at the right."""
        rows = (
            f"<tr><td>{escape(name)}</td><td align='right'>&nbsp;&nbsp;{escape(figure)}</td></tr>"
            if figure
            else f"<tr><td colspan='2'>{escape(name)}</td></tr>"
            for name, figure in self.lines
        )
        return f"<table cellspacing='1'>{''.join(rows)}</table>"


def words_of(outlook: Outlook) -> Words:
    """An outlook in words."""
    forecast = outlook.forecast
    if forecast is None:
        why = outlook.absent or _tr("there is no reason given.")
        sentence = _tr("No forecast: {reason}").format(reason=why)
        return Words(sentence, lines=((sentence, ""), *_findings(outlook.findings)))
    does_not_fit = forecast.fits is False
    parts = [_size(forecast), _duration(forecast), _fit(forecast)]
    if does_not_fit:
        # What matters most must not be what is cut off.
        parts = [parts[0], parts[2], parts[1]]
    line = _tr("Forecast {figures}").format(figures=" · ".join(part for part in parts if part))
    return Words(line, does_not_fit, (*_lines(forecast), *_findings(outlook.findings)))


def _size(forecast: Forecast) -> str:
    size = format_memory(forecast.total_bytes)
    form = _tr("{bytes} together, exact") if forecast.exact else _tr("at least {bytes} together")
    return form.format(bytes=size)


def _duration(forecast: Forecast) -> str:
    return "" if forecast.seconds is None else format_seconds(forecast.seconds)


def _fit(forecast: Forecast) -> str:
    if forecast.available_bytes is None:
        return ""
    available = format_memory(forecast.available_bytes)
    if forecast.fits is False:
        needed = format_memory(forecast.total_bytes)
        return _tr("does not fit: {needed} of {available}").format(
            needed=needed, available=available
        )
    form = _tr("of {available}") if forecast.fits is None else _tr("fits in {available}")
    return form.format(available=available)


def _lines(forecast: Forecast) -> Iterator[Line]:
    total = forecast.total_bytes
    size = bytes_form(total)
    yield _tr("Peak above baseline"), size(forecast.peak_bytes)
    if forecast.baseline_bytes is not None:
        yield _tr("Baseline"), size(forecast.baseline_bytes)
    yield _tr("Together"), size(total)
    if forecast.available_bytes is not None:
        name = forecast.memory_name or _tr("the device")
        yield _tr("Memory of {device}").format(device=name), format_memory(forecast.available_bytes)
    if forecast.seconds is not None:
        yield _tr("Time a repetition"), format_seconds(forecast.seconds)
    held = {name: value for name, value in forecast.by_category.items() if value}
    if held:
        yield _tr("Held at the peak:"), ""
    known = [name for name in CATEGORIES if name in held]
    for name in (*known, *(set(held) - set(known))):
        yield category_label(name), size(held[name])
    if forecast.exact:
        yield _tr("The peak is claimed to the byte."), ""
    else:
        yield _tr("The peak is a lower bound."), ""
    for reason in forecast.reasons:
        yield reason, ""


def _findings(findings: tuple[Finding, ...]) -> Iterator[Line]:
    for finding in findings:
        if finding.layer is None:
            yield finding.sentence, ""


def _tr(text: str) -> str:
    return QCoreApplication.translate("Forecast", text)
