"""What a run will cost, said before anything is computed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.results.memory_timeline import MemoryTimeline


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ForecastPhase(_Value):
    """One part of the workload. Bytes above the baseline."""

    name: str
    peak_bytes: int
    retained_bytes: int


class Forecast(_Value):
    """Predicted cost of one repetition.

    Attributes:
        peak_bytes: highest total above the baseline, scratch memory of kernels included.
        exact: whether the peak is claimed to the byte; otherwise it is a lower bound.
        seconds: of one warm repetition, None where this machine was not calibrated.
        baseline_bytes: parameters, buffers and data that exist before the workload.
        by_category: what is alive at the peak; sums to baseline + peak.
        phases: in the order in which they run.
        fits: whether baseline and peak fit into ``available_bytes``; None where that is not known,
            or where a lower bound fits.
        available_bytes: memory of the device that was asked about.
        memory_name: that device, for example ``cpu`` or ``RTX 4090``.
        reasons: why it is a lower bound, or why a figure is absent; one sentence each.
    """

    peak_bytes: int
    exact: bool
    seconds: float | None
    baseline_bytes: int | None = None
    by_category: dict[str, int] = {}
    phases: tuple[ForecastPhase, ...] = ()
    fits: bool | None = None
    available_bytes: int | None = None
    memory_name: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """What a device must hold: baseline and peak."""
        return (self.baseline_bytes or 0) + self.peak_bytes


class Finding(_Value):
    """Something that would fail, be wrong or surprise.

    Attributes:
        severity: an ``error`` cannot run, a ``warning`` runs but is not what it seems, a ``note``
            is something that the engine does by itself.
        layer: position of the layer, None where the whole configuration is meant.
        sentence: what and why, with the remedy.
    """

    severity: Literal["error", "warning", "note"]
    layer: int | None
    sentence: str


class DeviceMemory(_Value):
    """Memory of a device that need not be here.

    Attributes:
        name: what the user calls it, for example ``RTX 4090``.
        total_bytes: all of it.
        cuda: whether its allocator counts in blocks of 512 bytes.
    """

    name: str
    total_bytes: int
    cuda: bool = True


class Outlook(_Value):
    """All that is known of a configuration before it runs.

    Attributes:
        forecast: None where there is none, and ``absent`` says why.
        timeline: the predicted curve, in predicted seconds since the start of the workload; empty
            where many inner steps are foretold from few.
        unfinished: whether asking again would know more, there having been no time to learn.
    """

    forecast: Forecast | None
    absent: str | None = None
    findings: tuple[Finding, ...] = ()
    timeline: MemoryTimeline = MemoryTimeline()
    unfinished: bool = False
