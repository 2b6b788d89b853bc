"""LSTM and GRU over batches of sequences: torch's own, and step by step.

Tensors come in torch's order: for each layer, and in it for each direction, the weight of the
input, that of the state and, where there are any, their two biases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

State = tuple[Tensor, ...]
Cell = Callable[[Tensor, Tensor, State], State]
"""One step: of what the input and the state come to in all gates, and the state, whose first part
is the output."""


@dataclass(frozen=True)
class Form:
    """How a recurrent network is put together.

    Attributes:
        hidden: size of a state.
        layers: how many stand on each other.
        bias: whether gates have offsets.
        both_ways: whether the sequence is read backwards too.
    """

    hidden: int
    layers: int
    bias: bool
    both_ways: bool

    @property
    def directions(self) -> int:
        """In how many the sequence is read."""
        return 1 + self.both_ways


@contextmanager
def without_onednn() -> Iterator[None]:
    """Makes a processor's recurrent layers consist of torch's own operations while it is entered.

    WORKAROUND: oneDNN's LSTM carries no tangents, and to differentiate it twice torch computes it
    again by its own operations. The context manager of torch itself warns of a setting of Intel's
    GPUs.
    """
    onednn = torch.backends.mkldnn
    before = onednn.enabled
    onednn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        onednn.enabled = before


def onednn_refuses(device: torch.device) -> bool:
    """Whether oneDNN cannot compute an LSTM as torch would ask it to.

    WORKAROUND: under autocast torch 2.13 has oneDNN compute it in bfloat16, also on processors
    without AVX-512, for which it has no such kernel: "could not create a primitive descriptor".
    """
    return (
        device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def lstm(x: Tensor, tensors: Sequence[Tensor], form: Form) -> Tensor:
    """torch's own LSTM: the outputs of all steps, (batch, sequence, directions · hidden)."""
    state, memory = _nothing(x, form), _nothing(x, form)
    run = torch._VF.lstm
    output: Tensor = run(_in_turn(x), (state, memory), list(tensors), *_settings(form))[0]
    return output.transpose(0, 1)


def gru(x: Tensor, tensors: Sequence[Tensor], form: Form) -> Tensor:
    """torch's own GRU: the outputs of all steps, (batch, sequence, directions · hidden)."""
    run = torch._VF.gru
    output: Tensor = run(_in_turn(x), _nothing(x, form), list(tensors), *_settings(form))[0]
    return output.transpose(0, 1)


def _in_turn(x: Tensor) -> Tensor:
    """The input as torch goes through it, step after step; torch would copy it for each layer that
    reads it, and, while operations are watched, its gates too."""
    return x.transpose(0, 1).contiguous()


def _nothing(x: Tensor, form: Form) -> Tensor:
    """The states that a sequence begins with."""
    return torch.zeros(
        form.layers * form.directions, len(x), form.hidden, dtype=x.dtype, device=x.device
    )


def _settings(form: Form) -> tuple[bool, int, float, bool, bool, bool]:
    """In torch's order; without dropout, in training mode, the sequence first."""
    return form.bias, form.layers, 0.0, True, form.both_ways, False


def lstm_step_by_step(x: Tensor, tensors: Sequence[Tensor], form: Form) -> Tensor:
    """The same LSTM in elementary operations."""
    return _step_by_step(x, tensors, form, _lstm_cell, 2)


def gru_step_by_step(x: Tensor, tensors: Sequence[Tensor], form: Form) -> Tensor:
    """The same GRU in elementary operations."""
    return _step_by_step(x, tensors, form, _gru_cell, 1)


def _lstm_cell(given: Tensor, remembered: Tensor, state: State) -> State:
    let_in, forget, new, let_out = (given + remembered).chunk(4, -1)
    memory = torch.sigmoid(forget) * state[1] + torch.sigmoid(let_in) * torch.tanh(new)
    return torch.sigmoid(let_out) * torch.tanh(memory), memory


def _gru_cell(given: Tensor, remembered: Tensor, state: State) -> State:
    given_reset, given_keep, given_new = given.chunk(3, -1)
    reset, keep, new = remembered.chunk(3, -1)
    reset, keep = torch.sigmoid(given_reset + reset), torch.sigmoid(given_keep + keep)
    new = torch.tanh(given_new + reset * new)
    return (new + keep * (state[0] - new),)


def _step_by_step(
    x: Tensor, tensors: Sequence[Tensor], form: Form, cell: Cell, states: int
) -> Tensor:
    each = 4 if form.bias else 2
    x = x.transpose(0, 1)
    own = iter(tensors[first : first + each] for first in range(0, len(tensors), each))
    for _ in range(form.layers):
        ways = [_one_way(x, next(own), cell, states, False)]
        if form.both_ways:
            ways.append(_one_way(x, next(own), cell, states, True))
        x = torch.cat(ways, -1) if form.both_ways else ways[0]
    return x.transpose(0, 1)


def _one_way(
    x: Tensor, tensors: Sequence[Tensor], cell: Cell, states: int, backwards: bool
) -> Tensor:
    by_input, by_state, *biases = tensors
    input_bias, state_bias = biases or (None, None)
    given = functional.linear(x, by_input, input_bias).unbind()
    first = torch.zeros(x.shape[1], by_state.shape[-1], dtype=x.dtype, device=x.device)
    state: State = (first,) * states
    outputs = []
    for step in reversed(given) if backwards else given:
        state = cell(step, functional.linear(state[0], by_state, state_bias), state)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs)
