"""Tensors without numbers: the same books as torch's own mode gives, only sooner."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

import core.measure.forecasting.prediction as prediction_module
import core.measure.forecasting.quick_fake as quick_module
from core.engine.problem import DTYPES, prepare
from core.engine.workloads import compute as compute_workload
from core.measure.forecasting.prediction import predict
from core.measure.forecasting.quick_fake import PLAIN, Numberless, QuickFake
from core.measure.memory.alone import POINTWISE
from core.measure.memory.blocks import Books
from core.measure.memory.calls import Call, call_of, rebuild
from core.measure.memory.ledger import Ledger
from core.runner import load_late_modules
from core.spec.run import RunSpec
from tests.core.measure.memory.exactness import CPU
from tests.core.measure.memory.test_exactness import STACKS, run_of
from tests.core.measure.memory.test_kernels import pointwise_calls
from tests.random_specs import random_spec

ATEN = torch.ops.aten


def books_of_torchs_mode(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> Books:
    """As they are made of what ``QuickFake`` is not for."""
    with monkeypatch.context() as patch:
        patch.setattr(prediction_module, "_suits_quick", lambda *_: False)
        return predict(spec, CPU)


@pytest.mark.parametrize("kind", STACKS)
def test_that_the_books_are_those_of_torchs_own_mode(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, layers = STACKS[kind]
    spec = run_of(
        layers,
        shape,
        workload={"kind": "nested_gradient", "order": 2},
        mitigation={"checkpointing": {"kind": "rematerialize"}},
    )
    expected = books_of_torchs_mode(spec, monkeypatch)
    for attempt in ("first seen", "from what is known"):
        quick = predict(spec, CPU)
        assert quick.calls == expected.calls, attempt
        assert quick.entries == expected.entries, attempt
        assert [block.category for block in quick.blocks] == [
            block.category for block in expected.blocks
        ]


@pytest.mark.parametrize("seed", [1, 33])
def test_that_the_operations_are_those_of_the_run(seed: int) -> None:
    """With the same shapes, strides and types, one after the other."""
    spec = random_spec(seed)
    load_late_modules(spec)
    foretold = predict(spec, CPU)
    problem = prepare(spec, CPU)
    ledger = Ledger(0.0)
    with ledger:
        compute_workload(problem, ledger)
    found = ledger.books()
    assert [foretold.calls[made.call].key for made in foretold.made] == [
        found.calls[made.call].key for made in found.made
    ]


@pytest.mark.parametrize("mode", ["forward_over_reverse", "reverse_over_forward"])
@pytest.mark.parametrize("kind", STACKS)
def test_that_tangents_hold_what_those_of_the_run_hold(kind: str, mode: str) -> None:
    """Zeros without memory stand for missing tangents; torch copies a tangent whose storage is not
    like that of its tensor."""
    shape, layers = STACKS[kind]
    compared = 0
    for checkpointing in ("none", "rematerialize"):
        spec = run_of(
            layers,
            shape,
            workload={"kind": "hvp", "vectors": 2, "mode": mode},
            mitigation={"checkpointing": {"kind": checkpointing}},
        )
        if spec.problems():
            continue
        load_late_modules(spec)
        problem, ledger = prepare(spec, CPU), Ledger(0.0)
        ledger.register_problem(problem)
        with ledger:
            computed = compute_workload(problem, ledger)
        found, foretold = ledger.finish(), predict(spec, CPU).report(lambda _: None)
        del computed
        assert foretold.by_category == found.by_category
        assert [(each.name, each.peak_bytes, each.retained_bytes) for each in foretold.phases] == [
            (each.name, each.peak_bytes, each.retained_bytes) for each in found.phases
        ]
        compared += 1
    assert compared, "no run of this kind is possible"


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x.t().contiguous(),
        lambda x: x[:, ::2] + 1,
        lambda x: x.t() + x.t(),
        lambda x: torch.nn.functional.conv2d(x.view(1, 1, 6, 4), x[:2, :2].view(1, 1, 2, 2)),
        lambda x: x.double() @ x.double().t(),
        lambda x: x.clone().mul_(2).view(-1)[3:],
        lambda x: torch.cat([x, x.expand(6, 4)], 1),
        lambda x: x.max(1).values,
        lambda x: x.as_strided((2, 2), (1, 4), 3) * 2,
        lambda x: x.to(torch.float32).unsqueeze(0).permute(2, 0, 1).clone(),
    ],
)
def test_that_shapes_strides_and_offsets_are_those_of_real_tensors(compute) -> None:
    expected = compute(torch.ones(6, 4))
    for _ in range(2):
        with QuickFake():
            quick = compute(torch.ones(6, 4))
        assert isinstance(quick, Numberless)
        assert (quick.shape, quick.stride(), quick.dtype, quick.storage_offset()) == (
            expected.shape,
            expected.stride(),
            expected.dtype,
            expected.storage_offset(),
        )
        assert quick.untyped_storage().nbytes() == expected.untyped_storage().nbytes()
        assert quick.device == CPU


def test_that_in_place_operations_return_their_argument_and_views_share_its_storage() -> None:
    with QuickFake():
        tensor = torch.ones(4, 4)
        assert tensor.add_(1) is tensor
        assert tensor.t().untyped_storage()._cdata == tensor.untyped_storage()._cdata
        before = tensor.new_empty(2)
        before.resize_(8)
        assert before.shape == (8,)


def test_that_what_an_operation_returns_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out = []
    original = quick_module._worked_out

    def counted(func, *others):
        worked_out.append(str(func))
        return original(func, *others)

    monkeypatch.setattr(quick_module, "_returned", {})
    monkeypatch.setattr(quick_module, "_worked_out", counted)
    with QuickFake():
        tensor = torch.ones(5, 7)
        for _ in range(10):
            tensor.t() @ tensor
    assert worked_out.count("aten.mm.default") == 1
    assert "aten.t.default" not in worked_out


def test_that_a_gradient_that_was_not_asked_for_is_remembered_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quick_module, "_returned", {})
    settings = ([0], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False])
    with QuickFake():
        images, kernel, back = (
            torch.ones(2, 3, 8, 8),
            torch.ones(4, 3, 3, 3),
            torch.ones(2, 4, 6, 6),
        )
        for _ in range(2):
            found = ATEN.convolution_backward.default(back, images, kernel, *settings)
            assert found[0] is found[2] is None
            assert found[1].shape == kernel.shape
    assert [call.base_name for call in quick_module._returned].count("convolution_backward") == 1


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_that_plain_operations_return_what_real_ones_do(name: str) -> None:
    """The claim that lets them do without torch's mode."""
    quick_module._returned.clear()
    for call in plain_calls(name):
        arguments, keywords = rebuild(call, CPU)
        expected = call.operation(*arguments, **keywords)
        with QuickFake():
            quick = call.operation(*numberless(arguments), **keywords)
        assert plain(quick) == plain(expected), call.key


