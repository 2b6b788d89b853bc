"""What compiling brings: the same computation uncompiled, its time and its result beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Final

import torch

from core.engine.compiling import CannotCompile, Compiled, compiled, what_is_missing
from core.engine.computed import Computed
from core.engine.problem import Problem
from core.engine.recorder import SILENT, Recorder
from core.engine.workloads import computation, compute
from core.measure.correctness.checks.comparison import Comparison, relative
from core.measure.timing.clock import Clock, ClockJumped
from core.results.measurement import Check
from core.spec.run import RunSpec

BUDGET_S: Final = 1.0
"""About how long the uncompiled computation is timed, three repetitions at least."""

_LEAST: Final = 1e-5
"""A tensor's share of a result below which it may be nothing but rounding."""

_HOW: Final = "the compiled result against the uncompiled one of the run itself"


class Compilation:
    """Compiles what a run computes where its spec asks for it; else it does nothing."""

    def __init__(self) -> None:
        self._problem: Problem | None = None
        self._compiled: Compiled | None = None
        self._comparison: Comparison | None = None

    def foresee(self, spec: RunSpec, device: torch.device) -> None:
        """Looks whether this machine can compile, before anything is computed.

        Raises:
            CannotCompile: it cannot.
        """
        missing = what_is_missing(device) if spec.mitigation.compile else None
        if missing is not None:
            raise CannotCompile(missing)

    def of(self, problem: Problem) -> Callable[[Recorder], Computed]:
        """One repetition of a problem: the engine's own, or a program compiled from it.

        Raises:
            CannotCompile: the computation is not one that can be compiled.
        """
        if not problem.spec.mitigation.compile:
            return computation(problem)
        self._problem, self._compiled = problem, compiled(problem)
        return self._compiled.compute

    def against_uncompiled(
        self, found: Computed | None, samples_s: Sequence[float]
    ) -> tuple[dict[str, float], *tuple[str, ...]]:
        """Computes and times the problem without compiling.

        Args:
            found: what the compiled program computed.
            samples_s: how long it took, each time; none where the clock could not be believed.

        Returns:
            Seconds of compiling, of an uncompiled repetition, and after how many repetitions
            compiling has paid, as far as they are known; then what they mean, a sentence.
        """
        if self._problem is None or self._compiled is None or found is None:
            return ({},)
        problem, compile_s = self._problem, self._compiled.seconds
        problem.reset()
        self._comparison = _compared(problem, found, compute(problem, SILENT))
        readings = {"compile_s": compile_s}
        sentence = f"Compiling took {_words(compile_s)}."
        eager_s = _eager_s(problem) if samples_s else None
        if eager_s is not None:
            readings["eager_median_s"] = eager_s
            median_s = statistics.median(samples_s)
            sentence = f"Compiling took {_words(compile_s)} and {_pays(readings, median_s)}"
        problem.reset()
        if self._compiled.at_once > 1:
            sentence += f" All {self._compiled.at_once} tasks are computed at once."
        return readings, sentence

    def judged(self, check: Check | None) -> Check | None:
        """A check of which the compiled result is a part.

        Args:
            check: of a small copy, which is computed uncompiled; None where there is none.
        """
        if self._comparison is None:
            return check
        comparison = self._comparison
        alone = Check(
            method=_HOW,
            relative_error=comparison.error if math.isfinite(comparison.error) else None,
            passed=comparison.passed,
            tolerance=comparison.tolerance,
            failures=() if comparison.passed else (comparison.sentence,),
        )
        if check is None:
            return alone
        worst = max(check, alone, key=_share)
        return Check(
            method=f"{check.method}; {_HOW}",
            relative_error=worst.relative_error,
            passed=check.passed and alone.passed,
            tolerance=worst.tolerance,
            failures=(*check.failures, *alone.failures),
        )


def _pays(readings: dict[str, float], median_s: float) -> str:
    """The end of the sentence; where it pays, the number of steps is put in."""
    compile_s, eager_s = readings["compile_s"], readings["eager_median_s"]
    if median_s >= eager_s:
        return (
            f"does not pay: a compiled step takes {_words(median_s)}, an uncompiled one "
            f"{_words(eager_s)}."
        )
    steps = readings["pays_after_steps"] = math.ceil(compile_s / (eager_s - median_s))
    return (
        f"pays after {_rounded(steps):,} steps: one takes {_words(median_s)} instead of "
        f"{_words(eager_s)}."
    )


def _share(check: Check) -> float:
    """The error in terms of what is allowed."""
    if check.relative_error is None:
        return math.inf
    return check.relative_error / (check.tolerance or 1.0)


def _eager_s(problem: Problem) -> float | None:
    clock = Clock(problem.device, problem.reset, lambda recorder: compute(problem, recorder))
    try:
        for _ in clock.warm_up("auto", BUDGET_S):
            pass
        return statistics.median(timed.seconds for timed in clock.repeat("auto", BUDGET_S))
    except ClockJumped:
        return None


def _compared(problem: Problem, found: Computed, exact: Computed) -> Comparison | None:
    """The tensor that differs most; each is held against its own length, but not against less than
    what rounding leaves of the whole result."""
    sizes = {name: _norm(tensor) for name, tensor in exact.result.items()}
    whole = math.hypot(*sizes.values(), 0.0)
    if not math.isfinite(whole):
        return None
    errors = {
        name: relative(_norm(found.result[name] - tensor), max(sizes[name], _LEAST * whole))
        for name, tensor in exact.result.items()
    }
    # Of numbers with a NaN among them Python's maximum may be any.
    errors = {name: math.inf if math.isnan(error) else error for name, error in errors.items()}
    worst = max(errors, key=lambda name: errors[name])
    return Comparison(
        errors[worst],
        _tolerance(problem, exact.result[worst].dtype),
        f"The compiled result by {worst} differs from the uncompiled one",
    )


def _tolerance(problem: Problem, dtype: torch.dtype) -> float:
    """Half of the digits: compiled code adds in another order, and higher derivatives cancel. A
    third where a difference of two gradients leaves no more."""
    autocast = str(problem.spec.mitigation.precision) == "autocast"
    eps = torch.finfo(torch.bfloat16 if autocast else dtype).eps
    return float(eps ** (1 / 3 if problem.spec.workload.takes_differences else 1 / 2))


def _norm(tensor: torch.Tensor) -> float:
    return float(tensor.cpu().double().norm())


def _words(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _rounded(steps: int) -> int:
    """To two digits, since it is a ratio of times."""
    digits = max(len(str(steps)) - 2, 0)
    return round(steps, -digits)
