"""A stack of layers as one function of explicit tensors, checkpointed as the spec says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from core.engine.layers import forward
from core.engine.recorder import Recorder
from core.engine.segments import STRATEGIES, Segment, Strategy, cut
from core.spec.mitigations import Checkpointing
from core.spec.model import StackModel

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class _Run:
    """A segment's layers, the names of their parameters, and whether one of them is random."""

    layers: range
    names: tuple[str, ...]
    random: bool


class Stack:
    """The layers of a model, ready to be applied to any parameters."""

    def __init__(self, model: StackModel, order: int, checkpointing: Checkpointing) -> None:
        """Prepares the functions of the layers.

        Args:
            model: a stack without problems.
            order: how often the output will be differentiated.
            checkpointing: which activations are dropped.
        """
        self.random = any(layer.random for layer in model.layers)
        self._layers = tuple(
            forward(layer, index, order) for index, layer in enumerate(model.layers)
        )
        self._all = range(len(self._layers))
        self._strategy = STRATEGIES.get(checkpointing.kind)
        self._runs = tuple(
            _run(model, layers) for layers in cut(len(self._layers), checkpointing.segments)
        )

    def forward(
        self,
        parameters: Tensors,
        buffers: Tensors,
        x: torch.Tensor,
        recorder: Recorder,
        *,
        update_statistics: bool = True,
    ) -> torch.Tensor:
        """Applies every layer.

        Args:
            parameters: by the names of the torch module, for example ``0.weight``.
            buffers: running statistics by the same names, updated in place.
            x: the batch, its axis first.
            recorder: hears of each layer, also when a segment is computed again.
            update_statistics: false where the same pass is repeated for its derivative.
        """
        if self._strategy is None:
            x = self._apply(self._all, parameters, buffers, x, recorder, update_statistics)
        else:
            for run in self._runs:
                x = self._checkpointed(
                    run, self._strategy, parameters, buffers, x, recorder, update_statistics
                )
        recorder.layer(-1)
        return x

    def _apply(
        self,
        layers: range,
        parameters: Tensors,
        buffers: Tensors,
        x: torch.Tensor,
        recorder: Recorder,
        update_statistics: bool,
    ) -> torch.Tensor:
        for index in layers:
            recorder.layer(index)
            x = self._layers[index](parameters, buffers, x, update_statistics)
        return x

    def _checkpointed(
        self,
        run: _Run,
        strategy: Strategy,
        parameters: Tensors,
        buffers: Tensors,
        x: torch.Tensor,
        recorder: Recorder,
        update_statistics: bool,
    ) -> torch.Tensor:
        def segment(update: bool) -> Segment:
            def function(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
                own = dict(zip(run.names, values, strict=True))
                return self._apply(run.layers, own, buffers, x, recorder, update)

            return function

        tensors = (x, *(parameters[name] for name in run.names))
        return strategy(segment(update_statistics), segment(False), tensors, run.random)


def _run(model: StackModel, layers: range) -> _Run:
    rows = model.trace()
    names = [
        f"{index}.{name}"
        for index in layers
        for name in rows[index].layer.parameter_shapes(rows[index].input_shape or ())
    ]
    return _Run(layers, tuple(names), any(rows[index].layer.random for index in layers))
