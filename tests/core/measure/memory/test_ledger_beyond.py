"""The ledger on computations that the engine does not do: against the allocator of a clean pass.

Where the two cannot agree, the test says why and how far they are apart.
"""

import gc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


TO_THE_BYTE: dict[str, Callable[[], object]] = {
    "functional_call": lambda: through_functional_call(torch.neg),
    "forward mode by inputs": forward_by_inputs,
    "forward mode by weights": forward_by_weights,
    "forward mode with a missing tangent": forward_with_a_missing_tangent,
    "jvp of grad": lambda: jvp(grad(loss), (X,), (DIRECTIONS,)),
    "vmap of grad": lambda: vmap(grad(loss))(X),
    "vmap of jacrev": lambda: vmap(jacrev(lambda x: net(x, CONSTANTS)))(X),
    "hvp": lambda: torch.autograd.functional.hvp(loss, X, DIRECTIONS),
    "checkpoint": checkpointed,
    "rematerialize": rematerialized,
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


def test_that_forward_mode_through_a_backward_is_short_by_one_sum_at_most() -> None:
    """Inside a backward the ledger cannot tell autograd's own sums, which are in place, from those
    of a tangent, which are not: 3 % of this peak, one tensor of the hidden layer."""
    peaks = seen(forward_over_reverse)
    assert 0 <= peaks.allocator - peaks.ledger <= X.nbytes
    assert peaks.ledger >= 0.96 * peaks.allocator


@pytest.mark.parametrize(
    "chosen", [lambda y: torch.masked_select(y, y > 0), lambda y: y[ROWS]], ids=["mask", "rows"]
)
def test_that_the_gradient_of_a_choice_is_too_large_by_one_copy_at_most(
    chosen: Callable[[Tensor], Tensor],
) -> None:
    """Autograd puts the gradient of what was chosen into zeros in place, and beside them while any
    mode watches."""
    peaks = seen(lambda: of_chosen(chosen))
    assert peaks.unknown == ()
    assert 0 <= peaks.ledger - peaks.allocator <= X.nbytes


def test_that_choosing_by_a_mask_is_a_lower_bound_that_names_the_operation() -> None:
    """Its scratch memory depends on how many are chosen, which no shape tells: up to a quarter of
    this peak."""
    peaks = seen(lambda: of_chosen(lambda y: y[y > 0]))
    assert "index_put" in peaks.unknown
    assert 0.75 * peaks.allocator <= peaks.ledger <= peaks.allocator


def test_that_zeros_that_stand_for_no_tangent_weigh_nothing() -> None:
    ledger = Ledger(0.0)
    with ledger:
        kept = torch.ones(5), torch._efficientzerotensor((1000,))
    assert ledger.finish().peak_bytes == kept[0].nbytes
