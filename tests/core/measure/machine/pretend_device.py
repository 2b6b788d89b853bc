"""A kind of accelerator made of the CPU: torch takes it for a device of its own, with a thread of
its own for backward passes.

Importing it registers the device ``pretend:0`` for the whole process, so that it belongs into a
process of its own. Every operation is done by the CPU's; views are copies, and an output that
autograd saves for its own derivative (that of tanh, say) is lost.
"""

import os
from typing import Any, NoReturn

import torch
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class PretendTensor(torch.Tensor):
    """A tensor on the device; ``held`` is where its numbers are."""

    held: torch.Tensor


def _onto_device(value: object) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    tensor = torch._C._acc.create_empty_tensor(value.shape, value.dtype)
    tensor.__class__ = PretendTensor
    tensor.held = value
    return tensor


def _off_device(value: object) -> object:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.held if isinstance(value, PretendTensor) else value


def _by_the_cpu(operation: Any, *args: Any, **kwargs: Any) -> Any:
    done = operation(*tree_map(_off_device, args), **tree_map(_off_device, kwargs))
    return tree_map(_onto_device, done)


def _empty(size: Any, *_: Any, dtype: torch.dtype | None = None, **__: Any) -> Any:
    return _onto_device(torch.empty(size, dtype=dtype))


def _copy_from(source: Any, target: Any, non_blocking: bool = False) -> Any:
    del non_blocking
    if isinstance(target, PretendTensor):
        target.held = torch.clone(source.held if isinstance(source, PretendTensor) else source)
    else:
        target.copy_(source.held)
    return target


def _detach(tensor: Any) -> Any:
    return _onto_device(tensor.held.detach())


_setup_privateuseone_for_python_backend("pretend")
_everything = torch.library.Library("_", "IMPL")
_everything.fallback(_by_the_cpu, "PrivateUse1")
_own = torch.library.Library("aten", "IMPL")
_own.impl("detach", _detach, "PrivateUse1")
_own.impl("empty.memory_format", _empty, "PrivateUse1")
_own.impl("empty_strided", _empty, "PrivateUse1")
_own.impl("_copy_from", _copy_from, "PrivateUse1")

DEVICE = torch.device("pretend", 0)


def leave(answer: str) -> NoReturn:
    """Prints the answer and ends the process at once.

    WORKAROUND: an interpreter that ends while the device's thread waits for it aborts now and then
    ("terminate called without an active exception"), since the device is written in Python.
    """
    print(answer, flush=True)
    os._exit(0)
