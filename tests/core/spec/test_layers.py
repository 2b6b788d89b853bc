"""Shapes and parameters that the window shows, against torch itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.spec.declaration import InvalidSpec
from core.spec.layers import (
    GRU,
    LAYER_KINDS,
    LSTM,
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LayerSpec,
    Linear,
    MaxPool2d,
    MultiheadAttention,
    RMSNorm,
    ShapeError,
    Softmax,
    TransformerEncoderLayer,
    describe_settings,
    parse_settings,
)


class Alone(nn.Module):
    """The output of a module that returns more, with the names of its own parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.whole = module

    def named_parameters(self, *arguments, **keywords):
        return self.whole.named_parameters(*arguments, **keywords)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_attention = isinstance(self.whole, nn.MultiheadAttention)
        return self.whole(x, x, x)[0] if is_attention else self.whole(x)[0]


CASES = [
    (Linear(out_features=7, bias=False), (5, 3), nn.Linear(3, 7, bias=False)),
    (Linear(out_features=2), (3,), nn.Linear(3, 2)),
    (
        Conv1d(out_channels=6, kernel_size=5, stride=2, padding=3, dilation=2, groups=2),
        (4, 33),
        nn.Conv1d(4, 6, 5, 2, 3, 2, 2),
    ),
    (
        Conv2d(out_channels=8, kernel_size=(3, 5), stride=(2, 1), padding=(1, 0), bias=False),
        (3, 17, 19),
        nn.Conv2d(3, 8, (3, 5), (2, 1), (1, 0), bias=False),
    ),
    (MaxPool2d(kernel_size=3, stride=2, padding=1), (4, 15, 16), nn.MaxPool2d(3, 2, 1)),
    (MaxPool2d(), (4, 15, 16), nn.MaxPool2d(2)),
    (AvgPool2d(kernel_size=(2, 3)), (4, 15, 16), nn.AvgPool2d((2, 3))),
    (AdaptiveAvgPool2d(output_size=(3, 2)), (4, 9, 9), nn.AdaptiveAvgPool2d((3, 2))),
    (Flatten(), (4, 3, 2), nn.Flatten()),
    (BatchNorm(), (5, 4, 4), nn.BatchNorm2d(5)),
    (BatchNorm(affine=False, track_running_stats=False), (5,), nn.BatchNorm1d(5, affine=False)),
    (LayerNorm(normalized_dims=2), (3, 4, 5), nn.LayerNorm((4, 5))),
    (RMSNorm(), (4, 5), nn.RMSNorm(5)),
    (GroupNorm(num_groups=3), (6, 4, 4), nn.GroupNorm(3, 6)),
    (InstanceNorm(affine=True), (6, 4, 4), nn.InstanceNorm2d(6, affine=True)),
    (Embedding(num_embeddings=11, embedding_dim=3), (6,), nn.Embedding(11, 3)),
    (Softmax(dim=1), (6, 2), nn.Softmax(1)),
    (MultiheadAttention(num_heads=3), (5, 6), Alone(nn.MultiheadAttention(6, 3))),
    (MultiheadAttention(bias=False), (5, 8), Alone(nn.MultiheadAttention(8, 4, bias=False))),
    (TransformerEncoderLayer(), (5, 8), nn.TransformerEncoderLayer(8, 4)),
    (
        TransformerEncoderLayer(nhead=2, dim_feedforward=7, bias=False),
        (5, 6),
        nn.TransformerEncoderLayer(6, 2, 7, bias=False),
    ),
    (LSTM(hidden_size=7), (5, 3), Alone(nn.LSTM(3, 7, batch_first=True))),
    (
        LSTM(hidden_size=4, num_layers=3, bidirectional=True),
        (5, 3),
        Alone(nn.LSTM(3, 4, 3, batch_first=True, bidirectional=True)),
    ),
    (
        GRU(hidden_size=4, num_layers=2, bias=False),
        (5, 3),
        Alone(nn.GRU(3, 4, 2, bias=False, batch_first=True)),
    ),
]


@pytest.mark.parametrize(("layer", "shape", "module"), CASES)
def test_that_shapes_and_parameters_are_those_of_torch(
    layer: LayerSpec, shape: tuple[int, ...], module: nn.Module
) -> None:
    whole = layer.takes_whole_numbers
    batch = torch.zeros((2, *shape), dtype=torch.long if whole else torch.float32)
    assert layer.output_shape(shape) == tuple(module(batch).shape[1:])
    expected = {name: tuple(tensor.shape) for name, tensor in module.named_parameters()}
    assert layer.parameter_shapes(shape) == expected
    assert layer.parameter_count(shape) == sum(p.numel() for p in module.parameters())


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)
def test_that_convolutions_of_any_size_agree_with_torch_or_are_refused(
    size, kernel, stride, padding, dilation
) -> None:
    layer = Conv2d(
        out_channels=2, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation
    )
    module = nn.Conv2d(1, 2, kernel, stride, padding, dilation)
    try:
        expected = tuple(module(torch.zeros(1, 1, *size)).shape[1:])
    except RuntimeError:
        with pytest.raises(ShapeError, match="larger than its input"):
            layer.output_shape((1, *size))
    else:
        assert layer.output_shape((1, *size)) == expected


