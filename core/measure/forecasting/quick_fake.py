"""Tensors without numbers, several times as fast as torch's own ``FakeTensorMode``.

That mode works out what an operation returns anew, or looks it up under a key that costs more than
most operations do. A workload calls few different operations many times over, so what they return
is kept here under the call that ``calls`` writes down anyway. The rest is left to torch's mode.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
from torch._subclasses.fake_tensor import (
    FakeTensor,
    FakeTensorMode,
    in_kernel_invocation_manager,
)
from typing_extensions import override

from core.engine.tangents import carries_tangents
from core.measure.memory.calls import Call, TensorLike, call_of
from core.measure.watching import ASK_DEVICE

_CPU = torch.device("cpu")
_VIEWS = frozenset(
    """
    _reshape_alias as_strided detach diagonal expand permute select slice squeeze t transpose
    unsqueeze view
    """.split()  # noqa: SIM905, one name a line would fill a page
)
"""Not all that return an alias: some, such as `to`, do so at times only."""

_CHANGES_SHAPE = frozenset(["resize_", "resize_as_", "set_", "as_strided_", "sparse_resize_"])

_returned: dict[Call, tuple[TensorLike, ...]] = {}
"""What operations that make new tensors return; shapes, which no process forgets."""

_MOST = 100_000


class QuickFake(FakeTensorMode):  # type: ignore[no-untyped-call]
    """For workloads whose tensors are all on the CPU."""

    @classmethod
    @override
    def _should_skip_dynamo(cls) -> bool:
        """True, the default, adds a wrapper to each operation that costs as much as all of this."""
        return False

    @override
    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        if func is ASK_DEVICE:
            return device_of(args[0])
        keywords = kwargs or {}
        kind = _kind(func)
        if kind == "in place" and isinstance(args[0], FakeTensor):
            return args[0]
        if kind == "view" and isinstance(args[0], FakeTensor):
            with in_kernel_invocation_manager(self):
                shown = func(*args, **keywords)
            return FakeTensor(self, shown, args[0].fake_device)
        if kind != "new" or (carries_tangents() and any(map(_stands_for_zeros, args))):
            return super().__torch_dispatch__(func, types, args, keywords)
        call = call_of(func, args, keywords)
        likes = _returned.get(call)
        if likes is not None:
            made = [self._make(like) for like in likes]
            return made[0] if _single(func) else tuple(made)
        output = super().__torch_dispatch__(func, types, args, keywords)
        _remember(call, output)
        return output

    def _make(self, like: TensorLike) -> FakeTensor:
        meta = torch.empty_strided(like.size, like.stride, dtype=like.dtype, device="meta")
        return FakeTensor(self, meta, _CPU)


def device_of(tensor: torch.Tensor) -> torch.device:
    """The CPU, but for what stands in for zeros that nobody wrote down: it lies nowhere."""
    device: torch.device = tensor.fake_device if isinstance(tensor, FakeTensor) else _CPU
    return device


def _stands_for_zeros(argument: Any) -> bool:
    """Whether it is the zeros of a missing tangent, or their shadow on the meta device: other
    things come of them than of numbers."""
    return isinstance(argument, torch.Tensor) and (
        argument._is_zerotensor() or device_of(argument) != _CPU
    )


@cache
def _kind(func: Any) -> Literal["new", "view", "in place"] | None:
    """What an operation returns: new tensors, one view, its first argument, or something else."""
    schema = func._schema
    returns, aliases = schema.returns, [value.alias_info for value in schema.returns]
    if not returns or any(str(value.type) != "Tensor" for value in returns):
        return None
    name = schema.name.split("::")[1]
    if name == "_unsafe_view":  # whose schema hides that it shows its argument
        return "view"
    if all(alias is None for alias in aliases):
        return "new"
    if len(returns) > 1:
        return None
    if not aliases[0].is_write:
        return "view" if name in _VIEWS else None
    shape_stays = (
        torch.Tag.inplace_view not in func.tags
        and name not in _CHANGES_SHAPE
        and schema.arguments[0].alias_info is not None
        and schema.arguments[0].alias_info.is_write
        and not any(value.is_out for value in schema.arguments)
    )
    return "in place" if shape_stays else None


@cache
def _single(func: Any) -> bool:
    return len(func._schema.returns) == 1


def _remember(call: Call, output: Any) -> None:
    outputs = output if isinstance(output, tuple) else (output,)
    plain = all(
        isinstance(tensor, FakeTensor)
        and tensor.layout == torch.strided
        and tensor.fake_device == _CPU
        and tensor.storage_offset() == 0
        and not tensor._is_zerotensor()
        for tensor in outputs
    )
    if plain and len(_returned) < _MOST:
        _returned[call] = tuple(
            TensorLike(tuple(tensor.shape), tensor.stride(), tensor.dtype) for tensor in outputs
        )
