"""Attention and recurrence in every way of differentiating, and what stands in for torch's own."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.engine import recurrent
from core.engine.attention import self_attention, written_out_attention
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.correctness.check import check
from core.spec.run import RunSpec
from tests import oracles
from tests.core.differentiated import MODES
from tests.core.engine.test_layers import CASES, gradients, problem
from tests.core.measure.correctness.checked_specs import Layers, spec

CPU = torch.device("cpu")
KINDS = ("multihead_attention", "transformer_encoder_layer", "lstm", "gru")
SEQUENCES = [name for name, (_, layer) in CASES.items() if layer["kind"] in KINDS]
SMOOTH = [name for name in SEQUENCES if name != "encoder with kinks"]
FORMS = [
    recurrent.Form(hidden=3, layers=1, bias=True, both_ways=False),
    recurrent.Form(hidden=2, layers=2, bias=False, both_ways=True),
    recurrent.Form(hidden=2, layers=3, bias=True, both_ways=True),
]
Recurrence = Callable[[Tensor, Sequence[Tensor], recurrent.Form], Tensor]
PAIRS: list[tuple[Recurrence, Recurrence, type[nn.RNNBase]]] = [
    (recurrent.lstm, recurrent.lstm_step_by_step, nn.LSTM),
    (recurrent.gru, recurrent.gru_step_by_step, nn.GRU),
]


def product(case: str, mode: str, precision: str = "float64") -> Problem:
    changes: dict[str, Any] = {"workload": {"kind": "hvp", "mode": mode, "vectors": 1}}
    made = problem(case, 1).spec.with_changes(changes | {"mitigation.precision": precision})
    return prepare(made, CPU)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", SMOOTH)
def test_that_products_with_the_hessian_equal_differences_of_gradients(
    case: str, mode: str
) -> None:
    made = product(case, mode)
    vector = [made.own[f"vectors/{name}"][0] for name in made.parameters]
    length = oracles.flat(vector).norm()
    torch.manual_seed(3)
    weights = [torch.randn_like(tensor) for tensor in vector]

    made.reset()
    found = [part[0] for part in compute(made, SILENT).result.values()]

    def slope(moved: oracles.Tensors) -> float:
        parameters = dict(zip(made.parameters, moved, strict=True))
        gradient = gradients(made, parameters, 1)
        return (oracles.flat(gradient) @ oracles.flat(weights)).item()

    direction = [part / length for part in vector]
    point = list(made.parameters.values())
    right = oracles.difference_along(slope, point, direction, 1e-3) * length.item()
    assert (oracles.flat(found) @ oracles.flat(weights)).item() == pytest.approx(right, rel=1e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", ["lstm", "lstm both ways", "gru both ways"])
def test_that_products_in_32_bits_are_those_in_64(case: str, mode: str) -> None:
    """oneDNN computes an LSTM in 32 bits alone, and carries no tangents."""
    narrow, wide = product(case, mode, "float32"), product(case, mode)
    with torch.no_grad():
        for name, part in wide.own.items():
            narrow.own[name].copy_(part)
        for one, other in zip(narrow.data, wide.data, strict=True):
            one.copy_(other)

    found = [part.double() for part in compute(narrow, SILENT).result.values()]

    right = list(compute(wide, SILENT).result.values())
    assert oracles.relative_error(found, right) <= 1e-4


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_that_a_gradient_under_autocast_is_near_that_in_64_bits(kind: str) -> None:
    """On every processor: oneDNN's LSTM takes bfloat16 on some alone. As the first layer, since
    behind another one torch does not ask for it: its input is in bfloat16 by then."""
    layers = [
        {"kind": kind, "hidden_size": 4, "num_layers": 2, "bidirectional": True},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 3},
    ]
    asked = problem("lstm", 1).spec.with_changes(
        {"model": {"kind": "stack", "input_shape": [5, 3], "layers": layers}}
    )
    found, right = (
        compute(prepare(asked.with_value("mitigation.precision", precision), CPU), SILENT)
        for precision in ("autocast", "float64")
    )
    parts = [part.double() for part in found.result.values()]
    assert 0 < oracles.relative_error(parts, list(right.result.values())) <= 0.05


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="this processor's oneDNN has bfloat16",
)
def test_that_torch_still_asks_onednn_for_an_lstm_that_it_refuses() -> None:
    """WORKAROUND ``onednn_refuses`` can go once this fails."""
    network = nn.LSTM(3, 4)
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(RuntimeError, match="primitive descriptor"),
    ):
        network(torch.randn(5, 2, 3))


# ------------------------------------------------------------------- what is written out


def tensors_of(module: nn.Module) -> list[Tensor]:
    return [tensor.detach().requires_grad_() for tensor in module.parameters()]


def third(output: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]:
    """The third of nested gradients."""
    value = output.sin().sum()
    for order in range(1, 4):
        found = torch.autograd.grad(value, wrt, create_graph=order < 3)
        value = torch.stack([part.sum() for part in found]).sum()
    return list(found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("torchs", "own", "kind"), PAIRS)
def test_that_recurrence_step_by_step_is_that_of_torch(
    torchs: Recurrence, own: Recurrence, kind: type[nn.RNNBase], form: recurrent.Form
) -> None:
    """What accelerators compute from order 2 on."""
    torch.manual_seed(0)
    module = kind(
        4,
        form.hidden,
        form.layers,
        form.bias,
        batch_first=True,
        bidirectional=form.both_ways,
        dtype=torch.float64,
    )
    tensors, x = tensors_of(module), torch.randn(3, 5, 4, dtype=torch.float64)

    right = module(x)[0]

    for function in (torchs, own):
        found = function(x, tensors, form)
        assert oracles.relative_error([found], [right]) <= 1e-14
        assert found.stride() == right.stride()
    derived = third(own(x, tensors, form), tensors)
    assert oracles.relative_error(derived, third(torchs(x, tensors, form), tensors)) <= 1e-11


def test_that_attention_written_out_is_that_of_torch() -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    tensors, x = tensors_of(module), torch.randn(2, 5, 6, dtype=torch.float64)

    right = module(x, x, x, need_weights=False)[0]

    for function in (self_attention, written_out_attention):
        found = function(x, *tensors, 3, 0.0)
        assert oracles.relative_error([found], [right]) <= 1e-14
        assert found.stride() == right.stride()


@pytest.mark.parametrize("before", [True, False])
def test_that_onednn_is_as_it_was_afterwards(before: bool) -> None:
    torch.backends.mkldnn.enabled = before
    seen = []

    def fail() -> None:
        with recurrent.without_onednn():
            seen.append(torch.backends.mkldnn.enabled)
            raise ZeroDivisionError

    try:
        with pytest.raises(ZeroDivisionError):
            fail()
        assert [*seen, torch.backends.mkldnn.enabled] == [False, before]
    finally:
        torch.backends.mkldnn.enabled = True


# ------------------------------------------------------------------------ random numbers


def behind(kind: str, between: str) -> RunSpec:
    """Dropout behind a layer whose output torch leaves in another order in memory."""
    layers: Layers = [
        {"kind": "linear", "out_features": 4},
        {"kind": kind} | ({} if kind == "multihead_attention" else {"hidden_size": 4}),
        {"kind": between},
        {"kind": "dropout", "p": 0.3},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 2},
    ]
    return spec(1, layers=layers, input_shape=(3, 4))


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("between", ["layer_norm", "softmax", "tanh", "batch_norm", "rms_norm"])
@pytest.mark.parametrize("kind", ["multihead_attention", "lstm", "gru"])
def test_that_dropout_behind_sequences_draws_the_same_wherever_they_lie_in_memory(
    kind: str, between: str, order: int
) -> None:
    run = behind(kind, between).with_changes({"workload.order": order})

    assert check(run, CPU).passed
