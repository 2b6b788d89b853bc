"""Rematerialized segments against the same computation with its whole graph kept."""

from __future__ import annotations

import functools
import gc
import itertools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from core.engine import norms, tangents
from core.engine.rematerialize import rematerialize

Wrap = Callable[..., Tensor]


def kept(function: Callable[..., Tensor], *tensors: Tensor, **_: object) -> Tensor:
    """The oracle: a segment is a function like any other."""
    return function(*tensors)


def nested_gradients(value: Tensor, by: Sequence[Tensor], order: int) -> list[list[Tensor]]:
    """The gradients of each order, of the sum of the previous order's."""
    found = []
    for k in range(1, order + 1):
        gradients = torch.autograd.grad(
            value, by, create_graph=k < order, allow_unused=True, materialize_grads=True
        )
        found.append([gradient.detach() for gradient in gradients])
        value = torch.stack([gradient.sum() for gradient in gradients]).sum()
    return found


def assert_same(actual: Sequence[Sequence[Tensor]], expected: Sequence[Sequence[Tensor]]) -> None:
    """Equal to 1e-12 of the largest entry of each order, which is not zero."""
    for ours, theirs in zip(actual, expected, strict=True):
        difference = torch.cat([(a - b).flatten() for a, b in zip(ours, theirs, strict=True)])
        scale = torch.cat([tensor.flatten() for tensor in theirs]).abs().max()
        assert scale > 0
        assert difference.abs().max() <= 1e-12 * scale


