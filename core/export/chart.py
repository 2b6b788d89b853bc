"""One run as a picture: memory over time by category, and the time of each repetition.

A self-contained SVG file, for places without a window. Memory is a step function that may have
more points than the picture has columns; each column shows the moment of its highest total. Where
what existed before the workload would hide what the workload adds, the memory axis starts there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from core.results.categories import CATEGORIES
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline
from core.results.palette import CATEGORY_COLOURS

_WIDTH, _HEIGHT = 960, 600
_LEFT, _RIGHT = 76, 176
_TOP_OF_MEMORY, _BOTTOM_OF_MEMORY = 84, 372
_TOP_OF_TIME, _BOTTOM_OF_TIME = 452, 552
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_TEXT, _FAINT, _GRID, _ACCENT = "#1B1E25", "#5A6170", "#E9EBEF", "#2F6FED"
_MIB = 2**20
_THIN = 0.25
"""Of the baseline: growth below it would be a thin strip on an axis that starts at zero."""


def chart_svg(result: Measurement, timeline: MemoryTimeline) -> str:
    """The picture of one run as the text of an SVG file."""
    parts = [
        *_title(result),
        *_memory(result, timeline),
        *_times(result),
    ]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="{_TEXT}">\n<rect width="100%" height="100%" fill="#FFFFFF"/>\n{body}\n</svg>\n'
    )


def columns_at_peaks(
    times: Sequence[float], totals: Sequence[int], low_s: float, high_s: float, count: int
) -> list[int | None]:
    """For each of ``count`` equal columns, the index of the point with the highest total in it.

    A point holds until the next one, so an empty column shows the last point before it; None
    stands before the first point.
    """
    found: list[int | None] = []
    last: int | None = None
    position = 0
    for column in range(count):
        end_s = low_s + (high_s - low_s) * (column + 1) / count
        highest = last
        while position < len(times) and (times[position] < end_s or column == count - 1):
            if highest is None or totals[position] > totals[highest]:
                highest = position
            last = position
            position += 1
        found.append(highest)
    return found


def nice_step(largest: float, at_most: int) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that divides a range into so few parts."""
    raw = largest / at_most
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def _title(result: Measurement) -> Iterator[str]:
    yield _label(_LEFT, 32, result.spec.name, size=18, weight=600)
    yield _label(_LEFT, 52, _subtitle(result), colour=_FAINT)


def _subtitle(result: Measurement) -> str:
    environment = result.environment
    words = [environment.device_name or environment.device, f"torch {environment.torch}"]
    if result.memory is not None:
        words.append(
            f"peak {_mib(result.memory.peak_bytes)} above {_mib(result.memory.baseline_bytes)}"
        )
    if result.time is not None:
        words.append(f"median {result.time.median_s * 1e3:.4g} ms")
    words.append(result.ending)
    return " · ".join(words)


def _memory(result: Measurement, timeline: MemoryTimeline) -> Iterator[str]:
    totals = timeline.totals()
    highest = max(totals, default=0)
    foot = _foot(result, highest)
    above = f" above the baseline of {_mib(foot)}" if foot else ""
    yield _heading(_TOP_OF_MEMORY, f"Memory during the memory pass, MiB{above}, by category")
    if not highest:
        yield _nothing(_TOP_OF_MEMORY, _BOTTOM_OF_MEMORY, "The run has no memory curve.")
        return
    low_s, high_s = timeline.t_s[0], timeline.t_s[-1]
    if high_s <= low_s:
        high_s = low_s + 1e-6
    span = 1.05 * (highest - foot)
    scale = (_BOTTOM_OF_MEMORY - _TOP_OF_MEMORY) / span
    yield from _grid(_BOTTOM_OF_MEMORY, scale * _MIB, span / _MIB, 5)
    picked = columns_at_peaks(timeline.t_s, totals, low_s, high_s, _PLOT_WIDTH)
    floor = [0] * _PLOT_WIDTH
    shown = [name for name in CATEGORIES if any(timeline.columns.get(name, ()))]
    for name in shown:
        values = timeline.columns[name]
        roof = [
            bottom + (0 if point is None else max(values[point], 0))
            for bottom, point in zip(floor, picked, strict=True)
        ]
        lower, upper = ([max(total - foot, 0) for total in edge] for edge in (floor, roof))
        yield f'<path d="{_band(lower, upper, scale)}" fill="{CATEGORY_COLOURS[name]}"/>'
        floor = roof
    yield from _peak(floor, scale, highest, foot)
    yield from _phases(timeline, low_s, high_s)
    yield from _legend(shown)


def _foot(result: Measurement, highest: int) -> int:
    """Bytes at which the memory axis starts."""
    baseline = 0 if result.memory is None else result.memory.baseline_bytes
    return baseline if 0 < highest - baseline < _THIN * baseline else 0


def _band(floor: list[int], roof: list[int], scale: float) -> str:
    """A step-shaped area between two sums, as an SVG path of relative moves."""

    def steps(values: list[int], columns: Sequence[int]) -> Iterator[str]:
        height: float | None = None
        for column in columns:
            y = round(_BOTTOM_OF_MEMORY - values[column] * scale, 2)
            if y != height:
                edge = column if columns[0] == 0 else column + 1
                yield f"H{_LEFT + edge}V{y:g}"
                height = y

    forwards, backwards = range(_PLOT_WIDTH), range(_PLOT_WIDTH - 1, -1, -1)
    return (
        f"M{_LEFT} {_BOTTOM_OF_MEMORY}{''.join(steps(roof, forwards))}H{_LEFT + _PLOT_WIDTH}"
        f"{''.join(steps(floor, backwards))}H{_LEFT}Z"
    )


