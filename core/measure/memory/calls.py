"""Calls of torch's operations as values: what decides which kernel runs, without the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import torch


class TensorLike(NamedTuple):
    """A tensor without its values.

    Attributes:
        size: its shape.
        stride: in elements; empty for a sparse tensor.
        entries: how many a sparse tensor stores, None for a dense one.
        sparse_dims: leading dimensions that a sparse tensor indexes.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    entries: int | None = None
    sparse_dims: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes from the first to behind the last element, or of what a sparse tensor stores."""
        if self.entries is not None:
            dense = math.prod(self.size[self.sparse_dims :])
            return self.entries * (dense * self.dtype.itemsize + self.sparse_dims * 8)
        if not math.prod(self.size):
            return 0
        last = sum((count - 1) * step for count, step in zip(self.size, self.stride, strict=True))
        return (last + 1) * self.dtype.itemsize


class Exactly(NamedTuple):
    """A number that is told from others that are equal to it: 2.0 from 2, True from 1.

    Of which kind it is decides the type of a result.
    """

    kind: type
    value: float | complex


class Call(NamedTuple):
    """One call of an operation; two equal calls run the same kernels on the same sizes."""

    operation: Any
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """For example ``aten.mm.default``."""
        return str(self.operation)

    @property
    def base_name(self) -> str:
        """For example ``mm``."""
        return self.name.split(".")[1]

    @property
    def key(self) -> str:
        """The same text for equal calls, in every process."""
        parts = [_text(argument) for argument in self.arguments]
        parts += [f"{name}={_text(value)}" for name, value in self.keywords]
        return f"{self.name}({', '.join(parts)})"

    def run(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """Calls the operation with arguments that `rebuild` made."""
        if self.operation not in RECURRENT_OPERATIONS or not keywords:
            return self.operation(*arguments, **keywords)
        with torch.set_grad_enabled(keywords[_GRADIENTS]):
            return self.operation(*arguments)

    def tensors(self) -> Iterator[TensorLike]:
        """All tensors among the arguments."""
        yield from _tensor_likes(self.arguments)
        yield from _tensor_likes([value for _, value in self.keywords])


def call_of(
    operation: Any, arguments: Sequence[Any], keywords: Mapping[str, Any] | None = None
) -> Call:
    """The call as a value that holds no tensor."""
    if operation in RECURRENT_OPERATIONS:
        return _recurrent(operation, arguments)
    return Call(
        operation,
        tuple([_like(argument) for argument in arguments]),
        tuple([(name, _like(value)) for name, value in keywords.items()]) if keywords else (),
    )


@cache
def only_shows(operation: Any) -> bool:
    """Whether an operation computes nothing: its results are views of an argument."""
    returns = operation._schema.returns
    return bool(returns) and all(
        value.alias_info is not None and not value.alias_info.is_write for value in returns
    )


def rebuild(call: Call, device: torch.device) -> tuple[list[Any], dict[str, Any]]:
    """Arguments with which the operation runs the same kernels; made-up numbers.

    Floating-point tensors are full of halves, whole numbers are zeros: indices of anything.
    """
    arguments = [_built(argument, device) for argument in call.arguments]
    if call.operation is RECURRENT_BACKWARD:
        arguments[-1] = _workspace(arguments)
    return arguments, {name: _built(value, device) for name, value in call.keywords}


def _like(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided:
            return TensorLike(tuple(value.shape), value.stride(), value.dtype)
        return TensorLike(tuple(value.shape), (), value.dtype, value._nnz(), value.sparse_dim())
    if isinstance(value, torch.Generator):
        return None  # torch's own draws as many numbers
    if isinstance(value, list | tuple):
        return tuple([_like(item) for item in value])
    kind = type(value)
    return Exactly(kind, value) if kind in _EQUAL_TO_WHOLE_NUMBERS else value


_EQUAL_TO_WHOLE_NUMBERS = frozenset([bool, float, complex])


def _built(value: Any, device: torch.device) -> Any:
    if isinstance(value, TensorLike):
        return _sparse(value, device) if value.entries is not None else _strided(value, device)
    if isinstance(value, Exactly):
        return value.value
    if isinstance(value, tuple):
        return [_built(item, device) for item in value]
    return value


def _strided(like: TensorLike, device: torch.device) -> torch.Tensor:
    tensor = torch.empty_strided(like.size, like.stride, dtype=like.dtype, device=device)
    return tensor.fill_(0.5) if like.dtype.is_floating_point else tensor.zero_()


def _sparse(like: TensorLike, device: torch.device) -> torch.Tensor:
    size, dims, entries = like.size, like.sparse_dims, like.entries or 0
    # Different places, as far as there are enough of them.
    places = torch.arange(entries, device=device) % max(math.prod(size[:dims]), 1)
    indices = torch.stack(torch.unravel_index(places, size[:dims]))
    values = torch.full((entries, *size[dims:]), 0.5, dtype=like.dtype, device=device)
    return torch.sparse_coo_tensor(indices, values, size, check_invariants=False)


def _tensor_likes(values: Sequence[Any]) -> Iterator[TensorLike]:
    for value in values:
        if isinstance(value, TensorLike):
            yield value
        elif isinstance(value, tuple):
            yield from _tensor_likes(value)


def _text(value: Any) -> str:
    if isinstance(value, TensorLike):
        kind = str(value.dtype).removeprefix("torch.")
        if value.entries is not None:
            return f"{kind}{list(value.size)} sparse {value.entries} of {value.sparse_dims}"
        return f"{kind}{list(value.size)}:{list(value.stride)}"
    if isinstance(value, Exactly):
        return repr(value.value)
    if isinstance(value, tuple):
        return f"[{', '.join(_text(item) for item in value)}]"
    return repr(value)


# ------------------------------------------------------------------------- the LSTM of oneDNN

RECURRENT: Final = torch.ops.aten.mkldnn_rnn_layer.default
RECURRENT_BACKWARD: Final = torch.ops.aten.mkldnn_rnn_layer_backward.default
RECURRENT_OPERATIONS: Final = (RECURRENT, RECURRENT_BACKWARD)
_NO_WORKSPACE: Final = TensorLike((0,), (1,), torch.uint8)
_GRADIENTS: Final = "gradients"
"""Not an argument: whether gradients are on, without which the forward pass leaves no workspace."""


def _recurrent(operation: Any, arguments: Sequence[Any]) -> Call:
    """The call without the workspace, whose size fake tensors do not know."""
    if operation is RECURRENT_BACKWARD:
        like = tuple([_like(argument) for argument in arguments[:-1]])
        return Call(operation, (*like, _NO_WORKSPACE), ())
    like = tuple([_like(argument) for argument in arguments])
    return Call(operation, like, ((_GRADIENTS, torch.is_grad_enabled()),))


def _workspace(arguments: list[Any]) -> torch.Tensor:
    """What the forward pass leaves for the backward pass, which ends the process without it."""
    reverse, mode, hidden, layers, biases, train, both, sizes, batch_first = arguments[13:22]
    settings = (reverse, sizes, mode, hidden, layers, biases, both, batch_first, train)
    with torch.enable_grad():
        workspace: torch.Tensor = RECURRENT(*arguments[:7], *settings)[-1]
    return workspace
