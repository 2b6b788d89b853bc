"""Evaluate a part of a computation without keeping its graph, exact at every gradient order.

``torch.utils.checkpoint`` frees the activations for the first gradient only: the graph of a
gradient that is itself to be differentiated holds on to what was recomputed. Here a segment is a
node that keeps the segment's inputs and nothing else, and the node of its gradient is of the same
kind, over the segment's vector-Jacobian product. No order stores more than inputs and cotangents
of segments; the graph inside a segment exists for one segment at a time.

For a gradient of order k a segment is evaluated 2**k times at most: every gradient evaluates each
node that it reaches once and, where it is to be differentiated, leaves as many new nodes behind.

What a segment may be:
    A function of the tensors it is given. It may differentiate inside itself (an inner step of
    meta-learning), contain rematerialized segments, take integer tensors, leave inputs unused and
    return several tensors, also ones without a gradient. All evaluations must agree: ``random`` is
    for segments that draw random numbers, ``recompute`` for segments with side effects.

Tangents:
    In forward mode a segment is one of twice the tensors: numbers and tangents go in, numbers and
    tangents come out. So both can be differentiated again, and a gradient can carry tangents.

What cannot pass:
    The transforms of ``torch.func``, and a gradient that carries tangents and is to be
    differentiated again; both are refused. A derivative that is identically zero may come back as
    None (``allow_unused``) where the plain computation has no graph to differentiate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import Function

from core.engine.boxed import is_reached, take_cotangents
from core.engine.captured_tensors import name_of, refuse_captured_tensors
from core.engine.moving_segments import Evaluation, Moving, a_level, moves, moving_gradients
from core.engine.repeats import evaluated
from core.engine.surroundings import Surroundings
from core.engine.tangents import carries_tangents

Output = TypeVar("Output", Tensor, tuple[Tensor, ...])
_Kinds = list[tuple[torch.Size, torch.dtype]]


def rematerialize(
    function: Callable[..., Output],
    *tensors: Tensor,
    recompute: Callable[..., Output] | None = None,
    random: bool = False,
    closed: bool = False,
) -> Output:
    """Return ``function(*tensors)``, keeping only ``tensors`` for its gradients of any order.

    ``recompute`` stands in for ``function`` in every evaluation after the first, without its side
    effects (say, the update of running statistics). ``random`` makes every evaluation draw the
    same random numbers, on the CPU and on the devices of ``tensors``, and leaves the generators
    where the first evaluation left them. ``closed`` promises that the result depends on no other
    tensor that requires grad, which else is looked for in the whole graph.

    Raises:
        ValueError: the result depends on a tensor that requires grad and is not an argument.
        TypeError: an argument is no tensor, or the result neither a tensor nor a tuple of them.
        RuntimeError: inside a transform of ``torch.func``; or, out of a gradient, if another
            evaluation disagrees with the first, or if it carries tangents and is to be
            differentiated again.
    """
    name = name_of(function)
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"Segment '{name}': argument {position} is a {kind}, not a tensor.")
    if not torch.is_grad_enabled():
        return function(*tensors)
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            f"Segment '{name}' is inside a transform of torch.func, which cannot pass through "
            "rematerialized segments: use torch.autograd.grad."
        )
    if carries_tangents() and any(map(moves, tensors)):
        return cast(Output, _with_tangents(function, tensors, recompute, random, closed))

    surroundings = Surroundings.of(tensors, random=random)

    def evaluate() -> tuple[list[Tensor], tuple[_Kinds, list[int], bool]]:
        # In grad mode, unlike the forward of a Function: a segment may differentiate inside itself,
        # and the graph, dropped before anything else is evaluated, tells what the result depends
        # on.
        inputs = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]
        with surroundings.autocast_restored():
            returned = function(*inputs)
        outputs = _as_tuple(returned, name)
        if not closed:
            refuse_captured_tensors(function, inputs, outputs)
        kinds = [(output.shape, output.dtype) for output in outputs]
        differentiable = [i for i, output in enumerate(outputs) if output.requires_grad]
        is_single = isinstance(returned, Tensor)
        return [output.detach() for output in outputs], (kinds, differentiable, is_single)

    values, (kinds, differentiable, is_single) = evaluated(function, tensors, {}, evaluate)
    again = recompute or function
    looks = again is not function and not closed

    def evaluate_again(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        with surroundings.restored():
            outputs = _as_tuple(again(*inputs), name)
        if looks:
            refuse_captured_tensors(again, inputs, outputs)
        now = [(output.shape, output.dtype) for output in outputs]
        if now != kinds:
            raise RuntimeError(_otherwise(name, kinds, now))
        for i in differentiable:
            if not outputs[i].requires_grad:
                raise RuntimeError(
                    f"Segment '{name}': output {i} depended on the inputs when first evaluated, "
                    "but not when evaluated again for a gradient."
                )
        return outputs

    connected = _connect(evaluate_again, differentiable, values, tensors)
    return cast(Output, connected[0] if is_single else tuple(connected))


# ------------------------------------------------------------------------------------- tangents


def _with_tangents(
    function: Callable[..., Any],
    tensors: Sequence[Tensor],
    recompute: Callable[..., Any] | None,
    random: bool,
    closed: bool,
) -> Any:
    """A segment of which an input has a tangent, as one of the numbers and the tangents."""
    surroundings = Surroundings.of(tensors, random=random)
    inputs, name, again = Moving.of(tensors), name_of(function), recompute or function
    apart = inputs.alike()
    with torch.no_grad(), surroundings.autocast_restored():
        returned = function(*inputs.together)
    outputs, is_single = Moving.of(_as_tuple(returned, name)), isinstance(returned, Tensor)
    del returned
    values = [output.detach() for output in outputs.arguments]
    kinds = [(value.shape, value.dtype) for value in values]
    absent = [None] * len(outputs.tangents)

    def evaluate_again(arguments: Sequence[Tensor]) -> tuple[Tensor, ...]:
        with a_level(), surroundings.restored():
            outputs = Moving.of(_as_tuple(again(*apart(arguments).together), name))
        if not closed:
            refuse_captured_tensors(again, arguments, outputs.arguments)
        now = [(output.shape, output.dtype) for output in outputs.arguments]
        if now != kinds:
            raise RuntimeError(_otherwise(name, kinds, now))
        return outputs.arguments

    def evaluate_numbers(arguments: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        with surroundings.restored():
            return (*_as_tuple(again(*arguments), name), *absent)

    differentiable = [i for i, value in enumerate(values) if value.is_floating_point()]
    connected = _connect(
        evaluate_again, differentiable, values, inputs.arguments, (apart, evaluate_numbers)
    )
    tensors = outputs.alike()([value for value in connected if value is not None]).together
    return tensors[0] if is_single else tuple(tensors)


# ----------------------------------------------------------------------------------- the nodes


_Tangents = tuple[Callable[[Sequence[Tensor]], Moving], Evaluation]
"""Where some of a segment's tensors are tangents of others: takes them apart, and evaluates the
numbers alone, with None in the place of an output's tangent."""


