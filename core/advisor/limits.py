"""How far a configuration can grow within a budget: largest batch, most inner steps, highest order.

Memory grows with each of them, nearly evenly with a batch and with inner steps. So the value at
which the budget ends is guessed from the straight line through the two nearest that are known, and
asked about together with the next one; where that does not close in, the middle is asked about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.advisor.asking import Ask, refusal
from core.advisor.words import size
from core.results.advice import Limit
from core.results.forecast import Forecast
from core.spec.data import DigitsData
from core.spec.declaration import InvalidSpec, declared_fields
from core.spec.run import RunSpec

LEARN_S: Final = 0.5
"""What is learned of operations for a single value; the large ones take long."""

LARGEST_BATCH: Final = 2**20
MOST_STEPS: Final = 10_000
_ROUNDS: Final = 12
_GUESSES: Final = 5
"""Rounds that trust the straight line."""

_TRIES: Final = 64
"""So many values in a row that cannot run are skipped in one round."""

_PATIENCE_S: Final = 10.0
"""A single answer that took longer ends a search: the next one would take longer still."""


@dataclass
class Search:
    """The largest whole number whose configuration fits.

    Attributes:
        key: dotted.
        title: what it is called.
        low: smallest value.
        high: largest value that is asked about.
        at: the configuration with a value; raises InvalidSpec where it cannot run.
        is_even: whether memory grows about evenly with it.
        unit: values of the key are multiples of this; all numbers here count these.
    """

    key: str
    title: str
    low: int
    high: int
    at: Callable[[int], RunSpec]
    is_even: bool = True
    unit: int = 1
    known: dict[int, Forecast] = field(default_factory=dict)
    _too_large: int | None = None
    _why: str = ""
    _too_small_why: str = ""
    _rounds: int = 0

    def add(self, value: int, forecast: Forecast, budget_bytes: int) -> None:
        """Takes in what a value needs."""
        self.known[value] = forecast
        if forecast.total_bytes > budget_bytes:
            self._end_at(value, "")

    def refuse(self, value: int, why: str) -> None:
        """A value that cannot run or be foretold.

        Below one that can it is too small, such as fewer examples than parts; above, too large.
        """
        if self.is_even and self.fitting is None and any(known > value for known in self.known):
            if value >= self.low:
                self.low, self._too_small_why = value + 1, why
        else:
            self._end_at(value, why)

    def _end_at(self, value: int, why: str) -> None:
        if self._too_large is None or value < self._too_large:
            self._too_large, self._why = value, why

    def stop(self) -> None:
        """Ends the search where it is, unless it is over."""
        below, above = self._between()
        if above - below > 1:
            what = "Less" if self.fitting is None else "More"
            self._rounds = _ROUNDS
            self._why = f"{what} was not asked about, since each answer takes long."

    @property
    def fitting(self) -> int | None:
        """The largest value that is known to fit."""
        limit = self._too_large
        return max((value for value in self.known if limit is None or value < limit), default=None)

    def next(self, budget_bytes: int) -> list[int]:
        """The values to ask about now; none once the search is over."""
        below, above = self._between()
        if above - below <= 1 or self._rounds >= _ROUNDS:
            return []
        if not self.is_even:
            return [below + 1] if self._too_large is None else [above - 1]
        if self._rounds >= _GUESSES and self._too_large is not None:
            return sorted({below + (above - below) * part // 4 for part in (1, 2, 3)} - {below})
        guess = self._guess(budget_bytes)
        if self._too_small_why and guess is not None and guess <= below:
            guess = None  # The line leads to where nothing can run.
        if guess is None:
            guess = 2 * below if below >= self.low else (below + above) // 2
        guess = min(max(guess, below + 1), above - 1)
        return [value for value in (guess, guess + 1) if value < above]

    def count_round(self) -> None:
        """An answer to what ``next`` named is one of so many rounds."""
        self._rounds += 1

    def _between(self) -> tuple[int, int]:
        """The largest value that fits and the smallest that does not; the answer is the first."""
        below = self.low - 1 if self.fitting is None else self.fitting
        return below, self.high + 1 if self._too_large is None else self._too_large

    def _guess(self, budget_bytes: int) -> int | None:
        """Where the line through the two nearest known values meets the budget."""
        near = sorted(
            self.known, key=lambda value: abs(self.known[value].total_bytes - budget_bytes)
        )[:2]
        if len(near) < 2:
            return None
        (low, first), (high, second) = (
            (value, self.known[value].total_bytes) for value in sorted(near)
        )
        if second <= first:
            return self.high
        return low + int((budget_bytes - first) * (high - low) / (second - first))

    def found(self, budget_bytes: int) -> Limit:
        """The answer."""
        value = self.fitting
        if value is None:
            note = self._why_none(budget_bytes)
            return Limit(key=self.key, title=self.title, value=None, note=note)
        notes = [self._why] if self._why else []
        if self._too_large is None and value >= self.high and self.is_even:
            notes.append(f"More than {self.high * self.unit:,} was not asked about.")
        if not self.known[value].exact:
            notes.append("Its peak is a lower bound.")
        return Limit(
            key=self.key,
            title=self.title,
            value=value * self.unit,
            spec=self.at(value),
            forecast=self.known[value],
            note=" ".join(notes),
        )

    def _why_none(self, budget_bytes: int) -> str:
        """Why there is no value that fits, in sentences."""
        notes = []
        smallest = min(self.known)
        if self.known[smallest].total_bytes > budget_bytes:
            needs = size(self.known[smallest].total_bytes)
            notes.append(
                f"Not even {smallest * self.unit:,} fits: it needs {needs}, and there are "
                f"{size(budget_bytes)}."
            )
        below, above = self._between()
        if above - below > 1 and not self._why:
            notes.append("Not every smaller one was asked about.")
        # What ended it is either below the smallest, or why less was not asked about.
        notes += [why for why in (self._too_small_why, self._why) if why]
        return " ".join(notes)


def limits(
    spec: RunSpec, forecast: Forecast, budget_bytes: int, ask: Ask
) -> Iterator[tuple[Limit, ...]]:
    """Searches all limits at once; yields what is known after each round, at the end all of it.

    Args:
        spec: the configuration, with its mitigations.
        forecast: of that configuration.
        budget_bytes: what baseline and peak have to fit into.
        ask: forecasts.
    """
    searches = list(searches_for(spec))
    for search in searches:
        search.add(_value(spec, search.key) // search.unit, forecast, budget_bytes)
    while wanted := _wanted(searches, budget_bytes):
        began = time.perf_counter()
        for place, outlook in ask([run for _, _, run in wanted], learn_s=LEARN_S):
            search, value, _ = wanted[place]
            why = refusal(outlook)
            if why or outlook.forecast is None:
                search.refuse(value, why)
            else:
                search.add(value, outlook.forecast, budget_bytes)
        if time.perf_counter() - began > _PATIENCE_S:
            for search in searches:
                search.stop()
        yield tuple(search.found(budget_bytes) for search in searches)
    yield tuple(search.found(budget_bytes) for search in searches)


def _wanted(searches: Sequence[Search], budget_bytes: int) -> list[tuple[Search, int, RunSpec]]:
    """What to ask now. What cannot run needs no answer, and so the next is tried at once."""
    wanted = []
    for search in searches:
        runs: list[tuple[Search, int, RunSpec]] = []
        for _ in range(_TRIES):
            values = search.next(budget_bytes)
            for value in values:
                try:
                    runs.append((search, value, search.at(value)))
                except InvalidSpec as error:
                    search.refuse(value, error.problems[0].sentence)
            if runs or not values:
                break
        search.count_round()
        wanted += runs
    return wanted


def searches_for(spec: RunSpec) -> Iterator[Search]:
    """What of a configuration can be larger."""
    if spec.workload.examples == "tasks":
        yield _largest_sets(spec)
    else:
        yield Search(
            "data.batch_size", "Largest batch", 1, LARGEST_BATCH, _at(spec, "data.batch_size")
        )
    for declared in declared_fields(type(spec.workload)):
        key = f"workload.{declared.name}"
        if not declared.takes_effect(spec.workload, spec):
            continue
        if declared.name == "inner_steps":
            yield Search(key, "Most inner steps", 1, MOST_STEPS, _at(spec, key))
        if declared.name == "order" and declared.minimum and declared.maximum:
            low, high = int(declared.minimum), int(declared.maximum)
            yield Search(key, "Highest order", low, high, _at(spec, key), is_even=False)


def _at(spec: RunSpec, key: str) -> Callable[[int], RunSpec]:
    return lambda value: _checked(spec, {key: value}, f"{key.rpartition('.')[2]} {value}")


def _largest_sets(spec: RunSpec) -> Search:
    """Support and query sets in the ratio that they have."""
    support, query = (int(_value(spec, f"workload.{name}")) for name in ("support", "query"))
    step = spec.data.ways if isinstance(spec.data, DigitsData) else 1

    def at(count: int) -> RunSpec:
        learned, judged = count * step, max(1, round(count * query / support)) * step
        changes = {"workload.support": learned, "workload.query": judged}
        return _checked(spec, changes, f"support {learned}, query {judged}")

    title = "Largest support set, the query set in proportion"
    return Search("workload.support", title, 1, LARGEST_BATCH // step, at, unit=step)


def _checked(spec: RunSpec, changes: dict[str, int], words: str) -> RunSpec:
    run = spec.with_changes({**changes, "name": f"{spec.name}, {words}"})
    problems = run.problems()
    if problems:
        raise InvalidSpec(problems)
    return run


def _value(spec: RunSpec, key: str) -> int:
    owner, _, name = key.partition(".")
    return int(getattr(getattr(spec, owner), name))
