"""A time foretold beside the time measured: where they contradict each other, the times of the
operations are learned again.

They may have been learned while the machine was busy, and would stay wrong for ever.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from core.measure.memory.calls import Call
from core.measure.memory.kernels import Kernels
from core.results.conditions import Conditions
from core.results.forecast import Forecast
from core.results.statistics import BUSY_CORES, median_interval
from core.spec.run import RunSpec

FAR: Final = 1.5
"""Times are foretold within 30 %, so that one this many times too long or too short is wrong."""

AGAIN_S: Final = 2.0
"""Seconds that a run spends at most on learning again."""

_STEADY = 0.1
"""How far the interval of a median reaches to either side at most where nothing has disturbed."""


class Contradiction(Enum):
    """What a measured time says of the one that was foretold."""

    FORETOLD_TOO_LONG = "too long"
    FORETOLD_TOO_SHORT = "too short"


@dataclass(frozen=True)
class Taken:
    """What the repetitions of a run took.

    Attributes:
        samples_s: of each of them.
        conditions: what went on meanwhile, None where nobody looked.
        threads: on which the run computed.
    """

    samples_s: Sequence[float]
    conditions: Conditions | None
    threads: int

    def is_undisturbed(self) -> bool:
        """Whether the machine did nothing else, as far as it tells."""
        low, high = median_interval(self.samples_s)
        conditions = self.conditions or Conditions()
        return (
            high - low <= 2 * _STEADY * statistics.median(self.samples_s)
            and conditions.slowdown(self.threads) == 1.0
            and (conditions.stolen_cores or 0.0) < BUSY_CORES
            and not conditions.throttled
        )


def contradiction(foretold_s: float, taken: Taken) -> Contradiction | None:
    """Whether a measurement shows that the forecast is wrong.

    A busy machine makes a run longer and never shorter: so only one that nothing has disturbed
    shows that too little was foretold.

    Args:
        foretold_s: of one warm repetition.
        taken: what was measured.
    """
    median_s = statistics.median(taken.samples_s)
    if foretold_s > FAR * median_s:
        return Contradiction.FORETOLD_TOO_LONG
    if median_s > FAR * foretold_s and taken.is_undisturbed():
        return Contradiction.FORETOLD_TOO_SHORT
    return None


def look_back(
    spec: RunSpec,
    forecast: Forecast | None,
    taken: Taken,
    calls: Mapping[Call, int],
    kernels: Kernels,
) -> None:
    """Learns a run's operations again where its time contradicts its forecast.

    Args:
        spec: what was run.
        forecast: of the same run, None where there is none.
        taken: what was measured, if anything.
        calls: the operations of the run, and how often each was called.
        kernels: of the device.
    """
    if forecast is None or forecast.seconds is None or not taken.samples_s:
        return
    found = contradiction(forecast.seconds, taken)
    if found is Contradiction.FORETOLD_TOO_LONG and spec.workload.may_end_early:
        # The forecast counts operations that the run may have done without.
        found = found if contradiction(_together(calls, kernels), taken) is found else None
    if found is not None:
        longer = found is Contradiction.FORETOLD_TOO_SHORT
        kernels.learn_again(calls, AGAIN_S, may_be_longer=longer)


def _together(calls: Mapping[Call, int], kernels: Kernels) -> float:
    """Seconds that the operations take alone."""
    known = ((kernels.known(call), count) for call, count in calls.items())
    return sum(kernel.seconds * count for kernel, count in known if kernel is not None)
