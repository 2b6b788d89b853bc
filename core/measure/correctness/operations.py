"""Which operations a computation runs, and for which of its layers."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from typing_extensions import override

from core.engine.recorder import Silent
from core.measure.correctness.known_faults import Operation
from core.measure.watching import Watching

_TELLING: Final = {
    "aten::native_batch_norm": "training",
    "aten::cudnn_batch_norm": "training",
    "aten::miopen_batch_norm": "training",
    "aten::embedding": "sparse",
    "aten::mse_loss": "reduction",
    "aten::scatter_reduce": "reduce",
}
"""The argument of an operation that its name does not tell enough without."""


class Operations(Silent, Watching):
    """Notes operations while it is entered; hears of the layers as a ``Recorder`` does."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: int | None = None
        self._seen: dict[Operation, None] = {}

    @property
    def seen(self) -> tuple[Operation, ...]:
        """Each operation of each layer once, in the order of first use."""
        return tuple(self._seen)

    @override
    def layer(self, index: int) -> None:
        self._layer = index if index >= 0 else None

    @override
    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._seen[Operation(self._layer, _name(func, args, kwargs))] = None
        return func(*args, **kwargs)


def _name(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    name, telling = _signature(func)
    if telling is None:
        return name
    value = kwargs.get(telling.name, telling.default)
    if telling.position < len(args):
        value = args[telling.position]
    return f"{name}({telling.name}={value})"


class _Argument(NamedTuple):
    name: str
    position: int
    default: object


@cache
def _signature(func: Any) -> tuple[str, _Argument | None]:
    """The name of an operation, and its telling argument where it has one."""
    schema = func._schema
    for position, argument in enumerate(schema.arguments):
        if argument.name == _TELLING.get(schema.name):
            return schema.name, _Argument(argument.name, position, argument.default_value)
    return schema.name, None
