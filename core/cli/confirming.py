"""Runs of what an advice recommends, and whether they need what was foretold."""

from __future__ import annotations

from typing import Final

from rich.console import Console

from core.advisor.words import size, sizes
from core.cli.measuring import measure
from core.results.advice import Advice, Limit, Recommendation
from core.results.forecast import Forecast
from core.spec.run import RunSpec

_BRIEFLY: Final = {"measure.repetitions": 3, "measure.warmup": 1}
"""It is the memory that is asked for."""


def confirmed(advice: Advice, console: Console) -> Advice:
    """The advice with what runs of the recommendation and of each limit needed.

    Raises:
        core.cli.refusal.Refused: this machine cannot run one of them.
    """
    said: list[str] = []
    recommended = advice.recommended
    if recommended is not None:
        recommended = _recommendation(recommended, said, advice.budget_bytes, console)
    limits = tuple(_limit(limit, said, advice.budget_bytes, console) for limit in advice.limits)
    return advice.model_copy(
        update={
            "recommended": recommended,
            "limits": limits,
            "sentences": (*advice.sentences, *said),
        }
    )


def _recommendation(
    recommended: Recommendation, said: list[str], budget_bytes: int, console: Console
) -> Recommendation:
    needed, sentence = _run(recommended.spec, recommended.forecast, budget_bytes, console)
    said.append(f"The recommendation: {sentence}")
    return recommended.model_copy(update={"measured_bytes": needed})


def _limit(limit: Limit, said: list[str], budget_bytes: int, console: Console) -> Limit:
    if limit.spec is None or limit.forecast is None:
        return limit
    needed, sentence = _run(limit.spec, limit.forecast, budget_bytes, console)
    said.append(f"{limit.title}, {limit.value:,}: {sentence}")
    return limit.model_copy(update={"measured_bytes": needed})


def _run(
    spec: RunSpec, forecast: Forecast, budget_bytes: int, console: Console
) -> tuple[int | None, str]:
    """Baseline and peak of a run, None where it did not get so far, and a sentence."""
    result = measure(spec.with_changes(_BRIEFLY), console).result
    foretold = forecast.total_bytes
    if result.memory is None:
        return None, f"not confirmed. {result.sentence}"
    needed = result.memory.baseline_bytes + result.memory.peak_bytes
    mine, other = sizes(needed, foretold)
    as_foretold = "as foretold" if needed == foretold else f"{other} foretold"
    verdict = "confirmed" if needed <= budget_bytes else f"too large for {size(budget_bytes)}"
    return needed, f"{verdict} by a run, which needs {mine}, {as_foretold}."
