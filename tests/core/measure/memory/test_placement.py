"""What the placement of segments counts, against the ledger, and what it saves, by forecasts."""

from __future__ import annotations

import json
import math

import pytest
import torch

from core.engine.excerpt import Excerpt
from core.measure.forecasting.forecast import Forecaster
from core.measure.forecasting.prediction import predict
from core.measure.memory.calls import Call
from core.measure.memory.kernels import Kernels
from core.spec.layers.kept import kept_by_length
from core.spec.placement import evenly, segments_of
from core.spec.run import RunSpec

CPU = torch.device("cpu")
BATCH = 4096
Layer = dict[str, object]


def layer(kind: str, **fields: object) -> Layer:
    return {"kind": kind, **fields}


def run_of(
    layers: list[Layer], shape: list[int], batch: int, order: int, **more: object
) -> RunSpec:
    document: dict[str, object] = {
        "model": {"input_shape": shape, "layers": layers},
        "data": {"kind": "synthetic", "batch_size": batch},
        "workload": {"kind": "nested_gradient", "order": order},
        "device": "cpu",
    }
    return RunSpec.from_json(json.dumps(document | more))


def linear(width: int) -> Layer:
    return layer("linear", out_features=width)


def convolution(channels: int, stride: int = 1) -> Layer:
    return layer("conv2d", out_channels=channels, kernel_size=3, padding=1, stride=stride)


def peak(spec: RunSpec, segments: tuple[range, ...] | None = None) -> int:
    """As the ledger has it, to the byte the same each time; without the kernels' scratch memory."""
    return predict(spec, CPU, excerpt=Excerpt(segments=segments)).report(lambda call: 0).peak_bytes


FLAT, IMAGE, SEQUENCE = [64], [8, 8, 8], [8, 64]
WINDOW = {"kernel_size": 3, "stride": 1, "padding": 1}
BLOCKS: dict[str, tuple[list[int], Layer, list[Layer]]] = {
    kind: (FLAT, linear(64), [linear(64), layer(kind)])
    for kind in (
        "tanh",
        "sigmoid",
        "relu",
        "leaky_relu",
        "gelu",
        "silu",
        "softplus",
        "softmax",
        "dropout",
        "batch_norm",
        "layer_norm",
        "rms_norm",
        "identity",
    )
}
BLOCKS |= {
    kind: (IMAGE, convolution(8), [convolution(8), layer(kind, **fields), layer("tanh")])
    for kind, fields in {
        "batch_norm": {},
        "group_norm": {},
        "instance_norm": {},
        "max_pool2d": WINDOW,
        "avg_pool2d": WINDOW,
        "adaptive_avg_pool2d": {"output_size": 8},
    }.items()
}
BLOCKS |= {
    "linear": (FLAT, linear(64), [linear(64)]),
    "conv1d": (
        SEQUENCE,
        layer("conv1d", out_channels=8, kernel_size=3, padding=1),
        [layer("conv1d", out_channels=8, kernel_size=3, padding=1)],
    ),
    "residual": (FLAT, linear(64), [layer("residual", layers=[linear(64), layer("gelu")])]),
    "residual that ends in a linear layer": (
        FLAT,
        linear(64),
        [layer("residual", layers=[layer("tanh"), linear(64)])],
    ),
    "attention": (SEQUENCE, linear(64), [layer("multihead_attention")]),
    "attention, dropout": (SEQUENCE, linear(64), [layer("multihead_attention", dropout=0.1)]),
    "encoder": (
        SEQUENCE,
        linear(64),
        [layer("transformer_encoder_layer", dim_feedforward=192, dropout=0.0)],
    ),
    "encoder, gelu": (
        SEQUENCE,
        linear(64),
        [layer("transformer_encoder_layer", dim_feedforward=192, dropout=0.0, activation="gelu")],
    ),
    "encoder, dropout": (
        SEQUENCE,
        linear(64),
        [layer("transformer_encoder_layer", dim_feedforward=192, nhead=8)],
    ),
    "lstm": (SEQUENCE, linear(64), [layer("lstm")]),
    "gru": (SEQUENCE, linear(64), [layer("gru", hidden_size=64)]),
}


ROUGHLY = dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"), 0.26)
"""At order 2 torch makes a tensor of zeros of what a window's second derivative is; before tanh
another tensor takes it in."""


