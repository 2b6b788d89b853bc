"""The batch in parts, one graph after the other, and what is added up over them.

A mean loss is the sum of the parts' mean losses by their shares of the examples; derivatives of any
order are linear in the loss, so that they add up in the same way, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from typing_extensions import override

from core.engine.gradients import Derivative, Gradients
from core.engine.problem import Problem
from core.engine.recorder import Recorder, prefixed


@dataclass(frozen=True)
class Part:
    """Some of the examples, as a problem of their own.

    Attributes:
        problem: with these examples alone, which lie in the memory of the batch.
        recorder: hears of the part's phases, which are named after it where there are several.
        share: of all examples.
        rows: where they lie in the batch.
        is_whole: whether these are all examples.
    """

    problem: Problem
    recorder: Recorder
    share: float
    rows: slice
    is_whole: bool


def parts(problem: Problem, recorder: Recorder, prefix: str = "") -> Iterator[Part]:
    """The parts that a problem's batch is computed in; the batch itself where it is not cut.

    Each begins with random numbers of its own, the same in every pass.

    Args:
        problem: with a batch.
        recorder: hears of the phases.
        prefix: what the names of all phases begin with.
    """
    cut = problem.parts
    if not cut:
        yield Part(problem, prefixed(recorder, prefix), 1.0, slice(None), True)
        return
    examples = problem.spec.data.batch_size
    for number, (rows, of_part) in cut.items():
        of_part.same_random_numbers()
        yield Part(
            of_part,
            prefixed(recorder, f"{prefix}part {number + 1}: "),
            (rows.stop - rows.start) / examples,
            rows,
            False,
        )


class Total:
    """Derivatives of parts, added up by their shares; of a whole batch what it is by itself."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._gradients: list[torch.Tensor | None] = []
        self._loss: torch.Tensor | None = None

    def add(self, derivative: Derivative, part: Part) -> None:
        """Adds a part's derivative, which nobody else may hold."""
        if part.is_whole:
            self._gradients, self._loss = list(derivative.gradients), derivative.loss
            return
        self.add_loss(derivative.loss, part)
        self._recorder.born("gradients")
        known = self._gradients or [None] * len(derivative.gradients)
        self._gradients = [
            _added(total, gradient, part.share)
            for total, gradient in zip(known, derivative.gradients, strict=True)
        ]
        self._recorder.hold("gradients", _present(self._gradients))

    def add_loss(self, loss: torch.Tensor, part: Part) -> None:
        """Adds a part's loss alone."""
        self._recorder.born("other")
        self._loss = loss if part.is_whole else _added(self._loss, loss, part.share)

    @property
    def gradients(self) -> Gradients:
        """The sum; None by what no part depends on."""
        return tuple(self._gradients)

    @property
    def loss(self) -> torch.Tensor:
        """The mean over all examples of the parts that were added."""
        assert self._loss is not None
        return self._loss

    @property
    def derivative(self) -> Derivative:
        """Both."""
        return Derivative(self.gradients, self.loss)


class ByRows(Total):
    """The same of what each example has for itself, each part's in its own rows."""

    def __init__(
        self, recorder: Recorder, batch: torch.Tensor, category: str = "gradients"
    ) -> None:
        super().__init__(recorder)
        self._batch, self._category = batch, category

    @override
    def add(self, derivative: Derivative, part: Part) -> None:
        (gradient,) = derivative.gradients
        self.add_loss(derivative.loss, part)
        if gradient is not None:
            self.put(gradient, part, part.share)

    def put(self, rows: torch.Tensor, part: Part, share: float = 1.0) -> None:
        """Writes a part's rows, times a factor; those of a whole batch are kept as they are."""
        if part.is_whole:
            self._gradients = [rows]
            return
        with torch.no_grad():
            if not self._gradients:
                self._recorder.born(self._category)
                self._gradients = [torch.zeros_like(self._batch)]
                self._recorder.hold(self._category, _present(self._gradients))
            (room,) = self._gradients
            assert room is not None
            room[part.rows].add_(rows.detach(), alpha=share)

    @property
    @override
    def gradients(self) -> Gradients:
        return super().gradients or (None,)


def _added(
    total: torch.Tensor | None, found: torch.Tensor | None, share: float
) -> torch.Tensor | None:
    """The total with a part's share; the first one is new memory, for autograd may hand out the
    same tensor for two weights."""
    with torch.no_grad():
        if found is None:
            return total
        return found.detach() * share if total is None else total.add_(found.detach(), alpha=share)


def _present(tensors: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    return [tensor for tensor in tensors if tensor is not None]
