"""Memory over the time of a run, as columns."""

from __future__ import annotations

from bisect import bisect_right

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhaseSpan(_Value):
    """A phase of the memory pass; seconds since the run started."""

    name: str
    start_s: float
    end_s: float


class Curve(_Value):
    """A total that somebody sampled: bytes at seconds since the run started."""

    t_s: tuple[float, ...] = ()
    total_bytes: tuple[int, ...] = ()


class MemoryTimeline(_Value):
    """Live bytes by category during the memory pass, and what was sampled over the whole run.

    Attributes:
        t_s: seconds since the run started; each value holds until the next.
        columns: live bytes by category, as long as ``t_s``; they include the baseline.
        phases: the phases of the memory pass.
        resident: resident memory of the measuring process, sampled.
        driver: memory that the device's driver counts for the process, sampled.
    """

    t_s: tuple[float, ...] = ()
    columns: dict[str, tuple[int, ...]] = {}
    phases: tuple[PhaseSpan, ...] = ()
    resident: Curve = Curve()
    driver: Curve = Curve()

    def totals(self) -> tuple[int, ...]:
        """Sum of the categories at each time."""
        return tuple(sum(values) for values in zip(*self.columns.values(), strict=True))

    def phase_at(self, t_s: float) -> str:
        """Name of the phase that runs at a time, empty outside the memory pass."""
        position = bisect_right([phase.start_s for phase in self.phases], t_s) - 1
        if position < 0 or t_s > self.phases[-1].end_s:
            return ""
        return self.phases[position].name
