"""A first output of the user's module on a few examples: its modules, shapes and buffers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import torch
from torch import nn

from core.engine.user_file import (
    PATIENCE_S,
    UserFile,
    UserFileError,
    built,
    described,
    guarded,
    load,
)
from core.spec.layers import Shape
from core.spec.model import LayerRow
from core.spec.python_model import Known, PythonModel, UserLayer
from core.spec.run import RunSpec

_EXAMPLES: Final = 2
"""Batch norm needs two."""

_CONTAINERS: Final = (nn.Sequential.forward, nn.Module.forward)
"""What modules call that only hold others; lists of them have no forward of their own."""


def completed(spec: RunSpec, patience_s: float = PATIENCE_S) -> RunSpec:
    """The spec with what loading its model shows.

    Args:
        spec: any; that of a stack is complete as it is.
        patience_s: so long may each of loading, making and computing take.

    Raises:
        UserFileError: the file cannot be used.
    """
    model = spec.model
    if not isinstance(model, PythonModel) or model.known is not None:
        return spec
    known = _tried(model, spec.measure.seed, model.state, patience_s)
    return spec.model_copy(update={"model": model.with_known(known)})


def fitting(spec: RunSpec) -> RunSpec:
    """The same, where the rest of the spec fits what its model shows.

    Raises:
        UserFileError: the file cannot be used, or gives what the rest does not fit.
    """
    known = completed(spec)
    problems = known.problems()
    if problems:
        raise UserFileError(" ".join(problem.sentence for problem in problems))
    return known


@lru_cache(maxsize=8)
def _tried(model: PythonModel, seed: int, _: tuple[int, int] | None, patience_s: float) -> Known:
    """What is known of a model whose file has this state."""
    path = model.path
    file = load(model, patience_s)
    module = guarded(path, f"{model.callable}()", lambda: built(model, file, seed), patience_s)
    notes = _Notes(module)
    shape = (_EXAMPLES, *model.input_shape)
    x = torch.rand(shape)
    if model.vocabulary is not None:
        x = torch.zeros(shape, dtype=torch.int64)

    def work() -> tuple[Any, bool]:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), notes:
            state = torch.get_rng_state()
            output = module.float()(x)
            return output, not torch.equal(state, torch.get_rng_state())

    before = {name: (held, held.clone()) for name, held in module.float().named_buffers()}
    output, draws = guarded(path, "the module's forward", work, patience_s)
    after = dict(module.named_buffers())
    known = Known(
        rows=(),
        names=tuple(notes.shapes),
        output_shape=_output_shape(model, file, output),
        changing=frozenset(
            name
            for name, (held, value) in before.items()
            # Not the tensor's version, which batch norm leaves as it is.
            if after.get(name) is not held or not torch.equal(held, value)
        ),
        weights=tuple(w.numel() for w in module.parameters() if w.requires_grad),
        # What a loss of the user's draws is not known.
        random=draws or file.loss is not None,
        has_loss=file.loss is not None,
        has_step=file.step is not None,
    )
    return _with_rows(model, known, module, notes)


def _with_rows(model: PythonModel, known: Known, module: nn.Module, notes: _Notes) -> Known:
    named = model.with_known(known)
    weights = [0] * len(known.names)
    for name, weight in module.named_parameters():
        row = named.row_of(name)
        if row >= 0 and weight.requires_grad:
            weights[row] += weight.numel()
    submodules = dict(module.named_modules())
    rows = tuple(
        LayerRow(
            index=index,
            layer=UserLayer(kind=f"{name} {type(submodules[name]).__name__}".strip()),
            input_shape=notes.shapes[name][0],
            output_shape=notes.shapes[name][1],
            parameters=weights[index],
            problem=None,
        )
        for index, name in enumerate(known.names)
    )
    return Known(**{**vars(known), "rows": rows})


def computing(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules, by name, that do something themselves and do not merely hold others."""
    for name, submodule in module.named_modules():
        if type(submodule).forward not in _CONTAINERS:
            yield name, submodule


class _Notes:
    """Shapes that go into modules and come out of them first, while it is entered."""

    def __init__(self, module: nn.Module) -> None:
        self.shapes: dict[str, tuple[Shape | None, Shape | None]] = {}
        self._module = module
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        for name, submodule in computing(self._module):
            self._handles += [
                submodule.register_forward_pre_hook(self._before(name)),
                submodule.register_forward_hook(self._after(name)),
            ]

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, name: str) -> Any:
        def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.shapes.setdefault(name, (_shape(inputs), None))

        return note

    def _after(self, name: str) -> Any:
        def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            del inputs
            if self.shapes[name][1] is None:
                self.shapes[name] = (self.shapes[name][0], _shape(output))

        return note


def _output_shape(model: PythonModel, file: UserFile, output: Any) -> Shape:
    """The shape of one output; where a loss or step of the user's takes it, that of its first
    tensor."""
    own = file.loss is not None or file.step is not None
    tensor = _first_tensor(output) if own else output
    if isinstance(tensor, torch.Tensor) and tensor.ndim and len(tensor) == _EXAMPLES:
        return tuple(tensor.shape[1:])
    if own and tensor is not None:
        return ()
    raise UserFileError(
        f"The module of {model.path.name} gives {described(output)} for a batch of {_EXAMPLES}; "
        "allowed: a tensor with the batch on its first axis, or a loss(module, batch) in the file "
        "that takes something else."
    )


def _shape(value: Any) -> Shape | None:
    """Of the first tensor, without the batch where that is on its first axis."""
    tensor = _first_tensor(value)
    if tensor is None:
        return None
    batched = tensor.ndim > 0 and len(tensor) == _EXAMPLES
    return tuple(tensor.shape[1:] if batched else tensor.shape)


def _first_tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        found = (_first_tensor(part) for part in value)
        return next((tensor for tensor in found if tensor is not None), None)
    return None
