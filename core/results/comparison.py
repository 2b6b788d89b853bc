"""Two runs beside each other: what differs, which is smaller, which is faster, what to doubt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue

from core.results.environment import Environment
from core.results.measurement import Measurement, Memory, Timing
from core.results.time_comparison import TimeComparison, compare_samples, sentence
from core.spec.run import RunSpec


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Value):
    """A key of the spec with its values; None where a run has no such key."""

    key: str
    a: JsonValue
    b: JsonValue


class MemoryComparison(_Value):
    """Bytes of ``b`` relative to ``a``; exact, since bytes repeat.

    Attributes:
        peak_ratio: of the peaks above the baseline, None where that of ``a`` is 0.
        peak_difference_bytes: b minus a.
        total_ratio: of what a device must hold.
    """

    peak_ratio: float | None
    peak_difference_bytes: int
    total_ratio: float | None


class Comparison(_Value):
    """Run ``b`` relative to run ``a``.

    Attributes:
        a: id of the reference.
        b: id of the other run.
        memory: None where a run has no memory figures.
        time: None where a run has no times, or one that cannot be compared.
        differences: keys of the spec that differ, names left out.
        warnings: why the figures may mislead, one sentence each.
        sentence: all of it in words.
    """

    a: str
    b: str
    memory: MemoryComparison | None
    time: TimeComparison | None
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]
    sentence: str


_MACHINE: Final = {
    "cpu": "different processors",
    "cpu_count": "different numbers of cores",
    "memory_bytes": "different amounts of memory",
    "platform": "different systems",
    "device_name": "different devices",
    "device_memory_bytes": "devices with different amounts of memory",
    "hogui": "different versions of HoGUI",
    "python": "different versions of Python",
    "torch": "different versions of torch",
    "numpy": "different versions of NumPy",
    "driver": "different drivers",
    "numerics": "different settings of the device's libraries",
    "threads": "different numbers of threads",
    "power_source": "different sources of power",
    "cpu_governor": "different rules for the clock speed",
    "git_revision": "different revisions of the project around",
}
"""What the warning says where an entry of the environment differs."""

_CLOCK_TOLERANCE: Final = 0.05
_LEAST_SLOWDOWN: Final = 1.02


def compare(a: Measurement, b: Measurement) -> Comparison:
    """Compares two runs that were measured apart.

    Their times are widened by what other programs may have cost either of them.
    """
    memory = _memory(a.memory, b.memory)
    time = _time(a, b)
    names = _names(a, b)
    return Comparison(
        a=a.run_id,
        b=b.run_id,
        memory=memory,
        time=time,
        differences=tuple(differences(a.spec, b.spec)),
        warnings=(*environment_warnings(a.environment, b.environment), *_conditions(a, b, names)),
        sentence=" ".join(_words(a, b, memory, time, names)),
    )


def differences(a: RunSpec, b: RunSpec) -> Iterator[Difference]:
    """The keys that differ, in the order of the spec; layers by their position."""
    of_a, of_b = leaves(a), leaves(b)
    for key in dict.fromkeys((*of_a, *of_b)):
        if key != "name" and (of_a.get(key) != of_b.get(key) or (key in of_a) != (key in of_b)):
            yield Difference(key=key, a=of_a.get(key), b=of_b.get(key))


def leaves(spec: RunSpec) -> dict[str, JsonValue]:
    """Every key in dotted form with its plain value, those of layers with their position."""
    return dict(_leaves("", json.loads(spec.model_dump_json())))


def _leaves(path: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    dot = "." if path else ""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _leaves(f"{path}{dot}{key}", child)
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        for position, child in enumerate(value):
            yield from _leaves(f"{path}{dot}{position}", child)
    else:
        yield path, value


def environment_warnings(a: Environment, b: Environment) -> Iterator[str]:
    """What was not the same around two runs; what only one of them tells is not held against it."""
    of_a, of_b = a.model_dump(), b.model_dump()
    for key, words in _MACHINE.items():
        first, second = of_a[key], of_b[key]
        if first != second and None not in (first, second):
            yield f"The runs were measured with {words}: {first} and {second}."


def _conditions(a: Measurement, b: Measurement, names: tuple[str, str]) -> Iterator[str]:
    for run, name in zip((a, b), names, strict=True):
        if run.time is None:
            continue
        slowdown = _slowdown(run)
        if slowdown >= _LEAST_SLOWDOWN:
            yield (
                f"Other programs wanted the cores that {name} ran on: it may have taken up to "
                f"{slowdown - 1:.0%} longer than it would alone."
            )
        if run.time.verdict == "noisy":
            yield f"The time of {name} is noisy."
        if run.time.conditions is not None and run.time.conditions.throttled:
            yield f"The hardware slowed itself down while {name} was timed."
    yield from _clock_speeds(a.time, b.time)


def _clock_speeds(a: Timing | None, b: Timing | None) -> Iterator[str]:
    speeds = [
        timing.conditions.clock_mhz[1]
        for timing in (a, b)
        if timing is not None and timing.conditions and timing.conditions.clock_mhz
    ]
    if len(speeds) == 2 and abs(speeds[1] / speeds[0] - 1) > _CLOCK_TOLERANCE:
        yield f"The clock speeds differed: {speeds[0]:,.0f} and {speeds[1]:,.0f} MHz."


def _slowdown(run: Measurement) -> float:
    conditions = run.time.conditions if run.time is not None else None
    return conditions.slowdown(run.environment.threads) if conditions is not None else 1.0


def _memory(a: Memory | None, b: Memory | None) -> MemoryComparison | None:
    if a is None or b is None:
        return None
    return MemoryComparison(
        peak_ratio=b.peak_bytes / a.peak_bytes if a.peak_bytes else None,
        peak_difference_bytes=b.peak_bytes - a.peak_bytes,
        total_ratio=b.total_bytes / a.total_bytes if a.total_bytes else None,
    )


def _time(a: Measurement, b: Measurement) -> TimeComparison | None:
    if a.time is None or b.time is None or min(*a.time.samples_s, *b.time.samples_s) <= 0:
        return None
    return compare_samples(
        a.time.samples_s,
        b.time.samples_s,
        interleaved=False,
        slowdown=(_slowdown(a), _slowdown(b)),
    )


def _names(a: Measurement, b: Measurement) -> tuple[str, str]:
    """How the sentences call them: by name where that tells them apart."""
    if a.spec.name != b.spec.name:
        return a.spec.name, b.spec.name
    return f"{a.spec.name} ({a.run_id[:8]})", f"{b.spec.name} ({b.run_id[:8]})"


def _words(
    a: Measurement,
    b: Measurement,
    memory: MemoryComparison | None,
    time: TimeComparison | None,
    names: tuple[str, str],
) -> Iterator[str]:
    if time is None:
        lacking = [name for run, name in zip((a, b), names, strict=True) if run.time is None]
        yield f"The times cannot be compared: there is none of {' and '.join(lacking) or 'one'}."
    else:
        yield sentence(time, *names)
    if memory is None:
        lacking = [name for run, name in zip((a, b), names, strict=True) if run.memory is None]
        yield f"The peaks cannot be compared: there is none of {' and '.join(lacking)}."
    elif memory.peak_difference_bytes == 0:
        yield "Both have the same peak."
    elif memory.peak_ratio is not None:
        more = "more" if memory.peak_difference_bytes > 0 else "less"
        yield (
            f"The peak of {names[1]} is {memory.peak_ratio:.4g} times that of {names[0]} "
            f"({_size(abs(memory.peak_difference_bytes))} {more})."
        )


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 2**20 else f"{count / 2**20:,.3f} MiB"
