"""What decides what a function does, as a value that equals that of functions like it."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from functools import cache, partial
from types import FunctionType, MethodType
from typing import Any

import torch

from core.engine.recorder import Silent

_STATELESS = frozenset([Silent])
_PLAIN = (int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


class Alike:
    """Describes functions by their code and by what they hold.

    Tensors are described by their shapes, and what nobody knows by itself: it is kept, so that no
    other takes its place.

    Args:
        here: what stands for itself at once.
    """

    def __init__(self, here: object) -> None:
        self._kept: dict[int, object] = {id(here): here}

    def described(self, value: Any) -> object:
        """The value without its tensors' numbers."""
        return self._described(value, ())

    def _described(self, value: Any, within: tuple[int, ...]) -> object:
        kind = type(value)
        if kind in _PLAIN or kind is bool:
            return kind, value
        if isinstance(value, torch.Tensor):
            return (
                kind,
                value.shape,
                value.stride(),
                value.storage_offset(),
                value.dtype,
                value.requires_grad,
            )
        if id(value) in self._kept:
            return id(value)
        if id(value) in within:
            return "within", within.index(id(value))
        inside = (*within, id(value))
        if kind is tuple or kind is list:
            return kind, tuple([self._described(item, inside) for item in value])
        if kind is range:
            return kind, value.start, value.stop, value.step
        if kind is dict:
            return kind, tuple(
                [(self._described(k, inside), self._described(v, inside)) for k, v in value.items()]
            )
        if kind is FunctionType:
            cells = value.__closure__ or ()
            # Code that is put together as it runs may be the same and call other functions.
            names = value.__globals__
            self._kept.setdefault(id(names), names)
            return (
                value.__code__,
                id(names),
                tuple([self._described(cell.cell_contents, inside) for cell in cells]),
                self._described(value.__defaults__, inside),
                self._described(value.__kwdefaults__, inside),
            )
        if kind is MethodType:
            return kind, value.__func__, self._described(value.__self__, inside)
        if kind is partial:
            parts = value.func, value.args, value.keywords
            return kind, self._described(parts, inside)
        fields = _fields(kind)  # type: ignore[arg-type]  # mypy: a metaclass may not hash
        if fields is not None:
            return kind, tuple([self._described(getattr(value, name), inside) for name in fields])
        self._kept[id(value)] = value
        return id(value)


@cache
def _fields(kind: Hashable) -> tuple[str, ...] | None:
    """Of a dataclass that does not change, and of a class without any; None of others."""
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        return () if kind in _STATELESS else None
    frozen: bool = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return tuple([field.name for field in dataclasses.fields(kind)]) if frozen else None
