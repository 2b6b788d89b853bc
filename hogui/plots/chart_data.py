"""The curves of a chart: points that arrive one by one, and what of them a picture needs."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.results.charts import Curve, Point
from hogui.plots.columns import Floats, GrowingArray, Integers

_PER_COLUMN = 4
"""Points that a column of pixels can show: first, lowest, highest, last."""
_FAR = 4.0
"""Times the median width: intervals beyond it may leave the picture."""


class ChartCurve:
    """One curve; NaN stands for what is not finite, and for an interval that there is not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._columns = [GrowingArray(np.float64) for _ in range(4)]

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def x(self) -> Floats:
        """Never falling."""
        return self._columns[0].values

    @property
    def y(self) -> Floats:
        return self._columns[1].values

    @property
    def low(self) -> Floats:
        """Lower ends of the intervals."""
        return self._columns[2].values

    @property
    def high(self) -> Floats:
        return self._columns[3].values

    def append(self, point: Point) -> None:
        """Adds one point, at or after the last one."""
        values = (point.x, point.y, point.low, point.high)
        for column, value in zip(self._columns, values, strict=True):
            column.extend([np.nan if value is None else value])

    def extend(self, curve: Curve) -> None:
        """Adds a stored curve."""
        nothing = (None,) * len(curve.x)
        parts = (curve.x, curve.y, curve.low or nothing, curve.high or nothing)
        for column, part in zip(self._columns, parts, strict=True):
            column.extend(np.array(part, dtype=np.float64))

    def nearest(self, x: float) -> int:
        """Position of the point that lies nearest; the curve has points."""
        return int(np.abs(self.x - x).argmin())

    def part(self, low: float, high: float) -> slice:
        """The points between two x, and one beyond each end, so that lines leave the picture."""
        start = int(np.searchsorted(self.x, low, "left"))
        stop = int(np.searchsorted(self.x, high, "right"))
        return slice(max(start - 1, 0), stop + 1)

    def shown_values(self, low: float, high: float) -> Floats:
        """Every y between two x that a picture has to hold: the points, and their intervals unless
        they are far wider than most."""
        inside = (self.x >= low) & (self.x <= high)
        y, ends = self.y[inside], np.stack([self.low[inside], self.high[inside]])
        width = ends[1] - ends[0]
        known = width[np.isfinite(width)]
        # numpy's own median loads another part of numpy at its first call.
        usual = np.partition(known, len(known) // 2)[len(known) // 2] if len(known) else 0.0
        values = np.concatenate([y, ends[:, width <= _FAR * usual].ravel()])
        return values[np.isfinite(values)]


def runs_of(usable: NDArray[np.bool_]) -> Iterator[slice]:
    """The longest stretches of neighbours that are all usable."""
    edges = np.flatnonzero(np.diff(usable.astype(np.int8), prepend=0, append=0))
    for start, stop in edges.reshape(-1, 2).tolist():
        yield slice(start, stop)


def thinned(x: Floats, y: Floats) -> Integers:
    """Positions of the points that a line needs, for points in pixels that are all finite.

    A column of pixels keeps its first, lowest, highest and last point, so that no spike is lost.
    """
    columns = np.floor(x)
    firsts = np.flatnonzero(np.diff(columns, prepend=np.nan))
    if len(x) <= _PER_COLUMN * len(firsts):
        return np.arange(len(x))
    by_height = np.lexsort((y, columns))
    lasts = np.append(firsts[1:], len(x)) - 1
    return np.unique(np.concatenate([firsts, lasts, by_height[firsts], by_height[lasts]]))
