"""A module of the user's as a function of explicit tensors, with the interface of a ``Stack``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call  # noqa: TID251 - calls a module, differentiates nothing

from core.engine.attention import math_attention
from core.engine.losses import Loss
from core.engine.recorder import Recorder, is_deaf
from core.engine.recurrent import onednn_refuses
from core.engine.user_file import Batch, UserFile, UserFileError, built, described, load, load_anew
from core.engine.user_trial import computing
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

Tensors = Mapping[str, torch.Tensor]
_MODULE = "module."


class UserModule:
    """The user's module, ready to be applied to any parameters.

    Attributes:
        random: whether torch's random numbers may be drawn.
        parameters: what the module can be differentiated by, by name.
        buffers: what else it holds: buffers and frozen weights.
    """

    def __init__(self, model: PythonModel, file: UserFile, module: nn.Module, order: int) -> None:
        """Takes a module over.

        Args:
            model: where it comes from; known.
            file: as what that was loaded.
            module: on its device, in its precision.
            order: how often its loss is differentiated.
        """
        assert model.known is not None
        self.parameters: dict[str, torch.Tensor] = {
            n: p for n, p in module.named_parameters() if p.requires_grad
        }
        frozen = {n: p for n, p in module.named_parameters() if not p.requires_grad}
        self._state = dict(module.named_buffers())
        self.buffers: dict[str, torch.Tensor] = frozen | self._state
        self._model, self._file, self._module = model, file, module
        self.random = model.known.random or self.has_step
        self._whole = _WithLoss(module, file)
        self._order = order
        self._has_lstm = any(isinstance(m, nn.LSTM) for m in module.modules())
        self._changing = {name: self._state[name].clone() for name in model.known.changing}
        self._start = (
            {name: tensor.detach().clone() for name, tensor in self._trained()}
            if self.has_step
            else {}
        )

    @property
    def has_step(self) -> bool:
        """Whether the file brings a computation of its own, which is then what is measured."""
        return self._file.step is not None

    @property
    def names(self) -> dict[str, Any]:
        """What the file defines."""
        return self._file.names

    @property
    def module(self) -> nn.Module:
        """The module itself."""
        return self._module

    def step(self, batch: Batch, recorder: Recorder) -> object:
        """The file's own computation on the module; what it returns."""
        assert self._file.step is not None
        with self._told(recorder):
            return self._file.step(self._module, batch)

    def layer_of(self, name: str) -> int:
        """The row of the module that a tensor of this name belongs to, -1 where there is none."""
        return self._model.row_of(name)

    def reset(self, buffers: Tensors) -> None:
        """Puts buffers, and all that a step of the user's changes, back to their start."""
        with torch.no_grad():
            for name, start in self._changing.items():
                buffers[name].copy_(start)
                self._put_back(name)
            if not self.has_step:
                return
            for name, tensor in self._trained():
                tensor.copy_(self._start[name])
                tensor.grad = None

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
        own = all(parameters[name] is weight for name, weight in self.parameters.items())
        with self._told(recorder), math_attention(self._order), self._plain_lstm(x.device):
            if own and update_statistics:
                value = self._whole(x, y, criterion)
            else:
                tensors = dict(parameters)
                for name in self._state:
                    held = buffers[name]
                    kept = update_statistics or name not in self._changing
                    tensors[name] = held if kept else held.clone()
                named = {f"{_MODULE}{name}": tensor for name, tensor in tensors.items()}
                value = functional_call(self._whole, named, (x, y, criterion))
        if isinstance(value, torch.Tensor) and not value.ndim:
            return value
        raise UserFileError(
            f"loss(module, batch) of {self._model.path.name} gives {described(value)}; allowed: a "
            "tensor without axes."
        )

    @contextmanager
    def _plain_lstm(self, device: torch.device) -> Iterator[None]:
        """WORKAROUND: oneDNN's LSTM has no second derivative, torch's own has; see also
        ``onednn_refuses``."""
        if not self._has_lstm or (self._order < 2 and not onednn_refuses(device)):
            yield
            return
        # Not torch.backends.mkldnn.flags, which warns of a setting that it does not change.
        enabled = torch._C._get_mkldnn_enabled()
        torch._C._set_mkldnn_enabled(False)
        try:
            yield
        finally:
            torch._C._set_mkldnn_enabled(enabled)

    def _put_back(self, name: str) -> None:
        """The module holds its own buffer again, where it has assigned another."""
        owner, _, last = name.rpartition(".")
        setattr(self._module.get_submodule(owner), last, self._state[name])

    def _trained(self) -> Iterator[tuple[str, torch.Tensor]]:
        """All that a step may change."""
        yield from self.parameters.items()
        yield from self.buffers.items()

    @contextmanager
    def _told(self, recorder: Recorder) -> Iterator[None]:
        """Tells the recorder of each module that begins or goes on, while it is entered."""
        if is_deaf(recorder):
            yield
            return
        assert self._model.known is not None
        rows = {name: index for index, name in enumerate(self._model.known.names)}
        inside = [-1]

        def begins(index: int) -> Any:
            def tell(_: nn.Module, inputs: tuple[Any, ...]) -> None:
                del inputs
                inside.append(index)
                recorder.layer(index)

            return tell

        def ends(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            del inputs, output
            inside.pop()
            recorder.layer(inside[-1])

        handles: list[Any] = []
        for name, submodule in computing(self._module):
            if name in rows:
                handles.append(submodule.register_forward_pre_hook(begins(rows[name])))
                handles.append(submodule.register_forward_hook(ends, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            recorder.layer(-1)


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


def user_module(spec: RunSpec, device: torch.device, dtype: torch.dtype) -> UserModule:
    """The module of a spec.

    Args:
        spec: with a known model of the user's.
        device: where its tensors are to live.
        dtype: of its real numbers.

    Raises:
        UserFileError: the file cannot be used.
    """
    model = spec.model
    assert isinstance(model, PythonModel)
    assert model.known is not None
    # What it keeps must be no tensor without numbers, and nothing that another module left there.
    numberless = type(torch.empty(0)) is not torch.Tensor
    file = load_anew(model) if model.known.has_step or numberless else load(model)
    module = built(model, file, spec.measure.seed)
    if numberless:
        _convert(module, device, dtype)
    else:
        module.to(device, dtype)
    function = UserModule(model, file, module, spec.workload.derivation.order)
    if not function.parameters and not function.has_step and not spec.workload.by_inputs:
        raise UserFileError(
            f"The module of {model.path.name} has no weights that require a gradient, so that "
            "there is nothing to differentiate by."
        )
    return function


def _convert(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """What ``Module.to`` does, which tensors without numbers refuse."""
    known: dict[int, torch.Tensor] = {}

    def converted(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in known:
            kind = dtype if tensor.is_floating_point() else tensor.dtype
            moved = tensor.detach().to(device, kind)
            is_weight = isinstance(tensor, nn.Parameter)
            known[id(tensor)] = nn.Parameter(moved, tensor.requires_grad) if is_weight else moved
        return known[id(tensor)]

    for submodule in list(module.modules()):
        for name, tensor in [
            *submodule.named_parameters(recurse=False, remove_duplicate=False),
            *submodule.named_buffers(recurse=False, remove_duplicate=False),
        ]:
            setattr(submodule, name, converted(tensor))
