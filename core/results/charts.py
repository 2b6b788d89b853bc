"""What a workload draws besides memory and time: curves, charts of them, and single readings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class ChartForm:
    """How a chart is labelled.

    Attributes:
        title: two or three words.
        x_label: with its unit, if it has one.
        y_label: with its unit, if it has one.
        log_y: whether a logarithmic axis shows it best.
        empty: one sentence that says what will appear.
    """

    title: str
    x_label: str
    y_label: str
    empty: str
    log_y: bool = False


LEARNING: Final = "learning"
ACCURACY: Final = "accuracy"
ADAPTATION: Final = "adaptation"
SEARCH: Final = "search"
ARCHITECTURE: Final = "architecture"
LOSS_BY_ITERATION: Final = "loss_by_iteration"
LOSS_BY_SECONDS: Final = "loss_by_seconds"
RESIDUAL: Final = "residual"
ATTACK_SUCCESS: Final = "attack_success"
ATTACK_LOSS: Final = "attack_loss"
TRACE: Final = "trace"
KEPT: Final = "kept"

CHARTS: Final[Mapping[str, ChartForm]] = MappingProxyType(
    {
        LEARNING: ChartForm(
            "Learning curve",
            "outer step",
            "loss",
            "The loss before each outer step appears here.",
        ),
        ACCURACY: ChartForm(
            "Accuracy",
            "outer step",
            "share of the query sets",
            "The share that is told right before each outer step appears here.",
        ),
        ADAPTATION: ChartForm(
            "Adaptation",
            "inner step",
            "loss on held-out tasks",
            "The loss on tasks that were not trained on appears here, by inner step.",
        ),
        SEARCH: ChartForm(
            "Search",
            "search step",
            "loss",
            "The losses before each step of the search appear here.",
        ),
        ARCHITECTURE: ChartForm(
            "Architecture weights",
            "search step",
            "share of a candidate",
            "What each candidate is weighed by appears here.",
        ),
        LOSS_BY_ITERATION: ChartForm(
            "Loss over iterations",
            "iteration",
            "loss",
            "The loss after each step of Newton's method and of two others appears here.",
            log_y=True,
        ),
        LOSS_BY_SECONDS: ChartForm(
            "Loss over seconds",
            "seconds",
            "loss",
            "The same losses appear here by the time that it took to reach them.",
            log_y=True,
        ),
        RESIDUAL: ChartForm(
            "Residual",
            "CG iteration",
            "relative residual",
            "What conjugate gradients leave of the first step's equations appears here.",
            log_y=True,
        ),
        ATTACK_SUCCESS: ChartForm(
            "Success rate",
            "step",
            "share",
            "The share of right answers that the changed inputs turn wrong appears here.",
        ),
        ATTACK_LOSS: ChartForm(
            "Attacked loss",
            "step",
            "loss",
            "The loss of the changed inputs after each step appears here.",
        ),
        TRACE: ChartForm(
            "Trace of the Hessian",
            "probes",
            "trace",
            "The estimate after each probe appears here, within one standard error.",
        ),
        KEPT: ChartForm(
            "What steps leave behind",
            "step",
            "bytes",
            "What is alive after each step of your own appears here.",
        ),
    }
)
"""Every chart by its name, in the order in which they are shown."""


def form_of(chart: str) -> ChartForm:
    """How a chart is labelled; one that this version does not know, by its bare name."""
    return CHARTS.get(chart) or ChartForm(chart.replace("_", " ").capitalize(), "x", "y", "")


def reading_title(name: str) -> str:
    """A reading's name as a table shows it: ``trace_estimate`` is ``Trace estimate``, and
    ``compile_s`` is ``Compile, s``."""
    words = name.replace("_", " ")
    if name.endswith("_s"):
        words = f"{words[:-2]}, s"
    return words[:1].upper() + words[1:]


class Curve(BaseModel):
    """One curve of a chart.

    Attributes:
        chart: a name of ``CHARTS``.
        name: what the curve is called beside others.
        x: ascending.
        y: None where it is not finite.
        low: lower ends of intervals, as many as points or none at all.
        high: upper ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chart: str
    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Point:
    """One point of a curve, as it comes.

    Attributes:
        chart: a name of ``CHARTS``.
        curve: which of its curves.
        low: lower end of its interval, None where it has none.
        high: upper end.
        done: how much of what is followed is done, between 0 and 1.
    """

    chart: str
    curve: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    done: float | None = None


@dataclass(frozen=True)
class Reading:
    """A single number that is found beside curves.

    Attributes:
        name: what it is called, in lower case with underscores.
    """

    name: str
    value: float


def finite(value: float | None) -> float | None:
    """The number itself; None for NaN and infinities, which JSON has not."""
    return value if value is not None and math.isfinite(value) else None


def curves_of(points: Iterable[Point]) -> tuple[Curve, ...]:
    """The curves that points make up, in the order in which they began."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.chart, point.curve), []).append(point)
    return tuple(_curve(chart, name, group) for (chart, name), group in groups.items())


def _curve(chart: str, name: str, points: list[Point]) -> Curve:
    has_interval = any(point.low is not None for point in points)
    return Curve(
        chart=chart,
        name=name,
        x=tuple(point.x for point in points),
        y=tuple(finite(point.y) for point in points),
        low=tuple(finite(point.low) for point in points) if has_interval else (),
        high=tuple(finite(point.high) for point in points) if has_interval else (),
    )
