"""Layers as functions of explicit tensors, and those that can be written out as lines of code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from core.spec import layers as spec

Tensors = Mapping[str, torch.Tensor]
Forward = Callable[[Tensors, Tensors, torch.Tensor, bool], torch.Tensor]
"""Of all parameters, all buffers, the input, and whether running statistics are updated."""


@runtime_checkable
class Written(Protocol):
    """A ``Forward`` that can be written out where it is called.

    Whoever does that saves what stands between, which counts in a small network's time.
    """

    def __call__(
        self, parameters: Tensors, buffers: Tensors, x: torch.Tensor, update_statistics: bool
    ) -> torch.Tensor: ...

    def written(
        self, place: str, weight: Callable[[str], str], known: dict[str, Any]
    ) -> Sequence[str]:
        """Lines of Python that make ``x`` what the layer makes of it.

        They may read ``buffers`` and ``update``, whether running statistics are updated.

        Args:
            place: tells the layer's names from those of others.
            weight: what a parameter of a name is called there.
            known: takes the names that the lines use besides.
        """
        ...


@dataclass(frozen=True)
class Direct:
    """A layer that is one function of torch.

    Attributes:
        function: of the input, the layer's tensors and the settings.
        names: of the tensors, in the function's order.
        settings: the function's further arguments.
    """

    function: Callable[..., torch.Tensor]
    names: tuple[str, ...]
    settings: tuple[object, ...]

    def __call__(
        self, parameters: Tensors, buffers: Tensors, x: torch.Tensor, update_statistics: bool
    ) -> torch.Tensor:
        return self.function(x, *map(parameters.__getitem__, self.names), *self.settings)

    def written(
        self, place: str, weight: Callable[[str], str], known: dict[str, Any]
    ) -> Sequence[str]:
        settings = [f"s{place}_{position}" for position in range(len(self.settings))]
        known |= {f"f{place}": self.function, **dict(zip(settings, self.settings, strict=True))}
        return [f"x = f{place}({', '.join(['x', *map(weight, self.names), *settings])})"]


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization by the batch, which running statistics may follow.

    Attributes:
        function: as ``torch.nn.functional.batch_norm``.
        prefix: what the names of the layer's tensors start with.
        layer: its settings.
    """

    function: Callable[..., torch.Tensor]
    prefix: str
    layer: spec.BatchNorm

    def __call__(
        self, parameters: Tensors, buffers: Tensors, x: torch.Tensor, update_statistics: bool
    ) -> torch.Tensor:
        tracked, affine = self.layer.track_running_stats, self.layer.affine
        if tracked and update_statistics:
            buffers[self.prefix + "num_batches_tracked"].add_(1)
        # A momentum of 0 leaves the statistics as they are; without them torch would save other
        # tensors when it computes a checkpoint again than at first, which it refuses.
        return self.function(
            x,
            buffers[self.prefix + "running_mean"] if tracked else None,
            buffers[self.prefix + "running_var"] if tracked else None,
            parameters[self.prefix + "weight"] if affine else None,
            parameters[self.prefix + "bias"] if affine else None,
            True,
            self.layer.momentum if update_statistics else 0.0,
            self.layer.eps,
        )

    def written(
        self, place: str, weight: Callable[[str], str], known: dict[str, Any]
    ) -> Sequence[str]:
        layer, function = self.layer, f"f{place}"
        known[function] = self.function
        affine, statistics, count = ["None", "None"], ["None", "None"], list[str]()
        if layer.affine:
            affine = [weight(self.prefix + name) for name in ("weight", "bias")]
        if layer.track_running_stats:
            names = [self.prefix + name for name in ("running_mean", "running_var")]
            statistics = [f"buffers[{name!r}]" for name in names]
            batches = self.prefix + "num_batches_tracked"
            count = [f"if update: buffers[{batches!r}].add_(1)"]
        momentum = f"{layer.momentum!r} if update else 0.0"
        arguments = ["x", *statistics, *affine, "True", momentum, repr(layer.eps)]
        return [*count, f"x = {function}({', '.join(arguments)})"]
