"""Memory and time of a workload, said without computing it.

The engine runs on tensors without numbers (``prediction``), so the ledger writes down what it would
have seen; ``kernels`` adds what single operations allocate within themselves, and their time. Many
inner steps and tasks are foretold from few: what a phase holds grows evenly with them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Final

import torch

from core.engine.excerpt import WHOLE, Excerpt
from core.measure.forecasting.few_loops import AT_MOST as _AT_MOST
from core.measure.forecasting.few_loops import from_few_loops
from core.measure.forecasting.few_parts import (
    are_many_parts,
    followed,
    from_few_parts,
    sizes,
)
from core.measure.forecasting.few_steps import Uneven
from core.measure.forecasting.few_units import (
    AT_MOST,
    TOO_MANY,
    are_many,
    from_few_units,
    groups,
)
from core.measure.forecasting.overhead import overhead_s
from core.measure.forecasting.prediction import Unpredictable, predict
from core.measure.forecasting.seen import Seen, forecast_of, retimed
from core.measure.machine.devices import describe, resolve
from core.measure.memory.calls import Call
from core.measure.memory.kernels import Kernels
from core.results.forecast import DeviceMemory, Forecast, Outlook
from core.results.memory_timeline import MemoryTimeline
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from core.spec.workloads import Maml

CUDA_BLOCK_BYTES = 512
"""CUDA's caching allocator rounds every block up to a multiple of this (CUDACachingAllocator)."""

LEARN_S = 0.25
_SMALLER_MASKS = (
    "Dropout keeps a mask of one byte an entry on CUDA and one as large as its input here, so the "
    "peak may be too high by the difference, and whether it fits is not said."
)

_OTHER_FORMATS = (
    "Autocast leaves other operations in 32 bits on CUDA than here, so the peak may be off either "
    "way, and whether it fits is not said."
)

_MOST_KEPT = 64
"""Predictions that are kept, the last ones."""

_AT_ONCE = 4
_TOO_MANY = (
    "What an inner step holds does not grow evenly with the steps, and there are too many of them "
    "to follow each."
)
COMPILED: Final = (
    "How a compiler lays out what it compiles is known once it has, so peak and time come with the "
    "run."
)
_CPU = torch.device("cpu")


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keeps Python's garbage collector off, as the clock does: passing over everything that a
    process holds takes longer than many an answer."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Forecaster:
    """Forecasts for one machine; keeps what it learned of operations.

    Args:
        kernels: for a device and a number of threads, what is known of operations.
    """

    def __init__(self, kernels: Callable[[torch.device, int], Kernels]) -> None:
        self._make = kernels
        self._seen: dict[object, Seen] = {}
        self._made: dict[tuple[str, int], Kernels] = {}

    @_without_collector()
    def outlook(
        self, spec: RunSpec, on: DeviceMemory | None = None, learn_s: float = LEARN_S
    ) -> Outlook:
        """What a run will cost.

        Args:
            spec: a run without problems.
            on: memory to fit into instead of this machine's; its scratch memory is not known.
            learn_s: seconds to spend on operations that are not known yet.

        Raises:
            core.spec.declaration.InvalidSpec: this machine has no such device.
        """
        device = _CPU if on is not None else resolve(spec.device)
        if spec.mitigation.compile:
            return Outlook(forecast=None, absent=COMPILED)
        torch.set_num_threads(spec.measure.threads)
        kernels = self.kernels(device, spec.measure.threads)
        foreign = on is not None and on.cuda
        cuda = foreign or device.type == "cuda"
        block_bytes = CUDA_BLOCK_BYTES if cuda else 1
        work = _Work(spec, device, block_bytes, kernels, learn_s, foreign, self._seen)
        try:
            forecast, timeline = _forecast(spec, work)
        except Unpredictable as reason:
            return Outlook(forecast=None, absent=str(reason))
        reasons = [*work.reasons(forecast)]
        memory = on or _here(device)
        bound = True
        if foreign and spec.model.is_random:
            bound = False
            reasons.append(_SMALLER_MASKS)
        if foreign and spec.mitigation.precision == "autocast":
            bound = False
            reasons.append(_OTHER_FORMATS)
        if memory is not None:
            forecast = _fitted(forecast, memory, bound=bound)
        if forecast.fits is False and spec.workload.instead:
            reasons.append(spec.workload.instead)
        if forecast.seconds is not None and spec.workload.may_end_early:
            reasons.append(spec.workload.may_end_early)
        forecast = forecast.model_copy(update={"reasons": tuple(reasons)})
        return Outlook(
            forecast=forecast,
            timeline=timeline,
            unfinished=work.unfinished,
        )

    def kernels(self, device: torch.device, threads: int) -> Kernels:
        """What is known of operations on a device, by now."""
        key = (str(device), threads)
        if key not in self._made:
            self._made[key] = self._make(device, threads)
        self._made[key].refresh()
        return self._made[key]