def plain_calls(name: str) -> list[Call]:
    """The operation on tensors of several shapes, strides and types."""
    if name in POINTWISE:
        return [call for dtype in DTYPES.values() for call in pointwise_calls(name, dtype)]
    return [
        call_of(_overload(name), arguments)
        for dtype in DTYPES.values()
        for arguments in _ARGUMENTS[name](torch.ones(4, 6, dtype=dtype), torch.zeros(4).long())
    ]


def _overload(name: str) -> Any:
    packet = getattr(ATEN, name)
    return packet.dim_IntList if name == "sum" else getattr(packet, _OVERLOADS.get(name, "default"))


_OVERLOADS = {"mean": "dim"}
_ARGUMENTS: dict[str, Callable[[torch.Tensor, torch.Tensor], list[tuple[object, ...]]]] = {
    "_log_softmax": lambda x, _: [(x, 1, False), (x.t(), 1, False)],
    "_log_softmax_backward_data": lambda x, _: [(x, x, 1, x.dtype), (x.t(), x.t(), 1, x.dtype)],
    "_softmax": lambda x, _: [(x, 1, False), (x.t(), 0, False)],
    "_softmax_backward_data": lambda x, _: [(x, x, 1, x.dtype), (x.t(), x.t(), 1, x.dtype)],
    "addmm": lambda x, _: [(x[0, :4], x, x.t()), (x[:, :4], x, x.t())],
    "baddbmm": lambda x, _: [(x[None, :, :4], x[None], x.t()[None])],
    "bmm": lambda x, _: [(x[None], x.t()[None]), (x.expand(3, 4, 6), x.t().expand(3, 6, 4))],
    "embedding_dense_backward": lambda x, rows: [(x, rows, 9, -1, False)],
    "empty_like": lambda x, _: [(x,), (x.t(),), (x[:, ::2],), (x[:1].expand(4, 6),)],
    "gather": lambda x, rows: [(x, 1, rows[:, None]), (x.t(), 0, rows[None])],
    "gelu_backward": lambda x, _: [(x, x), (x.t(), x.t()), (x[:, ::2], x[:, ::2])],
    "index_select": lambda x, rows: [(x, 0, rows), (x.t(), 1, rows)],
    "mean": lambda x, _: [(x, [0]), (x.t(), [1], True), (x, [0, 1])],
    "mm": lambda x, _: [(x, x.t()), (x.t(), x), (x[:, ::2], x[:3])],
    "mse_loss": lambda x, _: [(x, x), (x, x, 0), (x.t(), x.t(), 0)],
    "mse_loss_backward": lambda x, _: [
        (x.sum(), x, x, 1),
        (x.sum(), x.t(), x.t(), 1),
        (x, x, x, 0),
    ],
    "nll_loss_backward": lambda x, rows: [(x.sum(), x, rows, None, 1, -100, x.sum())],
    "nll_loss_forward": lambda x, rows: [(x, rows, None, 1, -100), (x, rows, None, 0, -100)],
    "stack": lambda x, _: [([x, x],), ([x.t(), x.t()], 1)],
    "sum": lambda x, _: [(x, [0]), (x.t(), [1], True), (x, [0, 1]), (x.expand(2, 4, 6), [0])],
}


