"""Looking at every operation that torch runs."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

ASK_DEVICE = torch.ops.prim.device.default
"""No operation: autograd asks a tensor without numbers where it lies, twice an operation."""


class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operation while it is entered."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    @override
    def _should_skip_dynamo(cls) -> bool:
        """WORKAROUND: true, the default, loads torch._dynamo at the first operation: a second."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        if func is ASK_DEVICE:
            return self.device_of(args[0])
        return self.operation(func, args, kwargs or {})

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs the operation and returns its result; what is to be seen of it is seen here."""
        raise NotImplementedError

    def device_of(self, tensor: torch.Tensor) -> torch.device:
        """Where a tensor lies."""
        device: torch.device = ASK_DEVICE(tensor)
        return device
