"""The Hessian of the loss, row by row or several rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch

from core.engine.computed import Computed, Look, zeros_warning
from core.engine.gradients import Gradients
from core.engine.parts import Part, Total, parts
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads.hvp import kept_gradient
from core.results.charts import finite
from core.results.heat_map import Block, HeatMap, bounds
from core.spec.workloads import Hessian

NAME = "hessian"
_STRIPE = 256
"""Rows that are compared with their columns at once."""


@dataclass(frozen=True)
class _Rows:
    """Rows that are computed together: some of those of one parameter.

    Attributes:
        parameter: position of the parameter whose gradient they are the gradients of.
        first: the first of them, counted within the parameter.
        count: how many.
        start: the first of them, counted from the top of the matrix.
    """

    parameter: int
    first: int
    count: int
    start: int


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """The Hessian (P, P) of the problem's loss, rows and columns in the order of its parameters."""
    workload = problem.spec.workload
    assert isinstance(workload, Hessian)
    hessian, is_curved, total = None, False, Total(recorder)
    for part in parts(problem, recorder):
        gradients, value = kept_gradient(part.problem, part.recorder)
        total.add_loss(value, part)
        del value
        curved = [one is not None and one.requires_grad for one in gradients]
        is_curved = is_curved or any(curved)
        with part.recorder.phase("rows"):
            recorder.born("gradients")
            hessian = _add_rows(hessian, gradients, curved, part, workload)
            del gradients
            recorder.hold("gradients", (hessian,))
            part.recorder.result((hessian,))
    assert hessian is not None
    return Computed({NAME: hessian}, total.loss, () if is_curved else zeros_warning(2))


def _add_rows(
    hessian: torch.Tensor | None,
    gradients: Gradients,
    curved: Sequence[bool],
    part: Part,
    workload: Hessian,
) -> torch.Tensor:
    """The matrix with the rows of a part's Hessian added by its share; made where there is none.

    Args:
        hessian: of the parts before.
        gradients: with the graph to differentiate.
        curved: which of them have one.
        part: whose they are.
        workload: how many rows are computed at once.
    """
    wrt = tuple(part.problem.parameters.values())
    starts = _starts(wrt)
    if hessian is None:
        hessian = wrt[0].new_zeros((starts[-1], starts[-1]))
    columns = [
        hessian[:, first:end].view(-1, *weight.shape)
        for weight, (first, end) in zip(wrt, pairwise(starts), strict=True)
    ]
    most = workload.chunk_size if workload.method == "vmap" else 1
    fill, together = _FILLS[workload.method], list(_together(part.problem, most, curved))
    for rows in together:
        output = gradients[rows.parameter]
        assert output is not None
        fill(output, wrt, rows, columns, rows is not together[-1], part.share)
    return hessian


def _starts(wrt: Sequence[torch.Tensor]) -> list[int]:
    """Where the rows of each parameter begin, and the end."""
    return [0, *accumulate(weight.numel() for weight in wrt)]


def _together(problem: Problem, most: int, curved: Sequence[bool]) -> Iterator[_Rows]:
    """The rows in order, as many together as asked; of parameters whose gradient never changes
    there are none."""
    starts = _starts(tuple(problem.parameters.values()))
    for parameter, (start, end) in enumerate(pairwise(starts)):
        if curved[parameter]:
            for number in problem.units(-(-(end - start) // most)):
                first = number * most
                yield _Rows(parameter, first, min(most, end - start - first), start + first)


def _one(
    output: torch.Tensor,
    wrt: Sequence[torch.Tensor],
    rows: _Rows,
    columns: Sequence[torch.Tensor],
    keep: bool,
    share: float,
) -> None:
    """The gradient of one entry of a gradient."""
    unit = torch.zeros_like(wrt[rows.parameter])
    unit.view(-1)[rows.first].fill_(1)
    found = torch.autograd.grad((output,), wrt, (unit,), retain_graph=keep, allow_unused=True)
    del unit
    with torch.no_grad():
        for room, part in zip(columns, found, strict=True):
            if part is not None:
                room[rows.start].add_(part, alpha=share)  # a sparse one too


def _several(
    output: torch.Tensor,
    wrt: Sequence[torch.Tensor],
    rows: _Rows,
    columns: Sequence[torch.Tensor],
    keep: bool,
    share: float,
) -> None:
    """The gradients of several entries of a gradient in one batched backward pass."""
    weight = wrt[rows.parameter]
    units = weight.new_zeros((rows.count, weight.numel()))
    units.diagonal(rows.first).fill_(1)
    found = torch.autograd.grad(
        (output,),
        wrt,
        (units.view(-1, *weight.shape),),
        retain_graph=keep,
        allow_unused=True,
        is_grads_batched=True,
    )
    del units
    with torch.no_grad():
        for room, part in zip(columns, found, strict=True):
            if part is not None:
                place = room[rows.start : rows.start + rows.count]
                place.copy_(part) if share == 1 else place.add_(part, alpha=share)


_FILLS: dict[
    str,
    Callable[
        [torch.Tensor, Sequence[torch.Tensor], _Rows, Sequence[torch.Tensor], bool, float], None
    ],
] = {"rows": _one, "vmap": _several}


# ---------------------------------------------------------------------------- what it looks like


def look(problem: Problem, computed: Computed) -> Look:
    """How far it is from symmetric, its trace, and its picture."""
    hessian = computed.result[NAME]
    stripes = range(0, len(hessian), _STRIPE)
    asymmetry = torch.stack(
        [
            (hessian[first : first + _STRIPE] - hessian[:, first : first + _STRIPE].T).abs().max()
            for first in stripes
        ]
    ).max()
    readings = {"largest_asymmetry": asymmetry, "trace": hessian.trace()}
    return Look(readings, picture(hessian, problem.parameters))


def picture(matrix: torch.Tensor, parameters: dict[str, torch.Tensor]) -> HeatMap:
    """A heat map of a square matrix whose rows are in the order of the parameters."""
    edges = bounds(len(matrix))
    rows = torch.stack([_largest(matrix[first:end]) for first, end in pairwise(edges)])
    cells = torch.stack([_largest(rows.T[first:end]) for first, end in pairwise(edges)], dim=1)
    starts = _starts(tuple(parameters.values()))
    return HeatMap(
        title="Hessian",
        size=len(matrix),
        cells=tuple(tuple(map(finite, row)) for row in cells.tolist()),
        blocks=tuple(
            Block(name=name, start=start) for name, start in zip(parameters, starts, strict=False)
        ),
    )


def _largest(rows: torch.Tensor) -> torch.Tensor:
    """In each column the entry with the largest absolute value."""
    return rows.gather(0, rows.abs().argmax(0, keepdim=True)).squeeze(0)
