"""A workload as a graph of operations: traced once, with all that it reads as explicit inputs.

The engine's own code is traced, every backward pass included, so that what comes out is the whole
derivative and no longer a function to be differentiated: a compiled function refuses that (torch
2.13, pytorch/pytorch#91469).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from core.engine.computed import Computed
from core.engine.data import Tasks
from core.engine.problem import Problem
from core.engine.recorder import Silent
from core.engine.workloads import compute
from core.spec.workloads import Maml

MOST_OPERATIONS = 6_000
"""Compiling takes about 10 ms an operation."""

SMALL_BYTES = 16 * 2**10
"""Where the operations of a task make tensors of this size on average, or less, calling them takes
longer than computing them."""

Tensors = tuple[torch.Tensor, ...]


class CannotCompile(RuntimeError):
    """Why a computation cannot be compiled, one sentence."""


@dataclass(frozen=True)
class Outline:
    """What a result is made of, beside the numbers: the same in every repetition.

    Attributes:
        names: of the result's tensors.
        warnings: what the engine has to say of it.
        readings: names of what was found beside it.
    """

    names: tuple[str, ...]
    warnings: tuple[str, ...]
    readings: tuple[str, ...]

    def filled(self, outputs: Sequence[torch.Tensor]) -> Computed:
        """The result, from the loss, the result's tensors and the readings in a row."""
        loss, *others = outputs
        end = len(self.names)
        result = dict(zip(self.names, others[:end], strict=True))
        readings = dict(zip(self.readings, others[end:], strict=True))
        return Computed(result, loss, self.warnings, readings)


@dataclass(frozen=True)
class Traced:
    """A workload as a graph.

    Attributes:
        graph: a function of tensors, which returns the loss, the result and the readings.
        calls: the inputs of each call; the mean of what several calls return is the result.
        outline: what the result is made of.
        operations: how many operations there are in a call.
        at_once: how many tasks a call computes.
    """

    graph: Any
    calls: tuple[Tensors, ...]
    outline: Outline
    operations: int
    at_once: int = 1


def traced(problem: Problem) -> Traced:
    """The problem's workload as a graph.

    Of several tasks one is traced and called for each, so that there is no more in memory than one
    of them takes; where tasks are so small that calling operations takes longer than computing
    them, all are computed at once, by operations that have them as an axis.

    Raises:
        CannotCompile: what is computed depends on numbers, or is too much for a compiler.
    """
    shared, own = _shared(problem), tuple(problem.data)
    if not isinstance(problem.spec.workload, Maml) or problem.spec.workload.tasks == 1:
        inputs = tuple(tensor.detach() for tensor in (*shared, *own))
        graph, outline = _graph(problem, inputs)
        return Traced(graph, (inputs,), outline, _operations(graph))
    shared = tuple(tensor.detach() for tensor in shared)
    tasks = problem.spec.workload.tasks
    calls = tuple((*shared, *(part[task : task + 1] for part in own)) for task in range(tasks))
    one = problem.spec.with_changes({"workload.tasks": 1})
    alone = replace(problem, spec=one, data=Tasks(*calls[0][len(shared) :]))
    graph, outline = _graph(alone, calls[0])
    if _are_small(graph) and not problem.buffers and not problem.stack.random:
        inputs = (*shared, *own)
        together = _together(graph, len(shared), inputs)
        return Traced(together, (inputs,), outline, _operations(together), tasks)
    return Traced(graph, calls, outline, _operations(graph))


def _shared(problem: Problem) -> Tensors:
    return (*problem.parameters.values(), *problem.buffers.values(), *problem.own.values())


def _graph(problem: Problem, inputs: Tensors) -> tuple[Any, Outline]:
    """One computation as a graph of these inputs."""
    outlines: list[Outline] = []

    def computation(*tensors: torch.Tensor) -> list[torch.Tensor]:
        result, loss, warnings, readings = _computed(problem, tensors)
        outlines.append(Outline(tuple(result), warnings, tuple(readings)))
        found = [torch.as_tensor(value) for value in readings.values()]
        return [tensor.detach() for tensor in (loss, *result.values(), *found)]

    graph = _operations_of(computation, inputs)
    return graph, outlines[-1]


