"""A whole workload compiled: traced once by ``make_fx`` and made into machine code by inductor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch.utils._python_dispatch import _disable_current_modes

from core.engine import workloads
from core.engine.compiling.inductor import made
from core.engine.compiling.toolchain import what_is_missing
from core.engine.compiling.tracing import CannotCompile, Tensors, Traced, traced
from core.engine.computed import Computed
from core.engine.problem import Problem
from core.engine.recorder import Recorder, is_deaf

__all__ = ["STEP", "CannotCompile", "Compiled", "compiled", "computation", "what_is_missing"]

STEP = "compiled step"
"""The one phase of a compiled computation: nobody hears what goes on within."""


def compiled(problem: Problem) -> Compiled:
    """Traces and compiles the workload of a problem.

    Takes seconds to minutes. The problem's tensors are the inputs, so that it computes with what
    they hold when it is called.

    Raises:
        CannotCompile: there is no compiler, or the computation is not one that can be compiled.
    """
    missing = what_is_missing(problem.device)
    if missing is not None:
        raise CannotCompile(missing)
    began = time.perf_counter()
    found = traced(problem)
    function = made(found.graph, found.calls[0], problem.device)
    problem.reset()
    return Compiled(found, function, time.perf_counter() - began)


def computation(problem: Problem) -> Callable[[Recorder], Computed]:
    """One repetition of the problem's workload as its spec asks for it, compiled or not.

    Raises:
        CannotCompile: as ``compiled``.
    """
    if problem.spec.mitigation.compile:
        return compiled(problem).compute
    return workloads.computation(problem)


class Compiled:
    """A compiled workload.

    Attributes:
        seconds: what tracing and compiling took, the first call included.
        operations: how many of torch's operations one call was compiled from.
        calls: how often the compiled function is called in a repetition, once for each task where
            tasks are not computed at once.
        at_once: how many tasks a call computes.
    """

    def __init__(self, found: Traced, function: Callable[..., Sequence[torch.Tensor]], s: float):
        self._found, self._function = found, function
        self.seconds, self.operations, self.calls = s, found.operations, len(found.calls)
        self.at_once = found.at_once

    def compute(self, recorder: Recorder) -> Computed:
        """One repetition; to be called in place of ``core.engine.workloads.compute``."""
        outputs = self._mean(recorder) if self.calls > 1 else self._only(recorder)
        return self._found.outline.filled(outputs)

    def _only(self, recorder: Recorder) -> Sequence[torch.Tensor]:
        with recorder.phase(STEP):
            return self._call(self._found.calls[0], recorder)

    def _mean(self, recorder: Recorder) -> Sequence[torch.Tensor]:
        """Task after task."""
        total: list[torch.Tensor] = []
        for number, inputs in enumerate(self._found.calls, start=1):
            with recorder.phase(f"task {number}: {STEP}"), torch.no_grad():
                found = self._call(inputs, recorder)
                if not total:
                    total = [torch.zeros_like(tensor) for tensor in found]
                    recorder.hold("gradients", total)
                torch._foreach_add_(total, list(found), alpha=1 / self.calls)
                del found
        return total

    def _call(self, inputs: Tensors, recorder: Recorder) -> Sequence[torch.Tensor]:
        with torch.no_grad():
            if is_deaf(recorder):
                return self._function(*inputs)
            # A mode would slow down those kernels that it sees, and see no others.
            with _disable_current_modes():
                outputs = self._function(*inputs)
        recorder.born("gradients")
        recorder.hold("gradients", outputs)
        recorder.result(outputs[1 : 1 + len(self._found.outline.names)])
        return outputs
