"""How much arithmetic a call asks for, roughly: whether it is quick enough to be tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from core.measure.memory.calls import Call, TensorLike

Tensors = Sequence[TensorLike]


def work(call: Call) -> float:
    """Floating-point operations of a product or convolution; else the number of entries."""
    tensors = list(call.tensors())
    count = _COUNTS.get(call.base_name, _entries)
    return count(tensors) if tensors else 0.0


def _entries(tensors: Tensors) -> float:
    return float(sum(math.prod(tensor.size) for tensor in tensors))


def _product(left: TensorLike, right: TensorLike) -> float:
    return 2.0 * math.prod(left.size) * right.size[-1]


def _convolution(tensors: Tensors) -> float:
    """As if the window stood on every place of the input: with strides it is less."""
    image, kernel = tensors[0], tensors[1]
    places = math.prod(image.size[2:])
    return 2.0 * image.size[0] * places * math.prod(kernel.size)


def _convolution_backward(tensors: Tensors) -> float:
    """One convolution for the image and one for the kernel; the gradient comes first."""
    return 2 * _convolution(tensors[1:])


_COUNTS: dict[str, Callable[[Tensors], float]] = {
    "mm": lambda tensors: _product(tensors[0], tensors[1]),
    "bmm": lambda tensors: _product(tensors[0], tensors[1]),
    "addmm": lambda tensors: _product(tensors[1], tensors[2]),
    "baddbmm": lambda tensors: _product(tensors[1], tensors[2]),
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
}
