"""One line for how a tab's run stands and what its figures are of."""

from datetime import datetime

from PySide6.QtCore import QCoreApplication

from core.results.measurement import Check
from hogui.open_tab import OpenTab, RunState


def describe_outcome(tab: OpenTab) -> str:
    """One line for the state of a tab's run and what its figures are of."""
    tr = _tr
    if tab.state is RunState.QUEUED:
        return tr("Waiting for the device; {count} before it in the queue.").format(count=tab.ahead)
    if tab.state is RunState.CANCELLING:
        return tr("Cancelling.")
    if tab.state is RunState.RUNNING:
        return tr("Measuring.")
    result = tab.result
    if result is None:
        return tr("Not measured yet.")
    started = datetime.fromisoformat(result.started_at).astimezone()
    parts = [
        result.ending,
        *_check(result.check),
        started.strftime("%Y-%m-%d %H:%M:%S"),
        result.environment.device_name or result.environment.device,
    ]
    if result.warnings:
        count = len(result.warnings)
        parts.append(tr("1 warning") if count == 1 else tr("{n} warnings").format(n=count))
    if tab.result_is_of_another_spec:
        parts.append(tr("the settings were changed since"))
    return " · ".join(part.rstrip(".") for part in parts)


def _check(check: Check | None) -> list[str]:
    """Whether the result is right, which belongs to every figure."""
    if check is None:
        return []
    if not check.passed:
        return [_tr("check failed")]
    if check.relative_error is None:
        return [_tr("check passed")]
    return [_tr("check passed, error {error:.1e}").format(error=check.relative_error)]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Figures", text)