@pytest.mark.parametrize(
    ("layer", "shape", "sentence"),
    [
        (Conv2d(), (3,), "conv2d takes an input of shape (channels, height, width), but gets 3."),
        (Conv1d(groups=3), (4, 9), "groups 3 must divide both the input channels 4"),
        (GroupNorm(num_groups=4), (6, 2, 2), "num_groups 4 must divide the channels"),
        (LayerNorm(normalized_dims=3), (4, 5), "normalized_dims 3 is more than the 2 axes"),
        (MaxPool2d(kernel_size=9), (1, 4, 4), "larger than its input 1×4×4"),
        (MaxPool2d(padding=2), (1, 8, 8), "at most half its kernel size"),
        (InstanceNorm(), (4,), "instance_norm takes an input of shape"),
        (Softmax(dim=3), (4, 5), "softmax has no axis 3"),
        (Linear(), (), "at least one axis"),
        (MultiheadAttention(), (8,), "takes an input of shape (sequence, features), but gets 8."),
        (MultiheadAttention(num_heads=3), (5, 8), "num_heads 3 must divide the 8 features"),
        (TransformerEncoderLayer(nhead=5), (4, 8), "nhead 5 must divide the 8 features of the "),
        (LSTM(), (2, 3, 4), "lstm takes an input of shape (sequence, features), but gets 2×3×4."),
        (GRU(), (), "gru takes an input of shape (sequence, features)"),
    ],
)
def test_that_a_layer_that_does_not_fit_says_why(layer, shape, sentence) -> None:
    with pytest.raises(ShapeError) as caught:
        layer.output_shape(shape)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_that_the_settings_line_reads_back(kind: str) -> None:
    layer = LAYER_KINDS[kind]()
    assert parse_settings(kind, describe_settings(layer)) == layer


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("conv2d", "32, kernel_size=3x5, padding=1", (32, (3, 5), 1)),
        ("conv2d", "32, kernel_size=[3, 5], padding=1", (32, (3, 5), 1)),
        ("conv2d", "out_channels=32,kernel_size=(3,5),padding=1", (32, (3, 5), 1)),
    ],
)
def test_that_a_pair_may_be_written_in_several_ways(kind, text, expected) -> None:
    layer = parse_settings(kind, text)
    assert isinstance(layer, Conv2d)
    assert (layer.out_channels, layer.kernel_size, layer.padding) == expected


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("linear", "0", "out_features: 0 was given; allowed: a whole number from 1 to 1000000000."),
        ("linear", "-3", "out_features: -3 was given"),
        ("linear", "many", 'out_features: "many" was given'),
        ("linear", "3, 4", "linear: 4 needs a key"),
        ("linear", "3, rank=4", "rank is not a known key"),
        ("relu", "5", "none, it has no settings"),
        ("dropout", "1.5", "p: 1.5 was given; allowed: a number from 0 to 0.999."),
    ],
)
def test_that_wrong_settings_are_one_sentence(kind, text, sentence) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_settings(kind, text)
    assert sentence in str(caught.value)


def test_that_a_changed_advanced_setting_is_shown() -> None:
    assert describe_settings(Conv2d(stride=2)) == "16, kernel_size=3, stride=2, padding=0"
    assert describe_settings(Dropout(p=0.25)) == "0.25"
    assert describe_settings(LSTM(hidden_size=8, num_layers=2)) == "8, num_layers=2"
    encoder = TransformerEncoderLayer(activation="gelu", norm_first=True)
    line = "4, dim_feedforward=2048, dropout=0.1, activation=gelu, norm_first=true"
    assert describe_settings(encoder) == line
    assert parse_settings("transformer_encoder_layer", line) == encoder


def test_that_a_layer_is_random_where_it_sets_something_to_zero() -> None:
    random = [
        Dropout(),
        MultiheadAttention(dropout=0.1),
        TransformerEncoderLayer(),
    ]
    certain = [
        Dropout(p=0.0),
        MultiheadAttention(),
        TransformerEncoderLayer(dropout=0.0),
        LSTM(),
        Linear(),
    ]
    assert all(layer.random for layer in random)
    assert not any(layer.random for layer in certain)
