"""What an advice asks of others: forecasts, and times measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from core.results.forecast import Outlook
from core.spec.run import RunSpec


class Ask(Protocol):
    """Forecasts of many runs, in any order, each with the place of its run in the sequence."""

    def __call__(
        self, specs: Sequence[RunSpec], *, learn_s: float | None = None
    ) -> Iterator[tuple[int, Outlook]]:
        """Answers each.

        Args:
            specs: runs without problems.
            learn_s: seconds to spend for each on operations that are not known yet; None for as
                many as an exact forecast needs.
        """
        ...


Settle = Callable[[Sequence[RunSpec]], Sequence[float | None]]
"""Seconds that a repetition of each run takes, measured side by side; None where it could not be
measured."""


def refusal(outlook: Outlook) -> str:
    """Why a run cannot be done or foretold, a sentence; empty where it can."""
    for found in outlook.findings:
        if found.severity == "error":
            return found.sentence
    if outlook.forecast is None:
        return outlook.absent or "There is no forecast."
    return ""
