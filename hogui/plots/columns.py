"""Series that only grow, and their exact reduction to the columns of pixels that a plot has.

Memory is a step function: a sample holds until the next. A column of pixels may hide thousands of
samples; it shows the one with the highest total, so that no peak is ever lost, and all categories
of that one moment, so that what is stacked was really alive together. Which sample that is comes
from a sparse table over blocks (Bender and Farach-Colton, "The LCA problem revisited", 2000):
appending costs O(log n) per block, a query O(1) per column, whatever the length of the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


_Number = TypeVar("_Number", np.float64, np.int64)


class GrowingArray(Generic[_Number]):
    """An array that is appended to; the cost of growing is shared by all appends."""

    def __init__(self, dtype: type[_Number], length: int = 0) -> None:
        """Starts with `length` zeros."""
        self._buffer = np.zeros(max(length, 64), dtype=dtype)
        self._length = length

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> NDArray[_Number]:
        """What was appended so far; later appends do not change it."""
        return self._buffer[: self._length]

    def extend(self, values: Sequence[float] | NDArray[np.generic]) -> None:
        end = self._length + len(values)
        if end > len(self._buffer):
            grown = np.zeros(max(end, 2 * len(self._buffer)), dtype=self._buffer.dtype)
            grown[: self._length] = self.values
            self._buffer = grown
        self._buffer[self._length : end] = values
        self._length = end


class PeakIndex:
    """Answers where the highest value of any range is, exactly, for many ranges at once."""

    BLOCK = 32

    def __init__(self, values: GrowingArray[np.int64]) -> None:
        self._values = values
        self._levels = [GrowingArray(np.int64)]
        """Level j holds at i the position of the maximum of the 2^j blocks from block i on."""

    def update(self) -> None:
        """Takes in what was appended to the values."""
        values = self._values.values
        blocks, known = len(values) // self.BLOCK, len(self._levels[0])
        if blocks == known:
            return
        fresh = values[known * self.BLOCK : blocks * self.BLOCK].reshape(-1, self.BLOCK)
        self._levels[0].extend(fresh.argmax(axis=1) + np.arange(known, blocks) * self.BLOCK)
        level, half = 1, 1
        while (wanted := blocks - 2 * half + 1) > 0:
            if level == len(self._levels):
                self._levels.append(GrowingArray(np.int64))
            lower, known = self._levels[level - 1].values, len(self._levels[level])
            self._levels[level].extend(
                _higher(values, lower[known:wanted], lower[known + half : wanted + half])
            )
            level, half = level + 1, 2 * half

    def argmax(self, starts: Integers, stops: Integers) -> Integers:
        """Position of the first highest value of each range [start, stop); ranges are not empty."""
        values = self._values.values
        offsets = np.arange(self.BLOCK)
        first, last = -(-starts // self.BLOCK), stops // self.BLOCK
        head_end = np.maximum(np.minimum(stops, first * self.BLOCK) - 1, starts)
        head = np.minimum(starts[:, None] + offsets, head_end[:, None])
        tail_start = np.maximum(starts, last * self.BLOCK)
        tail = np.minimum(tail_start[:, None] + offsets, stops[:, None] - 1)
        rows = np.arange(len(starts))
        best = head[rows, values[head].argmax(axis=1)]
        inner = last - first
        for level in range(int(inner.max(initial=0)).bit_length()):
            span = 1 << level
            chosen = np.flatnonzero((inner >= span) & (inner < 2 * span))
            table = self._levels[level].values
            middle = _higher(values, table[first[chosen]], table[last[chosen] - span])
            best[chosen] = _higher(values, best[chosen], middle)
        return _higher(values, best, tail[rows, values[tail].argmax(axis=1)])


def _higher(values: Integers, earlier: Integers, later: Integers) -> Integers:
    return np.where(values[later] > values[earlier], later, earlier)


@dataclass(frozen=True)
class PixelColumns:
    """Neighbouring columns of pixels that show the same sample, merged: [left, right) shows
    `index`."""

    left: Floats
    right: Floats
    index: Integers


class StepStack:
    """Byte counts per category over time: the data of a stacked step plot."""

    def __init__(self) -> None:
        self._times = GrowingArray(np.float64)
        self._totals = GrowingArray(np.int64)
        self._peaks = PeakIndex(self._totals)
        self._by_category: dict[str, GrowingArray[np.int64]] = {}
        self._present: set[str] = set()

    def __len__(self) -> int:
        return len(self._times)

    @property
    def times(self) -> Floats:
        """Seconds, never falling."""
        return self._times.values

    @property
    def totals(self) -> Integers:
        """Bytes: the sum of all categories."""
        return self._totals.values

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category that was named, in the order of naming."""
        return tuple(self._by_category)

    @property
    def present(self) -> frozenset[str]:
        """The categories that held anything at any time."""
        return frozenset(self._present)

    def category(self, name: str) -> Integers:
        """Bytes of one category, one a sample."""
        return self._by_category[name].values

    def append(self, t_s: Sequence[float], columns: Mapping[str, Sequence[int]]) -> None:
        """Adds samples. A category that appears late was zero before; one that is missing is zero
        now.

        Raises:
            ValueError: a column's length differs from the times', or time runs backwards.
        """
        times = np.asarray(t_s, dtype=np.float64)
        for name, column in columns.items():
            if len(column) != len(times):
                raise ValueError(f"{name} has {len(column)} values for {len(times)} times.")
        if np.any(np.diff(times, prepend=self.times[-1:]) < 0):
            raise ValueError("The times of a memory curve must not fall.")
        before = len(self)
        self._times.extend(times)
        totals = np.zeros(len(times), dtype=np.int64)
        for name, column in columns.items():
            if name not in self._by_category:
                self._by_category[name] = GrowingArray(np.int64, before)
            self._by_category[name].extend(column)
            fresh = self.category(name)[before:]
            totals += fresh
            if fresh.any():
                self._present.add(name)
        for name in self._by_category.keys() - columns.keys():
            self._by_category[name].extend(np.zeros(len(times), dtype=np.int64))
        self._totals.extend(totals)
        self._peaks.update()

    def peak(self, length: int | None = None) -> int | None:
        """Position of the first highest total, among the first `length` samples; None without
        any."""
        length = len(self) if length is None else length
        return int(self._argmax(0, length)) if length else None

    def highest(self, low_s: float, high_s: float, length: int) -> int:
        """The highest total alive at any time of a range, in bytes, among the first `length`
        samples; else 0."""
        times = self.times[:length]
        start = max(int(np.searchsorted(times, low_s, "right")) - 1, 0)
        stop = int(np.searchsorted(times, high_s, "right"))
        return int(self.totals[self._argmax(start, stop)]) if stop > start else 0

    def at(self, time_s: float, length: int) -> int | None:
        """Position of the sample that holds at a time; None before the first and after the last."""
        times = self.times[:length]
        if not length or not times[0] <= time_s <= times[-1]:
            return None
        return int(np.searchsorted(times, time_s, "right")) - 1

    def reduce(self, low_s: float, high_s: float, width: int, length: int) -> PixelColumns:
        """What each of `width` equal columns of [low_s, high_s] shows, of the first `length`
        samples.

        A column shows the sample with the highest total of all that hold somewhere in it. Columns
        that lie wholly before the first sample or after the last show nothing and are left out.
        """
        times = self.times[:length]
        edges = np.linspace(low_s, high_s, width + 1)
        starts = np.searchsorted(times, edges[:-1], "right") - 1
        stops = np.searchsorted(times, edges[1:], "left")
        shown = (stops > 0) & (edges[:-1] <= (times[-1] if length else low_s))
        starts, stops = np.maximum(starts[shown], 0), stops[shown]
        stops = np.maximum(stops, starts + 1)
        if not len(starts):
            nothing = np.empty(0)
            return PixelColumns(nothing, nothing, np.empty(0, dtype=np.int64))
        index = self._peaks.argmax(starts, stops)
        first = np.flatnonzero(np.diff(index, prepend=-1))
        left, right = edges[:-1][shown], edges[1:][shown]
        last = np.append(first[1:], len(index)) - 1
        return PixelColumns(left[first], right[last], index[first])

    def _argmax(self, start: int, stop: int) -> np.int64:
        return self._peaks.argmax(np.array([start]), np.array([stop]))[0]


