"""Storages and phases as the ledger keeps them, and the report that they add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from core.measure.memory.calls import Call
from core.measure.memory.curve import Curve, Entry
from core.results.categories import CATEGORIES
from core.results.memory_timeline import MemoryTimeline, PhaseSpan


@dataclass
class Block:
    """One storage.

    Attributes:
        born: category at birth.
        held: category that the engine names, None while it names none.
        layer: index of the layer whose forward or backward made it.
        born_in, died_in: positions of phases; ``died_in`` is None while it lives.
    """

    nbytes: int
    born: str
    layer: int
    born_in: int
    held: str | None = None
    died_in: int | None = None

    @property
    def category(self) -> str:
        """What it was for, once its fate is known."""
        if self.held is not None:
            return self.held
        if self.died_in is not None and self.died_in == self.born_in:
            return "temporaries"
        return self.born


@dataclass
class PhaseRecord:
    """A phase while it runs and after.

    Attributes:
        first, end: entries of the log before which it began and ended.
        start_bytes, end_bytes: live bytes then.
        norm: of what it computed, None where it named no result, or one that is not finite.
    """

    name: str
    start_s: float
    first: int
    start_bytes: int
    end_s: float = 0.0
    end: int = 0
    end_bytes: int = 0
    norm: float | None = None
    finite: bool = True


@dataclass(frozen=True)
class LedgerPhase:
    """A phase as the ledger saw it; bytes above the baseline.

    Attributes:
        result_norm: None where the phase named no result, or one that is not finite.
        left: live bytes by category when it ended, the baseline among them.
    """

    name: str
    peak_bytes: int
    retained_bytes: int
    result_norm: float | None
    result_is_finite: bool
    left: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LedgerReport:
    """What the pass found.

    Attributes:
        baseline_bytes: registered before the workload.
        peak_bytes: highest total above the baseline, with the known scratch memory of kernels.
        by_category: live bytes at that moment; sums to baseline + peak.
        by_layer: live bytes at that moment by layer index.
        unknown: operations whose scratch memory is not known and counted as none.
    """

    baseline_bytes: int
    peak_bytes: int
    by_category: dict[str, int]
    by_layer: dict[int, int]
    phases: tuple[LedgerPhase, ...]
    timeline: MemoryTimeline
    unknown: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Made:
    """One call of an operation.

    Attributes:
        position: of the first entry of the log after it.
        call: which one.
        blocks: the storages that it made are those from the first number up to the second.
    """

    position: int
    call: int
    layer: int
    phase: int
    blocks: tuple[int, int]


@dataclass
class Books:
    """Everything that a pass wrote down."""

    entries: list[Entry]
    blocks: list[Block]
    made: list[Made]
    calls: list[Call]
    phases: list[PhaseRecord] = field(default_factory=list)
    baseline_bytes: int = 0

    def corrected(self, returned: Callable[[Call], tuple[int, ...] | None]) -> Books:
        """The books with storages as large as operations really make them.

        Args:
            returned: bytes of each storage that an operation makes, None where they are right.
        """
        sizes = [returned(call) for call in self.calls]
        blocks = list(self.blocks)
        for made in self.made:
            right = sizes[made.call]
            first, end = made.blocks
            if right is not None and len(right) == end - first:
                for index, nbytes in zip(range(first, end), right, strict=True):
                    blocks[index] = replace(blocks[index], nbytes=nbytes)
        entries = [
            (t_s, index, blocks[index].nbytes if change > 0 else -blocks[index].nbytes, born)
            for t_s, index, change, born in self.entries
        ]
        live = [0, *accumulate(change for _, _, change, _ in entries)]
        phases = [
            replace(record, start_bytes=live[record.first], end_bytes=live[record.end])
            for record in self.phases
        ]
        return replace(self, entries=entries, blocks=blocks, phases=phases)

    def report(self, scratch: Callable[[Call], int | None]) -> LedgerReport:
        """Names every byte by what it was for.

        Args:
            scratch: bytes that an operation allocates and frees within itself, None where nobody
                knows.
        """
        known = [scratch(call) for call in self.calls]
        entries, blocks, borders = self._with_scratch([nbytes or 0 for nbytes in known])
        curve = Curve.of(entries, [block.category for block in blocks])
        alive = _alive(entries, blocks, curve.entry_at(curve.peak_position()))
        by_category = dict.fromkeys(CATEGORIES, 0)
        by_layer: dict[int, int] = {}
        for block in alive:
            by_category[block.category] += block.nbytes
            by_layer[block.layer] = by_layer.get(block.layer, 0) + block.nbytes
        totals = curve.totals.tolist()
        thinned = curve.thinned()
        return LedgerReport(
            baseline_bytes=self.baseline_bytes,
            peak_bytes=sum(by_category.values()) - self.baseline_bytes,
            by_category={name: count for name, count in by_category.items() if count},
            by_layer=by_layer,
            phases=tuple(self._phase(record, totals, curve, borders) for record in self.phases),
            timeline=MemoryTimeline(
                t_s=thinned.t_s,
                columns=thinned.columns(),
                phases=tuple(
                    PhaseSpan(name=record.name, start_s=record.start_s, end_s=record.end_s)
                    for record in self.phases
                ),
            ),
            unknown=tuple(
                call for call, nbytes in zip(self.calls, known, strict=True) if nbytes is None
            ),
        )

    def _with_scratch(self, scratch: Sequence[int]) -> tuple[list[Entry], list[Block], list[int]]:
        """The log with a block for each operation's scratch memory, there for a moment.

        Operations hold scratch memory beside what they return, so it follows their last entry. The
        last value says where each entry of the log is now.
        """
        entries: list[Entry] = []
        blocks = list(self.blocks)
        copied = 0
        added = [0] * (len(self.entries) + 1)
        for made in self.made:
            nbytes = scratch[made.call]
            if not nbytes:
                continue
            entries += self.entries[copied : made.position]
            copied = made.position
            t_s = entries[-1][0] if entries else 0.0
            entries.append((t_s, len(blocks), nbytes, "kernel_temporaries"))
            entries.append((t_s, len(blocks), -nbytes, "kernel_temporaries"))
            blocks.append(
                Block(nbytes, "kernel_temporaries", made.layer, made.phase, "kernel_temporaries")
            )
            added[made.position] += 2
        entries += self.entries[copied:]
        borders = [position + extra for position, extra in enumerate(accumulate(added))]
        return entries, blocks, borders

    def _phase(
        self,
        record: PhaseRecord,
        totals: Sequence[int],
        curve: Curve,
        borders: Sequence[int],
    ) -> LedgerPhase:
        end = borders[record.end]
        during = totals[borders[record.first] : end]
        return LedgerPhase(
            name=record.name,
            peak_bytes=max([record.start_bytes, *during]) - self.baseline_bytes,
            retained_bytes=record.end_bytes - record.start_bytes,
            result_norm=record.norm if record.finite else None,
            result_is_finite=record.finite,
            left=curve.live_at(end - 1) if end else {},
        )


def _alive(entries: Sequence[Entry], blocks: Sequence[Block], last: int) -> list[Block]:
    alive: set[int] = set()
    for _, index, change, _ in entries[: last + 1]:
        (alive.add if change > 0 else alive.discard)(index)
    return [blocks[index] for index in alive]
