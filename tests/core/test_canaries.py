"""Faults of torch 2.13 that findings and workarounds rest on, each as it is today.

A test that fails here is good news: torch is repaired, and what leans on the fault can go.
``measure/test_known_faults.py`` holds the table of faulty operations against torch one by one; the
third derivatives of norms are in ``engine/test_norms.py``, sparse gradients in
``engine/test_maml.py``.
"""

import functools
import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.autograd.profiler import profile
from torch.func import functional_call  # noqa: TID251 - it is what the fault is in
from torch.nn import functional
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from core.engine.attention import math_attention
from core.engine.recorder import Recorder
from core.measure.memory.allocator import allocator_peak
from core.measure.watching import Watching
from tests import oracles
from tests.core.differentiated import FAULTY, by_differences, derivative, nested

CPU = torch.device("cpu")
WITHOUT_SECOND_DERIVATIVE = [
    "cdist",
    "pdist",
    "embedding bag",
    "hardsigmoid",
    "multi margin loss",
    "multilabel margin loss",
    "ctc loss",
    "attention",
    "multi-head attention",
]
NORMS = ["layer norm", "batch norm", "instance norm"]


def point_and_directions(name: str, order: int) -> tuple[Tensor, list[Tensor]]:
    x = FAULTY[name].point().requires_grad_()
    generator = torch.Generator().manual_seed(9)
    return x, [torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(order)]


# ------------------------------------------------------------------------------------ operations


@pytest.mark.parametrize("name", WITHOUT_SECOND_DERIVATIVE)
def test_that_a_second_derivative_is_still_not_implemented(name: str) -> None:
    """For fused attention: pytorch/pytorch#116350."""
    x, directions = point_and_directions(name, 2)

    nested(FAULTY[name].scalar, x, directions[:1])
    with pytest.raises(RuntimeError, match=r"derivative for .*backward.* is not implemented"):
        nested(FAULTY[name].scalar, x, directions)


def test_that_attention_by_the_math_kernel_has_a_right_second_derivative() -> None:
    """What `math_attention` rests on; at order 1 it leaves torch its fused kernel."""
    x, directions = point_and_directions("attention", 2)
    attention = FAULTY["attention"].scalar

    with math_attention(2):
        found = nested(attention, x, directions).item()
        right = by_differences(attention, x, directions)
    assert found == pytest.approx(right, rel=1e-3)
    with math_attention(1), pytest.raises(RuntimeError, match="is not implemented"):
        nested(attention, x, directions)


@pytest.mark.parametrize("name", NORMS)
def test_that_reverse_over_forward_is_still_wrong_through_norms(name: str) -> None:
    """pytorch/pytorch#198017, #196700 (layer norm), #196699 (batch norm)."""
    x, directions = point_and_directions(name, 2)
    norm = FAULTY[name].scalar
    right = by_differences(norm, x, directions)

    def error(mode: str) -> float:
        return abs(derivative(norm, x, directions, mode).item() / right - 1)

    assert error("reverse_over_reverse") < 1e-3
    assert error("forward_over_reverse") < 1e-3
    assert error("reverse_over_forward") > 0.05


def test_that_forward_over_reverse_still_fails_through_a_mean_squared_error() -> None:
    """pytorch/pytorch#123996."""
    x, directions = point_and_directions("mean squared error", 2)

    with pytest.raises(RuntimeError, match="ZeroTensors are immutable"):
        derivative(FAULTY["mean squared error"].scalar, x, directions, "forward_over_reverse")


def test_that_weight_norm_still_has_a_wrong_second_derivative() -> None:
    """In plain reverse mode, in silence; the saved norm is taken for a constant."""
    x, directions = point_and_directions("weight norm", 2)
    weight_norm = FAULTY["weight norm"].scalar

    found = nested(weight_norm, x, directions).item()

    assert abs(found / by_differences(weight_norm, x, directions) - 1) > 0.05


def test_that_fake_tensors_still_lose_the_rows_of_a_sparse_gradient() -> None:
    def twice() -> None:
        table = torch.zeros(9, 4, requires_grad=True)
        rows = functional.embedding(torch.zeros(2, dtype=torch.int64), table, sparse=True)
        (gradient,) = torch.autograd.grad(rows.square().sum(), table, create_graph=True)
        torch.autograd.grad(gradient.sum(), table)

    twice()
    with FakeTensorMode(), pytest.raises(RuntimeError, match="invalid gradient"):
        twice()


