"""Evaluations of segments that leave no graph behind, for whoever need not compute like ones again.

A rematerialized segment is evaluated many times over, and each time on tensors of the same shapes.
A forecast, whose tensors have no numbers, may take what the first evaluation did for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from torch import Tensor

T = TypeVar("T")
Found = tuple[Sequence[Tensor | None], T]
"""Tensors, and what else is known of them."""


class Repeats(Protocol):
    """Decides whether an evaluation is computed."""

    def evaluated(
        self,
        what: object,
        tensors: Sequence[Tensor],
        cotangents: dict[int, Tensor],
        evaluate: Callable[[], tuple[Sequence[Tensor | None], Any]],
    ) -> tuple[Sequence[Tensor | None], Any]:
        """What ``evaluate`` returns.

        Args:
            what: functions and plain values that decide what it does beside the tensors.
            tensors: those that it reads.
            cotangents: those that it lets go of as soon as it can; empty afterwards.
            evaluate: computes it.
        """


_REPEATS: ContextVar[Repeats | None] = ContextVar("repeats", default=None)


@contextmanager
def repeating(repeats: Repeats) -> Iterator[None]:
    """Hands evaluations over while it is entered."""
    token = _REPEATS.set(repeats)
    try:
        yield
    finally:
        _REPEATS.reset(token)


def evaluated(
    what: object,
    tensors: Sequence[Tensor],
    cotangents: dict[int, Tensor],
    evaluate: Callable[[], Found[T]],
) -> Found[T]:
    """What ``evaluate`` returns; arguments as for ``Repeats.evaluated``."""
    repeats = _REPEATS.get()
    if repeats is None:
        return evaluate()
    return repeats.evaluated(what, tensors, cotangents, evaluate)
