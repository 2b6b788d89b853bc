"""What a result comes to at a glance: the icon of its tab."""

from core.results.measurement import Measurement
from core.results.outcome import Outcome

_ICONS = {Outcome.FINISHED: "check", Outcome.CANCELLED: "cancel"}


def result_mark(result: Measurement) -> str:
    """Name of the icon; a run that finished with a wrong result is as bad as one that failed."""
    if result.check is not None and not result.check.passed:
        return "error"
    if result.outcome is Outcome.FINISHED and result.warnings:
        return "warning"
    return _ICONS.get(result.outcome, "error")