# From the third order on one factor stands for all kinds.
@pytest.mark.parametrize(("order", "tolerance"), [(1, 0.04), (2, 0.04), (3, 0.65)])
@pytest.mark.parametrize("name", BLOCKS)
def test_that_counted_bytes_of_a_layer_are_those_that_the_ledger_sees(
    name: str, order: int, tolerance: float
) -> None:
    """What one block more adds to the peak of a chain, its own weights' gradients taken off."""
    shape, first, block = BLOCKS[name]
    batch = BATCH if shape == FLAT else BATCH // 8
    specs = [run_of([first, *block * times], shape, batch, order) for times in (3, 4)]
    weights = [4 * sum(row.parameters or 0 for row in spec.model.trace()) for spec in specs]
    seen = (peak(specs[1]) - weights[1]) - (peak(specs[0]) - weights[0])

    kept = kept_by_length(specs[1].model.trace(), order)
    counted = 4 * batch * (kept[-1] - kept[-1 - len(block)])

    assert seen > 0
    assert counted == pytest.approx(seen, rel=max(tolerance, ROUGHLY.get(name, 0)))


NETS: dict[str, tuple[list[int], int, list[Layer]]] = {
    "equal layers": ([128], 1024, [linear(128), layer("tanh")] * 16),
    "norms": ([128], 1024, [linear(128), layer("layer_norm"), layer("gelu")] * 8),
    "convolutions that narrow": (
        [3, 16, 16],
        32,
        [
            *[convolution(16), layer("batch_norm"), layer("relu")] * 3,
            layer("max_pool2d"),
            *[convolution(32), layer("batch_norm"), layer("relu")] * 3,
            layer("max_pool2d"),
            *[convolution(64), layer("batch_norm"), layer("relu")] * 2,
            layer("flatten"),
            linear(10),
        ],
    ),
    "transformer": (
        [16, 64],
        64,
        [layer("transformer_encoder_layer", dim_feedforward=128, dropout=0.0)] * 4,
    ),
    "wide at the end": (
        [64],
        4096,
        [*[linear(64), layer("tanh")] * 10, *[linear(1024), layer("tanh")] * 2],
    ),
    "narrow in the middle": (
        [256],
        4096,
        [
            one
            for width in (256, 128, 64, 32, 64, 128, 256)
            for one in (linear(width), layer("tanh"))
        ],
    ),
    "bottlenecks": (
        [256],
        1024,
        [linear(32), layer("tanh"), linear(256), layer("tanh")] * 6,
    ),
}


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", NETS)
def test_that_placed_segments_need_no_more_than_any_number_of_equal_ones(
    name: str, order: int
) -> None:
    shape, batch, layers = NETS[name]
    spec = run_of(
        layers,
        shape,
        batch,
        order,
        mitigation={"checkpointing": {"kind": "rematerialize", "segments": "auto"}},
    )
    count = len(layers)

    by_count = {
        segments: peak(spec, evenly(count, segments))
        for segments in {*range(1, min(count, 9) + 1), round(math.sqrt(count))}
    }
    placed = peak(spec)

    assert placed <= 1.01 * by_count[round(math.sqrt(count))]
    assert placed <= 1.09 * min(by_count.values())


def test_that_many_inner_steps_are_foretold_with_the_cuts_that_they_are_run_with() -> None:
    """A forecast looks at few steps, for which the stack alone would be cut in other places."""
    maml = {"kind": "maml", "tasks": 1, "inner_steps": 6, "support": 256, "query": 256}
    spec = run_of(
        [linear(32), layer("tanh")] * 6,
        [32],
        256,
        2,
        workload=maml,
        mitigation={"checkpointing": {"kind": "rematerialize"}},
    )
    fewer = spec.with_value("workload.inner_steps", "1")
    assert segments_of(spec) != segments_of(fewer)

    kernels = Kernels(CPU, 1)
    forecast = Forecaster(lambda device, threads: kernels).outlook(spec, learn_s=60.0).forecast

    def scratch(call: Call) -> int | None:
        kernel = kernels.known(call)
        return None if kernel is None else kernel.scratch_bytes

    def returned(call: Call) -> tuple[int, ...] | None:
        kernel = kernels.known(call)
        return None if kernel is None else kernel.returned_bytes

    assert forecast is not None
    whole = predict(spec, CPU).corrected(returned).report(scratch)
    assert forecast.peak_bytes == whole.peak_bytes
