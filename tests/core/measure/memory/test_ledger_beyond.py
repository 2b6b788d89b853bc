"""The ledger on computations that the engine does not do: against the allocator of a clean pass.

Where the two cannot agree, the test says why and how far they are apart.
"""

import gc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacrev, jvp, vmap  # noqa: TID251 - what is watched
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from core.engine.rematerialize import rematerialize
from core.measure.memory.allocator import allocator_peak
from core.measure.memory.kernels import Kernels
from core.measure.memory.ledger import Ledger

CPU = torch.device("cpu")
KERNELS = Kernels(CPU, 1)
NUMBER_BYTES = 8


@dataclass(frozen=True)
class Seen:
    """Peaks above what was there before.

    Attributes:
        unknown: base names of operations that could not be tried alone.
    """

    ledger: int
    allocator: int
    unknown: tuple[str, ...]


def seen(compute: Callable[[], object]) -> Seen:
    """Both peaks of a computation, which must not change what it computes on."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        # The first tangent loads a module of torch that torch itself calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        compute()
    truth = allocator_peak(CPU, lambda _: compute())
    assert truth is not None
    ledger = Ledger(0.0)
    with ledger:
        result = compute()
    KERNELS.learn(ledger.calls())

    def scratch(call) -> int | None:
        kernel = KERNELS.known(call)
        return None if kernel is None else kernel.scratch_bytes

    report = ledger.finish(scratch)
    del result
    unknown = tuple(call.base_name for call in report.unknown)
    return Seen(report.peak_bytes, truth.peak_bytes, unknown)


@pytest.fixture(autouse=True, scope="module")
def _what_torch_loaded_is_not_collected() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


torch.manual_seed(0)
WEIGHTS = [torch.randn(64, 64).div_(8).requires_grad_() for _ in range(3)]
CONSTANTS = [weight.detach() for weight in WEIGHTS]
X = torch.randn(32, 64)
ROWS = torch.arange(10)
TABLE = torch.randn(1000, 16, requires_grad=True)
NET = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8))
DIRECTIONS = torch.ones_like(X)


def net(x: Tensor, weights: list[Tensor]) -> Tensor:
    for weight in weights:
        x = torch.tanh(x @ weight)
    return x


def loss(x: Tensor) -> Tensor:
    return net(x, CONSTANTS).square().sum()


def forward_by_inputs() -> object:
    with forward_ad.dual_level():
        x = forward_ad.make_dual(X, DIRECTIONS)
        return forward_ad.unpack_dual(net(x, WEIGHTS).square().sum()).tangent


def forward_by_weights() -> object:
    with torch.no_grad(), forward_ad.dual_level():
        weights = [forward_ad.make_dual(weight, torch.ones_like(weight)) for weight in WEIGHTS]
        return forward_ad.unpack_dual(net(X, weights).square().sum()).tangent


def forward_with_a_missing_tangent() -> object:
    with forward_ad.dual_level():
        x = forward_ad.make_dual(X, DIRECTIONS)
        output = functional.linear(x, CONSTANTS[0], torch.zeros(64))
        return forward_ad.unpack_dual(functional.mse_loss(output, X)).tangent


def forward_over_reverse() -> object:
    with forward_ad.dual_level():
        weights = [forward_ad.make_dual(weight, torch.ones_like(weight)) for weight in WEIGHTS]
        gradients = torch.autograd.grad(net(X, weights).square().sum(), weights)
        return [forward_ad.unpack_dual(gradient).tangent for gradient in gradients]


def through_functional_call(changed: Callable[[Tensor], Tensor]) -> object:
    parameters = {name: changed(value) for name, value in NET.named_parameters()}
    value = functional_call(NET, parameters, (X,)).square().sum()
    gradients = torch.autograd.grad(value, list(NET.parameters()), create_graph=True)
    return torch.autograd.grad(torch.stack([g.sum() for g in gradients]).sum(), NET.parameters())


def checkpointed() -> object:
    hidden = X
    for weight in WEIGHTS:
        hidden = checkpoint(lambda h, w: torch.tanh(h @ w), hidden, weight, use_reentrant=False)
    return torch.autograd.grad(hidden.square().sum(), WEIGHTS)


def rematerialized() -> object:
    hidden = X
    for weight in WEIGHTS:
        (hidden,) = rematerialize(lambda h, w: (torch.tanh(h @ w),), hidden, weight)
    first = torch.autograd.grad(hidden.square().sum(), WEIGHTS, create_graph=True)
    return torch.autograd.grad(first[0].sum() + first[1].sum(), WEIGHTS)


def of_chosen(chosen: Callable[[Tensor], Tensor]) -> object:
    return torch.autograd.grad(chosen(torch.tanh(X @ WEIGHTS[0])).square().sum(), WEIGHTS[0])


def twice_of_chosen(chosen: Callable[[Tensor], Tensor]) -> Tensor:
    """The second gradient by the table that entries are chosen from."""
    (first,) = torch.autograd.grad(chosen(TABLE).pow(3).sum(), TABLE, create_graph=True)
    (second,) = torch.autograd.grad(chosen(first).square().sum(), TABLE)
    return second


def assigned(y: Tensor) -> Tensor:
    changed = y.clone()
    changed[changed > 0] = 0.0
    return changed


def sparse() -> object:
    rows = functional.embedding(ROWS, TABLE, sparse=True)
    return torch.autograd.grad(rows.square().sum(), TABLE)


def attention() -> object:
    query = X.view(2, 4, 4, 64).clone().requires_grad_()
    output = functional.scaled_dot_product_attention(query, query, query)
    return torch.autograd.grad(output.square().sum(), query)


class ByHand(torch.autograd.Function):
    """Chooses rows; its backward puts their gradient beside zeros, not into them."""

    @staticmethod
    def forward(ctx: Any, table: Tensor) -> Tensor:
        del ctx
        return table[ROWS]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        return torch.zeros_like(TABLE).index_add(0, ROWS, gradients[0])


CHOOSING: dict[str, Callable[[Tensor], Tensor]] = {
    "index_select": lambda y: y.index_select(0, ROWS),
    "rows": lambda y: y[ROWS],
    "gather": lambda y: y.gather(0, ROWS[:, None]),
    "take": lambda y: y.take(ROWS),
    "masked_select": lambda y: y.masked_select(y > 0),
    "largest": lambda y: y.max(0).values,
    "sorted": lambda y: y.sort(0).values,
    "cummax": lambda y: y.cummax(0).values,
}

TO_THE_BYTE: dict[str, Callable[[], object]] = {
    "functional_call": lambda: through_functional_call(torch.neg),
    "forward mode by inputs": forward_by_inputs,
    "forward mode by weights": forward_by_weights,
    "forward mode with a missing tangent": forward_with_a_missing_tangent,
    "forward over reverse": forward_over_reverse,
    "jvp of grad": lambda: jvp(grad(loss), (X,), (DIRECTIONS,)),
    "vmap of grad": lambda: vmap(grad(loss))(X),
    "vmap of jacrev": lambda: vmap(jacrev(lambda x: net(x, CONSTANTS)))(X),
    "hvp": lambda: torch.autograd.functional.hvp(loss, X, DIRECTIONS),
    "checkpoint": checkpointed,
    "rematerialize": rematerialized,
    "gradient of rows": lambda: of_chosen(lambda y: y[ROWS]),
    "masked_fill": lambda: of_chosen(lambda y: y.masked_fill(y > 0, 0.0)),
    "assignment by a mask": lambda: of_chosen(assigned),
    "nonzero": X.nonzero,
    "sparse gradient": sparse,
    "attention": attention,
    "decompositions": lambda: (torch.linalg.svd(X), torch.linalg.inv(CONSTANTS[0])),
    "random numbers": lambda: (torch.randn(100, 10), torch.randperm(999), functional.dropout(X)),
}


@pytest.mark.parametrize("name", TO_THE_BYTE)
def test_that_ledger_and_allocator_agree_to_the_byte(name: str) -> None:
    peaks = seen(TO_THE_BYTE[name])
    assert peaks.unknown == ()
    assert peaks.ledger == peaks.allocator


def test_that_numbers_that_autograd_keeps_are_all_that_is_missed_of_a_product() -> None:
    """A Python number becomes a tensor of 8 bytes before the dispatcher, which hands on the number:
    autograd keeps one for each of the four products, and no mode sees it."""
    peaks = seen(lambda: through_functional_call(lambda value: value * 2))
    assert peaks.allocator - peaks.ledger == 4 * NUMBER_BYTES


@pytest.mark.parametrize("name", CHOOSING)
def test_that_the_gradient_of_what_is_chosen_is_put_among_zeros_in_place(name: str) -> None:
    """By autograd's formulas, which do so beside them where they see a mode."""
    chosen = CHOOSING[name](TABLE)
    cotangent = torch.ones_like(chosen)
    peaks = seen(lambda: torch.autograd.grad(chosen, TABLE, cotangent, retain_graph=True))
    assert peaks == Seen(ledger=TABLE.nbytes, allocator=TABLE.nbytes, unknown=())