def _peak(sums: list[int], scale: float, highest: int, foot: int) -> Iterator[str]:
    x = _LEFT + sums.index(max(sums)) + 0.5
    y = _BOTTOM_OF_MEMORY - (highest - foot) * scale
    anchor = "start" if x < _LEFT + _PLOT_WIDTH - 140 else "end"
    offset = 8 if anchor == "start" else -8
    yield f'<circle cx="{x}" cy="{y:.2f}" r="3" fill="{_TEXT}"/>'
    yield _label(x + offset, y - 4, f"highest {_mib(highest)}", anchor=anchor, weight=600)


def _phases(timeline: MemoryTimeline, low_s: float, high_s: float) -> Iterator[str]:
    """Names below the curve, where they fit between their borders."""
    y = _BOTTOM_OF_MEMORY
    for span in timeline.phases:
        left = _LEFT + _PLOT_WIDTH * (max(span.start_s, low_s) - low_s) / (high_s - low_s)
        right = _LEFT + _PLOT_WIDTH * (min(span.end_s, high_s) - low_s) / (high_s - low_s)
        if right - left < 2:
            continue
        yield f'<path d="M{left:.1f} {y}v8M{right:.1f} {y}v8" stroke="{_FAINT}"/>'
        if right - left > 7 * len(span.name):
            yield _label((left + right) / 2, y + 20, span.name, anchor="middle", colour=_FAINT)
    milliseconds = (high_s - low_s) * 1e3
    words = f"{milliseconds:.3g} ms with attribution, which takes longer than a clean repetition"
    yield _label(_LEFT + _PLOT_WIDTH, y + 38, words, anchor="end", colour=_FAINT, size=11)


def _legend(shown: list[str]) -> Iterator[str]:
    x = _LEFT + _PLOT_WIDTH + 16
    for row, name in enumerate(reversed(shown)):
        y = _TOP_OF_MEMORY + 10 + 20 * row
        colour = CATEGORY_COLOURS[name]
        yield f'<rect x="{x}" y="{y - 9}" width="10" height="10" rx="2" fill="{colour}"/>'
        yield _label(x + 16, y, name.replace("_", " "), size=11)


def _times(result: Measurement) -> Iterator[str]:
    yield _heading(_TOP_OF_TIME, "Time of each repetition, ms")
    if result.time is None:
        yield _nothing(_TOP_OF_TIME, _BOTTOM_OF_TIME, "The run has no timed repetitions.")
        return
    samples = [seconds * 1e3 for seconds in result.time.samples_s]
    largest = 1.1 * max(samples) or 1.0
    scale = (_BOTTOM_OF_TIME - _TOP_OF_TIME) / largest
    yield from _grid(_BOTTOM_OF_TIME, scale, largest, 3)
    low, high = (_BOTTOM_OF_TIME - bound * 1e3 * scale for bound in result.time.interval_s)
    median = _BOTTOM_OF_TIME - result.time.median_s * 1e3 * scale
    yield (
        f'<rect x="{_LEFT}" y="{high:.2f}" width="{_PLOT_WIDTH}" '
        f'height="{max(low - high, 0.5):.2f}" fill="{_ACCENT}" opacity="0.18"/>'
    )
    yield f'<path d="M{_LEFT} {median:.2f}h{_PLOT_WIDTH}" stroke="{_ACCENT}"/>'
    for index in _lowest_and_highest(samples, _PLOT_WIDTH):
        x = _LEFT + _PLOT_WIDTH * (index + 0.5) / len(samples)
        y = _BOTTOM_OF_TIME - samples[index] * scale
        yield f'<circle cx="{x:.1f}" cy="{y:.2f}" r="2" fill="{_ACCENT}"/>'
    x = _LEFT + _PLOT_WIDTH + 16
    yield _label(x, median + 4, f"median {result.time.median_s * 1e3:.4g} ms", weight=600)
    yield _label(x, median + 20, result.time.verdict, size=11, colour=_FAINT)
    words = f"{len(samples)} repetitions; band: 95 % interval of the median"
    yield _label(
        _LEFT + _PLOT_WIDTH, _BOTTOM_OF_TIME + 20, words, anchor="end", colour=_FAINT, size=11
    )


def _lowest_and_highest(samples: Sequence[float], columns: int) -> Iterator[int]:
    """Every sample, or where they are crowded the lowest and the highest of each column."""
    if len(samples) <= 2 * columns:
        yield from range(len(samples))
        return
    for column in range(columns):
        first, end = (len(samples) * border // columns for border in (column, column + 1))
        crowd = range(first, end)
        yield min(crowd, key=samples.__getitem__)
        yield max(crowd, key=samples.__getitem__)


def _grid(bottom: int, pixels_per_unit: float, largest: float, lines: int) -> Iterator[str]:
    step = nice_step(largest, lines)
    for index in range(int(largest / step) + 1):
        y = bottom - index * step * pixels_per_unit
        yield f'<path d="M{_LEFT} {y:.2f}h{_PLOT_WIDTH}" stroke="{_GRID}"/>'
        yield _label(_LEFT - 8, y + 4, f"{index * step:g}", anchor="end", colour=_FAINT, size=11)


def _heading(top: int, text: str) -> str:
    return _label(_LEFT, top - 10, text, weight=600)


def _nothing(top: int, bottom: int, text: str) -> str:
    return _label(_LEFT + _PLOT_WIDTH / 2, (top + bottom) / 2, text, anchor="middle", colour=_FAINT)


def _label(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: int = 400,
    anchor: str = "start",
    colour: str = _TEXT,
) -> str:
    return (
        f'<text x="{x:g}" y="{y:.2f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )


def _mib(count: int) -> str:
    return f"{count / _MIB:.4g} MiB"
