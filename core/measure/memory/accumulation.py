"""What autograd would have done, had no dispatch mode been looking.

WORKAROUND: torch writes out of place under any dispatch mode where it otherwise writes into a
tensor of its own, so the mode would change what it measures: gradients that are added up
(torch/csrc/autograd/input_buffer.cpp), and gradients of chosen entries, which are put among zeros
(``isTensorSubclassLike`` in ATen). Tests compare with the allocator, and results with those of an
unwatched pass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

Arguments: TypeAlias = tuple[Any, ...]
IsFresh: TypeAlias = Callable[[torch.Tensor], bool]
"""Whether the node whose backward runs has itself made the memory of a tensor."""

_aten = torch.ops.aten
_ADD, _ADD_IN_PLACE = _aten.add.Tensor, _aten.add_.Tensor


def unwatched(func: Any, args: Arguments, kwargs: dict[str, Any], is_fresh: IsFresh) -> Any:
    """The operation that would have been called: ``func``, or the same into its first argument."""
    if func is _ADD:
        return _ADD_IN_PLACE if _accumulates(args, kwargs, is_fresh) else func
    in_place = _AMONG_ZEROS.get(func)
    return in_place if in_place is not None and _puts_among_zeros(args, is_fresh) else func


def running_node() -> Any:
    """The autograd node whose backward runs, None outside of one."""
    return torch._C._current_autograd_node()


def _accumulates(args: Arguments, kwargs: dict[str, Any], is_fresh: IsFresh) -> bool:
    """Whether autograd adds into its buffer.

    An operand that nobody else holds is counted 4 times here (buffer, stack, wrapper, argument):
    what a custom backward still holds must not be written to. One that the running node has made
    itself is in a buffer only where the node has sent there before; else the node's own formula
    adds, out of place.
    """
    if torch.is_grad_enabled() or kwargs or len(args) != 2:
        return False
    node = running_node()
    if node is None or not _is_argument_alone(args):
        return False
    old, new = args
    return (
        isinstance(old, torch.Tensor)
        and isinstance(new, torch.Tensor)
        and old.layout == new.layout == torch.strided
        and old.shape == new.shape
        and old.dtype == new.dtype
        and old._use_count() <= _EXCLUSIVE_TENSOR  # type: ignore[attr-defined]
        and _has_exclusive_storage(old)
        and (not is_fresh(old) or _sends_twice(node))
    )


_AMONG_ZEROS = {
    _aten.index_add.default: _aten.index_add_.default,
    _aten.index_put.default: _aten.index_put_.default,
    _aten.masked_scatter.default: _aten.masked_scatter_.default,
    _aten.put.default: _aten.put_.default,
    _aten.scatter.src: _aten.scatter_.src,
    _aten.scatter_add.default: _aten.scatter_add_.default,
}
"""How the gradients of operations that choose entries are put together."""


def _puts_among_zeros(args: Arguments, is_fresh: IsFresh) -> bool:
    """Whether a formula of autograd's puts entries into zeros that it has just made.

    The gradients that come to a formula stay as they are, and so does what Python code holds.
    """
    if running_node() is None or not _is_argument_alone(args):
        return False
    zeros = args[0]
    return is_fresh(zeros) and _has_exclusive_storage(zeros)


def _sends_twice(node: Any) -> bool:
    """Whether two of a node's gradients go to one place, as those of ``x * x`` do."""
    targets = [target for target in node.next_functions if target[0] is not None]
    return len(set(targets)) < len(targets)


def _has_exclusive_storage(tensor: torch.Tensor) -> bool:
    count: int = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    return count <= EXCLUSIVE_STORAGE


def _is_argument_alone(args: Arguments) -> bool:
    """Whether Python knows the first argument by ``args`` and torch's call alone."""
    return _references(args) <= _HELD_BY_DISPATCH_ALONE


def _references(args: Arguments) -> int:
    """Python's own references to the first argument."""
    first = args[0]
    return sys.getrefcount(first)


_EXCLUSIVE_TENSOR = 4
EXCLUSIVE_STORAGE = 2
"""A tensor, and Python while it looks."""
_HELD_BY_DISPATCH_ALONE = _references((object(),)) + 1
"""By the arguments, and by torch while it calls."""
