"""Round ticks with their labels; one of them names the unit."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, log10

from hogui.units import MIB, Scale, bytes_scale, seconds_scale, tick_decimals, tick_step, ticks

_EDGE = 0.05
_SHORT = 4
"""Characters of a number that leaves room for its unit."""
_PLAIN = (1e-3, 1e5)
"""Numbers between these read best as they are."""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Ticks:
    positions: list[float]
    labels: list[str]


Ticker = Callable[[float, float, int], Ticks]
"""From the lowest and highest value shown, and how many fit, to the ticks."""


def bytes_ticks(low: float, high: float, at_most: int) -> Ticks:
    """Ticks for bytes in MiB, or in the greater unit that suits the highest value."""
    return _scaled(low, high, at_most, bytes_scale(max(abs(low), abs(high), MIB)))


def seconds_ticks(low: float, high: float, at_most: int, origin: float = 0.0) -> Ticks:
    """Ticks for seconds, round relative to `origin`, in the unit that suits the width of the
    range."""
    found = _scaled(low - origin, high - origin, at_most, seconds_scale(high - low))
    return Ticks([position + origin for position in found.positions], found.labels)


def duration_ticks(low: float, high: float, at_most: int) -> Ticks:
    """Ticks for durations, in the unit that suits the longest."""
    return _scaled(low, high, at_most, seconds_scale(high))


def named_ticks(low: float, high: float, at_most: int, what: str) -> Ticks:
    """Ticks for a number without a unit; one of them says what it is."""
    found = plain_ticks(low, high, at_most)
    clear = (i for i, place in enumerate(found.positions) if place > low + _EDGE * (high - low))
    named = next(clear, None)
    if named is not None:
        found.labels[named] = f"{what} {found.labels[named]}"
    return found


def count_ticks(low: float, high: float, at_most: int, what: str) -> Ticks:
    """Ticks at whole numbers; the first says what is counted."""
    if high <= low:
        return Ticks([], [])
    step = max(1, round(tick_step(low, high, at_most, Scale(1, ""))))
    counts = range(ceil(low / step) * step, floor(high) + 1, step)
    labels = [str(count) for count in counts]
    clear = (i for i, count in enumerate(counts) if count > low + _EDGE * (high - low))
    named = next(clear, None)
    if named is not None:
        labels[named] = f"{what} {labels[named]}"
    return Ticks([float(count) for count in counts], labels)


def position_label(seconds: float, span: float, columns: int) -> str:
    """A time within a range of `span` seconds, with as many decimals as its columns of pixels can
    tell apart."""
    scale = seconds_scale(span)
    decimals = max(0, ceil(-log10(span / columns / scale.factor)))
    return scale.text(seconds, decimals)


def plain_ticks(low: float, high: float, at_most: int) -> Ticks:
    """Ticks for a number without a unit; of a very large or small one the power of ten is named
    once."""
    largest = max(abs(low), abs(high))
    if largest == 0 or _PLAIN[0] <= largest < _PLAIN[1]:
        return _scaled(low, high, at_most, Scale(1, ""))
    exponent = 3 * floor(log10(largest) / 3)
    return _scaled(low, high, at_most, Scale(10.0**exponent, f"×{power_of_ten(exponent)}"))


def log_ticks(low: float, high: float, at_most: int) -> Ticks:
    """Ticks for a logarithmic axis, whose range and positions are logarithms to base 10.

    Powers of ten, so many of them that they fit; 2 and 5 times them too where all of them do; and
    round numbers within less than that.
    """
    between = [
        (exponent + log10(factor), factor * 10.0**exponent)
        for exponent in range(floor(low), floor(high) + 1)
        for factor in (1, 2, 5)
        if low <= exponent + log10(factor) <= high
    ]
    if 1 < len(between) <= at_most:
        return Ticks([place for place, _ in between], [_log_label(value) for _, value in between])
    exponents = range(ceil(low), floor(high) + 1)
    if len(exponents) > 1:
        every = -(-len(exponents) // at_most)
        chosen = [exponent for exponent in exponents if exponent % every == 0]
        return Ticks([float(one) for one in chosen], [power_of_ten(one) for one in chosen])
    values = [value for value in ticks(10.0**low, 10.0**high, at_most, Scale(1, "")) if value > 0]
    return Ticks([log10(value) for value in values], [f"{value:.6g}" for value in values])


def log_bytes_ticks(low: float, high: float, at_most: int) -> Ticks:
    """Ticks for logarithms of bytes, in MiB or in the greater unit that suits their middle."""
    return _log_scaled(low, high, at_most, bytes_scale(max(10 ** ((low + high) / 2), MIB)))


def log_duration_ticks(low: float, high: float, at_most: int) -> Ticks:
    """Ticks for logarithms of seconds, in the unit that suits their middle."""
    return _log_scaled(low, high, at_most, seconds_scale(10 ** ((low + high) / 2)))


def _log_scaled(low: float, high: float, at_most: int, scale: Scale) -> Ticks:
    shift = log10(scale.factor)
    found = log_ticks(low - shift, high - shift, at_most)
    labels = [_log_label(10**place) for place in found.positions]
    positions = [place + shift for place in found.positions]
    clear = [i for i, place in enumerate(positions) if place < high - _EDGE * (high - low)]
    if labels:
        # In the gutter there is no room for the unit beside a long number.
        short = [i for i in clear if len(labels[i]) <= _SHORT]
        named = (short or clear or [0])[-1]
        labels[named] = f"{labels[named]} {scale.unit}"
    return Ticks(positions, labels)


def _log_label(value: float) -> str:
    return f"{value:g}" if _PLAIN[0] <= value < _PLAIN[1] else f"{value:.0e}".replace("e-0", "e-")


def power_of_ten(exponent: int) -> str:
    """`10⁻³`; `1` and `10` for themselves."""
    if exponent in (0, 1):
        return str(10**exponent)
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def _scaled(low: float, high: float, at_most: int, scale: Scale) -> Ticks:
    positions = ticks(low, high, at_most, scale)
    if not positions:
        return Ticks([], [])
    decimals = tick_decimals(tick_step(low, high, at_most, scale), scale)
    labels = [scale.number(position, decimals) for position in positions]
    # The last label that is surely not cut off at the end of the axis.
    clear = [i for i, position in enumerate(positions) if position < high - _EDGE * (high - low)]
    named = clear[-1] if clear else 0
    labels[named] = f"{labels[named]} {scale.unit}".strip()
    return Ticks(positions, labels)