class SampledLine:
    """A quantity that is sampled now and then: resident or driver memory."""

    def __init__(self) -> None:
        self._times = GrowingArray(np.float64)
        self._values = GrowingArray(np.int64)
        self._negated = GrowingArray(np.int64)
        self._highs, self._lows = PeakIndex(self._values), PeakIndex(self._negated)

    def __len__(self) -> int:
        return len(self._times)

    @property
    def times(self) -> Floats:
        return self._times.values

    @property
    def values(self) -> Integers:
        return self._values.values

    def append(self, time_s: float, value: int) -> None:
        """Adds one sample, later than all before."""
        self._times.extend([time_s])
        self._values.extend([value])
        self._negated.extend([-value])
        self._highs.update()
        self._lows.update()

    def highest(self, low_s: float, high_s: float, length: int) -> int:
        """The highest of the first `length` samples in a range of time, or 0."""
        start, stop = np.searchsorted(self.times[:length], [low_s, high_s])
        if stop <= start:
            return 0
        return int(self.values[self._highs.argmax(np.array([start]), np.array([stop]))[0]])

    def at(self, time_s: float, length: int) -> int | None:
        """The value of the last sample at or before a time; None before the first."""
        position = int(np.searchsorted(self.times[:length], time_s, "right")) - 1
        return int(self.values[position]) if position >= 0 else None

    def reduce(self, low_s: float, high_s: float, width: int, length: int) -> tuple[Floats, Floats]:
        """Points of a line over [low_s, high_s] in `width` columns: lowest and highest of each
        survive.

        One sample beyond each end is kept, so that the line leaves the plot where it should.
        """
        times = self.times[:length]
        start = max(int(np.searchsorted(times, low_s, "left")) - 1, 0)
        stop = min(int(np.searchsorted(times, high_s, "right")) + 1, length)
        if stop - start <= 2 * width:
            return times[start:stop], self.values[start:stop].astype(np.float64)
        starts = np.searchsorted(times, np.linspace(low_s, high_s, width + 1))
        starts[0], starts[-1] = start, stop
        starts = np.unique(starts)
        pairs = np.stack(
            [
                self._lows.argmax(starts[:-1], starts[1:]),
                self._highs.argmax(starts[:-1], starts[1:]),
            ],
            axis=1,
        )
        pairs.sort(axis=1)
        index = pairs.ravel()
        return times[index], self.values[index].astype(np.float64)