def tensors(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


# ------------------------------------------------------------------------ networks to be cut up


def dense(x: Tensor, *parameters: Tensor) -> Tensor:
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        x = torch.tanh(functional.linear(x, weight, bias))
    return x


def layers_of_dense(
    wrap: Wrap, x: Tensor, parameters: Sequence[Tensor], per_segment: int
) -> Tensor:
    for i in range(0, len(parameters), 2 * per_segment):
        x = wrap(dense, x, *parameters[i : i + 2 * per_segment])
    return x


def loss_of_dense(wrap: Wrap, x: Tensor, *parameters: Tensor) -> Tensor:
    return layers_of_dense(wrap, x, parameters, per_segment=2).square().mean()


def loss_of_nested_segments(wrap: Wrap, x: Tensor, *parameters: Tensor) -> Tensor:
    def half(x: Tensor, *parameters: Tensor) -> Tensor:
        return layers_of_dense(wrap, x, parameters, per_segment=1)

    middle = len(parameters) // 2
    x = wrap(half, x, *parameters[:middle])
    return wrap(half, x, *parameters[middle:]).square().mean()


def loss_of_dropout(wrap: Wrap, x: Tensor, *parameters: Tensor) -> Tensor:
    def layer(x: Tensor, *parameters: Tensor) -> Tensor:
        return functional.dropout(dense(x, *parameters), 0.4)

    torch.manual_seed(5)
    for i in range(0, len(parameters), 2):
        x = wrap(layer, x, *parameters[i : i + 2], random=True)
    return x.square().mean()


def loss_of_nested_dropout(wrap: Wrap, x: Tensor, *parameters: Tensor) -> Tensor:
    def whole(x: Tensor, *parameters: Tensor) -> Tensor:
        for i in range(0, len(parameters), 2):
            x = wrap(layer, x, *parameters[i : i + 2], random=True)
        return x

    def layer(x: Tensor, *parameters: Tensor) -> Tensor:
        return functional.dropout(dense(x, *parameters), 0.4)

    torch.manual_seed(5)
    return wrap(whole, x, *parameters, random=True).square().mean()


def loss_of_convolutions(wrap: Wrap, x: Tensor, *kernels: Tensor) -> Tensor:
    def layer(x: Tensor, kernel: Tensor) -> Tensor:
        return functional.softplus(functional.conv2d(x, kernel, padding=1))

    for kernel in kernels:
        x = wrap(layer, x, kernel)
    return x.square().mean()


def loss_of_batch_norm(wrap: Wrap, x: Tensor, *parameters: Tensor) -> Tensor:
    def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = norms.batch_norm(x @ weight, None, None, training=True)
        return torch.tanh(x + bias)

    for i in range(0, len(parameters), 2):
        x = wrap(layer, x, *parameters[i : i + 2])
    return x.square().mean()


def loss_of_inner_steps(wrap: Wrap, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Meta-learning: each segment is a step of gradient descent."""

    def step(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        loss = dense(x, weight, bias).square().mean()
        by_weight, by_bias = torch.autograd.grad(loss, (weight, bias), create_graph=True)
        return weight - 0.3 * by_weight, bias - 0.3 * by_bias

    for _ in range(3):
        weight, bias = wrap(step, x, weight, bias)
    return dense(x, weight, bias).square().mean()


def loss_of_tied_weights(wrap: Wrap, x: Tensor, weight: Tensor) -> Tensor:
    """One tensor is two inputs of a segment, and input of several segments."""

    def layer(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return torch.tanh(x @ first @ second.mT)

    for _ in range(3):
        x = wrap(layer, x, weight, weight)
    return x.square().mean()


def loss_of_branches(wrap: Wrap, x: Tensor, weight: Tensor, unused: Tensor) -> Tensor:
    """Segments of several outputs: one passed through, one unused, one of integers."""

    def layer(x: Tensor, weight: Tensor, index: Tensor, unused: Tensor) -> tuple[Tensor, ...]:
        hidden = torch.tanh(x @ weight)
        return x, hidden[index], hidden.argmax(0), hidden.exp(), x + weight.sum()

    index = torch.arange(3)
    for _ in range(3):
        same, hidden, index, _, shifted = wrap(layer, x, weight, index, unused)
        x = torch.sigmoid(same + shifted) * hidden
    return x.square().mean()


NETWORKS: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "dense": (loss_of_dense, ((4, 3), *((3, 3), (3,)) * 4)),
    "nested segments": (loss_of_nested_segments, ((4, 3), *((3, 3), (3,)) * 4)),
    "convolutions": (loss_of_convolutions, ((2, 2, 4, 4), *((2, 2, 3, 3),) * 3)),
    "dropout": (loss_of_dropout, ((6, 3), *((3, 3), (3,)) * 3)),
    "dropout in nested segments": (loss_of_nested_dropout, ((6, 3), *((3, 3), (3,)) * 3)),
    "batch norm": (loss_of_batch_norm, ((5, 3), *((3, 3), (3,)) * 2)),
    "inner steps": (loss_of_inner_steps, ((4, 3), (3, 3), (3,))),
    "tied weights": (loss_of_tied_weights, ((4, 3), (3, 3))),
    "branches": (loss_of_branches, ((3, 3), (3, 3), (2,))),
}


# ---------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", NETWORKS)
def test_that_gradients_of_every_order_are_those_of_the_kept_graph(name: str, order: int) -> None:
    loss, shapes = NETWORKS[name]
    x, *parameters = tensors(*shapes)
    x.requires_grad_(False)

    ours = nested_gradients(loss(rematerialize, x, *parameters), parameters, order)
    theirs = nested_gradients(loss(kept, x, *parameters), parameters, order)

    assert_same(ours, theirs)


# By the input of a batch norm the sum of gradients is zero: nothing to compare from order 2 on.
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "batch norm"])
def test_that_gradients_by_the_input_are_those_of_the_kept_graph(name: str, order: int) -> None:
    loss, shapes = NETWORKS[name]
    x, *parameters = tensors(*shapes)

    ours = nested_gradients(loss(rematerialize, x, *parameters), [x], order)
    theirs = nested_gradients(loss(kept, x, *parameters), [x], order)

    assert_same(ours, theirs)


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    cuts=st.sets(st.integers(1, 3)),
    order=st.integers(1, 3),
)
def test_that_gradients_do_not_depend_on_where_a_network_is_cut(
    widths: list[int], cuts: set[int], order: int
) -> None:
    shapes = [((n, m), (n,)) for m, n in itertools.pairwise(widths)]
    x, *parameters = tensors((3, widths[0]), *(shape for pair in shapes for shape in pair))
    bounds = [0, *sorted(cut for cut in cuts if cut < len(shapes)), len(shapes)]

    def loss(wrap: Wrap) -> Tensor:
        hidden = x
        for first, last in itertools.pairwise(bounds):
            hidden = wrap(dense, hidden, *parameters[2 * first : 2 * last])
        return hidden.square().mean()

    assert_same(
        nested_gradients(loss(rematerialize), parameters, order),
        nested_gradients(loss(kept), parameters, order),
    )


def test_that_values_equal_those_of_the_function() -> None:
    x, weight = tensors((4, 3), (3, 3))

    assert torch.equal(rematerialize(torch.mm, x, weight), x @ weight)


def test_that_without_grad_mode_the_function_is_just_called() -> None:
    x, weight = tensors((4, 3), (3, 3))

    with torch.no_grad():
        assert not rematerialize(torch.mm, x, weight).requires_grad


def test_that_only_outputs_that_depend_on_differentiable_inputs_require_grad() -> None:
    def segment(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return x * 2, y * 2, x.detach(), x.argmax()

    (x,) = tensors((3,))
    outputs = rematerialize(segment, x, torch.ones(3))

    assert [output.requires_grad for output in outputs] == [True, False, False, False]


def test_that_an_unused_input_has_no_gradient() -> None:
    x, unused = tensors((3,), (3,))
    y = rematerialize(lambda x, unused: x.sin(), x, unused)

    gradients = torch.autograd.grad(y.sum(), (x, unused), allow_unused=True, create_graph=True)

    assert torch.allclose(gradients[0], x.cos())
    assert gradients[1] is None


def test_that_a_derivative_that_is_zero_ends_the_nesting_in_none() -> None:
    (x,) = tensors((3,))
    y = rematerialize(lambda x: 3 * x, x).sum()

    (first,) = torch.autograd.grad(y, x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, allow_unused=True)

    assert torch.equal(first, torch.full_like(x, 3))
    assert second is None


def test_that_a_kept_graph_can_be_differentiated_again() -> None:
    x, weight = tensors((4, 3), (3, 3))
    y = rematerialize(lambda x, weight: (x @ weight).sin(), x, weight).sum()

    first = torch.autograd.grad(y, weight, retain_graph=True)
    again = torch.autograd.grad(y, weight)

    assert torch.equal(first[0], again[0])


def test_that_backward_accumulates_the_same_gradients() -> None:
    x, *parameters = tensors(*NETWORKS["dense"][1])
    expected = torch.autograd.grad(loss_of_dense(kept, x, *parameters), parameters)

    loss_of_dense(rematerialize, x, *parameters).backward()

    assert_same([[parameter.grad for parameter in parameters]], [expected])


def test_that_a_freed_graph_is_not_differentiated_again() -> None:
    (x,) = tensors((3,))
    y = rematerialize(torch.sin, x).sum()
    torch.autograd.grad(y, x)

    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x)


def test_that_gradients_of_sparse_embeddings_stay_sparse() -> None:
    (table,) = tensors((5, 2))
    index = torch.tensor([1, 3, 1])

    def segment(table: Tensor) -> Tensor:
        return functional.embedding(index, table, sparse=True).sin()

    (ours,) = torch.autograd.grad(rematerialize(segment, table).sum(), table)
    (theirs,) = torch.autograd.grad(segment(table).sum(), table)

    assert ours.is_sparse
    assert torch.equal(ours.to_dense(), theirs.to_dense())


# ----------------------------------------------------------------------------------- tangents


def forward_over_reverse(
    loss: Callable[..., Tensor], x: Tensor, weights: Sequence[Tensor], along: Sequence[Tensor]
) -> list[Tensor]:
    with tangents.moving(dict(enumerate(weights)), along) as moving:
        gradients = torch.autograd.grad(
            loss(x, *moving.values()), list(moving.values()), allow_unused=True
        )
        parts = [None if one is None else tangents.tangent_of(one) for one in gradients]
    return [
        torch.zeros_like(weight) if part is None else part
        for part, weight in zip(parts, weights, strict=True)
    ]


def reverse_over_forward(
    loss: Callable[..., Tensor], x: Tensor, weights: Sequence[Tensor], along: Sequence[Tensor]
) -> list[Tensor]:
    with tangents.moving(dict(enumerate(weights)), along) as moving:
        slope = tangents.tangent_of(loss(x, *moving.values()))
    return list(torch.autograd.grad(slope, weights, allow_unused=True, materialize_grads=True))


# An inner step takes a gradient inside, which forward mode has at one level alone.
@pytest.mark.parametrize("way", [forward_over_reverse, reverse_over_forward])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "inner steps"])
def test_that_tangents_pass_through_segments(name: str, way: Callable[..., list[Tensor]]) -> None:
    """A product of the Hessian with a vector, against the gradient of gradient·v."""
    loss, shapes = NETWORKS[name]
    x, *weights = tensors(*shapes)
    x.requires_grad_(False)
    along = [weight.detach() for weight in tensors(*shapes[1:], seed=1)]
    tangents.load()
    first = torch.autograd.grad(
        loss(kept, x, *weights), weights, create_graph=True, materialize_grads=True
    )
    slope = sum(
        ((one * part).sum() for one, part in zip(first, along, strict=True)), x.new_zeros(())
    )
    theirs = torch.autograd.grad(slope, weights, allow_unused=True, materialize_grads=True)

    ours = way(functools.partial(loss, rematerialize), x, weights, along)

    assert_same([ours], [theirs])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_a_tangent_can_be_differentiated_again(order: int) -> None:
    loss, shapes = NETWORKS["dense"]
    x, *weights = tensors(*shapes)
    along = [weight.detach() for weight in tensors(*shapes[1:], seed=1)]

    def slope(wrap: Wrap) -> Tensor:
        with tangents.moving(dict(enumerate(weights)), along) as moving:
            found = tangents.tangent_of(loss(wrap, x, *moving.values()))
        assert found is not None
        return found

    assert_same(
        nested_gradients(slope(rematerialize), weights, order),
        nested_gradients(slope(kept), weights, order),
    )


def test_that_a_gradient_moves_with_a_segment_although_its_cotangent_does_not() -> None:
    (x,) = tensors((3,))
    tangents.load()

    with forward_ad.dual_level():
        moving = forward_ad.make_dual(x, 2 * torch.ones_like(x))
        (gradient,) = torch.autograd.grad(rematerialize(torch.sin, moving).sum(), moving)
        found = tangents.tangent_of(gradient)

    assert found is not None
    torch.testing.assert_close(found, -2 * x.sin())


def test_that_a_gradient_moves_through_a_segment_that_does_not() -> None:
    """What comes after a segment moves, its own inputs do not."""
    (x,) = tensors((3,))
    tangents.load()

    with forward_ad.dual_level():
        factor = forward_ad.make_dual(torch.ones_like(x), 2 * torch.ones_like(x))
        (gradient,) = torch.autograd.grad((rematerialize(torch.sin, x) * factor).sum(), x)
        found = tangents.tangent_of(gradient)

    assert found is not None
    torch.testing.assert_close(found, 2 * x.cos())


def test_that_the_gradient_of_a_tangent_waits_for_the_end_of_the_level() -> None:
    (x,) = tensors((3,))

    with forward_ad.dual_level():
        moving = forward_ad.make_dual(x, torch.ones_like(x))
        slope = tangents.tangent_of(rematerialize(torch.sin, moving))
        assert slope is not None
        with pytest.raises(RuntimeError, match="leave the level of tangents"):
            torch.autograd.grad(slope.sum(), x)


def test_that_a_segment_of_constants_has_no_tangent() -> None:
    x, y = tensors((3,), (3,))
    with forward_ad.dual_level():
        moving = forward_ad.make_dual(x, torch.ones_like(x))
        outputs = rematerialize(lambda x, y: (x.sin(), y.sin()), moving, y)
        found = [tangents.tangent_of(output) for output in outputs]

    assert torch.allclose(found[0], x.cos())
    assert found[1] is None


@pytest.mark.parametrize("way", [forward_over_reverse, reverse_over_forward])
def test_that_tangents_need_far_less_memory_through_segments(
    way: Callable[..., list[Tensor]],
) -> None:
    """A product of the Hessian, of 16 blocks of Linear(64) and tanh in four segments."""
    tangents.load()
    x = torch.randn(1024, 64)
    weights = [
        torch.randn(shape).requires_grad_() for _ in range(16) for shape in ((64, 64), (64,))
    ]
    along = [torch.randn_like(weight) for weight in weights]

    def loss(wrap: Wrap, x: Tensor, *weights: Tensor) -> Tensor:
        return layers_of_dense(wrap, x, weights, per_segment=4).square().mean()

    peaks = {}
    for wrap in (kept, rematerialize):
        compute = functools.partial(way, functools.partial(loss, wrap), x, weights, along)
        compute()
        peaks[wrap] = peak_bytes(compute)

    assert peaks[rematerialize] < 0.6 * peaks[kept]


# ----------------------------------------------------------------------- how often, what beside


@dataclass
class Counted:
    """A segment that counts its evaluations."""

    evaluations: int = 0

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        self.evaluations += 1
        return torch.tanh(x @ weight)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_that_a_segment_is_evaluated_twice_as_often_for_each_order(order: int) -> None:
    x, *weights = tensors((4, 3), (3, 3), (3, 3), (3, 3))
    segments = [Counted() for _ in weights]
    hidden = x
    for segment, weight in zip(segments, weights, strict=True):
        hidden = rematerialize(segment, hidden, weight)

    nested_gradients(hidden.square().mean(), weights, order)

    # The first one has no gradient to pass on, which makes some of its nodes superfluous.
    first, *others = [segment.evaluations for segment in segments]
    assert first <= 2**order
    assert others == [2**order] * len(others)


def test_that_only_the_gradients_that_are_needed_are_computed() -> None:
    computed = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
            computed.append(gradient)
            return gradient

    def segment(x: Tensor, weight: Tensor) -> Tensor:
        return Watched.apply(x).sin() * weight.sin()

    x, weight = tensors((3,), (3,))
    y = rematerialize(segment, x, weight).sum()
    (first,) = torch.autograd.grad(y, weight, create_graph=True)
    torch.autograd.grad(first.sum(), weight)

    assert not computed


@dataclass
class Normalised:
    """A batch norm with running statistics as a segment, with and without their update."""

    mean: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    variance: Tensor = field(default_factory=lambda: torch.ones(3, dtype=torch.float64))

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        return norms.batch_norm(x @ weight, self.mean, self.variance, training=True).tanh()

    def again(self, x: Tensor, weight: Tensor) -> Tensor:
        return norms.batch_norm(x @ weight, None, None, training=True).tanh()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_running_statistics_are_updated_once_per_evaluation_of_the_network(
    order: int,
) -> None:
    x, weight = tensors((5, 3), (3, 3))
    ours, theirs = Normalised(), Normalised()
    for _ in range(2):
        y = rematerialize(ours, x, weight, recompute=ours.again)
        actual = nested_gradients(y.square().mean(), [weight], order)
        expected = nested_gradients(theirs(x, weight).square().mean(), [weight], order)
        assert_same(actual, expected)

    assert torch.equal(ours.mean, theirs.mean)
    assert torch.equal(ours.variance, theirs.variance)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_random_numbers_go_on_as_if_nothing_was_computed_again(order: int) -> None:
    x, *parameters = tensors(*NETWORKS["dropout"][1])
    drawn = []
    for wrap in (rematerialize, kept):
        loss = loss_of_dropout(wrap, x, *parameters)
        between = torch.rand(3)
        nested_gradients(loss, parameters, order)
        drawn.append((between, torch.rand(3)))

    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])


def test_that_random_numbers_go_on_after_a_segment_that_fails_when_computed_again() -> None:
    def fails(x: Tensor) -> Tensor:
        torch.rand(5)
        raise ArithmeticError

    (x,) = tensors((3,))
    y = rematerialize(torch.sin, x, recompute=fails, random=True).sum()
    before = torch.get_rng_state()

    with pytest.raises(ArithmeticError):
        torch.autograd.grad(y, x)
    assert torch.equal(torch.get_rng_state(), before)


def test_that_each_evaluation_is_under_the_autocast_of_the_first() -> None:
    inside, outside = [], []

    def lowered(x: Tensor, weight: Tensor) -> Tensor:
        inside.append((x @ weight).dtype)
        return (x @ weight).float().sin()

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        outside.append((x @ weight).dtype)
        return (x @ weight).sin()

    def loss(wrap: Wrap) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = wrap(lowered, x, weight)
        return wrap(plain, hidden, weight).sum()

    x, weight = (t.detach().float().requires_grad_() for t in tensors((4, 3), (3, 3)))
    theirs = nested_gradients(loss(kept), [weight], 2)
    ours = nested_gradients(loss(rematerialize), [weight], 2)
    value = loss(rematerialize)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nested_gradients(value, [weight], 2)

    assert set(inside) == {torch.bfloat16}
    assert set(outside) == {torch.float32}
    # The kept graph adds up contributions to the second gradient in bfloat16, with 8 bits.
    torch.testing.assert_close(ours, theirs, rtol=2**-6, atol=2**-6)


def test_that_shapes_alone_can_be_rematerialized() -> None:
    with FakeTensorMode():
        x, *parameters = tensors_on_the_spot(*NETWORKS["dropout"][1])
        gradients = nested_gradients(loss_of_dropout(rematerialize, x, *parameters), parameters, 3)

    assert [g.shape for g in gradients[-1]] == [p.shape for p in parameters]


def tensors_on_the_spot(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape).requires_grad_() for shape in shapes]


# ------------------------------------------------------------------------------------ refusals


class Layer(torch.nn.Module):
    """A module, and a bound method of it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


GLOBAL = torch.ones(3, requires_grad=True)


def _capturing() -> dict[str, tuple[Callable[..., Tensor], str]]:
    weight = torch.ones(3, requires_grad=True)
    product = weight * 2
    by_name = {"inner": [weight]}

    def closure(x: Tensor) -> Tensor:
        return x * weight

    def closure_over_a_result(x: Tensor) -> Tensor:
        return x * product

    def closure_over_a_container(x: Tensor) -> Tensor:
        return x * by_name["inner"][0]

    def by_another_function(x: Tensor) -> Tensor:
        return closure(x) + 1

    def default(x: Tensor, weight: Tensor = weight) -> Tensor:
        return x * weight

    def returned(x: Tensor) -> tuple[Tensor, Tensor]:
        return x, weight

    return {
        "closure": (closure, "'weight'"),
        "closure over a result": (closure_over_a_result, "'product'"),
        "closure over a container": (closure_over_a_container, r"'by_name\.inner\.0'"),
        "by another function": (by_another_function, r"'closure\.weight'"),
        "global name": (lambda x: x * GLOBAL, "'GLOBAL'"),
        "default": (default, "'weight'"),
        "returned": (returned, "'weight'"),
        "partial": (functools.partial(torch.mul, weight), "'argument 0'"),
        "partial by keyword": (functools.partial(torch.mul, other=weight), "'other'"),
        "module": (Layer(), "'scale'"),
        "bound method": (Layer().forward, r"'self\.scale'"),
    }


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("name", _capturing())
def test_that_a_captured_tensor_is_refused_by_name(name: str, requires_grad: bool) -> None:
    function, expected = _capturing()[name]

    with pytest.raises(ValueError, match=rf"uses {expected}, which requires grad"):
        rematerialize(function, torch.ones(3, requires_grad=requires_grad))


def test_that_a_captured_tensor_is_refused_in_the_recomputation_too() -> None:
    (x,) = tensors((3,))
    y = rematerialize(torch.sin, x, recompute=lambda x: x.sin() * GLOBAL).sum()

    with pytest.raises(ValueError, match="'GLOBAL'"):
        torch.autograd.grad(y, x)


def test_that_an_inner_segment_may_not_capture_a_tensor_of_the_outer_one() -> None:
    def outer(x: Tensor) -> Tensor:
        hidden = x.sin()
        return rematerialize(lambda x: x * hidden, x)

    with pytest.raises(ValueError, match="'hidden'"):
        rematerialize(outer, *tensors((3,)))


def test_that_a_captured_module_with_other_parameters_put_in_is_welcome() -> None:
    layer = Layer()
    x, scale = (t.float() for t in tensors((2, 3), (3,)))

    def segment(x: Tensor, scale: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"scale": scale}, (x,)).sin()  # noqa: TID251

    ours = nested_gradients(rematerialize(segment, x, scale).sum(), [x, scale], 1)
    theirs = nested_gradients((x * scale).sin().sum(), [x, scale], 1)

    torch.testing.assert_close(ours, theirs)


def test_that_what_is_no_tensor_is_refused() -> None:
    (x,) = tensors((3,))

    with pytest.raises(TypeError, match="argument 1 is a float"):
        rematerialize(torch.mul, x, 2.0)
    with pytest.raises(TypeError, match="returned a list"):
        rematerialize(lambda x: [x], x)


def test_that_a_recomputation_of_another_shape_is_refused() -> None:
    (x,) = tensors((3,))
    y = rematerialize(torch.sin, x, recompute=lambda x: x[:2].sin()).sum()

    with pytest.raises(RuntimeError, match=r"'sin'|first evaluated"):
        torch.autograd.grad(y, x)


def test_that_a_recomputation_that_lost_its_inputs_is_refused() -> None:
    (x,) = tensors((3,))
    y = rematerialize(torch.sin, x, recompute=lambda x: x.detach().sin()).sum()

    with pytest.raises(RuntimeError, match="output 0 depended on the inputs"):
        torch.autograd.grad(y, x)


def test_that_an_input_changed_in_place_before_the_gradient_is_refused() -> None:
    (x,) = tensors((3,))
    hidden = x * 2
    y = rematerialize(torch.sin, hidden).sum()
    hidden.mul_(3)

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y, x)


