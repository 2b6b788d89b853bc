"""What operations cost beside themselves: autograd, checkpointing and the engine around them.

That depends on how a workload is put together and hardly on how large it is. So a small copy is
computed once, and what its time exceeds that of its operations alone by is shared out among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from typing_extensions import override

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.correctness.checks.reduced import reduced
from core.measure.memory.calls import Call, call_of, only_shows
from core.measure.memory.kernels import Kernels
from core.measure.timing.own_time import OwnTime
from core.measure.watching import Watching
from core.spec.run import RunSpec
from core.spec.workloads import Maml

USUAL_S: Final = 5e-6
"""For an operation of a workload of which there is no small copy: its operations are so large that
nothing else matters."""

_FEWEST, _MOST, _LONG_ENOUGH_S = 4, 12, 0.02
_FEWEST_OF_LONG, _LONG_S = 2, 0.15
_STEPS = 2
"""Inner steps of one task, which cost what those of any other cost."""


_known: dict[object, float] = {}
"""Seconds by structure; measured again once a run has shown times to be wrong."""


def overhead_s(spec: RunSpec, kernels: Kernels) -> float:
    """Seconds that an operation takes on average beyond what it takes alone, on one CPU.

    Args:
        spec: a run without problems.
        kernels: of the CPU.
    """
    structure = (_structure(spec), kernels.revision)
    if structure not in _known:
        _known[structure] = _measured(spec, kernels)
    return _known[structure]


def _structure(spec: RunSpec) -> object:
    """What the cost depends on: kinds, orders and mitigations, not sizes."""
    workload = spec.workload
    inner: object = None
    if isinstance(workload, Maml):
        inner = (workload.variant, workload.inner_steps > 1)
    return (
        tuple(layer.kind for layer in spec.model.leaves)
        or tuple(row.layer.kind for row in spec.model.trace()),
        (workload.kind, workload.derivation, inner),
        _about(spec.mitigation.model_dump()),
        (spec.loss, spec.data.kind, spec.measure.threads),
    )


def _about(values: Mapping[str, Any]) -> tuple[object, ...]:
    """Mitigations, with numbers of parts to a power of two."""
    return tuple(
        _about(value)
        if isinstance(value, Mapping)
        else value.bit_length()
        if type(value) is int
        else value
        for value in values.values()
    )


def _measured(spec: RunSpec, kernels: Kernels) -> float:
    copy = reduced(spec)
    if copy is None:
        return USUAL_S
    precision = {"mitigation.precision": spec.mitigation.precision}
    with _undisturbed():
        try:
            problem = prepare(_shorter(copy.spec).with_changes(precision), torch.device("cpu"))
            calls = _counted(problem)
            seconds = _usual(problem)
        except RuntimeError:
            return USUAL_S
    kernels.time(calls)
    alone = [(kernels.seconds(call), count) for call, count in calls.items()]
    if any(taken is None for taken, _ in alone):
        return USUAL_S
    beside = seconds - sum(taken * count for taken, count in alone if taken is not None)
    return max(beside, 0.0) / max(sum(calls.values()), 1)


def _counted(problem: Problem) -> Counter[Call]:
    problem.reset()
    counting = _Counting()
    with counting:
        compute(problem, SILENT)
    return counting.calls


def _usual(problem: Problem) -> float:
    taken: list[float] = []
    while not _are_enough(taken):
        problem.reset()
        watch = OwnTime(problem.device)
        computed = compute(problem, SILENT)
        taken.append(watch.stop())
        del computed
    # A busy machine interrupts whatever takes longer than its time slice: half of these, or more.
    return sorted(taken)[len(taken) // 4]


def _are_enough(taken: list[float]) -> bool:
    if sum(taken) >= _LONG_S:
        return len(taken) >= _FEWEST_OF_LONG
    return len(taken) >= _FEWEST and (len(taken) >= _MOST or sum(taken) >= _LONG_ENOUGH_S)


def _shorter(spec: RunSpec) -> RunSpec:
    """One task and few steps of it."""
    workload = spec.workload
    if not isinstance(workload, Maml):
        return spec
    few = {"inner_steps": min(workload.inner_steps, _STEPS), "tasks": 1}
    return spec.model_copy(update={"workload": workload.model_copy(update=few)})


class _Counting(Watching):
    """Counts how often each operation is called while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()

    @override
    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not only_shows(func):
            self.calls[call_of(func, args, kwargs)] += 1
        return func(*args, **kwargs)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leaves torch's random numbers as they were."""
    with torch.random.fork_rng(devices=()), torch.enable_grad():
        yield
