"""Tensors without numbers: the same books as torch's own mode gives, only sooner."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.autograd import forward_ad

import core.measure.forecasting.prediction as prediction_module
import core.measure.forecasting.quick_fake as quick_module
from core.measure.forecasting.prediction import predict
from core.measure.forecasting.quick_fake import QuickFake
from core.measure.memory.blocks import Books
from core.spec.run import RunSpec
from tests.core.measure.memory.exactness import CPU
from tests.core.measure.memory.test_exactness import STACKS, run_of


def books(spec: RunSpec, mode: type[FakeTensorMode], monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.setattr(prediction_module, "QuickFake", mode)
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
    expected = books(spec, FakeTensorMode, monkeypatch)
    for attempt in ("first seen", "from what is known"):
        quick = books(spec, QuickFake, monkeypatch)
        assert quick.calls == expected.calls, attempt
        assert quick.entries == expected.entries, attempt
        assert [block.category for block in quick.blocks] == [
            block.category for block in expected.blocks
        ]


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
        assert isinstance(quick, FakeTensor)
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
    original = FakeTensorMode.__torch_dispatch__

    def counted(self, func, types, args=(), kwargs=None):
        worked_out.append(str(func))
        return original(self, func, types, args, kwargs)

    monkeypatch.setattr(quick_module, "_returned", {})
    monkeypatch.setattr(FakeTensorMode, "__torch_dispatch__", counted)
    with QuickFake():
        tensor = torch.ones(5, 7)
        for _ in range(10):
            tensor.t() @ tensor
    assert worked_out.count("aten.mm.default") == 1
    assert "aten.t.default" not in worked_out


def test_that_the_private_parts_that_this_leans_on_are_there() -> None:
    """A canary: another version of torch may call them differently."""
    with QuickFake() as mode:
        made = FakeTensor(mode, torch.empty(3, device="meta"), CPU)
        assert (made + 1).device == CPU
        assert made.fake_device == CPU
    assert FakeTensorMode._should_skip_dynamo.__self__ is FakeTensorMode
    assert torch.Tag.inplace_view in torch.ops.aten.t_.default.tags


def test_that_values_are_still_refused() -> None:
    with QuickFake(), pytest.raises(DataDependentOutputException):
        torch.ones(1).add(1).item()


def test_that_zeros_of_a_missing_tangent_stay_nothing_however_often_they_come() -> None:
    with QuickFake(), forward_ad.dual_level():
        numbers = torch.ones(3, 4)
        for _ in range(2):
            zeros = torch._efficientzerotensor((3, 4))
            assert zeros._is_zerotensor()
            assert zeros.t()._is_zerotensor()
            assert (zeros * numbers)._is_zerotensor()
            assert not (zeros + numbers)._is_zerotensor()
            assert not (numbers * numbers)._is_zerotensor()


def test_that_an_unsafe_view_shares_its_storage_however_often_it_comes() -> None:
    with QuickFake():
        for _ in range(2):
            numbers = torch.ones(3, 4)
            shown = torch.ops.aten._unsafe_view(numbers, [12])
            assert shown.untyped_storage()._cdata == numbers.untyped_storage()._cdata
