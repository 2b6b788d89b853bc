"""What code of the user's own does to memory that it need not: leaks, and graphs that nobody uses.

The step is run a few times in a row, as a training loop would, and what is alive after each is
counted. Then each ``create_graph=True`` is left out once: where the step ends with the same numbers
without it, it was needless, and the difference of the peaks is its price.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from core.engine.problem import Problem
from core.engine.recorder import Recorder, Silent
from core.engine.workloads import own_step
from core.measure.memory.allocator import allocator_peak
from core.measure.memory.ledger import Ledger
from core.results.charts import KEPT, Point
from core.spec.python_model import PythonModel

STEPS: Final = 6
_SETTLED: Final = 2
"""Steps after which optimizers and caches have what they keep for good."""

_MOST_CALLS: Final = 8
_SAME: Final = 1e-6
"""Relative difference of weights that may come from another order of summing."""


def verdicts(problem: Problem) -> Iterator[Point | str]:
    """What is alive after each step, then a sentence for each thing that is amiss.

    Args:
        problem: of a file that defines a step; it is left at its start.
    """
    kept, kept_after_collecting = _kept(problem)
    for number, bytes_ in enumerate(kept, start=1):
        yield Point(KEPT, "alive after the step", number, bytes_, done=number / STEPS)
    yield from _leak(kept, kept_after_collecting)
    yield from _needless_graphs(problem)
    problem.reset()


def _kept(problem: Problem) -> tuple[list[int], list[int]]:
    """Bytes alive above the start after each step, and after one more round with the collector."""
    kept: list[int] = []
    for collecting in (False, True):
        problem.reset()
        gc.collect()
        ledger = Ledger(0.0, problem.device)
        ledger.register_problem(problem)
        found = []
        enabled = gc.isenabled()
        gc.disable()
        try:
            for _ in range(STEPS):
                with ledger:
                    own_step.compute(problem, ledger)
                if collecting:
                    gc.collect()
                found.append(ledger.alive_bytes)
        finally:
            if enabled:
                gc.enable()
        ledger.close()
        if collecting:
            return kept, found
        kept = found
    raise AssertionError


def _leak(kept: list[int], collected: list[int]) -> Iterator[str]:
    each, for_good = _growth(kept), _growth(collected)
    if for_good > 0:
        yield (
            f"Each step leaves {for_good:,} bytes alive, which is a leak: something outside of the "
            "step, such as a list of losses, holds on to its graph; keep loss.item() or "
            "loss.detach() instead."
        )
    elif each > 0:
        yield (
            f"Each step leaves {each:,} bytes alive until Python's garbage collector runs, since "
            "they are part of a reference cycle, as .backward(create_graph=True) makes them; "
            "torch.autograd.grad makes none."
        )


def _growth(kept: list[int]) -> int:
    """Bytes that every step adds once it has settled, 0 where not every one does."""
    steps = [after - before for before, after in zip(kept, kept[1:], strict=False)][_SETTLED:]
    return min(steps) if min(steps) > 0 else 0


@dataclass
class _Calls:
    """The calls of torch.autograd with ``create_graph=True``, one of which may be told otherwise.

    Attributes:
        without: position of the call that is made without; None for none.
        keep: whether that call keeps what it differentiates.
        places: where each stands in the user's file.
    """

    file: Path
    without: int | None = None
    keep: bool = False
    places: list[str] = field(default_factory=list)

    def take(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """The keywords of a call, changed where it is the one."""
        if not keywords.get("create_graph"):
            return keywords
        self.places.append(self._place())
        if len(self.places) - 1 != self.without:
            return keywords
        return keywords | {"create_graph": False, "retain_graph": self.keep or None}

    def _place(self) -> str:
        frames = [frame for frame in traceback.extract_stack() if Path(frame.filename) == self.file]
        return f"{self.file.name}, line {frames[-1].lineno}" if frames else self.file.name


@contextmanager
def _watched(calls: _Calls) -> Iterator[None]:
    """Sees what the user's code asks of torch.autograd, by keyword or by position."""
    grad, backward = torch.autograd.grad, torch.autograd.backward
    names = {
        grad: ("outputs", "inputs", "grad_outputs", "retain_graph", "create_graph"),
        backward: ("tensors", "grad_tensors", "retain_graph", "create_graph"),
    }

    def taking(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **keywords: Any) -> Any:
            named = dict(zip(names[function], given, strict=False))
            return function(**calls.take(named | keywords))

        return call

    torch.autograd.grad = taking(grad)
    torch.autograd.backward = taking(backward)
    try:
        yield
    finally:
        torch.autograd.grad, torch.autograd.backward = grad, backward


def _needless_graphs(problem: Problem) -> Iterator[str]:
    model = problem.spec.model
    assert isinstance(model, PythonModel)
    file = Path(model.file).resolve()
    first = _Calls(file)
    right = _ended(problem, first)
    if not first.places or right is None:
        return
    if not _agree(right, _ended(problem, _Calls(file))):
        yield (
            "Whether create_graph=True is needed was not judged, because the step does not end "
            "with the same numbers twice."
        )
        return
    before = _peak(problem, _Calls(file))
    for position in reversed(range(min(len(first.places), _MOST_CALLS))):
        for keep in (False, True):
            calls = _Calls(file, position, keep)
            if not _agree(right, _ended(problem, calls)):
                continue
            after = _peak(problem, _Calls(file, position, keep))
            price = "" if before is None or after is None else _price(before, after)
            yield f"create_graph=True in {first.places[position]} is needless{price}."
            break


def _price(before: int, after: int) -> str:
    if after >= before:
        return ": the result is the same without it, and so is the peak"
    return (
        f": without it the result is the same and the peak is {after:,} bytes instead of "
        f"{before:,}, {before / max(after, 1):.2f} times as much"
    )


def _ended(problem: Problem, calls: _Calls) -> list[torch.Tensor] | None:
    """The numbers that a step ends with, None where it raises."""
    problem.reset()
    problem.same_random_numbers()
    try:
        with _watched(calls):
            computed = own_step.compute(problem, Silent())
    except RuntimeError:
        return None
    gradients = [p.grad for p in problem.parameters.values() if p.grad is not None]
    return [t.detach().clone() for t in (*computed.result.values(), computed.loss, *gradients)]


def _agree(right: list[torch.Tensor], found: list[torch.Tensor] | None) -> bool:
    if found is None or len(found) != len(right):
        return False
    return all(
        one.shape == other.shape and torch.allclose(one, other, rtol=_SAME, atol=0, equal_nan=True)
        for one, other in zip(right, found, strict=True)
    )


def _peak(problem: Problem, calls: _Calls) -> int | None:
    """The allocator's peak of one step."""

    def work(recorder: Recorder) -> None:
        with _watched(calls):
            own_step.compute(problem, recorder)

    def start_over() -> None:
        problem.reset()
        calls.places.clear()

    peak = allocator_peak(problem.device, work, start_over)
    return None if peak is None else peak.peak_bytes
