"""What code of the user's own does to memory that it need not: leaks, and graphs that nobody uses.

The step is run a few times in a row, as a training loop would, and what is alive after each is
counted. Then each ``create_graph=True``, each ``retain_graph=True`` and the graph of each call of
the module is left out once: where the step ends with the same numbers without it, it was needless,
and the differences of the peaks and of the times are its price.
"""

from __future__ import annotations

import gc
import inspect
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import autograd

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Recorder
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
_FEWEST_TURNS, _MOST_TURNS, _LONG_ENOUGH_S = 7, 100, 0.2
"""In which a step is timed with and without a graph."""
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


Kind = Literal["create_graph=True", "retain_graph=True", "the graph"]


@dataclass(frozen=True)
class _Graph:
    """A graph that the step keeps or builds.

    Attributes:
        kind: what asks for it.
        place: where that stands in the user's file.
    """

    kind: Kind
    place: str

    def needless(self, price: str) -> str:
        """What is said where it is."""
        if self.kind == "the graph":
            return (
                f"The graph of the module's call in {self.place} is needless, since nothing "
                f"differentiates it; torch.no_grad() around it leaves it out{price}."
            )
        return f"{self.kind} in {self.place} is needless{price}."


@dataclass
class _Calls:
    """The calls that keep or build a graph, one of which may be told otherwise.

    Attributes:
        file: whose lines are named.
        without: position of the call that is made without; None for none.
        keep: whether that call keeps what it differentiates.
        graphs: what each asks for.
    """

    file: Path
    without: int | None = None
    keep: bool = False
    graphs: list[_Graph] = field(default_factory=list)

    def take(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """The keywords of a call, changed where it is the one."""
        if keywords.get("create_graph"):
            is_meant = self._is_meant("create_graph=True")
            changed = {"create_graph": False, "retain_graph": self.keep or None}
        elif keywords.get("retain_graph"):
            is_meant = self._is_meant("retain_graph=True")
            changed = {"retain_graph": None}
        else:
            return keywords
        return keywords | changed if is_meant else keywords

    def forward(self) -> AbstractContextManager[object]:
        """What a call of the module is made within."""
        is_meant = torch.is_grad_enabled() and self._is_meant("the graph")
        return torch.no_grad() if is_meant else nullcontext()

    def _is_meant(self, kind: Kind) -> bool:
        """Notes a graph; whether it is the one to leave out."""
        self.graphs.append(_Graph(kind, self._place()))
        return len(self.graphs) - 1 == self.without

    def _place(self) -> str:
        frame = inspect.currentframe()
        while frame is not None and frame.f_code.co_filename != str(self.file):
            frame = frame.f_back
        return self.file.name if frame is None else f"{self.file.name}, line {frame.f_lineno}"


_SIGNATURES: Final = {
    "grad": ("outputs", "inputs", "grad_outputs", "retain_graph", "create_graph"),
    "backward": ("tensors", "grad_tensors", "retain_graph", "create_graph"),
}


@contextmanager
def _watched(calls: _Calls, problem: Problem) -> Iterator[None]:
    """Sees what the user's code asks of torch.autograd, by keyword or by position, and its calls of
    the module.

    Args:
        calls: hears of it.
        problem: of the user's file, which may have imported the functions by themselves.
    """
    assert isinstance(problem.stack, UserModule)
    names, module = problem.stack.names, problem.stack.module
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

    forward, own = module.forward, vars(module).get("forward")
    is_plain = not isinstance(module, torch.jit.ScriptModule)

    def forward_within(*given: Any, **keywords: Any) -> Any:
        with calls.forward():
            return forward(*given, **keywords)

    if is_plain:
        module.forward = forward_within
    try:
        yield
    finally:
        if is_plain:
            del module.forward
        if is_plain and own is not None:
            module.forward = own
        for place, known, original in replaced:
            place[known] = original


def _needless_graphs(spec: RunSpec, device: torch.device) -> Iterator[str]:
    """A sentence for each graph without which the step ends with the same numbers.

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
    if right is None or not first.graphs:
        return
    if not _agree(right, _ended(judged, device, _Calls(file)), tolerance):
        if any(graph.kind == "create_graph=True" for graph in first.graphs):
            yield (
                "Whether create_graph=True is needed was not judged, because the step does not end "
                "with the same numbers twice."
            )
        return
    before = _peak(spec, device, _Calls(file))
    for position, graph in enumerate(first.graphs[:_MOST_CALLS]):
        for keep in (False, True) if graph.kind == "create_graph=True" else (False,):
            without = _Calls(file, position, keep)
            if not _agree(right, _ended(judged, device, without), tolerance):
                continue
            without.graphs.clear()
            after = _peak(spec, device, without)
            known = before is not None and after is not None
            saves = before is not None and after is not None and after < before
            # A graph that costs nothing is worth a word only where it was asked for by name.
            if saves or graph.kind == "create_graph=True":
                times = _seconds(spec, device, _Calls(file), without) if saves else None
                yield graph.needless(_price(before, after, times) if known else "")
            break


def _price(before: int | None, after: int | None, times: tuple[float, float] | None) -> str:
    assert before is not None
    assert after is not None
    if after >= before:
        return ": the result is the same without it, and so is the peak"
    price = (
        f": without it the result is the same and the peak is {after:,} bytes instead of "
        f"{before:,}, which is {before - after:,} bytes less"
    )
    if times is None:
        return price
    with_it, without = times
    return f"{price}; a step takes {without * 1e3:.3g} ms instead of {with_it * 1e3:.3g}"


def _seconds(spec: RunSpec, device: torch.device, *each: _Calls) -> tuple[float, float]:
    """The median time of a step, with and without a graph, measured in turns."""
    problems = [prepare(spec, device) for _ in each]
    taken: list[list[float]] = [[] for _ in each]
    end = time.perf_counter() + _LONG_ENOUGH_S
    for turn in range(_MOST_TURNS):
        if turn > _FEWEST_TURNS and time.perf_counter() > end:
            break
        for problem, calls, seconds in zip(problems, each, taken, strict=True):
            problem.reset()
            problem.same_random_numbers()
            calls.graphs.clear()
            with _watched(calls, problem):
                _wait(device)
                start = time.perf_counter()
                own_step.compute(problem, SILENT)
                _wait(device)
                if turn:  # the first one is slower
                    seconds.append(time.perf_counter() - start)
    with_it, without = map(statistics.median, taken)
    return with_it, without


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _ended(spec: RunSpec, device: torch.device, calls: _Calls) -> list[torch.Tensor] | None:
    """The numbers that a step ends with, None where it raises."""
    try:
        problem = prepare(spec, device)
        problem.same_random_numbers()
        with _watched(calls, problem):
            computed = own_step.compute(problem, SILENT)
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
        with _watched(calls, problem):
            own_step.compute(problem, recorder)

    def start_over() -> None:
        problem.reset()
        problem.same_random_numbers()
        calls.graphs.clear()

    peak = allocator_peak(device, work, start_over)
    return None if peak is None else peak.peak_bytes


def _file(spec: RunSpec) -> Path:
    assert isinstance(spec.model, PythonModel)
    return spec.model.path