def _operations_of(function: Callable[..., list[torch.Tensor]], inputs: Tensors) -> Any:
    """What a function of tensors does, as a graph."""

    def counted(*tensors: torch.Tensor) -> list[torch.Tensor]:
        with _Counter():
            return function(*tensors)

    make_fx = import_module("torch.fx.experimental.proxy_tensor").make_fx
    return make_fx(counted, _apart(), tracing_mode="fake")(*inputs)


def _apart() -> dict[Any, Callable[..., Any]]:
    """Operations that are traced as simpler ones.

    WORKAROUND: inductor of torch 2.13 forgets the factor of a sum where a side is a product of
    matrices, which it makes one operation with the sum (``torch.add(w, a @ b, alpha=-0.01)``), in
    place too. Differences come out right today; they are no less alike for it.
    """
    aten = torch.ops.aten
    sums = (aten.add.Tensor, aten.add_.Tensor, aten.sub.Tensor, aten.sub_.Tensor)
    return {sum_: _scaled_first(sum_) for sum_ in sums} | {aten.addcmul_.default: _product_added}


def _scaled_first(sum_: Callable[..., Any]) -> Callable[..., Any]:
    """A sum or difference with a factor on one side, as a product and a sum."""

    def scaled_first(left: torch.Tensor, right: torch.Tensor, *, alpha: float = 1) -> Any:
        return NotImplemented if alpha == 1 else sum_(left, right * alpha)

    return scaled_first


def _product_added(
    total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, value: float = 1
) -> torch.Tensor:
    """``addcmul_``, for which ``torch.vmap`` has no rule: it takes task after task, and warns."""
    product = left * right
    return total.add_(product if value == 1 else product * value)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Ends a tracing that has become too long."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._count = 0

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self._count += 1
        if self._count > MOST_OPERATIONS:
            raise CannotCompile(
                f"mitigation.compile: the computation has more than {MOST_OPERATIONS:,} "
                "operations, which take minutes to compile; allowed: false, or fewer steps, "
                "vectors, rows or layers."
            )
        return func(*args, **(kwargs or {}))


def _computed(problem: Problem, tensors: Tensors) -> Computed:
    """The workload at other tensors than the problem's own."""
    given = iter(tensors)

    def taken(tensor: torch.Tensor) -> torch.Tensor:
        return next(given).detach().requires_grad_(tensor.requires_grad)

    moved = replace(
        problem,
        parameters={name: taken(tensor) for name, tensor in problem.parameters.items()},
        buffers={name: next(given) for name in problem.buffers},
        own={name: next(given) for name in problem.own},
        data=type(problem.data)(*[taken(tensor) for tensor in problem.data]),
    )
    return compute(moved, _Tracer())


class _Tracer(Silent):
    @override
    def number(self, tensor: torch.Tensor) -> float | None:
        raise CannotCompile(
            "mitigation.compile: what is computed depends on numbers that are found on the way; "
            "allowed: false."
        )


def _together(graph: Any, shared: int, inputs: Tensors) -> Any:
    """The mean over tasks, computed at once: the inputs after the shared ones have their axis."""

    def means(*tensors: torch.Tensor) -> list[torch.Tensor]:
        def of_a_task(*own: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(graph(*tensors[:shared], *(part.unsqueeze(0) for part in own)))

        return [found.mean(0) for found in torch.vmap(of_a_task)(*tensors[shared:])]

    return _operations_of(means, inputs)


def _are_small(graph: Any) -> bool:
    made = [
        node.meta["val"].nbytes
        for node in graph.graph.nodes
        if node.op == "call_function" and isinstance(node.meta.get("val"), torch.Tensor)
    ]
    return bool(sum(made) <= SMALL_BYTES * len(made))


def _operations(graph: Any) -> int:
    return sum(node.op == "call_function" for node in graph.graph.nodes)