@dataclass(frozen=True)
class _Segment:
    """How to evaluate a segment again, and which of its inputs required grad at first.

    They have to again, whether or not a gradient by them is asked for: the segment may itself
    differentiate by them.
    """

    evaluate: Evaluation
    requires_grad: tuple[bool, ...]
    tangents: _Tangents | None = None


class _Rematerialized(Function):
    """The node: carries values that were computed elsewhere, and how to compute them again."""

    # The cotangents come in a list that can be emptied, so that they live no longer than needed.
    # torch before 2.13 ignores this, which costs a segment's gradient one more output.
    boxed_grads_call = True

    @staticmethod
    def forward(
        ctx: Any, segment: _Segment, values: Sequence[Tensor], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.segment = segment
        ctx.save_for_backward(*tensors)
        return tuple(values)

    @staticmethod
    def backward(ctx: Any, *received: Any) -> tuple[Tensor | None, ...]:
        cotangents = take_cotangents(received)
        sources = [node for node, _ in ctx.next_functions]
        wanted = [i for i, node in enumerate(sources) if is_reached(node)]
        segment: _Segment = ctx.segment
        pull_back = _gradients_as_a_node if torch.is_grad_enabled() else _gradients
        if carries_tangents() and (segment.tangents or any(map(moves, cotangents.values()))):
            pull_back = _moving_gradients
        gradients = pull_back(segment, wanted, ctx.saved_tensors, cotangents)
        by_position = dict(zip(wanted, gradients, strict=True))
        return None, None, *map(by_position.get, range(len(sources)))


class _InnerProduct(Function):
    """Stands for the sum of outputs times cotangents: hands out the cotangents as its gradient.

    Differentiating it, rather than the outputs with the cotangents as ``grad_outputs``, leaves
    both to the graph, which drops them as soon as they are used.
    """

    @staticmethod
    def forward(ctx: Any, cotangents: list[Tensor], *outputs: Tensor) -> Tensor:
        ctx.cotangents = cotangents
        return torch.empty((), device=outputs[0].device)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor | None, ...]:
        cotangents = tuple(ctx.cotangents)
        ctx.cotangents.clear()
        return None, *cotangents


def _connect(
    evaluate: Evaluation,
    positions: Sequence[int],
    values: Sequence[Tensor | None],
    tensors: Sequence[Tensor],
    tangents: _Tangents | None = None,
) -> list[Tensor | None]:
    """``values``, those at ``positions`` being outputs of a node that keeps only ``tensors``."""

    def evaluate_positions(inputs: Sequence[Tensor]) -> Sequence[Tensor | None]:
        outputs = evaluate(inputs)
        return [outputs[position] for position in positions]

    def numbers_at_positions(inputs: Sequence[Tensor]) -> Sequence[Tensor | None]:
        assert tangents is not None
        outputs = tangents[1](inputs)
        return [outputs[position] for position in positions]

    connected = list(values)
    if positions:
        segment = _Segment(
            evaluate_positions,
            tuple([tensor.requires_grad for tensor in tensors]),
            None if tangents is None else (tangents[0], numbers_at_positions),
        )
        outputs = _apply(_Rematerialized, segment, [values[i] for i in positions], *tensors)
        for position, output in zip(positions, outputs, strict=True):
            connected[position] = output
    return connected


