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

What cannot pass:
    The transforms of ``torch.func``, which are refused, and forward-mode differentiation, at which
    torch raises. A derivative that is identically zero may come back as None (``allow_unused``)
    where the plain computation has no graph to differentiate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import Node

from core.engine.captured_tensors import name_of, refuse_captured_tensors

Output = TypeVar("Output", Tensor, tuple[Tensor, ...])
_Evaluation = Callable[[Sequence[Tensor]], Sequence[Tensor | None]]


def rematerialize(
    function: Callable[..., Output],
    *tensors: Tensor,
    recompute: Callable[..., Output] | None = None,
    random: bool = False,
) -> Output:
    """Return ``function(*tensors)``, keeping only ``tensors`` for its gradients of any order.

    ``recompute`` stands in for ``function`` in every evaluation after the first, without its side
    effects (say, the update of running statistics). ``random`` makes every evaluation draw the
    same random numbers, on the CPU and on the devices of ``tensors``, and leaves the generators
    where the first evaluation left them.

    Raises:
        ValueError: the result depends on a tensor that requires grad and is not an argument.
        TypeError: an argument is no tensor, or the result neither a tensor nor a tuple of them.
        RuntimeError: inside a transform of ``torch.func``; or, out of a gradient, if another
            evaluation disagrees with the first.
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

    surroundings = _Surroundings.of(tensors, random=random)
    # In grad mode, unlike the forward of a Function: a segment may differentiate inside itself,
    # and the graph, dropped before anything else is evaluated, tells what the result depends on.
    inputs = [_detached(tensor, tensor.requires_grad) for tensor in tensors]
    with surroundings.autocast_restored():
        returned = function(*inputs)
    outputs = _as_tuple(returned, name)
    refuse_captured_tensors(function, inputs, outputs)
    kinds = [(output.shape, output.dtype) for output in outputs]
    differentiable = [i for i, output in enumerate(outputs) if output.requires_grad]
    values = [output.detach() for output in outputs]
    is_single = isinstance(returned, Tensor)
    del inputs, returned, outputs

    again = recompute or function

    def evaluate_again(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        with surroundings.restored():
            outputs = _as_tuple(again(*inputs), name)
        if again is not function:
            refuse_captured_tensors(again, inputs, outputs)
        now = [(output.shape, output.dtype) for output in outputs]
        if now != kinds:
            raise RuntimeError(
                f"Segment '{name}' returned {kinds} when first evaluated and {now} when "
                "evaluated again for a gradient."
            )
        for i in differentiable:
            if not outputs[i].requires_grad:
                raise RuntimeError(
                    f"Segment '{name}': output {i} depended on the inputs when first evaluated, "
                    "but not when evaluated again for a gradient."
                )
        return outputs

    connected = _connect(evaluate_again, differentiable, values, tensors)
    return cast(Output, connected[0] if is_single else tuple(connected))


# ----------------------------------------------------------------------------------- the nodes


@dataclass(frozen=True)
class _Segment:
    """How to evaluate a segment again, and which of its inputs required grad at first.

    They have to again, whether or not a gradient by them is asked for: the segment may itself
    differentiate by them.
    """

    evaluate: _Evaluation
    requires_grad: tuple[bool, ...]


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
        cotangents = _take_cotangents(received)
        sources = [node for node, _ in ctx.next_functions]
        wanted = [i for i, node in enumerate(sources) if _is_reached(node)]
        pull_back = _gradients_as_a_node if torch.is_grad_enabled() else _gradients
        gradients = pull_back(ctx.segment, wanted, ctx.saved_tensors, cotangents)
        by_position = dict(zip(wanted, gradients, strict=True))
        return None, None, *(by_position.get(i) for i in range(len(sources)))


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
    evaluate: _Evaluation,
    positions: Sequence[int],
    values: Sequence[Tensor | None],
    tensors: Sequence[Tensor],
) -> list[Tensor | None]:
    """``values``, those at ``positions`` being outputs of a node that keeps only ``tensors``."""

    def evaluate_positions(inputs: Sequence[Tensor]) -> Sequence[Tensor | None]:
        outputs = evaluate(inputs)
        return [outputs[position] for position in positions]

    connected = list(values)
    if positions:
        segment = _Segment(evaluate_positions, tuple(tensor.requires_grad for tensor in tensors))
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
    surroundings = _Surroundings.of(tensors)
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
    is_differentiable = torch.is_grad_enabled()
    inputs = [tensor if is_differentiable else tensor.detach() for tensor in tensors]
    for i, requires_grad in enumerate(segment.requires_grad):
        if requires_grad and not inputs[i].requires_grad:
            inputs[i] = _detached(inputs[i], requires_grad=True)
    with torch.enable_grad():
        outputs = segment.evaluate(inputs)
        reached = [i for i in cotangents if _requires_grad(outputs[i])]
        if not reached:
            return [None] * len(wanted)
        product = _apply(
            _InnerProduct, [cotangents[i] for i in reached], *(outputs[i] for i in reached)
        )
        cotangents.clear()
        del outputs
        return torch.autograd.grad(
            product,
            [inputs[i] for i in wanted],
            create_graph=is_differentiable,
            allow_unused=True,
        )


def _apply(function: type[Function], *arguments: object) -> Any:
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def _is_reached(node: Node | None) -> bool:
    """Whether the running backward pass leads through ``node``.

    ``ctx.needs_input_grad`` tells only what could ever be differentiated: it would have all
    gradients by parameters computed where the gradient by the network's input is asked for.
    """
    if node is None:
        return False
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:
        return True  # torch says so of a leaf among the inputs of torch.autograd.grad


def _take_cotangents(received: tuple[Any, ...]) -> dict[int, Tensor]:
    boxed = received[0] if isinstance(received[0], list) else list(received)
    cotangents = {i: cotangent for i, cotangent in enumerate(boxed) if cotangent is not None}
    boxed.clear()
    return cotangents


def _requires_grad(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.requires_grad


def _detached(tensor: Tensor, requires_grad: bool) -> Tensor:
    return tensor.detach().requires_grad_(requires_grad)


# ---------------------------------------------------------------------- the same evaluation again


@dataclass(frozen=True)
class _Surroundings:
    """What an evaluation depends on besides its inputs."""

    autocast: tuple[tuple[str, bool, torch.dtype], ...]
    random_states: tuple[tuple[torch.device, Tensor], ...]

    @classmethod
    def of(cls, tensors: Sequence[Tensor], *, random: bool = False) -> Self:
        """Those of this moment, random states only where they are asked for."""
        devices = {torch.device("cpu"), *(t.device for t in tensors if t.device.type != "meta")}
        kinds = {device.type for device in devices}
        return cls(
            autocast=tuple(
                (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
                for kind in sorted(kinds)
                if torch.amp.is_autocast_available(kind)
            ),
            random_states=_random_states(devices) if random else (),
        )

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """As they were; afterwards the random states are as if nothing had been drawn."""
        before = _random_states(device for device, _ in self.random_states)
        _set_random_states(self.random_states)
        try:
            with self.autocast_restored():
                yield
        finally:
            _set_random_states(before)

    @contextlib.contextmanager
    def autocast_restored(self) -> Iterator[None]:
        """Without autocast's cache, which would keep the casts of each evaluation."""
        with contextlib.ExitStack() as contexts:
            for kind, is_enabled, dtype in self.autocast:
                if is_enabled or torch.is_autocast_enabled(kind):
                    contexts.enter_context(
                        torch.autocast(kind, dtype=dtype, enabled=is_enabled, cache_enabled=False)
                    )
            yield


def _random_states(devices: Iterable[torch.device]) -> tuple[tuple[torch.device, Tensor], ...]:
    return tuple((device, _generators(device).get_rng_state(*_index(device))) for device in devices)


def _set_random_states(states: Iterable[tuple[torch.device, Tensor]]) -> None:
    for device, state in states:
        _generators(device).set_rng_state(state, *_index(device))


def _generators(device: torch.device) -> Any:
    return torch if device.type == "cpu" else torch.get_device_module(device)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    """The device as an argument, for the kinds of which there may be several."""
    return () if device.type in ("cpu", "mps") else (device,)


def _as_tuple(returned: object, name: str) -> tuple[Tensor, ...]:
    outputs = returned if isinstance(returned, tuple) else (returned,)
    for output in outputs:
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise TypeError(
                f"Segment '{name}' returned a {kind}, not a tensor or a tuple of tensors."
            )
    return outputs
