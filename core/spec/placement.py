"""Where a stack is cut into segments that are dropped and computed again.

What is kept for good are the tensors between segments; what comes and goes is the graph of one
segment at a time. Both are counted from shapes (``core.spec.layers.kept``), so that whoever asks
sees the same cuts, and nothing has to be computed for them.

With gradients of order k there are 2^(k-1) tensors for each border at the peak (its value, the
gradient by it, gradients by those), and the segment is one whose graph is differentiated k times;
beside it there are 2^(k-2) gradients by its weights, on their way into those of all weights. So the
cuts minimise 2^(k-1) · (sizes of the borders) + (graph of the largest segment). At order 1 a border
is released and gradients by weights are made as the backward pass goes by, so that the graph of a
segment stands beside the borders before it and the gradients behind it.

Where weights outweigh activations, transient copies of single gradients decide, which are not
counted: there the cuts can be a fifth above the best.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from core.spec.accumulation import part_sizes
from core.spec.layers import LayerRow
from core.spec.layers.kept import kept_by_length
from core.spec.model import StackModel
from core.spec.run import RunSpec
from core.spec.workloads import Maml

Runs = tuple[range, ...]
"""Contiguous runs of layers, by their positions in the stack."""

_FINENESS: Final = 1.02
"""Sizes of the largest segment are tried in steps of this ratio."""


def segments_of(spec: RunSpec) -> Runs:
    """The segments that a run's checkpointing cuts its stack into: one where it cuts nothing, none
    of a model of the user's own.

    Args:
        spec: a run without problems.
    """
    model, checkpointing, workload = spec.model, spec.mitigation.checkpointing, spec.workload
    if not isinstance(model, StackModel):
        return ()
    # torch's checkpointing drops what the first gradient needs, and nothing after it.
    order = workload.derivative_order if checkpointing.kind == "rematerialize" else 1
    if checkpointing.kind == "none":
        return (range(len(model.layers)),)
    if checkpointing.segments != "auto":
        return evenly(len(model.layers), checkpointing.segments)
    examples = (
        max(workload.support, workload.query)
        if isinstance(workload, Maml)
        else part_sizes(spec.data.batch_size, spec.mitigation.accumulation)[0]
    )
    weighed = not workload.by_inputs
    return placed(model, examples, order, workload.graphs(spec.mitigation), weighed=weighed)


def evenly(layers: int, segments: int) -> Runs:
    """That many runs of about equal length."""
    return _between([math.ceil(layers * place / segments) for place in range(segments + 1)])


@lru_cache(maxsize=256)
def placed(
    model: StackModel, examples: int, order: int = 1, graphs: int = 1, *, weighed: bool = True
) -> Runs:
    """The segments with which a stack needs least.

    Args:
        model: a stack without problems.
        examples: in a batch.
        order: how often the output is differentiated.
        graphs: how many passes through the stack are kept at once.
        weighed: whether it is differentiated by the weights.
    """
    rows = model.trace()
    weights = [float(row.parameters or 0) * weighed for row in rows]
    sizes = [float(examples * math.prod(row.input_shape or ())) for row in rows]
    sizes.append(float(examples * math.prod(rows[-1].output_shape or ())))
    if order == 1:
        return _between(_ending_small(sizes, _graphs(rows, examples, 1, sizes), weights))
    before = [0.0, *itertools.accumulate(weights)]
    graph, lower = (_graphs(rows, examples, k, sizes) for k in (order, order - 1))
    share = 2 ** (order - 2)
    for first, by_length in enumerate(graph):
        for length in range(1, len(by_length)):
            own = before[first + length] - before[first]
            by_length[length] = max(
                by_length[length] + share * own + before[first + length],
                lower[first][length] + max(share / 2, 1) * own + before[-1],
            )
    return _between(_balanced([graphs * 2 * share * size for size in sizes], graph))


def _graphs(
    rows: Sequence[LayerRow], examples: int, order: int, sizes: Sequence[float]
) -> list[list[float]]:
    """By the first layer of a segment and its length: what its graph keeps, and the gradient by its
    output."""
    return [
        [
            examples * kept + sizes[first + length]
            for length, kept in enumerate(kept_by_length(rows[first:], order))
        ]
        for first in range(len(rows))
    ]


def _between(places: Sequence[int]) -> Runs:
    return tuple(range(first, end) for first, end in itertools.pairwise(places))


def _ending_small(
    sizes: Sequence[float], graph: Sequence[Sequence[float]], weights: Sequence[float]
) -> list[int]:
    """Where segments begin, and the end: least is the largest sum of a segment's graph, the borders
    up to it and the gradients by the weights from it on.

    Args:
        sizes: of the tensor before each layer, and of the output.
        graph: by the first layer of a segment and its length, what its graph keeps.
        weights: of each layer.
    """
    count = len(weights)
    behind = [sum(weights[first:]) for first in range(count)]
    # Of the layers from each on: the least peak, the fewest segments that reach it, the first end.
    # Behind the last: the output, what the loss made of it, and the gradient by it.
    best: list[tuple[float, int, int]] = [(3 * sizes[-1], 0, count)] * (count + 1)
    for first in reversed(range(count)):
        best[first] = min(
            (
                sizes[first] + max(graph[first][end - first] + behind[first], best[end][0]),
                1 + best[end][1],
                end,
            )
            for end in range(first + 1, count + 1)
        )
    places = [0]
    while places[-1] < count:
        places.append(best[places[-1]][2])
    return places


def _balanced(borders: Sequence[float], graph: Sequence[Sequence[float]]) -> list[int]:
    """Where segments begin, and the end: least is the sum of all borders and the largest graph."""
    limit, most = max(kept[1] for kept in graph), graph[0][-1]
    found: tuple[float, int, list[int]] = (math.inf, 0, [])
    # What a larger limit allows anew has a segment as large as the last limit at least.
    while limit < found[0]:
        places = _within(limit, borders, graph)
        pairs = list(itertools.pairwise(places))
        largest = max(graph[first][end - first] for first, end in pairs)
        total = largest + sum(borders[first] for first, _ in pairs)
        found = min(found, (total, len(pairs), places))
        if limit >= most:
            break
        limit = min(_FINENESS * limit, most)
    return found[2]


def _within(limit: float, borders: Sequence[float], graph: Sequence[Sequence[float]]) -> list[int]:
    """The smallest borders between segments whose graphs keep no more than a limit."""
    count = len(borders) - 1
    least, begins = [0.0] * (count + 1), [0] * (count + 1)
    for end in range(1, count + 1):
        least[end] = math.inf
        for first in reversed(range(end)):
            if graph[first][end - first] > limit:
                break
            size = least[first] + borders[first]
            if size < least[end]:
                least[end], begins[end] = size, first
    places = [count]
    while places[-1] > 0:
        places.append(begins[places[-1]])
    return places[::-1]
