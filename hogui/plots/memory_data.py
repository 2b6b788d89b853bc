"""What the memory plot has collected, and what of it is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import Qt

from hogui.plots.columns import SampledLine, StepStack

LINE_STYLES = {"resident": Qt.PenStyle.SolidLine, "driver": Qt.PenStyle.DashLine}
_THIN = 0.25
_FAR = 3.0
"""A forecast so many times higher than all that was measured is named at the edge."""


@dataclass(frozen=True)
class ForecastMark:
    """What a run is expected to hold at most.

    Attributes:
        total_bytes: baseline and peak.
        exact: false for a lower bound.
        of_now: false where the figures are of other settings than the forecast.
    """

    total_bytes: int
    exact: bool = True
    of_now: bool = True


@dataclass(frozen=True)
class Shown:
    """What of the data is drawn: the arrays only grow, so their lengths say it all.

    Attributes:
        is_ahead: the stack is a forecast, since nothing was measured yet.
    """

    stack: StepStack
    length: int
    lines: dict[str, tuple[SampledLine, int]]
    baseline: int | None
    stated_peak: int | None
    final: bool
    forecast: ForecastMark | None
    is_ahead: bool = False

    def peak(self) -> tuple[float, int] | None:
        """When the total was highest, in seconds, and what it was, in bytes."""
        position = None if self.is_ahead else self.stack.peak(self.length)
        if position is None:
            return None
        total = int(self.stack.totals[position]) if self.stated_peak is None else self.stated_peak
        return float(self.stack.times[position]), total

    def seen_peak(self) -> int:
        """The highest total of the curve itself, in bytes."""
        position = self.stack.peak(self.length)
        return 0 if position is None else int(self.stack.totals[position])

    @property
    def categories(self) -> frozenset[str]:
        """What is drawn; scratch memory inside kernels shows only in the allocator's peak."""
        unseen = self.length and (self.stated_peak or 0) > self.seen_peak()
        return self.stack.present | ({"kernel_temporaries"} if unseen else set())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw at all."""
        return not (self.length or any(length for _, length in self.lines.values()))

    def with_forecast(self, top: float) -> float:
        """A highest value that has the forecast below it too, unless it is far away."""
        if self.forecast is None or (top and self.forecast.total_bytes > _FAR * top):
            return top
        return max(top, self.forecast.total_bytes)

    def is_hidden_by_baseline(self) -> bool:
        """True where what the workload adds would be a thin line on top of what existed before."""
        peak = self.peak()
        top = self.seen_peak() if peak is None else peak[1]
        if not self.baseline or not top:
            return False
        return top - self.baseline < _THIN * self.baseline


@dataclass
class MemoryData:
    """Everything that was collected, and the forecast beside it."""

    stack: StepStack = field(default_factory=StepStack)
    lines: dict[str, SampledLine] = field(
        default_factory=lambda: {source: SampledLine() for source in LINE_STYLES}
    )
    baseline: int | None = None
    stated_peak: int | None = None
    final: bool = False
    forecast: ForecastMark | None = None
    ahead: StepStack = field(default_factory=StepStack)
    ahead_baseline: int | None = None

    @property
    def is_measured(self) -> bool:
        """Whether anything has come from a run."""
        return bool(len(self.stack)) or any(len(line) for line in self.lines.values())

    def expect(
        self, t_s: Sequence[float], columns: Mapping[str, Sequence[int]], baseline: int | None
    ) -> None:
        """The curve to show until there is a measured one; no times for none."""
        self.ahead, self.ahead_baseline = StepStack(), baseline
        self.ahead.append(t_s, columns)

    def view(self) -> Shown:
        """What there is to draw now."""
        lines = {source: (line, len(line)) for source, line in self.lines.items()}
        if len(self.ahead) and not self.is_measured:
            return Shown(
                self.ahead,
                len(self.ahead),
                lines,
                self.ahead_baseline,
                stated_peak=None,
                final=False,
                forecast=self.forecast,
                is_ahead=True,
            )
        return Shown(
            self.stack,
            len(self.stack),
            lines,
            self.baseline,
            self.stated_peak,
            self.final,
            self.forecast,
        )
