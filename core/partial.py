"""What is known of a run that did not get to its end, put together from the events it had sent."""

from __future__ import annotations

import math
import os
import platform
import time
from bisect import bisect_right
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any

import psutil

import core
from core.measure.machine.processor import processor_name
from core.results.charts import Point, curves_of
from core.results.environment import Environment
from core.results.events import (
    ChartPoint,
    Event,
    Finished,
    Forecasted,
    MemoryMeasured,
    MemorySamples,
    PhaseStarted,
    Repetition,
    ResidentSample,
    StageStarted,
    Started,
    Warned,
    point_of,
)
from core.results.forecast import Forecast
from core.results.measurement import Measurement, Memory, Phase, absences
from core.results.memory_timeline import Curve, MemoryTimeline, PhaseSpan
from core.results.outcome import Outcome
from core.results.statistics import timing
from core.spec.run import RunSpec

CURVE_ONLY = (
    "The memory figures are those of the live curve, because the run did not get to its end: "
    "kernel temporaries are missing."
)
NO_DURATIONS = "The phases have no durations, because the run did not get to its end."


class PartialRun:
    """Listens to the events of one run and can end it at any moment.

    Args:
        started: the run's first event, or what stands for it until that arrives
            (``started_here``).
    """

    def __init__(self, started: Started) -> None:
        self.started = started
        self._times: list[float] = []
        self._columns: dict[str, list[int]] = {}
        self._phase_starts: list[PhaseStarted] = []
        self._phases_end_s: float | None = None
        self._in_memory_pass = False
        self._measured: MemoryMeasured | None = None
        self._sampled: dict[str, tuple[list[float], list[int]]] = {
            "resident": ([], []),
            "driver": ([], []),
        }
        self._seconds: list[float] = []
        self._first_s: float | None = None
        self._points: list[Point] = []
        self._warnings: list[str] = []
        self._forecast: Forecast | None = None

    @property
    def resident_peak_bytes(self) -> int | None:
        """Highest sampled resident memory, None before the first sample."""
        return max(self._sampled["resident"][1], default=None)

    def add(self, event: Event) -> None:
        """Takes the next event of the run."""
        match event:
            case Started():
                self.started = event
            case StageStarted():
                self._stage(event)
            case Forecasted(forecast=forecast):
                self._forecast = forecast
            case PhaseStarted():
                self._phase_starts.append(event)
            case MemorySamples():
                self._memory(event)
            case MemoryMeasured():
                self._measured = event
            case ResidentSample():
                times, totals = self._sampled[event.source]
                times.append(event.t_s)
                totals.append(event.total_bytes)
            case Repetition():
                if self._first_s is None:
                    self._first_s = event.seconds
                if not event.warm_up:
                    self._seconds.append(event.seconds)
            case ChartPoint():
                self._points.append(point_of(event))
            case Warned():
                self._warnings.append(event.sentence)
            case Finished():
                pass

    def complete(self, finished: Finished) -> Finished:
        """The run's own last event, with what was seen and said outside its process put in."""
        timeline = self._with_samples(finished.timeline)
        outside = (said for said in self._warnings if said not in finished.result.warnings)
        warnings = (*finished.result.warnings, *outside)
        result = finished.result.model_copy(update={"warnings": warnings})
        if result.memory is not None:
            update = {"process_peak_bytes": self.resident_peak_bytes}
            result = result.model_copy(update={"memory": result.memory.model_copy(update=update)})
        return finished.model_copy(update={"result": result, "timeline": timeline})

    def end(self, outcome: Outcome, error: str | None = None) -> Finished:
        """The last event of a run that was ended from outside; keeps what it had measured."""
        measured = self._measured
        timeline = self._with_samples(measured.timeline if measured else self._live_timeline())
        memory = self._memory_figures(measured, timeline)
        time_figures = timing(self._seconds, self._first_s)
        warnings = [*self._warnings]
        if measured is None and memory is not None:
            warnings.append(CURVE_ONLY)
        if measured is not None and self._seconds:
            warnings.append(NO_DURATIONS)
        warnings += absences(forecast=self._forecast, memory=memory, time=time_figures, check=None)
        result = Measurement(
            run_id=self.started.run_id,
            started_at=self.started.started_at,
            spec=self.started.spec,
            environment=self.started.environment,
            outcome=outcome,
            error=error,
            forecast=self._forecast,
            memory=memory,
            time=time_figures,
            phases=measured.phases if measured else _phases(timeline, memory),
            layers=measured.layers if measured else (),
            curves=curves_of(self._points),
            warnings=tuple(warnings),
        )
        return Finished(result=result, timeline=timeline)

    def _stage(self, event: StageStarted) -> None:
        if self._in_memory_pass:
            self._phases_end_s = event.t_s
        self._in_memory_pass = event.stage == "memory"

    def _memory(self, event: MemorySamples) -> None:
        before, count = len(self._times), len(event.t_s)
        self._times.extend(event.t_s)
        for name, values in event.columns.items():
            self._columns.setdefault(name, [0] * before).extend(values)
        for name in self._columns.keys() - event.columns.keys():
            self._columns[name].extend([0] * count)

    def _curve(self, source: str) -> Curve:
        times, totals = self._sampled[source]
        return Curve(t_s=tuple(times), total_bytes=tuple(totals))

    def _with_samples(self, timeline: MemoryTimeline) -> MemoryTimeline:
        """The timeline with what was sampled from outside the measuring process."""
        sampled = {"resident": self._curve("resident"), "driver": self._curve("driver")}
        return timeline.model_copy(update=sampled)

    def _live_timeline(self) -> MemoryTimeline:
        last_s = max([*self._times[-1:], *(start.t_s for start in self._phase_starts)], default=0.0)
        end_s = last_s if self._phases_end_s is None else self._phases_end_s
        ends = [*(start.t_s for start in self._phase_starts[1:]), end_s]
        return MemoryTimeline(
            t_s=tuple(self._times),
            columns={name: tuple(values) for name, values in self._columns.items()},
            phases=tuple(
                PhaseSpan(name=start.name, start_s=start.t_s, end_s=end)
                for start, end in zip(self._phase_starts, ends, strict=False)
            ),
        )

    def _memory_figures(
        self, measured: MemoryMeasured | None, timeline: MemoryTimeline
    ) -> Memory | None:
        if measured is not None:
            update = {"process_peak_bytes": self.resident_peak_bytes}
            return measured.memory.model_copy(update=update)
        totals = timeline.totals()
        if not totals:
            return None
        at_peak = totals.index(max(totals))
        baseline = totals[_last_point_before_the_workload(timeline)]
        return Memory(
            baseline_bytes=baseline,
            peak_bytes=totals[at_peak] - baseline,
            by_category={name: values[at_peak] for name, values in timeline.columns.items()},
            process_peak_bytes=self.resident_peak_bytes,
        )


