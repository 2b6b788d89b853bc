"""What a function depends on besides its arguments.

An autograd node over a function knows the gradients of its arguments only: a parameter that the
function reaches by a closure, a module or a global name would get none, in silence.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final

import torch
from torch import Tensor
from torch.autograd.graph import Node

_node: Final = itemgetter(0)
"""Of an entry of ``next_functions``; asked of every node without entering a Python function."""


def refuse_captured_tensors(
    function: Callable[..., object], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> None:
    """Check that what ``function`` made of leaves, its ``inputs``, depends on no other leaf.

    It is the graph behind ``outputs`` that is asked. So a captured tensor without an influence is
    welcome (the parameters of a module under ``functional_call``), and one that only comes by way
    of other functions is found. The function is searched for the sake of a name.

    Raises:
        ValueError: the outputs depend on a captured tensor that requires grad, which is named.
    """
    known = {id(tensor) for tensor in inputs}
    nodes = _nodes_behind(outputs)
    leaves = [output for output in outputs if output.requires_grad and output.is_leaf]
    leaves += [
        node.variable  # type: ignore[attr-defined]
        for node in nodes
        if node.name() == "torch::autograd::AccumulateGrad"
    ]
    captured = [leaf for leaf in leaves if id(leaf) not in known]
    if not captured:
        return
    ids = {id(leaf) for leaf in captured}
    names = (
        f"'{name}'"
        for name, tensor in _tensors_held_by(function)
        if id(tensor) in ids or tensor.grad_fn in nodes
    )
    found = next(names, f"a tensor of shape {list(captured[0].shape)}")
    raise ValueError(
        f"Segment '{name_of(function)}' uses {found}, which requires grad but is not among its "
        "arguments and would get no gradient: pass it to rematerialize as a tensor."
    )


def _nodes_behind(outputs: Sequence[Tensor]) -> set[Node]:
    found: set[Node] = set()
    pending = [output.grad_fn for output in outputs]
    while pending:
        node = pending.pop()
        if node is not None and node not in found:
            found.add(node)
            pending.extend(map(_node, node.next_functions))
    return found


def _tensors_held_by(holder: object, depth: int = 4) -> Iterator[tuple[str, Tensor]]:
    """Tensors that a function or object reaches without being given them, with their names."""
    for name, value in _held_by(holder):
        if isinstance(value, Tensor):
            yield name, value
        elif depth and (callable(value) or isinstance(value, (Mapping, list, tuple))):
            for inner, tensor in _tensors_held_by(value, depth - 1):
                yield f"{name}.{inner}".removeprefix("."), tensor


def _held_by(holder: object) -> Iterator[tuple[str, object]]:
    match holder:
        case torch.nn.Module():
            yield from holder.named_parameters()
        case Mapping():
            yield from ((str(key), value) for key, value in holder.items())
        case list() | tuple():
            yield from ((str(i), value) for i, value in enumerate(holder))
        case functools.partial():
            yield from ((f"argument {i}", value) for i, value in enumerate(holder.args))
            yield from holder.keywords.items()
            yield "", holder.func
        case types.MethodType():
            yield "self", holder.__self__
            yield "", holder.__func__
        case types.FunctionType():
            captured = inspect.getclosurevars(holder)
            yield from captured.nonlocals.items()
            yield from captured.globals.items()
            for name, parameter in inspect.signature(holder).parameters.items():
                yield name, parameter.default
        case _:
            yield from getattr(holder, "__dict__", {}).items()


def name_of(function: Callable[..., object]) -> str:
    """What a function is called in a sentence, without the functions it was defined in."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    qualified: str = getattr(function, "__qualname__", type(function).__name__)
    return qualified.rpartition("<locals>.")[2]