def test_that_what_a_backward_by_hand_puts_beside_zeros_is_counted_there() -> None:
    rows = ByHand.apply(TABLE)
    cotangent = torch.ones_like(rows)
    peaks = seen(lambda: torch.autograd.grad(rows, TABLE, cotangent, retain_graph=True))
    assert peaks == Seen(ledger=2 * TABLE.nbytes, allocator=2 * TABLE.nbytes, unknown=())


def test_that_a_gradient_of_which_a_part_is_overwritten_stays_beside_the_result() -> None:
    """By the same operation, on what another formula has made."""
    changed = TABLE.index_put((ROWS,), torch.zeros(16)) * torch.ones_like(TABLE)
    cotangent = torch.ones_like(TABLE)
    peaks = seen(lambda: torch.autograd.grad(changed, TABLE, cotangent, retain_graph=True))
    assert peaks.ledger == peaks.allocator >= 2 * TABLE.nbytes


@pytest.mark.parametrize("name", CHOOSING)
def test_that_second_gradients_of_what_is_chosen_are_the_same_when_watched(name: str) -> None:
    with Ledger(0.0):
        watched = twice_of_chosen(CHOOSING[name])
    assert watched.count_nonzero()
    assert torch.equal(watched, twice_of_chosen(CHOOSING[name]))


