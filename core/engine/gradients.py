"""Derivatives of a scalar by several tensors, once or many times over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_not
from typing import Final, NamedTuple, TypeGuard, cast

import torch

from core.engine.recorder import SILENT, Recorder
from core.results.categories import graph_category

Gradients = tuple[torch.Tensor | None, ...]
"""One for each tensor differentiated by; None is a zero, because nothing depends on the tensor."""


class Derivative(NamedTuple):
    """A derivative of a scalar, and the scalar without its graph."""

    gradients: Gradients
    loss: torch.Tensor


is_known: Final = cast(
    Callable[[torch.Tensor | None], TypeGuard[torch.Tensor]], partial(is_not, None)
)
"""Whether a gradient is none of those that stand for zero; asked without a Python function."""


def derive(
    outputs: list[torch.Tensor],
    wrt: Sequence[torch.Tensor],
    phases: Sequence[str],
    recorder: Recorder,
    *,
    first_order: int = 1,
    weight: float = 1.0,
) -> Derivative:
    """Differentiates once in each phase, each time the sum of all entries of the last gradient.

    Every tensor is let go as soon as nothing needs it, and the last gradient builds no graph.

    Args:
        outputs: the scalar alone, a tensor without axes; emptied, so that its graph can go.
        wrt: the tensors to differentiate by, which require grad.
        phases: their names, at least one.
        recorder: hears of the phases.
        first_order: which order the first phase is of, where computing the loss differentiates too.
        weight: factor on the derivative.
    """
    # A copy: torch.nn.functional.mse_loss leaves its scalar in memory of the size of its input,
    # which a view would keep.
    value = outputs[0].detach().clone()
    seeds = None if weight == 1.0 else (torch.full_like(value, weight),)
    gradients: Gradients = ()
    last, heard = first_order + len(phases) - 1, recorder is not SILENT
    for order, phase in enumerate(phases, start=first_order):
        with recorder.phase(phase):
            if heard:
                recorder.born(graph_category(order) if order < last else "gradients")
            if order > first_order:
                outputs[:], seeds = _sums(gradients), None
                gradients = ()
            gradients = gradients_of(outputs, wrt, seeds, create_graph=order < last)
            if heard:
                present = tuple(filter(is_known, gradients))
                recorder.hold("gradients", present)
                recorder.result(present)
                del present
    outputs.clear()
    return Derivative(gradients, value)


def gradients_of(
    outputs: Sequence[torch.Tensor],
    wrt: Sequence[torch.Tensor],
    seeds: Sequence[torch.Tensor] | None = None,
    *,
    create_graph: bool,
) -> Gradients:
    """The gradient of a sum of scalars.

    Args:
        outputs: tensors without axes.
        wrt: the tensors to differentiate by.
        seeds: factors on the outputs, 1 where left out.
        create_graph: whether the gradient will be differentiated.
    """
    for output in outputs:
        if output.requires_grad:
            gradients: Gradients = torch.autograd.grad(
                outputs, wrt, seeds, create_graph=create_graph, allow_unused=True
            )
            return gradients
    return (None,) * len(wrt)


def _sums(gradients: Gradients) -> tuple[torch.Tensor, ...]:
    """Scalars whose total is the sum of all entries; constant ones are left out."""
    return tuple(
        [
            gradient.sum()
            for gradient in gradients
            if gradient is not None and gradient.requires_grad
        ]
    )