def test_that_the_fake_of_onednns_lstm_still_has_no_workspace() -> None:
    """What forecasts have to know from the kernel itself."""
    lstm, x = nn.LSTM(3, 4), torch.zeros(5, 2, 3)
    state = torch.zeros(2, 4)
    settings = (False, [], 2, 4, 1, True, False, False, True)

    real = torch.ops.aten.mkldnn_rnn_layer(x, *lstm.parameters(), state, state, *settings)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        tensors = [mode.from_tensor(one) for one in (x, *lstm.parameters(), state, state)]
        fake = torch.ops.aten.mkldnn_rnn_layer(*tensors, *settings)

    assert [one.shape for one in fake[:3]] == [one.shape for one in real[:3]]
    assert real[3].numel() > 0
    assert fake[3].numel() == 0


# --------------------------------------------------------------------------------- checkpointing


def test_that_a_second_derivative_through_selective_checkpointing_still_fails() -> None:
    weight = torch.randn(3, 3, requires_grad=True)

    def policy(
        context: SelectiveCheckpointContext, operation: object, *_: object, **__: object
    ) -> CheckpointPolicy:
        del context
        kept = operation is torch.ops.aten.mm.default
        return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE

    value = checkpoint(
        lambda x: torch.tanh(x @ weight).square().sum(),
        torch.randn(2, 3),
        use_reentrant=False,
        context_fn=functools.partial(create_selective_checkpoint_contexts, policy),
    )
    (gradient,) = torch.autograd.grad(value, weight, create_graph=True)

    with pytest.raises(RuntimeError, match="Trying to backward an extra time"):
        torch.autograd.grad(gradient.sum(), weight)


class _Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        self.checkpoint = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.checkpoint:
            return self.layers(x)
        return checkpoint(self.layers, x, use_reentrant=False)


def test_that_a_checkpoint_inside_functional_call_still_has_wrong_gradients() -> None:
    """It computes again with the module's own parameters; no upstream issue is known."""
    module = _Checkpointed()
    given = {
        name: (2 * value).detach().requires_grad_() for name, value in module.named_parameters()
    }
    x = torch.randn(5, 3, dtype=torch.float64)
    gradients = []
    for module.checkpoint in (True, False):
        loss = functional_call(module, given, (x,)).square().sum()
        gradients.append(torch.autograd.grad(loss, list(given.values())))

    assert oracles.relative_error(*gradients) > 0.05


def _segment(x: Tensor, *weights: Tensor) -> Tensor:
    for weight in weights:
        x = torch.tanh(x @ weight)
    return x


def _stack_peak(order: int, *, checkpointed: bool) -> int:
    """Peak bytes of the nested gradient of 16 layers in segments of 4."""
    torch.manual_seed(0)
    weights = [torch.randn(32, 32).div_(6).requires_grad_() for _ in range(16)]
    inputs = torch.randn(256, 32)

    def computation(_: Recorder) -> tuple[Tensor, ...]:
        x = inputs
        for first in range(0, 16, 4):
            part = weights[first : first + 4]
            x = (
                checkpoint(_segment, x, *part, use_reentrant=False)
                if checkpointed
                else _segment(x, *part)
            )
        value = x.square().sum()
        del x
        for left in range(order, 0, -1):
            gradients = torch.autograd.grad(value, weights, create_graph=left > 1)
            if left > 1:
                value = torch.stack([gradient.sum() for gradient in gradients]).sum()
                del gradients
        return gradients

    peak = allocator_peak(CPU, computation)
    assert peak is not None
    return peak.peak_bytes


@pytest.mark.parametrize(("order", "saves"), [(1, True), (2, False), (3, False)])
def test_that_checkpointing_still_saves_at_order_1_alone(order: int, saves: bool) -> None:
    """From order 2 on it costs: the graph of the first gradient keeps what was recomputed."""
    ratio = _stack_peak(order, checkpointed=True) / _stack_peak(order, checkpointed=False)

    assert ratio < 0.7 if saves else ratio > 1.02


