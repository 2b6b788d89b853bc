"""Tensors without numbers, many times as fast as torch's own ``FakeTensorMode``.

That mode works out what an operation returns anew, or looks it up under a key that costs more than
most operations do. A workload calls few different operations many times over, so what they return
is kept here under the call that ``calls`` writes down anyway, and views are torch's own: they read
no number. What has not been seen before is worked out by torch's mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, UnsupportedOperatorException
from torch.utils._python_dispatch import _disable_current_modes
from typing_extensions import override

from core.measure.memory.accumulation import EXCLUSIVE_STORAGE
from core.measure.memory.alone import POINTWISE
from core.measure.memory.calls import RECURRENT, Call, TensorLike, call_of
from core.measure.watching import Watching

_CPU = torch.device("cpu")
_CHANGES_SHAPE = frozenset(["resize_", "resize_as_", "set_", "as_strided_", "sparse_resize_"])

PLAIN = POINTWISE | frozenset(
    """
    _log_softmax _log_softmax_backward_data _softmax _softmax_backward_data addmm baddbmm bmm
    embedding_dense_backward empty_like gather gelu_backward index_select mean mm mse_loss
    mse_loss_backward nll_loss_backward nll_loss_forward stack sum
    """.split()  # noqa: SIM905, one name a line would fill a page
)
"""Operations whose kernels for shapes alone say what torch's mode says, at a tenth of its cost."""

_RIGHT: dict[Any, Callable[..., torch.Tensor]] = {
    torch.ops.aten._log_softmax_backward_data.default: lambda _, result, __, dtype: torch.empty(
        result.shape, dtype=dtype, device="meta"
    ),
    torch.ops.aten.mse_loss_backward.default: lambda _, x, y, __: torch.empty(
        (x + y).shape, dtype=x.dtype, device="meta"
    ),
    torch.ops.aten.softplus_backward.default: lambda back, x, *_: back + x,
}
"""WORKAROUND: torch 2.13 says other strides of these than their kernels return for transposed
operands. A test compares all of ``PLAIN`` with what real operations return."""

_aten = torch.ops.aten
_WEIGHT_AT = {
    _aten.native_layer_norm.default: 2,
    _aten.native_group_norm.default: 1,
    _aten._native_batch_norm_legit.default: 1,
    _aten._native_batch_norm_legit.no_stats: 1,
}
"""WORKAROUND: under autocast norms take inputs and weights of different formats. torch's mode then
says that their statistics have the format of the inputs, while kernels keep them in that of the
weights; and that the gradient by the inputs of group_norm has the format of the weights."""

_WITHOUT_NUMBERS = frozenset(
    [
        _aten._efficientzerotensor.default,
        _aten._has_same_storage_numel.default,
        _aten.is_same_size.default,
    ]
)
"""What tangents need: zeros that have no memory anyway, and questions about shapes and storages.
Torch adds such zeros by way of shapes on its device without memory, in its ``prims``."""

_SHARES = frozenset(
    [
        _aten._unsafe_view.default,
        _aten.unsafe_split.Tensor,
        _aten.unsafe_split_with_sizes.default,
    ]
)
"""Views that do not say so; cells of recurrent layers are full of them."""

_returned: dict[Call, tuple[TensorLike | None, ...]] = {}
"""What operations that make new tensors return; shapes, which no process forgets. None stands for
a gradient that was not asked for."""

_MOST = 100_000


