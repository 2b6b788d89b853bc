"""Calls as values: equal exactly where the same kernels run on the same sizes."""

import torch

from core.measure.memory.calls import TensorLike, call_of, only_shows, rebuild

ATEN = torch.ops.aten
CPU = torch.device("cpu")


def product(one: torch.Tensor, other: torch.Tensor):
    return call_of(ATEN.mm.default, (one, other))


def test_that_calls_are_equal_whatever_the_numbers() -> None:
    one = product(torch.zeros(3, 4), torch.zeros(4, 5))
    other = product(torch.ones(3, 4), torch.ones(4, 5))
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key


def test_that_shape_stride_type_and_settings_tell_calls_apart() -> None:
    plain = torch.ones(4, 4)
    calls = [
        product(plain, plain),
        product(plain, plain.t()),
        product(plain, torch.ones(4, 5)),
        product(plain.double(), plain.double()),
        call_of(ATEN.sum.dim_IntList, (plain, [0])),
        call_of(ATEN.sum.dim_IntList, (plain, [1])),
        call_of(ATEN.sum.dim_IntList, (plain, [1], True)),
        call_of(ATEN.add.Tensor, (plain, plain)),
        call_of(ATEN.add.Tensor, (plain, plain), {"alpha": 2}),
        call_of(ATEN.add.Tensor, (plain, plain), {"alpha": 2.0}),
        call_of(ATEN.mul.Scalar, (plain, 1)),
        call_of(ATEN.mul.Scalar, (plain, 1.0)),
        call_of(ATEN.mul.Scalar, (plain, True)),
    ]
    assert len(set(calls)) == len({call.key for call in calls}) == len(calls)


def test_that_a_call_holds_no_tensor() -> None:
    tensor = torch.ones(1000)
    before = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    call = call_of(ATEN.cat.default, ([tensor, tensor],))
    assert torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) == before
    assert list(call.tensors()) == [TensorLike((1000,), (1,), torch.float32)] * 2


def test_that_names_and_keys_are_for_people() -> None:
    call = call_of(ATEN.sum.dim_IntList, (torch.ones(2, 3).t(), [0]), {"dtype": torch.float64})
    assert (call.name, call.base_name) == ("aten.sum.dim_IntList", "sum")
    assert call.key == "aten.sum.dim_IntList(float32[3, 2]:[1, 3], [0], dtype=torch.float64)"


def test_that_bytes_reach_from_the_first_to_the_last_number() -> None:
    def nbytes(tensor: torch.Tensor) -> int:
        (like,) = call_of(ATEN.neg.default, (tensor,)).tensors()
        return like.nbytes

    assert nbytes(torch.ones(3, 4)) == 48
    assert nbytes(torch.ones(3, 4).t()) == 48
    assert nbytes(torch.ones(3, 4)[:, ::2]) == 4 * (2 * 4 + 2 + 1)
    assert nbytes(torch.ones(1).expand(100, 100)) == 4
    assert nbytes(torch.ones(0, 5)) == 0
    assert nbytes(torch.tensor(1.0, dtype=torch.float64)) == 8


def test_that_rebuilt_arguments_have_the_same_shapes_strides_and_types() -> None:
    arguments = (torch.ones(3, 4).t(), [torch.ones(2).long(), None], 2.5, [1, 2], True)
    call = call_of(ATEN.neg.default, arguments, {"other": torch.ones(2, dtype=torch.bool)})
    rebuilt, keywords = rebuild(call, CPU)
    assert call_of(ATEN.neg.default, rebuilt, keywords) == call
    assert rebuilt[0].stride() == (1, 4)
    assert rebuilt[2:] == [2.5, [1, 2], True]
    assert [type(value) for value in rebuilt[2:]] == [float, list, bool]
    assert rebuilt[1][0].max() == 0, "whole numbers are indices of anything"


def test_that_sparse_tensors_are_rebuilt_with_as_many_entries() -> None:
    sparse = torch.sparse_coo_tensor([[0, 3, 3]], torch.ones(3, 5), (7, 5), check_invariants=False)
    call = call_of(ATEN.neg.default, (sparse,))
    (like,) = call.tensors()
    assert (like.entries, like.sparse_dims, like.size) == (3, 1, (7, 5))
    assert like.nbytes == 3 * 5 * 4 + 3 * 8
    ((rebuilt,), _) = rebuild(call, CPU)
    assert rebuilt._nnz() == 3
    assert rebuilt._indices().shape == (1, 3)
    assert call_of(ATEN.neg.default, (rebuilt,)) == call


def test_that_operations_which_only_show_an_argument_are_known() -> None:
    """They compute nothing, so that nobody has to learn what they cost."""
    aten = torch.ops.aten
    shows = (aten.t.default, aten.view.default, aten.expand.default, aten.detach.default)
    assert all(only_shows(operation) for operation in shows)
    computes = (aten.add_.Tensor, aten.mm.default, aten.clone.default, aten.zero_.default)
    assert not any(only_shows(operation) for operation in computes)