class _Work:
    """What the predictions of one forecast share."""

    def __init__(
        self,
        whole: RunSpec,
        device: torch.device,
        block_bytes: int,
        kernels: Kernels,
        learn_s: float,
        foreign: bool,
        known: dict[object, Seen],
    ) -> None:
        self._whole, self._device, self._block_bytes = whole, device, block_bytes
        self._kernels, self._learn_s, self._foreign = kernels, learn_s, foreign
        self._seen_before = known
        self._unknown: dict[str, None] = {}
        self._untried = False

    @property
    def unfinished(self) -> bool:
        """Whether there was no time to learn some operation."""
        return self._untried

    def predict(self, spec: RunSpec, excerpt: Excerpt = WHOLE) -> Seen:
        """One prediction, of a spec or of an excerpt of it.

        Whoever changes the number of inner steps or tasks asks for the same short runs again.

        Args:
            spec: a run without problems.
            excerpt: how much of it is followed.
        """
        file = spec.model.state if isinstance(spec.model, PythonModel) else None
        unnamed = spec.model_copy(update={"name": ""}).to_json()
        revision = self._kernels.revision
        key = (unnamed, file, self._device, self._block_bytes, excerpt, revision)
        seen = self._seen_before.pop(key, None)
        if seen is None:
            seen = self._predicted(spec, excerpt)
        self._unknown |= dict.fromkeys(call.base_name for call in seen.report.unknown)
        if not seen.report.unknown or self._foreign:
            self._seen_before[key] = seen
            while len(self._seen_before) > _MOST_KEPT:
                del self._seen_before[next(iter(self._seen_before))]
        return seen

    def _predicted(self, spec: RunSpec, excerpt: Excerpt) -> Seen:
        books = predict(spec, self._device, self._block_bytes, excerpt)
        if self._foreign:
            report = books.report(lambda _: None)
            return Seen(report, None, MemoryTimeline())
        left = self._kernels.learn(books.calls, self._learn_s)
        self._untried |= any(not self._kernels.impossible(call) for call in left)
        books = books.corrected(self._returned)
        report = books.report(self._scratch)
        seconds = [self._seconds(call) for call in books.calls]
        known = [taken for taken in seconds if taken is not None]
        if len(known) < len(seconds):
            return Seen(report, None, MemoryTimeline())
        # That of the whole run for its short ones too, which are told apart by their numbers alone.
        beside = overhead_s(self._whole, self._kernels) if self._device.type == "cpu" else 0.0
        spent = [0.0, *accumulate(known[made.call] + beside for made in books.made)]
        return Seen(report, spent[-1], retimed(report.timeline, spent))

    def _scratch(self, call: Call) -> int | None:
        kernel = self._kernels.known(call)
        return None if kernel is None else kernel.scratch_bytes

    def _returned(self, call: Call) -> tuple[int, ...] | None:
        kernel = self._kernels.known(call)
        return None if kernel is None else kernel.returned_bytes

    def _seconds(self, call: Call) -> float | None:
        kernel = self._kernels.known(call)
        return None if kernel is None else kernel.seconds

    def reasons(self, forecast: Forecast) -> Iterator[str]:
        """Why the peak is a lower bound, and why there is no time."""
        if self._foreign:
            yield (
                "Scratch memory of that device's kernels is not known here, so the peak is a lower "
                "bound, and there is no time."
            )
        elif self._unknown:
            names = sorted(self._unknown)
            others = f" and {len(names) - 4} more" if len(names) > 4 else ""
            yield (
                f"What {', '.join(names[:4])}{others} allocate within themselves at this size is "
                "not known, so the peak is a lower bound"
                + ("." if forecast.seconds is not None else ", and there is no time.")
            )


def _forecast(spec: RunSpec, work: _Work) -> tuple[Forecast, MemoryTimeline]:
    workload = spec.workload
    if isinstance(workload, Maml) and not spec.is_own_step and _steps(workload) > _AT_ONCE:
        try:
            return from_few_loops(spec, workload, work.predict), MemoryTimeline()
        except Uneven:
            if _steps(workload) > _AT_MOST:
                raise Unpredictable(_TOO_MANY) from None
    seen = _of_parts(spec, work)
    return forecast_of(seen, exact=not seen.report.unknown), seen.timeline


def _of_parts(spec: RunSpec, work: _Work) -> Seen:
    """The whole run, from a few parts of its batch where there are many."""
    counts = sizes(spec)
    if are_many_parts(counts):
        try:
            report, seconds = from_few_parts(counts, lambda most: _of_units(spec, work, most))
            return Seen(report, seconds, MemoryTimeline())
        except Uneven:
            if len(counts) > AT_MOST:
                raise Unpredictable(TOO_MANY) from None
    return _of_units(spec, work, None)


def _of_units(spec: RunSpec, work: _Work, most_parts: int | None) -> Seen:
    """A run with so many parts of its batch, from a few vectors, probes or rows of each."""
    parts = len(sizes(spec)) if most_parts is None else len(followed(sizes(spec), most_parts))
    counts = groups(spec) * max(parts, 1)
    if are_many(counts):
        try:
            report, seconds = from_few_units(
                counts, lambda most: work.predict(spec, Excerpt(most, most_parts))
            )
            return Seen(report, seconds, MemoryTimeline())
        except Uneven:
            if sum(counts) > AT_MOST:
                raise Unpredictable(TOO_MANY) from None
    return work.predict(spec, Excerpt(parts=most_parts))


def _steps(workload: Maml) -> int:
    return workload.inner_steps * workload.tasks


def _here(device: torch.device) -> DeviceMemory | None:
    available = describe(device).available_bytes
    if available is None:
        return None
    return DeviceMemory(name=str(device), total_bytes=available, cuda=device.type == "cuda")


def _fitted(forecast: Forecast, memory: DeviceMemory, *, bound: bool) -> Forecast:
    """The forecast with what it has to fit into.

    Args:
        bound: whether the peak is at least a lower bound.
    """
    too_large = bound and forecast.total_bytes > memory.total_bytes
    return forecast.model_copy(
        update={
            # What is known to need less may need more in the end.
            "fits": False if too_large else (True if forecast.exact else None),
            "available_bytes": memory.total_bytes,
            "memory_name": memory.name,
        }
    )
