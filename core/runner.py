"""The measuring loop: a spec goes in, events come out.

First the cost is forecast. Memory and time are measured in separate passes: the attributed memory
pass runs first and streams; then the allocator is asked in a clean pass; then clean repetitions are
timed. In the end the result is checked.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from uuid import uuid4

import torch

from core.answer import judged
from core.engine.computed import Computed
from core.engine.late_modules import load_late_modules
from core.engine.problem import Problem, prepare
from core.engine.recorder import Recorder
from core.engine.user_failure import failure_sentence
from core.engine.user_trial import fitting
from core.engine.workloads import follow, look
from core.found import Found, leak_sentence, too_large_sentence
from core.measure.compiling import Compilation
from core.measure.forecasting.forecast import CUDA_BLOCK_BYTES
from core.measure.forecasting.hindsight import Taken, look_back
from core.measure.machine.devices import resolve
from core.measure.machine.surroundings import environment
from core.measure.memory.allocator import allocator_peak
from core.measure.memory.calls import Call
from core.measure.memory.ledger import Ledger, PassCancelledError
from core.measure.memory.rivals import rival_peaks
from core.measure.own_step import verdicts
from core.measure.timing.clock import Clock, ClockJumped, Timed
from core.measure.timing.conditions import ConditionsWatch
from core.outlook import forecaster, least_refusal
from core.results.charts import CHARTS, Reading, finite
from core.results.events import (
    Event,
    Finished,
    Forecasted,
    MemoryMeasured,
    Repetition,
    Stage,
    StageStarted,
    Started,
    Warned,
    event_of,
)
from core.results.forecast import Forecast
from core.results.memory_timeline import MemoryTimeline
from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.notices import OWN_STEP, notices
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from core.tensors_file import save_tensors as write_tensors

FRAME_S = 1 / 30
LEARN_FIRST_S = 2.0
"""Seconds that a run spends at most on operations that its forecast does not know yet."""

_NO_ROOM = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
"""How the CPU's allocator, the drivers, and cuBLAS and cuDNN say it where torch has no type."""


def run(
    spec: RunSpec,
    *,
    run_id: str | None = None,
    force: bool = False,
    save_tensors: Path | None = None,
    forecast: Forecast | None = None,
) -> Iterator[Event]:
    """Measures one spec.

    Args:
        spec: what to measure.
        run_id: name of the run, made up where there is none.
        force: runs what is certainly too large for the device all the same.
        save_tensors: an .npz to write parameters, data and result to.
        forecast: of this spec, where there is one already; otherwise it is made first.

    Yields:
        ``Started``, then what happens, then ``Finished`` whatever the outcome.

    Raises:
        InvalidSpec: before the first event, when the spec cannot run on this machine.
    """
    problems = spec.problems()
    if problems:
        raise InvalidSpec(problems)
    device = resolve(spec.device)
    return _Run(spec, device, run_id or uuid4().hex[:12], force, save_tensors, forecast).events()


