"""What went on around the timed repetitions."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Conditions(BaseModel):
    """The machine while repetitions were timed. What could not be had is None, with its reason.

    Attributes:
        clock_mhz: lowest, median and highest clock speed of what computed.
        cores: of the machine's processor.
        other_cores: how many of them other processes kept busy, in the mean.
        stolen_cores: how many of them the host of a virtual machine withheld, in the mean.
        throttled: whether the hardware slowed itself down, for heat or power.
        absent: why figures are absent, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clock_mhz: tuple[float, float, float] | None = None
    cores: int | None = None
    other_cores: float | None = None
    stolen_cores: float | None = None
    throttled: bool | None = None
    absent: tuple[str, ...] = ()

    def slowdown(self, threads: int) -> float:
        """How many times longer a computation took at most because others wanted its cores."""
        if self.cores is None or self.other_cores is None:
            return 1.0
        wanted = threads + self.other_cores + (self.stolen_cores or 0.0)
        return max(wanted / self.cores, 1.0)