def test_that_transforms_of_functions_are_refused() -> None:
    (x,) = tensors((3,))

    with pytest.raises(RuntimeError, match=r"inside a transform of torch\.func"):
        torch.func.grad(lambda x: rematerialize(torch.sin, x).sum())(x)  # noqa: TID251


def test_that_a_gradient_with_tangents_is_not_differentiated_again_in_silence() -> None:
    (x,) = tensors((3,))
    tangents.load()

    with forward_ad.dual_level():
        moving = forward_ad.make_dual(x, torch.ones_like(x))
        y = rematerialize(torch.sin, moving).square().sum()
        with pytest.raises(RuntimeError, match="cannot be differentiated again"):
            torch.autograd.grad(y, moving, create_graph=True)


# -------------------------------------------------------------------------------------- memory


def peak_bytes(compute: Callable[[], object]) -> int:
    """The highest total that is allocated during ``compute`` above what there was before."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        compute()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    live = peak = 0
    for _, change in changes:
        live += change
        peak = max(peak, live)
    return peak


def test_that_nothing_is_left_for_the_garbage_collector() -> None:
    x, *parameters = tensors(*NETWORKS["dense"][1])

    def last_use_of_an_intermediate() -> weakref.ref[Tensor]:
        hidden = torch.sin(x)
        loss = loss_of_dense(rematerialize, hidden, *parameters)
        nested_gradients(loss, parameters, 3)
        return weakref.ref(hidden)

    gc.disable()
    try:
        assert last_use_of_an_intermediate()() is None
    finally:
        gc.enable()


def _peak_of_nested_gradients(wrap: Wrap, order: int) -> int:
    """Of 16 blocks of Linear(64) and tanh, batch 1024, in four segments."""
    x = torch.randn(1024, 64)
    parameters = [
        torch.randn(shape).requires_grad_() for _ in range(16) for shape in ((64, 64), (64,))
    ]

    def compute() -> None:
        output = layers_of_dense(wrap, x, parameters, per_segment=4)
        nested_gradients(output.square().mean(), parameters, order)

    compute()
    return peak_bytes(compute)


@pytest.mark.parametrize(("order", "most"), [(1, 0.6), (2, 0.5), (3, 0.42)])
def test_that_every_order_needs_far_less_memory_than_with_the_graph_kept(
    order: int, most: float
) -> None:
    whole = _peak_of_nested_gradients(kept, order)

    assert _peak_of_nested_gradients(rematerialize, order) < most * whole