def _gradients_as_a_node(
    segment: _Segment,
    wanted: Sequence[int],
    tensors: Sequence[Tensor],
    cotangents: dict[int, Tensor],
) -> Sequence[Tensor | None]:
    """The result of `_gradients` from a node that keeps only ``tensors`` and ``cotangents``."""
    surroundings = Surroundings.of(tensors)
    count = len(tensors)
    positions = list(cotangents)
    arguments = [*tensors, *cotangents.values()]

    def product(arguments: Sequence[Tensor]) -> Sequence[Tensor | None]:
        given = dict(zip(positions, arguments[count:], strict=True))
        with surroundings.restored():
            return _gradients(segment, wanted, arguments[:count], given)

    with torch.no_grad():
        values = product(arguments)
    # One tensor may be the gradient of several inputs; each output of a node has to be its own.
    values = [None if value is None else value.detach() for value in values]
    present = [i for i, value in enumerate(values) if value is not None]
    return _connect(product, present, values, arguments)


def _gradients(
    segment: _Segment,
    wanted: Sequence[int],
    tensors: Sequence[Tensor],
    cotangents: dict[int, Tensor],
) -> Sequence[Tensor | None]:
    """The vector-Jacobian product of a segment, by the ``wanted`` of its ``tensors``.

    Differentiable in ``tensors`` and ``cotangents`` in grad mode; else no graph is left behind.
    Empties ``cotangents``, which has them by the position of their output.
    """
    if torch.is_grad_enabled():
        return _pulled_back(segment, wanted, tensors, cotangents)
    what = segment.evaluate, segment.requires_grad, tuple(wanted)
    found, _ = evaluated(
        what,
        tensors,
        cotangents,
        lambda: (_pulled_back(segment, wanted, tensors, cotangents), None),
    )
    return found


def _pulled_back(
    segment: _Segment,
    wanted: Sequence[int],
    tensors: Sequence[Tensor],
    cotangents: dict[int, Tensor],
) -> Sequence[Tensor | None]:
    is_differentiable = torch.is_grad_enabled()
    inputs = [tensor if is_differentiable else tensor.detach() for tensor in tensors]
    for i, requires_grad in enumerate(segment.requires_grad):
        if requires_grad and not inputs[i].requires_grad:
            inputs[i] = inputs[i].detach().requires_grad_()
    with torch.enable_grad():
        outputs = segment.evaluate(inputs)
        reached = [i for i in cotangents if _requires_grad(outputs[i])]
        if not reached:
            return [None] * len(wanted)
        product = _apply(
            _InnerProduct, [cotangents[i] for i in reached], *[outputs[i] for i in reached]
        )
        cotangents.clear()
        del outputs
        return torch.autograd.grad(
            product,
            [inputs[i] for i in wanted],
            create_graph=is_differentiable,
            allow_unused=True,
        )


def _moving_gradients(
    segment: _Segment,
    wanted: Sequence[int],
    tensors: Sequence[Tensor],
    cotangents: dict[int, Tensor],
) -> Sequence[Tensor | None]:
    """The result of `_gradients` with its tangents; of outputs' tangents there is no gradient."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "A gradient that carries tangents through rematerialized segments cannot be "
            "differentiated again: leave create_graph out, or take the gradient of a tangent once "
            "the level of tangents has ended."
        )
    moving, evaluate = Moving(tuple(tensors), (), ()), segment.evaluate
    if segment.tangents is not None:
        apart, evaluate = segment.tangents
        moving = apart(tensors)
    inputs = [
        number.detach().requires_grad_(requires_grad)
        for number, requires_grad in zip(moving.numbers, segment.requires_grad, strict=False)
    ]
    numbers = [i for i in wanted if i < len(inputs)]
    found = moving_gradients(evaluate, inputs, moving, numbers, cotangents)
    return [found.get(i) for i in wanted]


def _apply(function: type[Function], *arguments: object) -> Any:
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def _requires_grad(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.requires_grad


def _otherwise(name: str, first: object, again: object) -> str:
    return (
        f"Segment '{name}' returned {first} when first evaluated and {again} when evaluated again "
        "for a gradient."
    )


def _as_tuple(returned: object, name: str) -> tuple[Tensor, ...]:
    outputs = returned if isinstance(returned, tuple) else (returned,)
    for output in outputs:
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise TypeError(
                f"Segment '{name}' returned a {kind}, not a tensor or a tuple of tensors."
            )
    return outputs
