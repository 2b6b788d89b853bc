"""A stack of layers as one function of explicit tensors, checkpointed as the spec says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from core.engine.layers import Forward, forward
from core.engine.losses import Loss
from core.engine.recorder import Recorder, ignored
from core.engine.segments import STRATEGIES, Strategy
from core.engine.straight import Straight, straight
from core.spec.derivation import Derivation
from core.spec.layers import leaves
from core.spec.model import StackModel
from core.spec.placement import Runs

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class _Run:
    """A segment's layers, the names of their parameters, and whether one of them is random; and the
    layers as straight code of parameters in the order of their names."""

    layers: tuple[tuple[int, Forward], ...]
    names: tuple[str, ...]
    random: bool
    straight: Straight


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
        self._straight = straight(tuple(functions.values()))
        self._by_position: dict[tuple[str, ...], Straight] = {}
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
        if self._strategy is None and recorder.layer is ignored:
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

    def straight(self, names: tuple[str, ...], recorder: Recorder) -> Straight | None:
        """``forward`` of parameters in the order of these names; None where there is more to it,
        because the recorder hears of layers or some are computed again."""
        if self._strategy is not None or recorder.layer is not ignored:
            return None
        if names not in self._by_position:
            layers = [layer for _, layer in self._layers]
            self._by_position[names] = straight(layers, names)
        return self._by_position[names]

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
        names, apply = run.names, run.straight
        if recorder.layer is not ignored:
            apply = _telling(run, recorder)

        def again(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
            return apply(values, buffers, x, False)

        def first(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
            return apply(values, buffers, x, True)

        tensors = (x, *map(parameters.__getitem__, names))
        updates = update_statistics and bool(buffers)
        return strategy(first if updates else again, again, tensors, run.random)


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


def _telling(run: _Run, recorder: Recorder) -> Straight:
    """A segment in place of its straight code, which tells of each layer."""

    def apply(
        values: Sequence[torch.Tensor], buffers: Tensors, x: torch.Tensor, update_statistics: bool
    ) -> torch.Tensor:
        own = dict(zip(run.names, values, strict=True))
        return _apply(run.layers, own, buffers, x, recorder, update_statistics)

    return apply


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
    code = straight([layer for _, layer in functions], names)
    return _Run(functions, tuple(names), random, code)
