"""Changes of memory as a log, and the step curve that they add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from core.results.categories import CATEGORIES
from core.results.events import MemorySamples, PhaseStarted

Entry = tuple[float, int, int, str]
"""Seconds, number of the block, change in bytes, category of birth."""

LONGEST_TIMELINE = 6000
LONGEST_BATCH = 200
_POSITIONS = {name: position for position, name in enumerate(CATEGORIES)}


@dataclass(frozen=True)
class Curve:
    """Live bytes by category after each change.

    Attributes:
        seconds: (n,) times.
        live: (n, categories) bytes, in the order of ``CATEGORIES``.
        entry: (n,) position in the log of the change that led there.
    """

    seconds: npt.NDArray[np.float64]
    live: npt.NDArray[np.int64]
    entry: npt.NDArray[np.int64]

    @classmethod
    def of(cls, entries: Sequence[Entry], categories: Sequence[str] | None = None) -> Curve:
        """The curve of a log, by the categories of birth or by those of each block."""
        names = [entry[3] if categories is None else categories[entry[1]] for entry in entries]
        changes = np.zeros((len(entries), len(CATEGORIES)), dtype=np.int64)
        columns = np.fromiter((_POSITIONS[name] for name in names), np.int64, len(entries))
        sizes = np.fromiter((entry[2] for entry in entries), np.int64, len(entries))
        changes[np.arange(len(entries)), columns] = sizes
        return cls(
            seconds=np.fromiter((entry[0] for entry in entries), np.float64, len(entries)),
            live=np.cumsum(changes, axis=0),
            entry=np.arange(len(entries)),
        )

    @property
    def totals(self) -> npt.NDArray[np.int64]:
        """(n,) sums over the categories."""
        return np.asarray(self.live.sum(axis=1))

    def peak_position(self) -> int:
        """Position of the first highest total."""
        return int(self.totals.argmax())

    def entry_at(self, position: int) -> int:
        """The log entry that led to a position."""
        return int(self.entry[position])

    def live_at(self, position: int) -> dict[str, int]:
        """Live bytes by category at a position, those of none left out."""
        live = zip(CATEGORIES, self.live[position].tolist(), strict=True)
        return {name: nbytes for name, nbytes in live if nbytes}

    def thinned(self, longest: int = LONGEST_TIMELINE) -> Curve:
        """At most ``longest`` points; of each stretch its lowest, its highest and its last total
        remain, so the peak is never lost."""
        count = len(self.seconds)
        if count <= longest:
            return self
        edges = np.linspace(0, count, max((longest - 1) // 3, 1) + 1).astype(np.int64)
        totals = self.totals
        keep = {0}
        for low, high in pairwise(edges.tolist()):
            if low < high:
                stretch = totals[low:high]
                keep |= {low + int(stretch.argmax()), low + int(stretch.argmin()), high - 1}
        chosen = np.array(sorted(keep))
        return Curve(self.seconds[chosen], self.live[chosen], self.entry[chosen])

    @property
    def t_s(self) -> tuple[float, ...]:
        """Times as plain numbers."""
        return tuple(self.seconds.tolist())

    def columns(self) -> dict[str, tuple[int, ...]]:
        """The categories that ever hold something."""
        return {
            name: tuple(column.tolist())
            for name, column in zip(CATEGORIES, self.live.T, strict=True)
            if column.any()
        }


class LedgerLog:
    """A growing log: one thread writes, another drains it."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._phases: list[tuple[str, float]] = []
        self._drained_entries = 0
        self._drained_phases = 0
        self._last = np.zeros((1, len(CATEGORIES)), dtype=np.int64)
        self._open = True

    def phase(self, name: str, t_s: float) -> None:
        """A phase begins."""
        self._phases.append((name, t_s))

    def change(self, t_s: float, block: int, nbytes: int, born: str) -> None:
        """A block comes or goes."""
        if self._open and nbytes:
            self._entries.append((t_s, block, nbytes, born))

    def extend(self, entries: Sequence[Entry]) -> None:
        """Many changes at once."""
        if self._open:
            self._entries.extend(entries)

    def since(self, position: int) -> list[Entry]:
        """The changes from a position on."""
        return self._entries[position:]

    def close(self) -> None:
        """What is freed from now on belongs to no run."""
        self._open = False

    @property
    def length(self) -> int:
        """How many changes there are."""
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """Everything so far."""
        return list(self._entries)

    def drain(self) -> Iterator[PhaseStarted | MemorySamples]:
        """New phases, then new changes, thinned to what a screen can show."""
        phases = self._phases[self._drained_phases :]
        self._drained_phases += len(phases)
        for name, t_s in phases:
            yield PhaseStarted(name=name, t_s=t_s)
        entries = self._entries[self._drained_entries :]
        self._drained_entries += len(entries)
        if not entries:
            return
        curve = Curve.of(entries)
        curve = Curve(curve.seconds, curve.live + self._last, curve.entry)
        self._last = curve.live[-1:]
        thinned = curve.thinned(LONGEST_BATCH)
        yield MemorySamples(t_s=thinned.t_s, columns=thinned.columns())
