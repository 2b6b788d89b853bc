"""The measuring loop: a spec goes in, events come out.

Memory and time are measured in separate passes. The attributed memory pass runs first and streams;
then the allocator is asked in a clean pass; then clean repetitions are timed.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import torch

from core.engine.computed import Computed
from core.engine.problem import Problem, prepare
from core.engine.recorder import Recorder
from core.engine.workloads import compute
from core.engine.workloads.maml import learn
from core.measure.allocator import AllocatorPeak, allocator_peak
from core.measure.clock import Clock, PhaseTime, phase_medians
from core.measure.devices import describe, resolve
from core.measure.ledger import Ledger, LedgerReport, PassCancelledError
from core.measure.surroundings import environment
from core.results.events import (
    Event,
    Finished,
    MemoryMeasured,
    OuterStep,
    Repetition,
    Stage,
    StageStarted,
    Started,
    Warned,
)
from core.results.measurement import LayerCost, Measurement, Memory, Phase, absences
from core.results.memory_timeline import MemoryTimeline
from core.results.outcome import Outcome
from core.results.statistics import timing
from core.spec.declaration import InvalidSpec
from core.spec.notices import notices
from core.spec.run import RunSpec
from core.spec.size import least_bytes
from core.spec.workloads import Maml
from core.tensors_file import save_tensors as write_tensors

FRAME_S = 1 / 30
_NO_ROOM = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
"""How the CPU's allocator, the drivers, and cuBLAS and cuDNN say it where torch has no type."""


def run(
    spec: RunSpec,
    *,
    run_id: str | None = None,
    force: bool = False,
    save_tensors: Path | None = None,
) -> Iterator[Event]:
    """Measures one spec.

    Args:
        spec: what to measure.
        run_id: name of the run, made up where there is none.
        force: runs what is certainly too large for the device all the same.
        save_tensors: an .npz to write parameters, data and result to.

    Yields:
        ``Started``, then what happens, then ``Finished`` whatever the outcome.

    Raises:
        InvalidSpec: before the first event, when the spec cannot run on this machine.
    """
    problems = spec.problems()
    if problems:
        raise InvalidSpec(problems)
    device = resolve(spec.device)
    return _Run(spec, device, run_id or uuid4().hex[:12], force, save_tensors).events()


