"""Runs of inner steps that keep their first weights alone, and how long each should be.

With n steps, P bytes of weights that adapt and G bytes that each further step of an unrolled run
adds, runs of k steps need (n/k)P + kG: the weights before each run, and one run at a time with what
it keeps. That is least at k = √(nP/G). Where the steps within a run keep their weights alone, G is
P, and k = √n.

Runs need not be of one length. The last is differentiated first, beside the weights before all
others, and the first beside none; so the run that begins at position j may keep jP less than the
first. With all of them equally dear, the dearest moment needs √(2nPG) in place of 2√(nPG): it is
what Revolve (Griewank and Walther 2000) does where each step is walked twice at most.
"""

from __future__ import annotations

import math
from functools import lru_cache

from core.spec.layers.kept import kept_and_output
from core.spec.mitigations import IN_SEGMENTS
from core.spec.model import StackModel
from core.spec.placement import segments_of
from core.spec.run import RunSpec
from core.spec.workloads import Maml, head_of


def inner_segments(spec: RunSpec) -> tuple[int, ...]:
    """How many inner steps each run has, first to last; the whole loop where it is not cut."""
    workload, mitigation = spec.workload, spec.mitigation
    if not isinstance(workload, Maml):
        return ()
    steps = workload.inner_steps
    if not is_cut(spec):
        return (steps,)
    before = within = max(adapted_numbers(spec), 1)
    if not keeps_weights(spec):
        within += graph_numbers(spec)
    asked = mitigation.inner_segments
    runs = fewest_bytes(steps, before, within) if asked == "auto" else min(asked, steps)
    return lengths(steps, before, within, runs)


def walked_twice(spec: RunSpec, runs: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """The runs that keep their first weights alone, from the first step on.

    Where steps keep their weights alone, the last run does so at once: it is the first to be
    differentiated. Whole graphs would stand beside that of the loss after the steps.

    Args:
        spec: a run without problems.
        runs: lengths of all runs, where it is not the spec that says them.
    """
    if not is_cut(spec):
        return ()
    runs = inner_segments(spec) if runs is None else runs
    return runs[:-1] if keeps_weights(spec) else runs


def keeps_weights(spec: RunSpec) -> bool:
    """Whether the steps of a run that is walked again keep their weights alone."""
    return spec.mitigation.inner_loop == "segments_saved_gradient"


def is_cut(spec: RunSpec) -> bool:
    """Whether there are inner steps in runs whose first weights alone are kept."""
    workload = spec.workload
    is_unrolled = isinstance(workload, Maml) and workload.unrolls
    return is_unrolled and spec.mitigation.inner_loop in IN_SEGMENTS


def adapted_numbers(spec: RunSpec) -> int:
    """Weights that the inner steps change."""
    rows = spec.model.trace()
    return sum(row.parameters or 0 for row in rows[_first_adapted(spec) :])


def graph_numbers(spec: RunSpec) -> int:
    """About how many numbers the graph of an inner step's gradient keeps beside the weights.

    Of rematerialized layers these are the tensors between segments and the gradients by them.
    """
    workload, first, rows = spec.workload, _first_adapted(spec), spec.model.trace()
    assert isinstance(workload, Maml)
    kept = kept_and_output(rows[first:], 2)
    if spec.mitigation.checkpointing.kind == "rematerialize":
        borders = [segment.start for segment in segments_of(spec) if segment.start > first]
        kept = 2.0 * sum(math.prod(rows[place].input_shape or ()) for place in borders)
    return round(workload.support * kept)


def _first_adapted(spec: RunSpec) -> int:
    """The first layer that the inner steps change."""
    workload, model = spec.workload, spec.model
    is_anil = isinstance(workload, Maml) and workload.variant == "anil"
    return head_of(model) if is_anil and isinstance(model, StackModel) else 0


@lru_cache(maxsize=64)
def fewest_bytes(steps: int, before: int, within: int) -> int:
    """The number of runs whose dearest moment needs the least memory.

    Args:
        steps: of all runs together.
        before: kept for each run that has not been differentiated yet.
        within: kept for each step of the run that is.
    """

    def longest(limit: int) -> list[int]:
        found: list[int] = []
        left = steps
        while left > 0 and limit >= within:
            found.append(limit // within)
            left -= found[-1]
            limit -= before
        return found if left <= 0 else []

    low, high = 0, steps * within
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if longest(middle) else (middle, high)
    return len(longest(high))


@lru_cache(maxsize=64)
def lengths(steps: int, before: int, within: int, runs: int) -> tuple[int, ...]:
    """How long each run is, so that the dearest moment needs the least memory.

    Of those that need the same, the one whose last runs are the longest: fewer are walked twice.

    Args:
        steps: of all runs together.
        before: kept for each run that has not been differentiated yet.
        within: kept for each step of the run that is.
        runs: at most as many as steps.
    """

    def longest(limit: int) -> list[int]:
        return [max(1, (limit - position * before) // within) for position in range(runs)]

    low, high = 0, steps * within + runs * before
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if sum(longest(middle)) >= steps else (middle, high)
    found = longest(high)
    surplus = sum(found) - steps
    for position in range(runs):
        less = min(surplus, found[position] - 1)
        found[position] -= less
        surplus -= less
    return tuple(found)