def test_that_what_a_formula_of_autograds_adds_up_is_added_out_of_place() -> None:
    """The second gradient of a convolution: one part by its kernel and one by its bias."""
    leaves = [torch.randn(9, 2, 8, 8), torch.randn(8, 2, 1, 1), torch.randn(8)]
    _, *parameters = [leaf.requires_grad_() for leaf in leaves]
    output = functional.conv2d(*leaves)
    cotangent = torch.randn_like(output, requires_grad=True)
    gradients = torch.autograd.grad(output, parameters, cotangent, create_graph=True)
    ones = [torch.ones_like(gradient) for gradient in gradients]
    peaks = seen(lambda: torch.autograd.grad(gradients, cotangent, ones, retain_graph=True))
    assert peaks.ledger == peaks.allocator >= 2 * output.nbytes


def test_that_choosing_by_a_mask_is_too_large_by_what_is_chosen_at_most() -> None:
    """Its scratch memory is gone before its result is there, and how large that is no shape tells:
    it is learned as none."""
    peaks = seen(lambda: of_chosen(lambda y: y.masked_select(y > 0)))
    assert peaks.unknown == ()
    assert 0 <= peaks.ledger - peaks.allocator <= X.nbytes


def test_that_indexing_by_a_mask_is_a_lower_bound_that_names_the_operation() -> None:
    """Its scratch memory depends on how many are chosen, which no shape tells: up to a third of
    this peak."""
    peaks = seen(lambda: of_chosen(lambda y: y[y > 0]))
    assert peaks.unknown == ("index_put_",)
    assert 0.66 * peaks.allocator <= peaks.ledger <= peaks.allocator


def test_that_zeros_that_stand_for_no_tangent_weigh_nothing() -> None:
    ledger = Ledger(0.0)
    with ledger:
        kept = torch.ones(5), torch._efficientzerotensor((1000,))
    assert ledger.finish().peak_bytes == kept[0].nbytes
