"""Whether a forecast made with nothing learned beforehand is what the run then measures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from core.engine.late_modules import load_late_modules
from core.engine.problem import Problem, prepare
from core.engine.recorder import Recorder
from core.engine.workloads import compute
from core.measure.forecasting.forecast import Forecaster
from core.measure.memory.allocator import allocator_peak
from core.measure.memory.kernels import Kernels
from core.measure.timing.clock import Clock
from core.results.forecast import Forecast
from core.spec.run import RunSpec
from core.spec.workloads import Maml
from tests.bench.page import Page
from tests.random_specs import random_maml, random_spec

CPU = torch.device("cpu")
RUNS = 50
LONG_LOOPS = 6
TOLERANCE = 0.001
CLOCK_BUDGET_S = 0.6
MOST_ASKS = 40


@dataclass(frozen=True)
class Compared:
    """A forecast beside what was then measured.

    Attributes:
        first_s: seconds until the first answer, with nothing learned.
        asks: questions until the answer was finished.
        warm_s: seconds until the answer for a run of one example more.
        median_s: of the clock's repetitions, None where only memory was measured.
    """

    spec: RunSpec
    forecast: Forecast
    peak_bytes: int
    first_s: float
    asks: int
    warm_s: float
    median_s: float | None = None

    @property
    def off(self) -> float:
        """Deviation of the peak, relative."""
        return abs(self.forecast.peak_bytes - self.peak_bytes) / self.peak_bytes

    @property
    def honest(self) -> bool:
        """Within the tolerance, or told beforehand to be a lower bound and one."""
        told = not self.forecast.exact and self.forecast.peak_bytes <= self.peak_bytes
        return self.off <= TOLERANCE or told

    @property
    def ratio(self) -> float | None:
        """Time said ÷ time measured."""
        if self.median_s is None or self.forecast.seconds is None:
            return None
        return self.forecast.seconds / self.median_s


def compare(spec: RunSpec, *, timed: bool) -> Compared | None:
    """None where there is no forecast, and so nothing to compare."""
    torch.set_num_threads(spec.measure.threads)
    load_late_modules(spec)
    forecaster = Forecaster(lambda device, threads: Kernels(device, threads))
    first_s, forecast, unfinished = ask(forecaster, spec)
    asks = 1
    while unfinished and asks < MOST_ASKS:
        _, forecast, unfinished = ask(forecaster, spec)
        asks += 1
    warm_s, _, _ = ask(forecaster, with_one_more(spec))
    if forecast is None:
        return None
    problem = prepare(spec, CPU)

    def work(recorder: Recorder) -> object:
        return compute(problem, recorder)

    median_s = median(problem, work) if timed else None
    truth = allocator_peak(CPU, work, problem.reset)
    return Compared(spec, forecast, truth.peak_bytes, first_s, asks, warm_s, median_s)


def ask(forecaster: Forecaster, spec: RunSpec) -> tuple[float, Forecast | None, bool]:
    began = time.perf_counter()
    outlook = forecaster.outlook(spec)
    return time.perf_counter() - began, outlook.forecast, outlook.unfinished


def with_one_more(spec: RunSpec) -> RunSpec:
    """What the next keystroke might ask for: nothing that was learned of large operations fits."""
    if isinstance(spec.workload, Maml):
        return spec.with_changes({"workload.support": spec.workload.support + 1})
    return spec.with_changes({"data.batch_size": spec.data.batch_size + 1})


def median(problem: Problem, work: Callable[[Recorder], object]) -> float:
    clock = Clock(CPU, problem.reset, work)
    for _ in clock.warm_up("auto", CLOCK_BUDGET_S):
        pass
    return statistics.median(timed.seconds for timed in clock.repeat("auto", CLOCK_BUDGET_S))


def test_that_a_forecast_is_what_is_measured_afterwards(page: Page) -> None:
    """Random stacks, workloads and mitigations; each forecast begins with nothing learned."""
    compare(random_spec(RUNS), timed=False)  # loads what a process loads once
    seen = [compare(random_spec(seed), timed=True) for seed in range(RUNS)]
    found = [one for one in seen if one is not None]
    claim_memory(page, found)
    claim_time(page, found)
    page.table("Each run", HEADERS, list(rows(found)))


def claim_memory(page: Page, found: Sequence[Compared]) -> None:
    exact = sum(one.off == 0 for one in found)
    close = sum(one.off <= TOLERANCE for one in found)
    page.claim(
        f"Peaks of {RUNS} random runs foretold to the byte", "≥ 40", f"{exact}", met=exact >= 40
    )
    page.claim("Peaks foretold to 0.1 %", "≥ 48", f"{close}", met=close >= 48)
    dishonest = sum(not one.honest for one in found)
    page.claim(
        "Other peaks not labelled a lower bound beforehand", "0", f"{dishonest}", met=not dishonest
    )
    warm = statistics.median(one.warm_s for one in found)
    page.claim(
        "Answer for a changed run once warm, median",
        "≤ 0.3 s",
        f"{warm:.2f} s (first answer {statistics.median(one.first_s for one in found):.2f} s)",
        met=warm <= 0.3,
    )


def claim_time(page: Page, found: Sequence[Compared]) -> None:
    ratios = [one.ratio for one in found if one.ratio is not None]
    close = sum(abs(ratio - 1) <= 0.3 for ratio in ratios)
    page.claim(
        "Times foretold within 30 %",
        "≥ 80 %",
        f"{close / len(found):.0%} (median ratio {statistics.median(ratios):.2f})",
        met=close >= 0.8 * len(found),
    )
    worst = max(max(ratio, 1 / ratio) for ratio in ratios)
    page.claim("Worst time", "≤ 2×", f"{worst:.2f}×", met=worst <= 2)


def test_that_long_inner_loops_are_foretold_from_short_ones(page: Page) -> None:
    specs = [random_maml(seed, (20, 60), (1, 4)) for seed in range(LONG_LOOPS)]
    found = [one for spec in specs if (one := compare(spec, timed=False)) is not None]
    exact = sum(one.off == 0 for one in found)
    page.claim(
        f"Peaks of {LONG_LOOPS} runs of 20 to 60 inner steps foretold to the byte",
        "all that are foretold, more than half",
        f"{exact} of {len(found)}",
        met=exact == len(found) > LONG_LOOPS / 2,
    )
    warm = statistics.median(one.warm_s for one in found)
    page.claim(
        "Answer for a changed run once warm, median", "≤ 0.3 s", f"{warm:.2f} s", met=warm <= 0.3
    )
    page.table("Each run", HEADERS, list(rows(found)))


HEADERS = (
    "run",
    "workload",
    "checkpointing",
    "peak, bytes",
    "off",
    "label",
    "first s",
    "asks",
    "warm s",
    "time ms",
    "said ÷ measured",
)


def rows(found: Sequence[Compared]) -> Iterator[tuple[object, ...]]:
    for number, one in enumerate(found):
        workload = one.spec.workload
        steps = f" {workload.tasks}×{workload.inner_steps}" if isinstance(workload, Maml) else ""
        yield (
            number,
            f"{workload.kind}{steps} order {workload.order}",
            one.spec.mitigation.checkpointing.kind,
            one.peak_bytes,
            one.forecast.peak_bytes - one.peak_bytes,
            "exact" if one.forecast.exact else "lower bound",
            f"{one.first_s:.2f}",
            one.asks,
            f"{one.warm_s:.2f}",
            "" if one.median_s is None else f"{one.median_s * 1000:.2f}",
            "" if one.ratio is None else f"{one.ratio:.2f}",
        )