def _adaptation_peak(steps_a_checkpoint: int) -> int:
    """Peak bytes of the gradient through 8 steps of descent; 0 stands for no checkpoint."""
    torch.manual_seed(0)
    initial = torch.randn(16, 16).div_(4).requires_grad_()
    inputs = torch.randn(256, 16)

    def loss(weight: Tensor) -> Tensor:
        return _segment(inputs, *[weight] * 4).square().mean()

    def steps(weight: Tensor, count: int) -> Tensor:
        for _ in range(count):
            (gradient,) = torch.autograd.grad(loss(weight), weight, create_graph=True)
            weight = weight - 0.1 * gradient
        return weight

    def computation(_: Recorder) -> tuple[Tensor, ...]:
        weight = initial
        if not steps_a_checkpoint:
            weight = steps(weight, 8)
        for _ in range(8 // steps_a_checkpoint if steps_a_checkpoint else 0):
            weight = checkpoint(steps, weight, steps_a_checkpoint, use_reentrant=False)
        return torch.autograd.grad(loss(weight), initial)

    peak = allocator_peak(CPU, computation)
    assert peak is not None
    return peak.peak_bytes


def test_that_checkpoints_of_several_inner_steps_still_take_more_than_none() -> None:
    none, one, four = (_adaptation_peak(count) for count in (0, 1, 4))

    assert one < 0.3 * none
    assert four > 1.5 * none


# --------------------------------------------------------------------------------------- watching


class _Names(Watching):
    """Writes down what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.names.add(str(func))
        return func(*args, **kwargs)


@pytest.mark.parametrize(
    ("name", "of_rows"),
    [
        ("add", lambda table, _: (table * table).sum()),
        ("index_add", lambda table, rows: table.index_select(0, rows).sum()),
        ("scatter_add", lambda table, rows: table.gather(0, rows[:, None]).sum()),
    ],
)
def test_that_autograd_still_works_out_of_place_while_a_mode_watches(
    name: str, of_rows: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """What the ledger undoes: the bytes that it would count otherwise are nobody's."""
    table = torch.randn(9, 4, requires_grad=True)
    value = of_rows(table, torch.tensor([0, 2]))

    with profile() as profiler:
        torch.autograd.grad(value, table, retain_graph=True)
    with _Names() as mode:
        torch.autograd.grad(value, table)

    unwatched = {event.name for event in profiler.function_events}
    assert f"aten::{name}_" in unwatched
    assert f"aten::{name}" not in unwatched
    assert mode.names & {f"aten.{name}.default", f"aten.{name}.Tensor"}
    assert not any(called.startswith(f"aten.{name}_") for called in mode.names)


# --------------------------------------------------------------------------------------- compiled


@pytest.fixture
def compiled() -> Iterator[Callable[[Tensor], Tensor]]:
    """A loss, compiled by a backend that needs no C++ compiler."""
    torch.manual_seed(0)
    weight = torch.randn(3, 3)
    yield torch.compile(lambda x: torch.tanh(x @ weight).square().sum(), backend="aot_eager")
    torch.compiler.reset()


def test_that_a_compiled_loss_still_has_no_second_derivative(
    compiled: Callable[[Tensor], Tensor],
) -> None:
    """pytorch/pytorch#91469, #183603; zero in silence where unused gradients are allowed."""
    x = torch.randn(3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(compiled(x), x, create_graph=True)

    assert torch.autograd.grad(gradient.sum(), x, allow_unused=True, retain_graph=True) == (None,)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        gradient.sum().backward()


SCALED_SUMS: dict[str, Callable[..., Tensor]] = {
    "new": lambda w, a, b: torch.add(w, a @ b, alpha=-0.5),
    "in place": lambda w, a, b: w.clone().add_(a @ b, alpha=-0.5),
}


@pytest.fixture(params=SCALED_SUMS)
def scaled_sum(request: pytest.FixtureRequest) -> Iterator[Callable[..., Tensor]]:
    """A sum with a factor beside a product of matrices, compiled by inductor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield torch.compile(SCALED_SUMS[request.param])
    torch.compiler.reset()


def test_that_inductor_still_forgets_the_factor_of_a_sum_with_a_product_of_matrices(
    scaled_sum: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Why ``core.engine.compiling.tracing`` and the script write it as a product and a sum; as
    pytorch/pytorch#167313, which is about ``addmm``."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    w, a, b = torch.randn(4, 6), torch.randn(4, 9), torch.randn(9, 6)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = scaled_sum(w, a, b)

    assert torch.allclose(found, w + a @ b, atol=1e-5)
    assert not torch.allclose(found, w - 0.5 * (a @ b), atol=1e-2)


def test_that_a_tensor_is_still_held_by_the_graph_of_its_tangent() -> None:
    """So the graph of a segment, dropped within a level of tangents, is there until its end."""
    x = torch.ones(3, requires_grad=True)

    with forward_ad.dual_level():
        output = torch.tanh(forward_ad.make_dual(x, torch.ones(3)))
        held = weakref.ref(output)
        del output
        gc.collect()
        assert held() is not None
    assert held() is None