class Numberless(torch.Tensor):
    """A tensor on the CPU with a shape and a storage, behind which there is no memory."""

    __torch_function__: ClassVar[Any] = torch._C._disabled_torch_function_impl
    company: torch.Tensor
    """Set where something else is to hold its storage for as long as it lives."""

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Operations outside of ``QuickFake``."""
        del types
        return answer(func, args, kwargs or {})


class QuickFake(Watching):
    """Makes every tensor a numberless one; for workloads whose tensors are all dense and on the
    CPU."""

    @override
    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return answer(func, args, kwargs)


def answer(
    func: Any, args: tuple[Any, ...], keywords: dict[str, Any], call: Call | None = None
) -> Any:
    """What an operation would return, without numbers.

    Args:
        func: an overload of one of torch's operations.
        args: numberless tensors, and real ones whose numbers do not matter.
        keywords: as those.
        call: the same as a value, where the caller has it.

    Raises:
        torch._subclasses.fake_tensor.DataDependentOutputException: it depends on numbers.
    """
    kind = _kind(func)
    if kind == "new":
        if "generator" in keywords:
            # Made anew for each run: nothing would be found under it again.
            call, keywords = None, keywords | {"generator": None}
        call = call or call_of(func, args, keywords)
        likes = _returned.get(call)
        if likes is None:
            return _worked_out(func, args, keywords, call)
        if len(likes) == 1:
            return _made(likes[0])
        return tuple([_made(like) for like in likes])
    if kind == "view":
        return _shown(func, args, keywords)
    if kind == "in place" and isinstance(args[0], Numberless):
        return args[0]
    if kind == "composite":
        with QuickFake():
            return func.decompose(*args, **keywords)
    if kind == "meta":
        return _on_meta(func, args, keywords)
    if kind == "itself":
        with torch._C._DisableTorchDispatch():
            return func(*args, **keywords)
    if any(isinstance(tensor, Numberless) for tensor in _tensors([*args, *keywords.values()])):
        return _worked_out(func, args, keywords, None)
    return func(*args, **keywords)


@cache
def _kind(
    func: Any,
) -> Literal["new", "view", "in place", "composite", "itself", "meta", "other"]:
    """What an operation returns: new tensors, views, its first argument, what the operations
    return that it is made of, what torch's own returns without reading a number, a shape alone, or
    something else."""
    if func in _WITHOUT_NUMBERS:
        return "itself"
    if func.namespace == "prims":
        return "meta"
    if func in _SHARES:
        return "view"
    if func._can_decompose():
        return "composite"
    schema = func._schema
    returns, aliases = schema.returns, [value.alias_info for value in schema.returns]
    if not returns or any(str(value.type) not in {"Tensor", "List[Tensor]"} for value in returns):
        return "other"
    changes_shape = (
        torch.Tag.inplace_view in func.tags or schema.name.split("::")[1] in _CHANGES_SHAPE
    )
    if all(alias is None for alias in aliases):
        return "new" if all(str(value.type) == "Tensor" for value in returns) else "other"
    if any(alias is None for alias in aliases):
        return "other"
    if changes_shape or not any(alias.is_write for alias in aliases):
        return "view"
    first = schema.arguments[0]
    itself = (
        len(returns) == 1
        and first.alias_info is not None
        and first.alias_info.is_write
        and not any(value.is_out for value in schema.arguments)
    )
    return "in place" if itself else "other"


def _made(like: TensorLike | None) -> Numberless | None:
    if like is None:
        return None
    made: Numberless = torch.Tensor._make_wrapper_subclass(
        Numberless, like.size, strides=like.stride, dtype=like.dtype
    )
    return made


def made(like: TensorLike) -> Numberless:
    """A new tensor, whose storage is as large as it is."""
    tensor = _made(like)
    assert tensor is not None
    return tensor


def another_view(
    tensor: torch.Tensor, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> torch.Tensor:
    """A tensor on the storage of another."""
    shown: torch.Tensor = _shown(_aten.as_strided.default, (tensor, size, stride, offset), {})
    return shown


def is_alone(tensor: torch.Tensor) -> bool:
    """Whether no other tensor holds its storage."""
    count: int = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    return count <= EXCLUSIVE_STORAGE


def keep_company(tensor: torch.Tensor) -> None:
    """Sees to it that another tensor holds its storage for as long as it lives."""
    if is_alone(tensor):
        assert isinstance(tensor, Numberless)
        place = tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset())
        tensor.company = another_view(tensor, *place)


def _shown(func: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """A view, or the tensor itself with another shape; torch moves no number for that."""
    with torch._C._DisableTorchDispatch():
        shown = func(*args, **keywords)
        if not isinstance(args[0], Numberless) or shown is args[0]:
            return shown
        if isinstance(shown, torch.Tensor):
            return torch.Tensor._make_subclass(Numberless, shown)
        return [torch.Tensor._make_subclass(Numberless, part) for part in shown]


def _worked_out(
    func: Any, args: tuple[Any, ...], keywords: dict[str, Any], call: Call | None
) -> Any:
    """Asks torch, and keeps what it returns under ``call`` where there is one."""
    if call is not None and call.base_name in PLAIN:
        output, given = _on_meta(func, args, keywords), dict[int, torch.Tensor]()
    else:
        output, given = _in_torchs_mode(func, args, keywords)
    right = _in_right_formats(func, args, output)
    if right is not output:
        output = right
        given.clear()  # the storages that were given for arguments may be those of results by now
    if func is RECURRENT and torch.is_grad_enabled():
        # WORKAROUND: torch's mode leaves the workspace empty; the kernel's true size comes later.
        output = (*output[:3], torch.empty(1, dtype=torch.uint8, device="meta"))
        given.clear()  # the storages that were given for arguments may be those of results by now

    def own(tensor: torch.Tensor) -> torch.Tensor | None:
        """The same without numbers; one that shares an argument's storage still shares it."""
        old = given.get(tensor.untyped_storage()._cdata)
        if old is None:
            return _made(_like(func, tensor))
        place = (tensor.shape, tensor.stride(), tensor.storage_offset() + old.storage_offset())
        shared: torch.Tensor = _shown(torch.ops.aten.as_strided.default, (old, *place), {})
        return shared

    fresh = not any(tensor.untyped_storage()._cdata in given for tensor in _tensors(output))
    if call is not None and fresh and len(_returned) < _MOST:
        outputs = output if isinstance(output, tuple) else (output,)
        _returned[call] = tuple(
            [None if tensor is None else _like(func, tensor) for tensor in outputs]
        )
    return _with_tensors(output, own)


