"""Segments in forward mode: functions of numbers that have tangents, as functions of both.

WORKAROUND: in torch 2.13 a tensor whose tangent has a graph that saves the tensor is held until the
level of tangents ends. So no such graph is made within a level that others may be in: not when a
segment is first evaluated, and not for a gradient that carries tangents, which is differentiated
once more in reverse instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.autograd import forward_ad

from core.engine.tangents import carries_tangents, tangent_of

_TOO_EARLY = (
    "The gradient of a tangent through rematerialized segments was asked for while tensors still "
    "carry tangents: leave the level of tangents (torch.autograd.forward_ad) first."
)

Evaluation = Callable[[Sequence[Tensor]], Sequence[Tensor | None]]


@dataclass(frozen=True)
class Moving:
    """Tensors of which some have tangents.

    Attributes:
        numbers: the tensors without them.
        tangents: of those that have one.
        positions: which they are.
    """

    numbers: tuple[Tensor, ...]
    tangents: tuple[Tensor, ...]
    positions: tuple[int, ...]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Self:
        """Takes tensors apart."""
        pairs = [unpacked(tensor) for tensor in tensors]
        moving = [(i, pair[1]) for i, pair in enumerate(pairs) if pair[1] is not None]
        return cls(
            numbers=tuple(number for number, _ in pairs),
            tangents=tuple(tangent for _, tangent in moving),
            positions=tuple(i for i, _ in moving),
        )

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """All of them, the numbers first."""
        return (*self.numbers, *self.tangents)

    @property
    def together(self) -> list[Tensor]:
        """The tensors with their tangents again."""
        tensors = list(self.numbers)
        for i, tangent in zip(self.positions, self.tangents, strict=True):
            tensors[i] = packed(tensors[i], tangent)
        return tensors

    def alike(self) -> Callable[[Sequence[Tensor]], Moving]:
        """Makes the same of other arguments; holds no tensor."""
        count, positions = len(self.numbers), self.positions

        def taken_apart(arguments: Sequence[Tensor]) -> Moving:
            return Moving(tuple(arguments[:count]), tuple(arguments[count:]), positions)

        return taken_apart


def moves(tensor: Tensor | None) -> bool:
    """Whether a tensor has a tangent."""
    return carries_tangents() and tensor is not None and tangent_of(tensor) is not None


def unpacked(tensor: Tensor) -> tuple[Tensor, Tensor | None]:
    """The numbers and, where there is one, the tangent."""
    number, tangent = forward_ad.unpack_dual(tensor)  # type: ignore[no-untyped-call]
    return number, tangent


def packed(number: Tensor, tangent: Tensor) -> Tensor:
    """A tensor with a tangent."""
    moving: Tensor = forward_ad.make_dual(number, tangent)  # type: ignore[no-untyped-call]
    return moving


@contextlib.contextmanager
def a_level() -> Iterator[None]:
    """The level of tangents that there is, or one of its own: torch has one at a time."""
    if carries_tangents():
        yield
    else:
        with forward_ad.dual_level():
            yield


def moving_gradients(
    evaluate: Evaluation,
    inputs: Sequence[Tensor],
    along: Moving,
    wanted: Sequence[int],
    cotangents: dict[int, Tensor],
) -> dict[int, Tensor]:
    """The vector-Jacobian product of a segment, J(x)ᵀc, with its tangent while x and c move.

    That is J(x)ᵀ c' + the gradient of J(x)ᵀc · x', with ' for a tangent; both are taken in reverse.

    Args:
        evaluate: the segment as a function of numbers.
        inputs: the numbers, leaves.
        along: the same with their tangents.
        wanted: positions of the inputs to differentiate by.
        cotangents: by position of the output.

    Raises:
        RuntimeError: the gradient is one of an output's tangent.
    """
    moving = [i for i in along.positions if inputs[i].requires_grad]
    directions = dict(zip(along.positions, along.tangents, strict=True))
    with torch.enable_grad():
        outputs = evaluate(inputs)
        reached: dict[int, Tensor] = {}
        for i in cotangents:
            output = outputs[i]
            if output is None:
                raise RuntimeError(_TOO_EARLY)
            if output.requires_grad:
                reached[i] = output
        if not reached:
            return {}
        pairs = {i: unpacked(cotangents[i]) for i in reached}
        by = sorted({*wanted, *moving})
        product: Sequence[Tensor | None] = torch.autograd.grad(
            list(reached.values()),
            [inputs[i] for i in by],
            [number for number, _ in pairs.values()],
            create_graph=True,
            allow_unused=True,
        )
        gradients = dict(zip(by, product, strict=True))
        terms = [(reached[i], tangent) for i, (_, tangent) in pairs.items() if tangent is not None]
        for i in moving:
            gradient = gradients[i]
            if gradient is not None and gradient.requires_grad:
                terms.append((gradient, directions[i]))
        tangents: Sequence[Tensor | None] = [None] * len(wanted)
        if terms:
            slopes, along_which = zip(*terms, strict=True)
            tangents = torch.autograd.grad(
                slopes, [inputs[i] for i in wanted], along_which, allow_unused=True
            )
    found = {}
    for i, tangent in zip(wanted, tangents, strict=True):
        gradient = gradients[i]
        if gradient is not None:
            gradient = gradient.detach()
            found[i] = gradient if tangent is None else packed(gradient, tangent)
    return found
