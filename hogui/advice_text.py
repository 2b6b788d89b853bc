"""What is said of an advice in words."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from core.advisor import known_bytes, known_seconds, time_factor
from core.results.advice import Advice, AdvicePoint, Limit
from core.results.forecast import Forecast
from core.results.measurement import Measurement
from hogui.budget_text import text_of_budget
from hogui.tab_advice import AdviceState, TabAdvice
from hogui.units import format_count, format_memory, format_ratio, format_seconds, ratio


def progress_text(advice: TabAdvice, answer: Advice | None, *, is_held: bool) -> str:
    """How far the answer is, in a line.

    Args:
        advice: what is known of it.
        answer: with what was measured since.
        is_held: whether it waits for a run.
    """
    counted = ""
    if advice.of:
        counted = _tr("{done} of {of} combinations").format(done=advice.done, of=advice.of)
    match advice.state:
        case AdviceState.WAITING | AdviceState.ASKING if is_held:
            paused = _tr("waits until the run is over, whose clock it would disturb")
            return f"{counted}: {paused}" if counted else paused.capitalize()
        case AdviceState.WAITING:
            return _tr("Looking for combinations")
        case AdviceState.ASKING:
            return " · ".join(filter(None, (counted, advice.doing)))
        case AdviceState.STOPPED if counted:
            return _tr("Stopped at {counted}").format(counted=counted)
        case AdviceState.STOPPED:
            return _tr("Stopped")
        case AdviceState.DONE if answer is not None:
            return _summary(answer)
    return ""


def _summary(answer: Advice) -> str:
    fitting = sum(point.fits is True for point in answer.points)
    parts = []
    if answer.points:
        words = _tr("{fitting} of {count} combinations fit")
        parts.append(words.format(fitting=fitting, count=len(answer.points)))
    if answer.impossible:
        parts.append(_tr("{count} cannot work").format(count=len(answer.impossible)))
    return " · ".join(parts)


def capitalized(text: str) -> str:
    """The first letter large, and all others as they are."""
    return text[:1].upper() + text[1:]


def point_of_recommendation(answer: Advice) -> AdvicePoint | None:
    """The point that is recommended."""
    if answer.recommended is None:
        return None
    spec = answer.recommended.spec
    return next((point for point in answer.points if point.spec == spec), None)


def headline_and_reason(answer: Advice) -> tuple[str, str]:
    """What to do in a few words, and why: what the core says, cut behind what it names first."""
    if not answer.points:
        mine = [each.reason for each in answer.impossible if not each.changes]
        others = [each.reason for each in answer.impossible]
        return _tr("Nothing could be foretold"), next(iter((*mine, *others)), "")
    if answer.recommended is None:
        head = _tr("Nothing exact fits the budget")
        return head, next(iter(answer.sentences), "")
    label, reason = capitalized(answer.recommended.label), answer.recommended.reason
    if reason.startswith(f"{label}: "):
        reason = capitalized(reason.removeprefix(f"{label}: "))
    return _tr("Recommended: {what}").format(what=answer.recommended.label), reason


def confirmed_text(forecast: Forecast, run: Measurement | None) -> str:
    """What a run has found of a forecast, empty without one."""
    if run is None or run.memory is None:
        return ""
    measured, foretold = run.memory.total_bytes, forecast.total_bytes
    if measured == foretold:
        return _tr("measured {bytes}, as foretold").format(bytes=format_memory(measured))
    return _tr("measured {bytes}, foretold {other}").format(
        bytes=format_memory(measured), other=format_memory(foretold)
    )


def limit_text(limit: Limit, run: Measurement | None = None) -> str:
    """For example ``Largest batch: 4 096``, and whether a run has confirmed it."""
    if limit.value is None:
        return _tr("{title}: none fits").format(title=limit.title)
    text = f"{limit.title}: {format_count(limit.value)}"
    found = confirmed_text(limit.forecast, run) if limit.forecast is not None else ""
    return f"{text} · {found}" if found else text


def limit_tip(limit: Limit) -> str:
    """What the limit needs, and what ends it."""
    lines = []
    if limit.forecast is not None:
        parts = [f"{limit.key} = {limit.value}", format_memory(limit.forecast.total_bytes)]
        if limit.forecast.seconds is not None:
            parts.append(format_seconds(limit.forecast.seconds))
        lines.append(" · ".join(parts))
    return "\n".join(filter(None, (*lines, limit.note)))


def words_of_limit(limit: Limit) -> str:
    """What is added to the name of the configuration, for example ``largest batch 4096``."""
    return f"{limit.title[:1].lower()}{limit.title[1:]} {limit.value}"


def details_of(point: AdvicePoint, first: AdvicePoint | None) -> tuple[tuple[str, str], ...]:
    """The lines of a point's read-out."""
    other = first if first is not None and point is not first else None
    lines = [
        _figure(
            _tr("Peak and baseline"),
            format_memory(known_bytes(point)),
            None if point.measured_bytes is None else format_memory(point.forecast.total_bytes),
        )
    ]
    if other is not None:
        lines.append(
            (_tr("÷ as it is"), format_ratio(ratio(known_bytes(other), known_bytes(point))))
        )
    lines.append(
        _figure(
            _tr("Time"),
            format_seconds(known_seconds(point)),
            None if point.measured_s is None else format_seconds(point.forecast.seconds),
        )
    )
    if other is not None:
        lines.append((_tr("× as it is"), format_ratio(time_factor(point, other))))
    lines.append((_tr("Result"), point.approximates or _tr("exact")))
    if not point.forecast.exact and point.measured_bytes is None:
        lines.append((_tr("The peak is a lower bound"), ""))
    return tuple(lines)


def _figure(name: str, text: str, foretold: str | None) -> tuple[str, str]:
    """A figure, and where it was measured what had been foretold."""
    if foretold is None:
        return name, text
    return name, _tr("{figure} measured, {other} foretold").format(figure=text, other=foretold)


def stale_text(answer: Advice | None, budget_bytes: int | None) -> str:
    """That what is shown answers another budget than the one that is typed; else empty."""
    if answer is None or answer.budget_bytes == budget_bytes:
        return ""
    return _tr("This is for {budget}.").format(budget=text_of_budget(answer.budget_bytes))


def _tr(text: str) -> str:
    return QCoreApplication.translate("Advice", text)