class _Run:
    """One run: the passes in order."""

    def __init__(
        self,
        spec: RunSpec,
        device: torch.device,
        run_id: str,
        force: bool,
        save_tensors: Path | None,
        forecast: Forecast | None,
    ) -> None:
        self._spec, self._device = spec, device
        self._force, self._save_tensors = force, save_tensors
        torch.set_num_threads(spec.measure.threads)
        self._found = Found(
            run_id=run_id,
            spec=spec,
            environment=environment(device, spec.measure.threads),
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            forecast=forecast,
            warnings=list(notices(spec)),
        )
        self._kernels = forecaster.kernels(device, spec.measure.threads)
        self._clock_s = time.perf_counter()
        self._computed: Computed | None = None
        self._calls: dict[Call, int] = {}
        self._compilation = Compilation()

    def events(self) -> Iterator[Event]:
        found = self._found
        yield Started(
            run_id=found.run_id,
            spec=self._spec,
            environment=found.environment,
            started_at=found.started_at,
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
            result=found.result(),
            timeline=found.ledger.timeline if found.ledger else MemoryTimeline(),
        )

    def _end(self, outcome: Outcome, error: BaseException) -> None:
        self._found.outcome = outcome
        self._found.error = failure_sentence(self._spec, error)

    def _passes(self) -> Iterator[Event]:
        for sentence in self._found.warnings:
            yield Warned(sentence=sentence)
        refusal = None if self._force else least_refusal(self._spec, self._device)
        if refusal is not None:
            self._found.outcome, self._found.error = Outcome.OUT_OF_MEMORY, refusal
            return
        self._compilation.foresee(self._spec, self._device)
        yield from self._load()
        yield from self._forecast()
        too_large = None
        if not self._force:
            too_large = too_large_sentence(self._found.forecast, self._spec.workload.instead)
        if too_large is not None:
            self._found.outcome, self._found.error = Outcome.OUT_OF_MEMORY, too_large
            return
        yield self._stage("prepare")
        problem = prepare(self._spec, self._device)
        load_late_modules(self._spec)
        if self._spec.mitigation.compile:
            yield self._stage("compile")
        execute = self._compilation.of(problem)
        yield from self._memory_pass(problem, execute)
        yield from self._allocator_pass(problem, execute)
        yield from self._time_passes(problem, execute)
        self._found.add(*self._compilation.against_uncompiled(self._computed, self._found.samples))
        yield from self._follow(problem)
        yield from self._save(problem)
        yield from self._check()

    def _load(self) -> Iterator[Event]:
        """What the user's own model is like; nothing but this process runs its file."""
        if not isinstance(self._spec.model, PythonModel):
            return
        yield self._stage("prepare")
        self._spec = self._found.spec = fitting(self._spec)
        if self._spec.is_own_step:
            yield from self._warn([OWN_STEP])

    def _forecast(self) -> Iterator[Event]:
        """What the run will cost, before anything of it is computed."""
        if self._found.forecast is not None:
            return
        yield self._stage("forecast")
        seen = forecaster.outlook(self._spec, learn_s=LEARN_FIRST_S)
        self._found.forecast = seen.forecast
        if seen.absent is not None:
            yield from self._absent("forecast", f"There is no forecast. {seen.absent}")
        if seen.forecast is not None:
            yield Forecasted(forecast=seen.forecast)

    def _memory_pass(
        self, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> Iterator[Event]:
        """The ledger's pass, in a thread of its own so that its curve streams from within an
        operation; nothing is timed meanwhile."""
        yield self._stage("memory")
        problem.reset()
        block_bytes = CUDA_BLOCK_BYTES if self._device.type == "cuda" else 1
        ledger = Ledger(self._clock_s, self._device, block_bytes=block_bytes)
        sentences: list[str] = []
        failure: list[BaseException] = []

        def watch() -> None:
            try:
                sentences.extend(self._watch(ledger, problem, execute))
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
        yield from self._warn(sentences)

    def _watch(
        self, ledger: Ledger, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> Iterator[str]:
        """Fills in what the ledger found; sentences about it."""
        ledger.register_problem(problem)
        with ledger:
            computed = execute(ledger)
        ledger.close()
        self._calls = ledger.calls()
        self._kernels.learn(self._calls, LEARN_FIRST_S)
        self._found.ledger = report = ledger.finish(self._scratch)
        loss, sentences = float(computed.loss), computed.warnings
        seen = look(problem, computed)
        self._found.heat_map = seen.heat_map
        self._found.readings = {
            name: finite(float(value))
            for name, value in (*seen.readings.items(), *computed.readings.items())
        }
        del computed, seen
        yield from self._found.result_warnings(loss, sentences)
        # A module of the user's may have put tensors of this pass in the place of its buffers.
        problem.reset()
        left = ledger.leaked()
        if not self._spec.is_own_step:
            yield from self._found.growth_warnings(left)
        # What a step of the user's own leaves is judged over several steps: gradients and what an
        # optimizer keeps are no leak.
        if left and not self._spec.is_own_step:
            gc.collect()
            names = tuple(phase.name for phase in report.phases)
            yield leak_sentence(left, names, cycle=not ledger.leaked())

    def _scratch(self, call: Call) -> int | None:
        kernel = self._kernels.known(call)
        return None if kernel is None else kernel.scratch_bytes

    def _allocator_pass(
        self, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> Iterator[Event]:
        yield self._stage("allocator")
        found = self._found

        def start_over() -> None:
            self._computed = None
            problem.reset()

        def unwatched(recorder: Recorder) -> None:
            self._computed = execute(recorder)

        found.allocator = allocator_peak(self._device, unwatched, start_over)
        yield from self._warn(found.memory_warnings(str(self._device)))
        memory = found.memory()
        if found.ledger is not None and memory is not None:
            yield MemoryMeasured(
                memory=memory,
                phases=found.phase_rows(),
                layers=found.layer_rows(),
                timeline=found.ledger.timeline,
            )

    def _time_passes(
        self, problem: Problem, execute: Callable[[Recorder], Computed]
    ) -> Iterator[Event]:
        measure, found = self._spec.measure, self._found
        clock = Clock(self._device, problem.reset, execute)
        try:
            yield self._stage("warm_up")
            for timed in clock.warm_up(measure.warmup, measure.time_budget_s):
                if found.first_s is None:
                    found.first_s = timed.seconds
                yield self._repetition(timed, warm_up=True)
            yield self._stage("time")
            conditions = ConditionsWatch.of(self._device)
            marks = len(found.ledger.phases) if found.ledger else None
            for timed in clock.repeat(measure.repetitions, measure.time_budget_s, marks):
                if found.first_s is None:
                    found.first_s = timed.seconds
                found.samples.append(timed.seconds)
                found.phases.append(timed.phases)
                conditions.sample()
                yield self._repetition(timed, warm_up=False)
            found.conditions = conditions.finish()
        except ClockJumped as error:
            found.samples.clear()
            found.phases.clear()
            found.first_s = None
            yield from self._absent("time", str(error))
        taken = Taken(found.samples, found.conditions, measure.threads)
        look_back(self._spec, found.forecast, taken, self._calls, self._kernels)

    def _follow(self, problem: Problem) -> Iterator[Event]:
        """What the workload draws besides, such as its learning curve."""
        found = verdicts(problem) if self._spec.is_own_step else follow(problem)
        if found is not None:
            yield self._stage("follow")
        lost = set[tuple[str, str]]()
        for point in chain(found or (), rival_peaks(problem)):
            if isinstance(point, str):
                yield from self._warn([point])
                continue
            if isinstance(point, Reading):
                self._found.readings[point.name] = finite(point.value)
                continue
            self._found.points.append(point)
            if finite(point.y) is None and (point.chart, point.curve) not in lost:
                lost.add((point.chart, point.curve))
                form = CHARTS[point.chart]
                yield from self._warn(
                    [f"The {point.curve} is NaN or infinite at {form.x_label} {point.x:g}."]
                )
            yield event_of(point)
        yield from self._warn(self._spec.workload.remarks(self._found.readings))

    def _save(self, problem: Problem) -> Iterator[Event]:
        if self._save_tensors is None or self._computed is None:
            return
        try:
            write_tensors(self._save_tensors, problem, self._computed)
        except OSError as error:
            reason = error.strerror or str(error)
            sentence = f"{self._save_tensors} could not be written ({reason}); it holds no tensors."
            yield from self._warn([sentence])

    def _check(self) -> Iterator[Event]:
        """Whether the result is right, by an independent way, and how far from the exact one."""
        self._computed = None
        yield self._stage("check")
        answer = judged(self._spec, self._device)
        self._found.check = answer.check
        self._found.readings |= answer.readings
        self._found.notes += answer.notes
        if answer.absent:
            yield from self._absent("check", answer.absent)
        self._found.check = self._compilation.judged(self._found.check)

    def _warn(self, sentences: Iterable[str]) -> Iterator[Event]:
        for sentence in sentences:
            self._found.warnings.append(sentence)
            yield Warned(sentence=sentence)

    def _absent(self, figure: str, sentence: str) -> Iterator[Event]:
        self._found.explained.add(figure)
        yield from self._warn([sentence])

    def _stage(self, stage: Stage) -> StageStarted:
        return StageStarted(stage=stage, t_s=self._now())

    def _repetition(self, timed: Timed, *, warm_up: bool) -> Repetition:
        return Repetition(
            index=timed.index,
            seconds=timed.seconds,
            warm_up=warm_up,
            t_s=self._now(),
            about=timed.about,
            left_s=timed.left_s,
        )

    def _now(self) -> float:
        return time.perf_counter() - self._clock_s
