"""The result of one run, as the JSON that other programs read."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from core.results.charts import Curve
from core.results.conditions import Conditions
from core.results.environment import Environment
from core.results.forecast import Forecast
from core.results.heat_map import HeatMap
from core.results.outcome import Outcome
from core.spec.run import RunSpec

FORMAT_VERSION: Final = 1
# History of the format:
# 1  first version.

_SETTING: Final = re.compile(r"mitigation\.[\w.]+: ")
"""How a sentence about a setting begins that cannot be followed."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Memory(_Value):
    """Bytes on the device.

    Attributes:
        baseline_bytes: parameters, buffers and data that exist before the workload.
        peak_bytes: the allocator's highest total above the baseline.
        by_category: what was alive when the ledger's total was highest; sums to baseline + peak
            through ``kernel_temporaries``, which is the allocator's peak minus the ledger's.
        process_peak_bytes: highest sampled resident memory of the whole process, in bytes.
    """

    baseline_bytes: int
    peak_bytes: int
    by_category: dict[str, int]
    process_peak_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        """What a device must hold."""
        return self.baseline_bytes + self.peak_bytes


class Timing(_Value):
    """Seconds of one repetition.

    Attributes:
        interval_s: 95 % interval of the median.
        samples_s: every timed repetition, in order.
        first_s: the first clean call, before the warm-up has settled; the memory passes, which
            load and compile what a process needs once, come before it.
        conditions: what went on meanwhile, None where nobody looked.
    """

    median_s: float
    interval_s: tuple[float, float]
    samples_s: tuple[float, ...]
    first_s: float | None
    verdict: Literal["stable", "noisy"]
    conditions: Conditions | None = None


class Phase(_Value):
    """One part of the workload, for example ``gradient 2``.

    Attributes:
        start_s: median start within a clean repetition.
        duration_s: median duration in the clean repetitions; None where there were none.
        peak_bytes: highest total above the baseline during the phase.
        retained_bytes: live at its end minus live at its start.
        result_norm: Euclidean norm of what the phase computed, None where it is not finite.
    """

    name: str
    start_s: float | None
    duration_s: float | None
    peak_bytes: int | None
    retained_bytes: int | None
    result_norm: float | None


class LayerCost(_Value):
    """One layer of the stack and the bytes at the peak that it caused."""

    index: int
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    bytes_at_peak: int | None


class Check(_Value):
    """Agreement with an independent method.

    Attributes:
        method: what the result was compared with, and on what, in words.
        relative_error: the largest that was found, None where it could not be computed.
        tolerance: the error up to which the check passes.
        failures: what disagrees, one sentence each.
    """

    method: str
    relative_error: float | None
    passed: bool
    tolerance: float | None = None
    failures: tuple[str, ...] = ()


NO_FORECAST = "There is no forecast, because the run ended before it was made."
NO_MEMORY = "There are no memory figures, because the run ended before its memory pass."
NO_TIME = "There are no times, because the run ended before its first timed repetition."
NO_CHECK = "The result was not checked, because the run ended before its check."


def absences(
    *,
    forecast: Forecast | None,
    memory: Memory | None,
    time: Timing | None,
    check: Check | None,
    explained: Collection[str] = (),
) -> tuple[str, ...]:
    """Why figures are absent, one sentence each.

    Args:
        explained: names of figures that have a warning of their own.
    """
    figures = {
        "forecast": (forecast, NO_FORECAST),
        "memory": (memory, NO_MEMORY),
        "time": (time, NO_TIME),
        "check": (check, NO_CHECK),
    }
    return tuple(
        sentence
        for name, (figure, sentence) in figures.items()
        if figure is None and name not in explained
    )


class Measurement(_Value):
    """Everything that is known of one run. Figures that could not be had are None, with a warning.

    Attributes:
        started_at: ISO 8601, UTC.
        error: why the run did not finish, one sentence.
        curves: what the workload draws besides, such as the loss before each outer step.
        readings: single numbers that it found, such as the estimate of a trace; None where one is
            not finite.
        notes: what figures mean where nothing is wrong, one sentence each.
        heat_map: a picture of the result, where it is a matrix.
    """

    version: Literal[1] = FORMAT_VERSION
    run_id: str
    started_at: str
    spec: RunSpec
    environment: Environment
    outcome: Outcome
    error: str | None = None
    forecast: Forecast | None = None
    memory: Memory | None = None
    time: Timing | None = None
    phases: tuple[Phase, ...] = ()
    layers: tuple[LayerCost, ...] = ()
    check: Check | None = None
    curves: tuple[Curve, ...] = ()
    readings: dict[str, float | None] = {}
    heat_map: HeatMap | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ending(self) -> str:
        """How the run ended, without the reason."""
        return "The run could not start." if self._never_began else self.outcome.sentence

    @property
    def sentence(self) -> str:
        """How the run ended, with the reason where there is one."""
        if self.error is None:
            return self.outcome.sentence
        return self.error if self._never_began else f"{self.outcome.sentence} {self.error}"

    @property
    def _never_began(self) -> bool:
        """Whether a setting was refused, so that no operation can have raised."""
        is_setting = self.error is not None and _SETTING.match(self.error) is not None
        return self.outcome is Outcome.FAILED and is_setting
