"""What a run says while it runs: a closed union with one encode and one decode.

All ``t_s`` are seconds since the run started, on one axis.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.results.charts import Point, finite
from core.results.environment import Environment
from core.results.forecast import Forecast
from core.results.measurement import LayerCost, Measurement, Memory, Phase
from core.results.memory_timeline import MemoryTimeline
from core.spec.run import RunSpec

Stage = Literal[
    "forecast", "prepare", "compile", "memory", "allocator", "warm_up", "time", "follow", "check"
]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Started(_Event):
    """The first event.

    Attributes:
        started_at: ISO 8601, UTC.
        clock_s: ``time.perf_counter()`` at second 0, a clock that all processes share.
    """

    type: Literal["started"] = "started"
    run_id: str
    spec: RunSpec
    environment: Environment
    started_at: str
    clock_s: float


class StageStarted(_Event):
    """The run goes over to its next pass."""

    type: Literal["stage"] = "stage"
    stage: Stage
    t_s: float


class Forecasted(_Event):
    """What the run will cost, said before anything of it is computed."""

    type: Literal["forecasted"] = "forecasted"
    forecast: Forecast


class PhaseStarted(_Event):
    """A phase of the workload begins, in the memory pass."""

    type: Literal["phase"] = "phase"
    name: str
    t_s: float


class MemorySamples(_Event):
    """A batch of the live curve: bytes by category of birth, one value for each time."""

    type: Literal["memory"] = "memory"
    t_s: tuple[float, ...]
    columns: dict[str, tuple[int, ...]]


class MemoryMeasured(_Event):
    """The memory passes are over: the true peak, the categories by what each tensor turned out to
    be, and the curve relabelled accordingly. Durations of phases follow with ``Finished``."""

    type: Literal["memory_measured"] = "memory_measured"
    memory: Memory
    phases: tuple[Phase, ...]
    layers: tuple[LayerCost, ...]
    timeline: MemoryTimeline


class ResidentSample(_Event):
    """Memory of the measuring process as the system sees it, sampled from outside."""

    type: Literal["resident"] = "resident"
    source: Literal["resident", "driver"] = "resident"
    t_s: float
    total_bytes: int


class Repetition(_Event):
    """One repetition ended.

    Attributes:
        index: counts from 0 within its pass.
        about: how many there will be, None while unknown.
        left_s: estimate of the time left in this pass.
    """

    type: Literal["repetition"] = "repetition"
    index: int
    seconds: float
    warm_up: bool
    t_s: float
    about: int | None = None
    left_s: float | None = None


class ChartPoint(_Event):
    """One more point of a curve that the workload draws; y is None where it is not finite.

    Attributes:
        chart: a name of ``core.results.charts.CHARTS``.
        curve: which of its curves.
        low: lower end of the point's interval, None where it has none.
        high: upper end.
        done: how much of the stage is done, between 0 and 1; None while unknown.
    """

    type: Literal["chart_point"] = "chart_point"
    chart: str
    curve: str
    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    done: float | None = None


class Warned(_Event):
    """Something the user should know, one sentence."""

    type: Literal["warned"] = "warned"
    sentence: str


class Finished(_Event):
    """The last event, whatever the outcome."""

    type: Literal["finished"] = "finished"
    result: Measurement
    timeline: MemoryTimeline


Event = (
    Started
    | StageStarted
    | Forecasted
    | PhaseStarted
    | MemorySamples
    | MemoryMeasured
    | ResidentSample
    | Repetition
    | ChartPoint
    | Warned
    | Finished
)

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def point_of(event: ChartPoint) -> Point:
    """The point that an event tells of."""
    y = math.nan if event.y is None else event.y
    return Point(event.chart, event.curve, event.x, y, event.low, event.high, event.done)


def event_of(point: Point) -> ChartPoint:
    """The event that tells of a point."""
    return ChartPoint(
        chart=point.chart,
        curve=point.curve,
        x=point.x,
        y=finite(point.y),
        low=finite(point.low),
        high=finite(point.high),
        done=point.done,
    )


def encode(event: Event) -> bytes:
    """An event as bytes for a pipe or a file."""
    return event.model_dump_json().encode()


def decode(data: bytes) -> Event:
    """The event that ``encode`` wrote.

    Raises:
        pydantic.ValidationError: the bytes are not an event of this version.
    """
    return _ADAPTER.validate_json(data)
