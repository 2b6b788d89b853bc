"""An advice as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.advisor.words import size
from core.cli.summary import mib, ms, new_table
from core.results.advice import Advice, AdvicePoint, Limit

_MOST_ROWS: Final = 30
_FITS: Final = {True: "yes", False: "no", None: "perhaps"}


def print_advice(advice: Advice, console: Console) -> None:
    """Writes the points, the recommendation and what else there is to say."""
    console.print(Group(*_parts(advice)))


def _parts(advice: Advice) -> Iterator[RenderableType]:
    yield _points(advice)
    if advice.recommended is not None:
        yield Text.assemble(("Recommended  ", "bold green"), advice.recommended.reason)
    for sentence in advice.sentences:
        yield Text(sentence)
    for limit in advice.limits:
        yield Text(_limit(limit, advice.budget_bytes))
    if advice.impossible:
        table = new_table(["Left out"], [])
        table.add_column("Why", overflow="fold")
        for each in advice.impossible:
            table.add_row(each.label, each.reason)
        yield table


def _points(advice: Advice) -> Table:
    taken = advice.recommended.label if advice.recommended is not None else ""
    table = new_table(["Configuration"], ["Needs, MiB", "Time, ms", "Measured, ms"])
    table.columns[0].no_wrap = False
    for name in ("Fits", "Front"):
        table.add_column(name, no_wrap=True)
    shown = _shown(advice.points, taken)
    for point in shown:
        words = f"{point.label} ≈" if point.approximates else point.label
        table.add_row(
            Text(words, "bold" if point.label == taken else ""),
            mib(point.forecast.total_bytes),
            ms(point.forecast.seconds),
            "" if point.measured_s is None else ms(point.measured_s),
            _FITS[point.fits],
            "front" if point.on_front else "",
        )
    left_out = len(advice.points) - len(shown)
    if left_out:
        table.add_row(f"and {left_out} more: --json prints all")
    return table


def _shown(points: Sequence[AdvicePoint], taken: str) -> list[AdvicePoint]:
    """As many as a terminal shows, those that matter first; then by time."""

    def matters(point: AdvicePoint) -> tuple[bool, bool, bool]:
        own = point.label == taken or not point.changes
        return not own, not (point.on_front or point.measured_s is not None), not point.fits

    kept = sorted(points, key=matters)[:_MOST_ROWS]
    return sorted(kept, key=lambda point: point.forecast.seconds or float("inf"))


def _limit(limit: Limit, budget_bytes: int) -> str:
    if limit.value is None:
        words = f"{limit.title} within {size(budget_bytes)}: none."
    else:
        words = f"{limit.title} within {size(budget_bytes)}: {limit.value:,} ({limit.key})."
    return f"{words} {limit.note}".rstrip()