def _in_right_formats(func: Any, args: tuple[Any, ...], output: Any) -> Any:
    """The outputs of a norm in the formats that kernels give them."""
    gradient = output[0] if func is _aten.native_group_norm_backward.default else None
    if gradient is not None and gradient.dtype != args[1].dtype:
        return (_in_format(gradient, args[1].dtype), *output[1:])
    weight = args[_WEIGHT_AT[func]] if func in _WEIGHT_AT else None
    if weight is None or weight.dtype == args[0].dtype:
        return output
    return (output[0], *[_in_format(statistic, weight.dtype) for statistic in output[1:]])


def _in_format(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device="meta")


def _on_meta(func: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What torch's kernels for shapes return."""
    with torch._C._DisableTorchDispatch():
        taken = [_with_tensors(value, _meta) for value in args]
        named = {name: _with_tensors(value, _meta) for name, value in keywords.items()}
        if "device" in named:
            named["device"] = "meta"
        return _RIGHT.get(func, func)(*taken, **named)


def _in_torchs_mode(
    func: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Any, dict[int, torch.Tensor]]:
    """What torch's mode returns, and the numberless arguments by the storages that it was given
    for them."""
    given: dict[int, torch.Tensor] = {}
    mode = _torchs_mode()

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, Numberless):
            return tensor
        made = FakeTensor(mode, _meta(tensor), _CPU)
        given[made.untyped_storage()._cdata] = tensor
        return made

    with _disable_current_modes():
        taken = [_with_tensors(value, fake) for value in args]
        named = {name: _with_tensors(value, fake) for name, value in keywords.items()}
        with mode:
            return func(*taken, **named), given


@cache
def _torchs_mode() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


def _meta(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_meta or not (tensor.dim() or isinstance(tensor, Numberless)):
        return tensor  # a number that became a tensor decides less of the result's type
    size, stride, dtype = tensor.shape, tensor.stride(), tensor.dtype
    return torch.empty_strided(size, stride, dtype=dtype, device="meta")


def _like(func: Any, tensor: torch.Tensor) -> TensorLike:
    """The tensor without its numbers.

    Raises:
        torch._subclasses.fake_tensor.UnsupportedOperatorException: it has no strides.
    """
    if tensor.layout != torch.strided or tensor.storage_offset():
        raise UnsupportedOperatorException(func)
    return TensorLike(tuple(tensor.shape), tensor.stride(), tensor.dtype)


def _with_tensors(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """The value with other tensors in it."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([_with_tensors(part, change) for part in value])
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
