"""Figures as people read them: binary bytes, seconds, ratios, and round ticks for an axis.

A lone figure picks its own unit (`format_bytes`, `format_seconds`); a column of a table or an
axis shares one `Scale`, so that its numbers can be compared digit by digit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4
MINUS = "−"
MISSING = "–"
_NBSP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Scale:
    """A unit: `factor` base units (bytes or seconds) are one `unit`."""

    factor: float
    unit: str

    def number(self, value: float, decimals: int) -> str:
        """The value in this unit without its name, with a fixed number of decimals."""
        if not isfinite(value):
            return _not_finite(value)
        text = f"{abs(value) / self.factor:.{decimals}f}"
        return MINUS + text if value < 0 and float(text) != 0 else text

    def text(self, value: float, decimals: int) -> str:
        """The value in this unit with its name."""
        number = self.number(value, decimals)
        return f"{number}{_NBSP}{self.unit}" if isfinite(value) else number


BYTES = (Scale(1, "B"), Scale(KIB, "KiB"), Scale(MIB, "MiB"), Scale(GIB, "GiB"), Scale(TIB, "TiB"))
SECONDS = (Scale(1e-9, "ns"), Scale(1e-6, "µs"), Scale(1e-3, "ms"), Scale(1, "s"))


def bytes_scale(largest: float) -> Scale:
    """The unit in which the largest of some byte counts reads best: 1 to 1023 of it."""
    return _scale(BYTES, largest)


def seconds_scale(largest: float) -> Scale:
    """The unit in which the largest of some durations reads best."""
    return _scale(SECONDS, largest)


def format_bytes(value: float | None) -> str:
    """`208 MiB`: at least three significant digits, binary units; None is a dash."""
    if value is None:
        return MISSING
    scale = bytes_scale(value)
    return scale.text(value, 0 if scale.factor == 1 else _decimals(value / scale.factor))


def bytes_form(largest: float) -> Callable[[float], str]:
    """How figures of one picture are written: all in MiB, or in the greater unit that suits the
    largest of them, with decimals enough for it."""
    scale = bytes_scale(max(abs(largest), MIB))
    decimals = column_decimals(largest / scale.factor)
    return lambda value: scale.text(value, decimals)


def format_memory(value: float) -> str:
    """`208 MiB`: three significant digits, in MiB or the greater unit that suits; for a line of
    words beside tables in MiB."""
    scale = bytes_scale(max(abs(value), MIB))
    size = abs(value) / scale.factor
    return scale.text(value, _decimals(size) if size >= 1 else column_decimals(size) - 1)


def format_seconds(value: float | None) -> str:
    """`3.04 ms`: at least three significant digits, ns to s, minutes and hours beyond; None is a
    dash."""
    if value is None:
        return MISSING
    if abs(value) >= 60 and isfinite(value):
        return _clock(value)
    scale = seconds_scale(value)
    return scale.text(value, 0 if value == 0 else _decimals(value / scale.factor))


def format_interval(median: float, low: float, high: float) -> str:
    """Seconds as `798 µs [773, 828]`: all three in the median's unit, with its decimals."""
    scale = seconds_scale(median)
    decimals = 0 if median == 0 else _decimals(median / scale.factor)
    bounds = f"[{scale.number(low, decimals)}, {scale.number(high, decimals)}]"
    return f"{scale.text(median, decimals)} {bounds}"


def column_decimals(largest: float) -> int:
    """Decimals of a column of figures whose largest, in the column's unit, this is: four
    significant digits of it at least, five decimals at most."""
    size = abs(largest)
    return next((n for n, limit in enumerate((100, 10, 1, 0.1), 1) if size >= limit), 5)


def format_ratio(value: float | None) -> str:
    """`1.93×`; None is a dash."""
    if value is None:
        return MISSING
    return _not_finite(value) if not isfinite(value) else f"{value:.{_decimals(value)}f}×"


def format_count(value: int | None) -> str:
    """`1 048 576`: digits in groups of three; None is a dash."""
    return MISSING if value is None else f"{value:,}".replace(",", _NBSP)


def ratio(value: float | None, first: float | None) -> float | None:
    """How many times the first a value is; None where either is missing or the first is zero."""
    return None if value is None or not first else value / first


def ticks(low: float, high: float, at_most: int, scale: Scale) -> list[float]:
    """Positions, in base units, that are round numbers of `scale` within [low, high].

    Steps are 1, 2 or 5 times a power of ten of the unit; at most `at_most` of them, never fewer
    than one step.
    """
    if not (isfinite(low) and isfinite(high)) or high <= low or at_most < 1:
        return []
    step = tick_step(low, high, at_most, scale)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_step(low: float, high: float, at_most: int, scale: Scale) -> float:
    """The distance of `ticks`, in base units."""
    raw = (high - low) / scale.factor / at_most
    magnitude = 10.0 ** floor(log10(raw))
    factor = next(f for f in (1, 2, 5, 10, 20) if f * magnitude >= raw * (1 - 1e-9))
    return factor * magnitude * scale.factor


def tick_decimals(step: float, scale: Scale) -> int:
    """Decimals that every tick at this step needs, so that labels align."""
    return max(0, -floor(log10(step / scale.factor) + 1e-9))


def _scale(scales: tuple[Scale, ...], largest: float) -> Scale:
    if not isfinite(largest) or largest == 0:
        return scales[-1] if scales is SECONDS else scales[0]
    # 999.6 ms rounds to a fourth digit; it reads better as 1.00 s. 1023 KiB stays.
    limit = 0.9995 if scales is SECONDS else 1.0
    fitting = [scale for scale in scales if abs(largest) >= limit * scale.factor]
    return fitting[-1] if fitting else scales[0]


def _decimals(value: float) -> int:
    """Decimals that leave three significant digits."""
    size = abs(value)
    return 2 if size < 9.995 else 1 if size < 99.95 else 0


def _clock(value: float) -> str:
    sign, seconds = (MINUS if value < 0 else ""), round(abs(value))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}{_NBSP}h{_NBSP}{minutes:02}{_NBSP}min"
    return f"{sign}{minutes}{_NBSP}min{_NBSP}{seconds:02}{_NBSP}s"


def _not_finite(value: float) -> str:
    return "∞" if value == inf else f"{MINUS}∞" if value == -inf else "NaN"