def numberless(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
    return [numberless(part) for part in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Shapes, strides and types. Storages that are larger than their tensor are learned."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    return [plain(part) for part in value]


def test_that_numbers_that_are_equal_and_of_other_kinds_are_told_apart() -> None:
    """Only the kind says of which type a result is."""
    with QuickFake():
        whole = torch.ones(3, dtype=torch.int64)
        results = [whole * 2, whole * 2.0, torch.full((3,), 1), torch.full((3,), 1.0)]
        assert torch.full((3,), True).dtype == torch.bool
    assert [result.dtype for result in results] == [torch.int64, torch.float32] * 2


def test_that_real_and_numberless_tensors_go_together() -> None:
    """Data of one's own come as real tensors."""
    real = torch.from_numpy(np.ones((3, 4)))
    with QuickFake():
        for result in (
            real.to(torch.float32),
            torch.stack([real, torch.ones_like(real)]),
            real @ real.t(),
        ):
            assert isinstance(result, Numberless)
        assert torch.tensor(2.5).item() == 2.5
    assert float(real.sum()) == 12, "nothing was written to it"


def test_that_a_tensor_of_terabytes_takes_no_memory_and_shows_no_number() -> None:
    """A canary: there is nothing behind the storage, and torch says so instead of reading it."""
    with QuickFake():
        huge = torch.ones(10**7, 10**6)
        assert huge.untyped_storage().nbytes() == 4 * 10**13
    with pytest.raises(RuntimeError, match="not allocated"):
        huge.untyped_storage()[0]


def test_that_the_private_parts_that_this_leans_on_are_there() -> None:
    """A canary: another version of torch may call them differently."""
    with FakeTensorMode() as mode:
        made = FakeTensor(mode, torch.empty(3, device="meta"), CPU)
        assert (made + 1).device == CPU
        assert made.fake_device == CPU
    assert torch.Tag.inplace_view in ATEN.t_.default.tags
    assert ATEN.reshape.default._can_decompose()
    assert not ATEN.mm.default._can_decompose()


def test_that_values_are_still_refused() -> None:
    with QuickFake(), pytest.raises(DataDependentOutputException):
        torch.ones(1).add(1).item()


def test_that_an_unsafe_view_shares_its_storage_however_often_it_comes() -> None:
    with QuickFake():
        for _ in range(2):
            numbers = torch.ones(3, 4)
            shown = torch.ops.aten._unsafe_view(numbers, [12])
            assert shown.untyped_storage()._cdata == numbers.untyped_storage()._cdata


def norm_calls() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Norms as autocast calls them: inputs in 16 bits, weights and statistics in 32."""
    x, w = torch.ones(3, 4, 5, dtype=torch.bfloat16), torch.ones(4)
    rows, row_w = torch.ones(3, 5, dtype=torch.bfloat16), torch.ones(5)
    statistics = torch.ones(3, 2), torch.ones(3, 2)
    return {
        "layer_norm": (ATEN.native_layer_norm.default, (rows, [5], row_w, row_w, 1e-5)),
        "group_norm": (ATEN.native_group_norm.default, (x, w, w, 3, 4, 5, 2, 1e-5)),
        "batch_norm": (ATEN.native_batch_norm.default, (x, w, w, None, None, True, 0.1, 1e-5)),
        "group_norm backward": (
            ATEN.native_group_norm_backward.default,
            (x, x, *statistics, w, 3, 4, 5, 2, [True, True, True]),
        ),
    }


@pytest.mark.parametrize("name", norm_calls())
def test_that_norms_of_two_formats_return_what_kernels_return(name: str) -> None:
    operation, arguments = norm_calls()[name]
    right = [(tensor.shape, tensor.dtype) for tensor in operation(*arguments)]
    with QuickFake():
        numberless = [
            torch.empty_like(value) if isinstance(value, torch.Tensor) else value
            for value in arguments
        ]
        found = [(tensor.shape, tensor.dtype) for tensor in operation(*numberless)]

    assert found == right
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [
            mode.from_tensor(value) if isinstance(value, torch.Tensor) else value
            for value in arguments
        ]
        torchs_own = [(tensor.shape, tensor.dtype) for tensor in operation(*fakes)]
    # WORKAROUND in quick_fake.py: goes when torch's mode says what kernels return.
    assert torchs_own != right