class _Run:
    """One run: the passes in order, and what they have found so far."""

    def __init__(
        self,
        spec: RunSpec,
        device: torch.device,
        run_id: str,
        force: bool,
        save_tensors: Path | None,
    ) -> None:
        self._spec, self._device, self._run_id = spec, device, run_id
        self._force, self._save_tensors = force, save_tensors
        torch.set_num_threads(spec.measure.threads)
        self._environment = environment(device, spec.measure.threads)
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._clock_s = time.perf_counter()
        self._warnings = list(notices(spec))
        self._outcome = Outcome.FINISHED
        self._error: str | None = None
        self._computed: Computed | None = None
        self._ledger: LedgerReport | None = None
        self._allocator: AllocatorPeak | None = None
        self._samples: list[float] = []
        self._first_s: float | None = None
        self._phases: list[tuple[PhaseTime, ...]] = []
        self._learning_curve: list[float | None] = []

    def events(self) -> Iterator[Event]:
        yield Started(
            run_id=self._run_id,
            spec=self._spec,
            environment=self._environment,
            started_at=self._started_at,
            clock_s=self._clock_s,
        )
        try:
            yield from self._passes()
        except (MemoryError, torch.OutOfMemoryError) as error:
            self._end(Outcome.OUT_OF_MEMORY, error)
        except Exception as error:  # a run whose operation raises is a result, not a crash
            out_of_memory = any(words in str(error) for words in _NO_ROOM)
            self._end(Outcome.OUT_OF_MEMORY if out_of_memory else Outcome.FAILED, error)
        yield Finished(
            result=self._result(),
            timeline=self._ledger.timeline if self._ledger else MemoryTimeline(),
        )

    def _end(self, outcome: Outcome, error: BaseException) -> None:
        self._outcome, self._error = outcome, _first_sentence(error)

    def _passes(self) -> Iterator[Event]:
        for sentence in self._warnings:
            yield Warned(sentence=sentence)
        refusal = None if self._force else self._refusal()
        if refusal is not None:
            self._outcome, self._error = Outcome.OUT_OF_MEMORY, refusal
            return
        yield self._stage("prepare")
        problem = prepare(self._spec, self._device)
        load_late_modules(self._spec)

        def execute(recorder: Recorder) -> Computed:
            return compute(problem, recorder)

        yield from self._memory_pass(problem, execute)
        yield from self._allocator_pass(problem, execute)
        yield from self._time_passes(problem, execute)
        yield from self._outer_steps(problem)
        yield from self._save(problem)

    def _refusal(self) -> str | None:
        """Why this is certainly too large for the device, None where it may fit."""
        least = least_bytes(self._spec)
        available = describe(self._device).available_bytes
        if least is None or available is None or least.total <= available:
            return None
        return least.refusal(available, str(self._device))

    def _memory_pass(
        self, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> Iterator[Event]:
        """The ledger's pass, in a thread of its own so that its curve streams from within an
        operation; nothing is timed meanwhile."""
        yield self._stage("memory")
        problem.reset()
        ledger = Ledger(self._clock_s, self._device)
        failure: list[BaseException] = []

        def watch() -> None:
            try:
                self._watch(ledger, problem, execute)
            except PassCancelledError:
                pass
            except BaseException as error:  # handed over to the thread that waits
                failure.append(error)

        thread = threading.Thread(target=watch, name="memory pass", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(FRAME_S)
                yield from ledger.drain()
        finally:
            ledger.cancel()
            thread.join()
        if failure:
            raise failure[0]
        yield from ledger.drain()
        yield from self._warn(self._result_warnings())

    def _watch(
        self, ledger: Ledger, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> None:
        for name, tensor in (problem.parameters | problem.buffers).items():
            ledger.register("parameters", [tensor], layer=int(name.partition(".")[0]))
        ledger.register("data", problem.data)
        with ledger:
            self._computed = execute(ledger)
        self._ledger = ledger.finish()

    def _allocator_pass(
        self, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> Iterator[Event]:
        yield self._stage("allocator")

        def start_over() -> None:
            self._computed = None
            problem.reset()

        def unwatched(recorder: Recorder) -> None:
            self._computed = execute(recorder)

        self._allocator = allocator_peak(self._device, unwatched, start_over)
        yield from self._warn(self._memory_warnings())
        memory = self._memory()
        if self._ledger is not None and memory is not None:
            yield MemoryMeasured(
                memory=memory,
                phases=self._phase_rows(),
                layers=self._layer_rows(),
                timeline=self._ledger.timeline,
            )

    def _memory_warnings(self) -> Iterator[str]:
        if self._ledger is None:
            return
        if self._allocator is None:
            yield (
                f"The allocator of {self._device} does not tell its peak; the peak is the "
                "ledger's, without the scratch memory of kernels."
            )
        elif self._ledger.peak_bytes > self._allocator.peak_bytes:
            yield (
                f"The ledger saw {self._ledger.peak_bytes:,} bytes and the allocator "
                f"{self._allocator.peak_bytes:,}: the categories are too large by the difference, "
                "which kernel_temporaries shows as a negative number."
            )

    def _time_passes(
        self, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> Iterator[Event]:
        measure = self._spec.measure
        clock = Clock(self._device, problem.reset, execute)
        yield self._stage("warm_up")
        for timed in clock.warm_up(measure.warmup, measure.time_budget_s):
            if self._first_s is None:
                self._first_s = timed.seconds
            yield self._repetition(timed.index, timed.seconds, True, timed.about, timed.left_s)
        yield self._stage("time")
        for timed in clock.repeat(measure.repetitions, measure.time_budget_s):
            if self._first_s is None:
                self._first_s = timed.seconds
            self._samples.append(timed.seconds)
            self._phases.append(timed.phases)
            yield self._repetition(timed.index, timed.seconds, False, timed.about, timed.left_s)

    def _outer_steps(self, problem: Problem) -> Iterator[Event]:
        workload = self._spec.workload
        if not isinstance(workload, Maml) or not workload.outer_steps:
            return
        yield self._stage("outer_steps")
        for index, loss in enumerate(learn(problem)):
            self._learning_curve.append(loss if math.isfinite(loss) else None)
            if None in self._learning_curve[-1:] and self._learning_curve.count(None) == 1:
                yield from self._warn(
                    [f"The outer loss is NaN or infinite at outer step {index + 1}."]
                )
            yield OuterStep(index=index, loss=self._learning_curve[-1], about=workload.outer_steps)

    def _result_warnings(self) -> Iterator[str]:
        """A loss or gradient that is not finite, or zero throughout, is a result that says so."""
        if self._ledger is None or self._computed is None:
            return
        yield from self._computed.warnings
        if not math.isfinite(float(self._computed.loss)):
            yield "The loss is not a finite number (NaN or infinite)."
        touched = [phase.name for phase in self._ledger.phases if not phase.result_is_finite]
        if touched:
            others = f" and those of {len(touched) - 1} later phases" if touched[1:] else ""
            yield (
                f"The results of {touched[0]}{others} hold NaN or infinite values; they have no "
                "norm."
            )
        last = self._ledger.phases[-1]
        if last.result_norm == 0 and not self._computed.warnings:
            yield f"The result of {last.name} is zero in every entry."

    def _save(self, problem: Problem) -> Iterator[Event]:
        if self._save_tensors is None or self._computed is None:
            return
        try:
            write_tensors(self._save_tensors, problem, self._computed)
        except OSError as error:
            reason = error.strerror or str(error)
            sentence = f"{self._save_tensors} could not be written ({reason}); it holds no tensors."
            yield from self._warn([sentence])

    def _warn(self, sentences: Iterator[str] | tuple[str, ...] | list[str]) -> Iterator[Event]:
        for sentence in sentences:
            self._warnings.append(sentence)
            yield Warned(sentence=sentence)

    def _stage(self, stage: Stage) -> StageStarted:
        return StageStarted(stage=stage, t_s=self._now())

    def _repetition(
        self, index: int, seconds: float, warm_up: bool, about: int | None, left_s: float | None
    ) -> Repetition:
        return Repetition(
            index=index,
            seconds=seconds,
            warm_up=warm_up,
            t_s=self._now(),
            about=about,
            left_s=left_s,
        )

    def _now(self) -> float:
        return time.perf_counter() - self._clock_s

    def _result(self) -> Measurement:
        memory, time_figures = self._memory(), timing(self._samples, self._first_s)
        return Measurement(
            run_id=self._run_id,
            started_at=self._started_at,
            spec=self._spec,
            environment=self._environment,
            outcome=self._outcome,
            error=self._error,
            memory=memory,
            time=time_figures,
            phases=self._phase_rows(),
            layers=self._layer_rows(),
            learning_curve=tuple(self._learning_curve),
            warnings=(*self._warnings, *absences(memory, time_figures)),
        )

    def _memory(self) -> Memory | None:
        ledger, allocator = self._ledger, self._allocator
        if ledger is None:
            return None
        peak = allocator.peak_bytes if allocator is not None else ledger.peak_bytes
        by_category = dict(ledger.by_category)
        if peak != ledger.peak_bytes:
            by_category["kernel_temporaries"] = peak - ledger.peak_bytes
        return Memory(
            baseline_bytes=ledger.baseline_bytes, peak_bytes=peak, by_category=by_category
        )

    def _phase_rows(self) -> tuple[Phase, ...]:
        if self._ledger is None:
            return ()
        clean = phase_medians(self._phases)
        true_peaks = self._allocator.phases if self._allocator is not None else {}
        return tuple(
            Phase(
                name=phase.name,
                start_s=clean[phase.name].start_s if phase.name in clean else None,
                duration_s=clean[phase.name].duration_s if phase.name in clean else None,
                peak_bytes=true_peaks.get(phase.name, phase.peak_bytes),
                retained_bytes=phase.retained_bytes,
                result_norm=phase.result_norm,
            )
            for phase in self._ledger.phases
        )

    def _layer_rows(self) -> tuple[LayerCost, ...]:
        by_layer = self._ledger.by_layer if self._ledger is not None else None
        return tuple(
            LayerCost(
                index=row.index,
                kind=row.layer.kind,
                output_shape=row.output_shape or (),
                parameters=row.parameters or 0,
                bytes_at_peak=None if by_layer is None else by_layer.get(row.index, 0),
            )
            for row in self._spec.model.trace()
        )


def load_late_modules(spec: RunSpec) -> None:
    """Loads what torch would load in the middle of the memory pass, at its first use."""
    import_module("torch.fx.experimental.symbolic_shapes")
    if spec.mitigation.checkpointing.kind == "torch":
        import_module("torch._dynamo")


def _first_sentence(error: BaseException) -> str:
    """What an operation said, without the stack and the addresses that follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