def _last_point_before_the_workload(timeline: MemoryTimeline) -> int:
    """Parameters and data appear one by one; with the first phase the workload begins."""
    start_s = timeline.phases[0].start_s if timeline.phases else math.inf
    return _point_at(timeline, start_s)


def _point_at(timeline: MemoryTimeline, t_s: float) -> int:
    """The point that holds at a time."""
    return max(bisect_right(timeline.t_s, t_s) - 1, 0)


def _phases(timeline: MemoryTimeline, memory: Memory | None) -> tuple[Phase, ...]:
    """Peak and growth of each phase, read off the curve."""
    if memory is None:
        return ()
    totals = timeline.totals()
    phases = []
    for span in timeline.phases:
        first, last = _point_at(timeline, span.start_s), _point_at(timeline, span.end_s)
        phases.append(
            Phase(
                name=span.name,
                start_s=None,
                duration_s=None,
                peak_bytes=max(totals[first : last + 1]) - memory.baseline_bytes,
                retained_bytes=totals[last] - totals[first],
                result_norm=None,
            )
        )
    return tuple(phases)


def started_here(run_id: str, spec: RunSpec) -> Started:
    """Stands for the first event of a run whose process has not spoken yet."""
    return Started(
        run_id=run_id,
        spec=spec,
        environment=_environment(spec),
        started_at=datetime.now(UTC).isoformat(),
        clock_s=time.perf_counter(),
    )


def is_of_here(environment: Environment, devices: Collection[str]) -> bool:
    """Whether a run in this environment says what one on this machine takes: a history may lie in a
    home that several machines share, and outlives versions of torch.

    Args:
        environment: of the run.
        devices: what the accelerators of this machine are called.
    """
    known, here = environment.model_dump(), _here()
    is_same = all(known[key] == here[key] for key in ("cpu", "cpu_count"))
    # Of torch a package's metadata tell the version alone, of a system its kernel does not count.
    is_same &= known["torch"].partition("+")[0] == here["torch"].partition("+")[0]
    is_same &= known["platform"].partition("-")[0] == here["platform"].partition("-")[0]
    return is_same and (environment.device == "cpu" or environment.device_name in devices)


def _environment(spec: RunSpec) -> Environment:
    """What can be told of this machine without loading torch."""
    return Environment(
        **_here(),
        threads=spec.measure.threads,
        memory_bytes=psutil.virtual_memory().total,
        device=spec.device,
        device_name="",
    )


@cache
def _here() -> Mapping[str, Any]:
    """What stays as it is while the program runs."""
    return {
        "hogui": core.__version__,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
        "platform": platform.platform(),
        "cpu": processor_name(),
        "cpu_count": os.cpu_count() or 1,
    }
