"""A stack of layers as one function of explicit tensors, checkpointed as the spec says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.engine.direct import Forward, Tensors
from core.engine.layers import forward
from core.engine.losses import Loss
from core.engine.recorder import Recorder, ignored
from core.engine.segments import STRATEGIES, Strategy
from core.engine.straight import (
    LossOf,
    Segment,
    SegmentOf,
    WeightsLoss,
    straight,
    straight_loss,
    straight_segment,
)
from core.spec.derivation import Derivation
from core.spec.layers import leaves
from core.spec.model import StackModel
from core.spec.placement import Runs


@dataclass(frozen=True)
class _Run:
    """A segment's layers, the names of their parameters, and whether one of them is random; and the
    layers as straight code of parameters in the order of their names."""

    layers: tuple[tuple[int, Forward], ...]
    names: tuple[str, ...]
    random: bool
    straight: SegmentOf


class Stack:
    """The layers of a model, ready to be applied to any parameters."""

    def __init__(
        self,
        model: StackModel,
        way: Derivation,
        checkpointing: str,
        segments: Runs,
        part: range | None = None,
    ) -> None:
        """Prepares the functions of the layers.

        Args:
            model: a stack without problems.
            way: how the output will be differentiated.
            checkpointing: the kind, in which way activations are dropped.
            segments: the runs of layers that are computed again together.
            part: positions of the layers to apply, where it is not all of them.
        """
        self._made_of = model, way, checkpointing, segments
        self._parts: dict[range, Stack] = {}
        whole = range(len(model.layers))
        mine = whole if part is None else part
        self.random = any(leaf.random for leaf in leaves(model.layers[mine.start : mine.stop]))
        functions = {index: forward(model.layers[index], index, way) for index in mine}
        self._layers = tuple(functions.items())
        self._functions = tuple(functions.values())
        self._straight = straight(self._functions)
        self._segments: dict[tuple[str, ...], SegmentOf] = {}
        self._losses: dict[tuple[tuple[str, ...], bool], LossOf] = {}
        self._strategy = STRATEGIES.get(checkpointing)
        runs = [_common(layers, mine) for layers in segments]
        self._runs = tuple(
            _run(model, layers, tuple((index, functions[index]) for index in layers))
            for layers in runs
            if layers or part is None
        )

    def part(self, layers: range) -> Stack:
        """Some of the layers, made once."""
        if layers not in self._parts:
            self._parts[layers] = Stack(*self._made_of, layers)
        return self._parts[layers]

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
        if self._is_straight(recorder):
            return self._straight(parameters, buffers, x, update_statistics)
        if self._strategy is None:
            x = _apply(self._layers, parameters, buffers, x, recorder, update_statistics)
        else:
            for run in self._runs:
                x = self._checkpointed(
                    run, self._strategy, parameters, buffers, x, recorder, update_statistics
                )
        recorder.layer(-1)
        return x

    def loss(
        self,
        parameters: Tensors,
        buffers: Tensors,
        x: torch.Tensor,
        y: torch.Tensor,
        criterion: Loss,
        recorder: Recorder,
        *,
        update_statistics: bool = True,
    ) -> torch.Tensor:
        """The loss of the output; arguments as for ``forward``, and what the output is judged
        by."""
        if self._strategy is None and recorder.layer is ignored:
            # By itself: every other call would show in the time of a small network.
            output = self._straight(parameters, buffers, x, update_statistics)
        else:
            output = self.forward(
                parameters, buffers, x, recorder, update_statistics=update_statistics
            )
        return criterion(output, y)

    def segment_of(
        self,
        names: tuple[str, ...],
        buffers: Tensors,
        recorder: Recorder,
        *,
        update_statistics: bool = True,
    ) -> Segment:
        """``forward`` as a function of the input and of parameters in the order of these names."""
        if self._is_straight(recorder):
            if names not in self._segments:
                self._segments[names] = straight_segment(self._functions, names)
            return self._segments[names](buffers, update_statistics)

        def segment(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
            own = dict(zip(names, weights, strict=True))
            return self.forward(own, buffers, x, recorder, update_statistics=update_statistics)

        return segment

    def loss_of(
        self,
        names: tuple[str, ...],
        x: torch.Tensor | None,
        y: torch.Tensor,
        criterion: Loss,
        buffers: Tensors,
        recorder: Recorder,
        *,
        update_statistics: bool = True,
    ) -> WeightsLoss:
        """``loss`` as a function of parameters in the order of these names; behind them the input,
        where it is not given here."""
        if self._is_straight(recorder):
            key = names, x is None
            if key not in self._losses:
                self._losses[key] = straight_loss(self._functions, names, beside=x is None)
            return self._losses[key](x, y, criterion, buffers, update_statistics)

        def loss(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
            own = dict(zip(names, tensors, strict=x is not None))
            given = tensors[-1] if x is None else x
            return self.loss(
                own, buffers, given, y, criterion, recorder, update_statistics=update_statistics
            )

        return loss

    def _is_straight(self, recorder: Recorder) -> bool:
        """Whether the layers follow on each other, and nobody hears of them."""
        return self._strategy is None and recorder.layer is ignored

    def reset(self, buffers: Tensors) -> None:
        """Puts running statistics back to their start."""
        reset_statistics(buffers)

    def layer_of(self, name: str) -> int:
        """The position of the layer that a tensor of this name belongs to."""
        return int(name.partition(".")[0])

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
        segment = run.straight if recorder.layer is ignored else _telling(run, recorder)
        again = first = segment(buffers, False)
        if update_statistics and buffers:
            first = segment(buffers, True)
        tensors = (x, *map(parameters.__getitem__, run.names))
        return strategy(first, again, tensors, run.random)


def reset_statistics(buffers: Tensors) -> None:
    """The running statistics of a network that has seen no batch."""
    for name, buffer in buffers.items():
        buffer.fill_(1 if name.endswith("running_var") else 0)


def _apply(
    layers: tuple[tuple[int, Forward], ...],
    parameters: Tensors,
    buffers: Tensors,
    x: torch.Tensor,
    recorder: Recorder,
    update_statistics: bool,
) -> torch.Tensor:
    for index, layer in layers:
        recorder.layer(index)
        x = layer(parameters, buffers, x, update_statistics)
    return x


def _telling(run: _Run, recorder: Recorder) -> SegmentOf:
    """In place of a segment's straight code, one that tells of each layer."""

    def of(buffers: Tensors, update_statistics: bool) -> Segment:
        def segment(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
            own = dict(zip(run.names, values, strict=True))
            return _apply(run.layers, own, buffers, x, recorder, update_statistics)

        return segment

    return of


def _common(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _run(model: StackModel, layers: range, functions: tuple[tuple[int, Forward], ...]) -> _Run:
    rows = model.trace()
    names = [
        f"{index}.{name}"
        for index in layers
        for name in rows[index].layer.parameter_shapes(rows[index].input_shape or ())
    ]
    random = any(leaf.random for leaf in leaves(rows[index].layer for index in layers))
    code = straight_segment([layer for _, layer in functions], names)
    return _Run(functions, tuple(names), random, code)
