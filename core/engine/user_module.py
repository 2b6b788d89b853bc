"""A module of the user's as a function of explicit tensors, with the interface of a ``Stack``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call  # noqa: TID251 - calls a module, differentiates nothing

from core.engine.losses import Loss
from core.engine.recorder import Recorder, is_deaf
from core.engine.user_file import UserFile, UserFileError, built, guarded, load
from core.spec.layers import Shape
from core.spec.model import LayerRow
from core.spec.python_model import PythonModel, UserLayer
from core.spec.run import RunSpec

Tensors = Mapping[str, torch.Tensor]
_EXAMPLES = 2
_MODULE = "module."


class UserModule:
    """The user's module, ready to be applied to any parameters.

    Random numbers are taken to be used: nobody knows what a module does.
    """

    random = True

    def __init__(self, model: PythonModel, module: nn.Module) -> None:
        """Takes a module over.

        Args:
            model: where it comes from; it was loaded before.
            module: on its device, in its precision.
        """
        self.file = load(model)
        self.module = module
        self._whole = _WithLoss(module, self.file)
        self._own, _ = split(module)
        self._layers = dict(zip(_leaves(module, model), range(len(model.trace())), strict=True))
        self._buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        changes = self.file.step is not None
        self._start = {n: p.detach().clone() for n, p in self._own.items()} if changes else {}

    def layer_of(self, name: str) -> int:
        """The position of the module that a tensor of this name belongs to, -1 where there is
        none."""
        return self._layers.get(name.rpartition(".")[0], -1)

    def reset(self, buffers: Tensors) -> None:
        """Puts buffers, and weights where a step of the user's changes them, back to their
        start."""
        with torch.no_grad():
            for name, start in self._buffers.items():
                buffers[name].copy_(start)
            for name, start in self._start.items():
                self._own[name].copy_(start)
                self._own[name].grad = None

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
        """The file's own loss of a batch, else the given one of the module's output."""
        own = all(parameters[name] is parameter for name, parameter in self._own.items())
        kept = buffers
        if not update_statistics:
            kept = {name: buffer.clone() for name, buffer in buffers.items()}
        with self.told(recorder):
            if own and update_statistics:
                value = self._whole(x, y, criterion)
            else:
                tensors = {f"{_MODULE}{name}": tensor for name, tensor in parameters.items()}
                tensors |= {f"{_MODULE}{name}": tensor for name, tensor in kept.items()}
                value = functional_call(self._whole, tensors, (x, y, criterion))
        return _scalar(value)

    @contextmanager
    def told(self, recorder: Recorder) -> Iterator[None]:
        """Tells the recorder of each module that begins, while it is entered."""
        if is_deaf(recorder):
            yield
            return
        handles = [
            submodule.register_forward_pre_hook(_teller(recorder, self._layers[name]))
            for name, submodule in self.module.named_modules()
            if name in self._layers
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            recorder.layer(-1)


def split(module: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What a module is differentiated by, and what else it holds: frozen weights and buffers."""
    parameters: dict[str, torch.Tensor] = dict(module.named_parameters())
    free = {name: tensor for name, tensor in parameters.items() if tensor.requires_grad}
    frozen = {name: tensor for name, tensor in parameters.items() if not tensor.requires_grad}
    return free, frozen | dict(module.named_buffers())


class _WithLoss(nn.Module):
    """A module and its loss as one call, so that both see the same weights."""

    def __init__(self, module: nn.Module, file: UserFile) -> None:
        super().__init__()
        self.module = module
        self._loss = file.loss

    def forward(self, x: torch.Tensor, y: torch.Tensor, criterion: Loss) -> Any:
        if self._loss is not None:
            return self._loss(self.module, (x, y))
        return criterion(self.module(x), y)


def _teller(recorder: Recorder, index: int) -> Any:
    return lambda module, inputs: recorder.layer(index)


def _scalar(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.ndim:
        given = (
            f"a tensor of shape {tuple(value.shape)}"
            if isinstance(value, torch.Tensor)
            else type(value).__name__
        )
        raise UserFileError(f"loss(module, batch) gives {given}; allowed: a tensor without axes.")
    return value


def completed(spec: RunSpec) -> RunSpec:
    """The spec with what loading its model shows: modules, shapes, the shape of an output.

    Raises:
        UserFileError: the file cannot be used.
        core.spec.declaration.InvalidSpec: what it shows does not fit the rest of the spec.
    """
    model = spec.model
    if not isinstance(model, PythonModel) or model.is_seen:
        return spec
    stat = Path(model.file).stat() if Path(model.file).is_file() else None
    rows, output_shape = _seen(model, spec.measure.seed, stat.st_mtime_ns if stat else 0)
    return spec.model_copy(update={"model": model.seen(rows, output_shape)})


@lru_cache(maxsize=8)
def _seen(model: PythonModel, seed: int, _: int) -> tuple[tuple[LayerRow, ...], Shape]:
    """The modules that hold no others, as they run on a few examples, and the output's shape."""
    module = guarded(Path(model.file), f"{model.callable}()", lambda: built(model, seed))
    found: dict[str, tuple[Shape | None, Shape | None]] = {}
    handles = [
        submodule.register_forward_hook(_noter(found, name))
        for name, submodule in module.named_modules()
        if not any(submodule.children())
    ]
    shape = (_EXAMPLES, *model.input_shape)
    x = torch.rand(shape)
    if model.vocabulary is not None:
        x = torch.zeros(shape, dtype=torch.int64)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        output = guarded(Path(model.file), "the module's forward", lambda: module(x))
    for handle in handles:
        handle.remove()
    if not isinstance(output, torch.Tensor) or output.ndim < 1 or len(output) != _EXAMPLES:
        raise UserFileError(
            f"The module of {Path(model.file).name} gives {_described(output)} for a batch of "
            f"{_EXAMPLES}; allowed: a tensor with the batch on its first axis."
        )
    submodules = dict(module.named_modules())
    rows = tuple(
        LayerRow(
            index=index,
            layer=UserLayer(kind=_title(name, submodules[name])),
            input_shape=shapes[0],
            output_shape=shapes[1],
            parameters=sum(p.numel() for p in submodules[name].parameters()),
            problem=None,
        )
        for index, (name, shapes) in enumerate(found.items())
    )
    return rows, tuple(output.shape[1:])


def _leaves(module: nn.Module, model: PythonModel) -> list[str]:
    """Names of the modules of a model's rows, in their order."""
    titles = {
        _title(name, submodule): name
        for name, submodule in module.named_modules()
        if not any(submodule.children())
    }
    return [titles[row.layer.kind] for row in model.trace()]


def _title(name: str, module: nn.Module) -> str:
    """For example ``encoder.0 Linear``."""
    return f"{name} {type(module).__name__}".strip()


def _noter(found: dict[str, tuple[Shape | None, Shape | None]], name: str) -> Any:
    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        del module
        found.setdefault(name, (_shape(inputs[0] if inputs else None), _shape(output)))

    return note


def _shape(value: Any) -> Shape | None:
    tensor = value[0] if isinstance(value, tuple) and value else value
    return tuple(tensor.shape[1:]) if isinstance(tensor, torch.Tensor) and tensor.ndim else None


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return type(value).__name__
