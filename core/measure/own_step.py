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
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from torch import autograd

from core.engine.problem import Problem, prepare
from core.engine.recorder import Recorder, Silent
from core.engine.user_module import UserModule
from core.engine.workloads import own_step
from core.measure.memory.allocator import allocator_peak
from core.measure.memory.ledger import Ledger
from core.results.charts import KEPT, Point
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

STEPS: Final = 6
_SETTLED: Final = 2
"""Steps after which caches have what they keep for good."""

_MOST_CALLS: Final = 8
_SAME: Final = 1e-12
"""Relative difference, in 64 bits, of numbers that may come from another order of summing."""


def verdicts(problem: Problem) -> Iterator[Point | str]:
    """What is alive after each step, then a sentence for each thing that is amiss.

    Args:
        problem: of a file that defines a step; it is left at its start.
    """
    kept, collected = _kept(problem, collecting=False), _kept(problem, collecting=True)
    for number, bytes_ in enumerate(kept, start=1):
        yield Point(KEPT, "alive after the step", number, bytes_, done=number / STEPS)
    yield from _leak(kept, collected)
    yield from _needless_graphs(problem.spec, problem.device)
    problem.reset()


def _kept(problem: Problem, *, collecting: bool) -> list[int]:
    """Bytes alive above the start after each step.

    Args:
        problem: of a file that defines a step.
        collecting: whether Python's garbage collector runs after each step; it does not within.
    """
    problem.reset()
    gc.collect()
    ledger = Ledger(0.0, problem.device)
    ledger.register_problem(problem)
    found = []
    enabled = gc.isenabled()
    gc.disable()
    # What is there by now is not looked through again and again.
    gc.freeze()
    try:
        for _ in range(STEPS):
            with ledger:
                own_step.compute(problem, ledger)
            if collecting:
                gc.collect()
            found.append(ledger.alive_bytes)
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
    ledger.close()
    return found


def _leak(kept: list[int], collected: list[int]) -> Iterator[str]:
    each, for_good = _growth(kept), _growth(collected)
    if for_good > 0:
        yield (
            f"Each step leaves {for_good:,} bytes alive, which is a leak: something outside of the "
            "step, such as a list of losses, holds on to tensors and with them to their graphs; "
            "keep loss.item() or loss.detach() instead."
        )
    elif each > 0:
        yield (
            f"Each step leaves {each:,} bytes alive until Python's garbage collector runs, since "
            "they are part of a reference cycle, as .backward(create_graph=True) makes them; "
            "torch.autograd.grad makes none."
        )


def _growth(kept: list[int]) -> int:
    """Bytes that every step adds once it has settled, 0 where not every one does."""
    steps = [after - before for before, after in pairwise(kept)][_SETTLED:]
    return max(min(steps), 0)


@dataclass
class _Calls:
    """The calls of torch.autograd with ``create_graph=True``, one of which may be told otherwise.

    Attributes:
        file: whose lines are named.
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
        frames = [frame for frame in traceback.extract_stack() if frame.filename == str(self.file)]
        return f"{self.file.name}, line {frames[-1].lineno}" if frames else self.file.name


_SIGNATURES: Final = {
    "grad": ("outputs", "inputs", "grad_outputs", "retain_graph", "create_graph"),
    "backward": ("tensors", "grad_tensors", "retain_graph", "create_graph"),
}


@contextmanager
def _watched(calls: _Calls, names: dict[str, Any]) -> Iterator[None]:
    """Sees what the user's code asks of torch.autograd, by keyword or by position.

    Args:
        calls: hears of it.
        names: of the user's file, which may have imported the functions by themselves.
    """
    originals = {name: getattr(autograd, name) for name in _SIGNATURES}
    replaced: list[tuple[dict[str, Any], str, Any]] = []

    def taking(name: str) -> Callable[..., Any]:
        def call(*given: Any, **keywords: Any) -> Any:
            named = dict(zip(_SIGNATURES[name], given, strict=False))
            return originals[name](**calls.take(named | keywords))

        return call

    for name, original in originals.items():
        for place in (vars(autograd), names):
            for known in [known for known, value in place.items() if value is original]:
                replaced.append((place, known, original))
                place[known] = taking(name)
    try:
        yield
    finally:
        for place, known, original in replaced:
            place[known] = original


def _needless_graphs(spec: RunSpec, device: torch.device) -> Iterator[str]:
    """A sentence for each ``create_graph=True`` without which the step ends with the same numbers.

    Judged on steps in 64 bits where the file allows it, so that what is small is told from what is
    rounded. Each starts from a module and a file of its own: what the file keeps between steps is
    the same for all.
    """
    file = _file(spec)
    first = _Calls(file)
    fine = spec.with_changes({"mitigation.precision": "float64"})
    right = _ended(fine, device, first)
    judged, tolerance = fine, _SAME
    if right is None:
        first = _Calls(file)
        judged, tolerance = spec, 0.0
        right = _ended(judged, device, first)
    if right is None or not first.places:
        return
    if not _agree(right, _ended(judged, device, _Calls(file)), tolerance):
        yield (
            "Whether create_graph=True is needed was not judged, because the step does not end "
            "with the same numbers twice."
        )
        return
    before = _peak(spec, device, _Calls(file))
    for position in range(min(len(first.places), _MOST_CALLS)):
        for keep in (False, True):
            ended = _ended(judged, device, _Calls(file, position, keep))
            if not _agree(right, ended, tolerance):
                continue
            after = _peak(spec, device, _Calls(file, position, keep))
            price = "" if before is None or after is None else _price(before, after)
            yield f"create_graph=True in {first.places[position]} is needless{price}."
            break


def _price(before: int, after: int) -> str:
    if after >= before:
        return ": the result is the same without it, and so is the peak"
    return (
        f": without it the result is the same and the peak is {after:,} bytes instead of "
        f"{before:,}, which is {before - after:,} bytes less"
    )


def _ended(spec: RunSpec, device: torch.device, calls: _Calls) -> list[torch.Tensor] | None:
    """The numbers that a step ends with, None where it raises."""
    try:
        problem = prepare(spec, device)
        problem.same_random_numbers()
        with _watched(calls, _names(problem)):
            computed = own_step.compute(problem, Silent())
    except RuntimeError:
        return None
    gradients = [
        torch.zeros_like(weight) if weight.grad is None else weight.grad
        for weight in problem.parameters.values()
    ]
    ended = (*computed.result.values(), computed.loss, *gradients, *problem.buffers.values())
    return [tensor.detach().clone() for tensor in ended]


def _agree(right: list[torch.Tensor], found: list[torch.Tensor] | None, tolerance: float) -> bool:
    return found is not None and all(
        torch.allclose(one, other, rtol=tolerance, atol=0, equal_nan=True)
        for one, other in zip(right, found, strict=True)
    )


def _peak(spec: RunSpec, device: torch.device, calls: _Calls) -> int | None:
    """The allocator's peak of one step."""
    problem = prepare(spec, device)

    def work(recorder: Recorder) -> None:
        with _watched(calls, _names(problem)):
            own_step.compute(problem, recorder)

    def start_over() -> None:
        problem.reset()
        problem.same_random_numbers()
        calls.places.clear()

    peak = allocator_peak(device, work, start_over)
    return None if peak is None else peak.peak_bytes


def _file(spec: RunSpec) -> Path:
    assert isinstance(spec.model, PythonModel)
    return spec.model.path


def _names(problem: Problem) -> dict[str, Any]:
    assert isinstance(problem.stack, UserModule)
    return problem.stack.names
