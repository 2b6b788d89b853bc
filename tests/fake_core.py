"""A source of events that computes nothing: realistic, deterministic and fast.

It has the signature of ``core.isolation.run_isolated``, so a window can be driven by it:

    FakeCore()                                   a run that finishes
    FakeCore(outcome=Outcome.CRASHED)            its process dies between two repetitions
    FakeCore(stall_after=3)                      hangs there until it is cancelled or released
    FakeCore(pause_s=0.01)                       takes as long as a real one between events
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from core.partial import PartialRun
from core.results.categories import graph_category
from core.results.charts import LEARNING, curves_of
from core.results.device import Device
from core.results.environment import Environment
from core.results.events import (
    ChartPoint,
    Event,
    Finished,
    Forecasted,
    MemorySamples,
    PhaseStarted,
    Repetition,
    ResidentSample,
    StageStarted,
    Started,
    Warned,
    point_of,
)
from core.results.forecast import DeviceMemory, Finding, Forecast, Outlook
from core.results.measurement import Check, LayerCost, Measurement, Memory, Phase
from core.results.memory_timeline import Curve, MemoryTimeline, PhaseSpan
from core.results.outcome import Outcome
from core.results.statistics import timing
from core.spec.notices import notices
from core.spec.run import RunSpec
from core.spec.size import least_bytes
from core.spec.workloads import Maml

STARTED_AT = "2026-01-02T03:04:05.678+00:00"
SECOND_S = 0.010
"""Median of the made-up repetitions."""
POINT_S = 0.0005
ERROR = "mat1 and mat2 shapes cannot be multiplied."
CRASH = "It was ended by SIGSEGV (Segmentation fault)."

DEVICES = (
    Device(name="cpu", title="Fake processor", memory_bytes=16 << 30, available_bytes=8 << 30),
)
ENVIRONMENT = Environment(
    hogui="0.0.0",
    python="3.11.0",
    torch="2.13.0",
    numpy="2.0.0",
    platform="Fake",
    cpu="Fake processor",
    cpu_count=2,
    threads=1,
    memory_bytes=16 << 30,
    device="cpu",
    device_name="Fake processor",
    device_memory_bytes=16 << 30,
)

PASSED = Check(
    method="Made up, on nothing at all.", relative_error=1e-12, passed=True, tolerance=1e-8
)

_numbers = count(1)


@dataclass
class FakeCore:
    """A made-up core.

    Attributes:
        outcome: how runs end: finished, failed, crashed or out_of_memory.
        repetitions: timed repetitions, after two of warm-up.
        points: points of the live curve in each phase.
        stall_after: hang after so many timed repetitions, until cancelled or released.
        pause_s: seconds of sleep before each event.
        check: what finished runs say of their correctness.
        released: set it to let a stalled run go on.
        specs: what was asked, in order.
    """

    outcome: Outcome = Outcome.FINISHED
    repetitions: int = 12
    points: int = 20
    stall_after: int | None = None
    pause_s: float = 0.0
    check: Check | None = PASSED
    released: threading.Event = field(default_factory=threading.Event)
    specs: list[RunSpec] = field(default_factory=list)

    def run(
        self,
        spec: RunSpec,
        *,
        run_id: str | None = None,
        force: bool = False,
        save_tensors: Path | None = None,
        cancelled: threading.Event | None = None,
    ) -> Iterator[Event]:
        """The events of a made-up run of ``spec``."""
        del force, save_tensors
        self.specs.append(spec)
        flag = cancelled or threading.Event()
        started = Started(
            run_id=run_id or f"fake{next(_numbers):04}",
            spec=spec,
            environment=ENVIRONMENT,
            started_at=STARTED_AT,
            clock_s=time.perf_counter(),
        )
        partial = PartialRun(started)
        for event in self._events(started, flag):
            if flag.is_set() and not isinstance(event, Finished):
                yield partial.end(Outcome.CANCELLED)
                return
            if self._dies_at(event):
                yield partial.end(Outcome.CRASHED, CRASH)
                return
            partial.add(event)
            if self.pause_s:
                time.sleep(self.pause_s)
            yield event

    def _dies_at(self, event: Event) -> bool:
        return (
            self.outcome is Outcome.CRASHED
            and isinstance(event, Repetition)
            and not event.warm_up
            and event.index == self.repetitions // 2
        )

    def _events(self, started: Started, cancelled: threading.Event) -> Iterator[Event]:
        spec = started.spec
        yield started
        for sentence in notices(spec):
            yield Warned(sentence=sentence)
        yield StageStarted(stage="prepare", t_s=0.0)
        if self.outcome is Outcome.OUT_OF_MEMORY:
            yield _finished(started, Outcome.OUT_OF_MEMORY, "It needs at least 99 TiB.")
            return
        yield StageStarted(stage="forecast", t_s=0.001)
        if self.outcome is not Outcome.FAILED:
            expected = _memory(memory_timeline(spec, self.points))
            assert expected is not None
            yield Forecasted(forecast=_forecast(expected))
        yield StageStarted(stage="memory", t_s=0.001)
        if self.outcome is Outcome.FAILED:
            yield _finished(started, Outcome.FAILED, ERROR)
            return
        timeline = memory_timeline(spec, self.points)
        yield from _live(timeline, self.points)
        yield StageStarted(stage="allocator", t_s=timeline.phases[-1].end_s)
        yield StageStarted(stage="warm_up", t_s=timeline.phases[-1].end_s)
        seconds: list[float] = []
        now_s = timeline.phases[-1].end_s
        resident_t: list[float] = []
        for index in range(self.repetitions + 2):
            warm_up = index < 2
            if index == 2:
                yield StageStarted(stage="time", t_s=now_s)
            if self.stall_after is not None and index - 2 == self.stall_after:
                _wait_for_either(cancelled, self.released)
            took_s = SECOND_S * (1 + 0.05 * math.sin(index)) * (3 if index == 0 else 1)
            now_s += took_s
            seconds += [] if warm_up else [took_s]
            yield Repetition(
                index=index if warm_up else index - 2,
                seconds=took_s,
                warm_up=warm_up,
                t_s=now_s,
                about=2 if warm_up else self.repetitions,
                left_s=None if warm_up else (self.repetitions + 1 - index) * SECOND_S,
            )
            resident_t.append(now_s)
            yield ResidentSample(t_s=now_s, total_bytes=_resident(index))
        losses = _losses(spec)
        if losses:
            yield StageStarted(stage="follow", t_s=now_s)
        for index, loss in enumerate(losses):
            yield _learned(index, loss, len(losses))
        yield StageStarted(stage="check", t_s=now_s)
        resident = Curve(
            t_s=tuple(resident_t),
            total_bytes=tuple(_resident(index) for index in range(len(resident_t))),
        )
        yield _finished(
            started,
            Outcome.FINISHED,
            None,
            timeline=timeline.model_copy(update={"resident": resident}),
            seconds=seconds,
            losses=losses,
            check=self.check,
        )


@dataclass
class FakeOracle:
    """Forecasts that compute nothing; what a run of ``FakeCore`` will then measure.

    Attributes:
        exact: whether the peak is claimed to the byte.
        learns_after: so many questions make a lower bound exact, a byte better each; 0 for never.
        available_bytes: memory of the device that is asked about when none is named.
        findings: what every outlook carries.
        trouble: what each question raises instead of an answer.
        held: clear it, and answers wait until it is set again or the oracle is closed.
        asked: the questions, in order.
        is_closed: whether it was told to end.
    """

    exact: bool = True
    learns_after: int = 0
    available_bytes: int = 8 << 30
    findings: tuple[Finding, ...] = ()
    trouble: Exception | None = None
    held: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[RunSpec, DeviceMemory | None]] = field(default_factory=list)
    is_closed: bool = False

    def __post_init__(self) -> None:
        self.held.set()

    def ask(self, spec: RunSpec, on: DeviceMemory | None = None) -> Outlook:
        """What ``FakeCore`` would measure of ``spec``."""
        self.asked.append((spec, on))
        self.held.wait()
        if self.trouble is not None:
            raise self.trouble
        if self.is_closed:
            raise RuntimeError("It was closed.")
        timeline = memory_timeline(spec, 20)
        return Outlook(
            forecast=self._forecast(timeline, on),
            findings=self.findings,
            timeline=timeline,
            unfinished=len(self.asked) < self.learns_after,
        )

    def close(self) -> None:
        """Lets a question that waits fail."""
        self.is_closed = True
        self.held.set()

    def _forecast(self, timeline: MemoryTimeline, on: DeviceMemory | None) -> Forecast:
        memory = _memory(timeline)
        assert memory is not None
        available = self.available_bytes if on is None else on.total_bytes
        left = max(self.learns_after - len(self.asked), 0)
        return _forecast(memory).model_copy(
            update={
                "exact": self.exact or bool(self.learns_after and not left),
                "peak_bytes": memory.peak_bytes - left,
                "fits": memory.total_bytes <= available,
                "available_bytes": available,
                "memory_name": "cpu" if on is None else on.name,
                "reasons": () if self.exact else ("A kernel is not known yet.",),
            }
        )


def phase_names(spec: RunSpec) -> tuple[str, ...]:
    """The phases that a run of this spec goes through."""
    workload = spec.workload
    if isinstance(workload, Maml):
        steps = (f"inner step {step + 1}" for step in range(workload.inner_steps))
        return (*steps, "query", "outer gradient")
    return ("forward", *(f"gradient {order + 1}" for order in range(workload.order)))


def memory_timeline(spec: RunSpec, points: int) -> MemoryTimeline:
    """A curve that rises by one graph for each phase and falls at its end, without randomness."""
    least = least_bytes(spec)
    assert least is not None, "a spec with problems has no curve"
    names = phase_names(spec)
    total = points * len(names)
    grown = [index // points + 1 for index in range(total)]
    columns = {
        "parameters": (least.parameters,) * total,
        "data": (least.data,) * total,
        "activations": tuple(
            least.activations * min(index + 1, points) // points for index in range(total)
        ),
        "gradients": tuple(least.result * (phase - 1) for phase in grown),
        "temporaries": tuple(4096 * (index % 3) for index in range(total)),
    }
    for order in range(1, min(len(names) - 1, 3) + 1):
        columns[graph_category(order)] = tuple(
            least.activations * max(min(index + 1 - order * points, points), 0) // points
            for index in range(total)
        )
    start_s = 0.001
    return MemoryTimeline(
        t_s=tuple(start_s + POINT_S * index for index in range(total)),
        columns=columns,
        phases=tuple(
            PhaseSpan(
                name=name,
                start_s=start_s + POINT_S * points * index,
                end_s=start_s + POINT_S * points * (index + 1),
            )
            for index, name in enumerate(names)
        ),
    )


def _live(timeline: MemoryTimeline, points: int) -> Iterator[Event]:
    for index, span in enumerate(timeline.phases):
        yield PhaseStarted(name=span.name, t_s=span.start_s)
        batch = slice(index * points, (index + 1) * points)
        yield MemorySamples(
            t_s=timeline.t_s[batch],
            columns={name: values[batch] for name, values in timeline.columns.items()},
        )


def _finished(
    started: Started,
    outcome: Outcome,
    error: str | None,
    timeline: MemoryTimeline | None = None,
    seconds: list[float] | None = None,
    losses: tuple[float, ...] = (),
    check: Check | None = None,
) -> Finished:
    spec, curve = started.spec, timeline or MemoryTimeline()
    memory = _memory(curve)
    result = Measurement(
        run_id=started.run_id,
        started_at=started.started_at,
        spec=spec,
        environment=started.environment,
        outcome=outcome,
        error=error,
        memory=memory,
        time=timing(seconds or [], 3 * SECOND_S),
        phases=_phases(curve, memory),
        layers=_layers(spec) if timeline else (),
        curves=curves_of(
            point_of(_learned(index, loss, len(losses))) for index, loss in enumerate(losses)
        ),
        forecast=None if memory is None else _forecast(memory),
        check=check,
        warnings=notices(spec),
    )
    return Finished(result=result, timeline=curve)


def _learned(index: int, loss: float, about: int) -> ChartPoint:
    return ChartPoint(chart=LEARNING, curve="outer loss", x=index, y=loss, done=(index + 1) / about)


def _memory(timeline: MemoryTimeline) -> Memory | None:
    totals = timeline.totals()
    if not totals:
        return None
    at_peak = totals.index(max(totals))
    by_category = {name: values[at_peak] for name, values in timeline.columns.items()}
    baseline = by_category["parameters"] + by_category["data"]
    return Memory(
        baseline_bytes=baseline,
        peak_bytes=totals[at_peak] - baseline,
        by_category=by_category,
        process_peak_bytes=_resident(10_000),
    )


def _forecast(memory: Memory) -> Forecast:
    return Forecast(
        peak_bytes=memory.peak_bytes,
        exact=True,
        seconds=SECOND_S,
        baseline_bytes=memory.baseline_bytes,
        by_category=memory.by_category,
    )


def _phases(timeline: MemoryTimeline, memory: Memory | None) -> tuple[Phase, ...]:
    if memory is None:
        return ()
    totals = timeline.totals()
    share_s = SECOND_S / len(timeline.phases)
    points = len(totals) // len(timeline.phases)
    return tuple(
        Phase(
            name=span.name,
            start_s=index * share_s,
            duration_s=share_s,
            peak_bytes=max(totals[index * points : (index + 1) * points]) - memory.baseline_bytes,
            retained_bytes=totals[(index + 1) * points - 1] - totals[index * points],
            result_norm=1.0 / (index + 1),
        )
        for index, span in enumerate(timeline.phases)
    )


def _layers(spec: RunSpec) -> tuple[LayerCost, ...]:
    return tuple(
        LayerCost(
            index=row.index,
            kind=row.layer.kind,
            output_shape=row.output_shape or (),
            parameters=row.parameters or 0,
            bytes_at_peak=8 * (row.parameters or 0) + 1024,
        )
        for row in spec.model.trace()
    )


def _losses(spec: RunSpec) -> tuple[float, ...]:
    steps = spec.workload.outer_steps if isinstance(spec.workload, Maml) else 0
    return tuple(2.0 * 0.9**step for step in range(steps))


def _resident(index: int) -> int:
    return (200 << 20) + min(index, 20) * (1 << 20)


def _wait_for_either(one: threading.Event, other: threading.Event) -> None:
    while not one.is_set() and not other.wait(0.005):
        pass
