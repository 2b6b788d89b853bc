"""Layers as straight code against the torch modules that lend them their weights."""

import json

import pytest
import torch
from torch import nn

from core.engine.losses import LOSSES
from core.engine.recorder import SILENT, Silent
from core.engine.stack import Stack
from core.spec.derivation import Derivation
from core.spec.model import StackModel

LAYERS = [
    {"kind": "conv2d", "out_channels": 3, "kernel_size": 3, "bias": False},
    {"kind": "batch_norm", "momentum": 0.25, "eps": 1e-3},
    {"kind": "relu"},
    {"kind": "batch_norm", "affine": False},
    {"kind": "batch_norm", "track_running_stats": False},
    {"kind": "group_norm", "num_groups": 3},
    {"kind": "flatten"},
    {"kind": "residual", "layers": [{"kind": "linear", "out_features": 27}, {"kind": "tanh"}]},
    {"kind": "linear", "out_features": 2},
]
MODEL = {"input_shape": [2, 5, 5], "layers": LAYERS}


class Listening(Silent):
    """Hears of layers, so that they are applied one by one."""

    def layer(self, index: int) -> None:
        del index


class Whole:
    """The same network as a stack and as torch's modules, on the same tensors."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        model = StackModel.model_validate_json(json.dumps(MODEL))
        self.stack = Stack(model, Derivation(order=1), "none", ())
        self.module = nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False),
            nn.BatchNorm2d(3, momentum=0.25, eps=1e-3),
            nn.ReLU(),
            nn.BatchNorm2d(3, affine=False),
            nn.BatchNorm2d(3, track_running_stats=False),
            nn.GroupNorm(3, 3),
            nn.Flatten(),
            Residual(nn.Linear(27, 27), nn.Tanh()),
            nn.Linear(27, 2),
        ).double()
        self.parameters = {
            name: parameter.detach() for name, parameter in self.module.named_parameters()
        }
        self.buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        self.x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
        self.y = torch.randn(4, 2, dtype=torch.float64)

    def assert_the_same_statistics(self, *, updated: bool) -> None:
        expected = dict(self.module.named_buffers())
        assert len(self.buffers) == 6
        for name, buffer in self.buffers.items():
            torch.testing.assert_close(buffer, expected[name])
        counts = [int(self.buffers[f"{place}.num_batches_tracked"]) for place in (1, 3)]
        assert counts == [int(updated)] * 2


class Residual(nn.Sequential):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input + super().forward(input)


@pytest.fixture
def whole() -> Whole:
    return Whole()


@pytest.mark.parametrize("recorder", [SILENT, Listening()])
@pytest.mark.parametrize("shuffled", [False, True])
def test_that_weights_in_an_order_give_what_the_modules_give(whole, recorder, shuffled) -> None:
    names = tuple(whole.parameters)[:: -1 if shuffled else 1]
    segment = whole.stack.segment_of(names, whole.buffers, recorder)
    output = segment(whole.x, *[whole.parameters[name] for name in names])
    torch.testing.assert_close(output, whole.module(whole.x))
    whole.assert_the_same_statistics(updated=True)


@pytest.mark.parametrize("recorder", [SILENT, Listening()])
@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_that_a_loss_of_the_weights_is_the_modules_loss(whole, recorder, beside, kind) -> None:
    criterion = LOSSES[kind]
    names = tuple(whole.parameters)
    x = None if beside else whole.x
    loss = whole.stack.loss_of(names, x, whole.y, criterion, whole.buffers, recorder)
    given = [*whole.parameters.values(), *([whole.x] if beside else [])]
    torch.testing.assert_close(loss(given), criterion(whole.module(whole.x), whole.y))
    whole.assert_the_same_statistics(updated=True)


@pytest.mark.parametrize("recorder", [SILENT, Listening()])
def test_that_statistics_are_left_alone_where_that_is_asked_for(whole, recorder) -> None:
    names = tuple(whole.parameters)
    segment = whole.stack.segment_of(names, whole.buffers, recorder, update_statistics=False)
    output = segment(whole.x, *whole.parameters.values())
    whole.assert_the_same_statistics(updated=False)
    loss = whole.stack.loss_of(
        names, whole.x, whole.y, LOSSES["mse"], whole.buffers, recorder, update_statistics=False
    )
    loss(list(whole.parameters.values()))
    whole.assert_the_same_statistics(updated=False)
    torch.testing.assert_close(output, whole.module(whole.x))
