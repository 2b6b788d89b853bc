"""Nested gradients of a stack in JAX, with and without ``jax.checkpoint`` around its segments.

Reads a spec and the tensors that the product computes it from, and prints what XLA allocates beside
arguments and results, the time, and the length of the result, as JSON.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp

from core.spec.layers import LayerRow, TransformerEncoderLayer
from core.spec.placement import segments_of
from core.spec.run import RunSpec

Weights = dict[str, Array]
Function = Callable[[Weights, Array], Array]


def linear(p: Weights, name: str, x: Array) -> Array:
    return x @ p[f"{name}weight"].T + p[f"{name}bias"]


def normal(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + eps)


def convolution(row: LayerRow, p: Weights, x: Array) -> Array:
    layer, name = row.layer, f"{row.index}."
    stride, padding = layer.stride, layer.padding
    sizes = ("NCHW", "OIHW", "NCHW")
    found = lax.conv_general_dilated(
        x, p[f"{name}weight"], (stride, stride), [(padding, padding)] * 2, dimension_numbers=sizes
    )
    return found + p[f"{name}bias"][:, None, None]


def batch_norm(row: LayerRow, p: Weights, x: Array) -> Array:
    weight, bias = (p[f"{row.index}.{name}"][:, None, None] for name in ("weight", "bias"))
    return normal(x, (0, 2, 3), row.layer.eps) * weight + bias


def encoder(row: LayerRow, p: Weights, x: Array) -> Array:
    """Norms last, no dropout, relu: what the spec's defaults are, dropout apart."""
    layer, name = row.layer, f"{row.index}."
    assert isinstance(layer, TransformerEncoderLayer)

    def norm(which: str, x: Array) -> Array:
        scaled = normal(x, (-1,), layer.layer_norm_eps) * p[f"{name}{which}.weight"]
        return scaled + p[f"{name}{which}.bias"]

    own = f"{name}self_attn."
    projected = x @ p[f"{own}in_proj_weight"].T + p[f"{own}in_proj_bias"]
    batch, length, _ = x.shape
    query, key, value = jnp.moveaxis(projected.reshape(batch, length, 3, layer.nhead, -1), 2, 0)
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    found = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)
    x = norm("norm1", x + linear(p, f"{own}out_proj.", found.reshape(x.shape)))
    between = jax.nn.relu(linear(p, f"{name}linear1.", x))
    return norm("norm2", x + linear(p, f"{name}linear2.", between))


LAYERS: dict[str, Callable[[LayerRow, Weights, Array], Array]] = {
    "linear": lambda row, p, x: linear(p, f"{row.index}.", x),
    "tanh": lambda row, p, x: jnp.tanh(x),
    "relu": lambda row, p, x: jax.nn.relu(x),
    "conv2d": convolution,
    "batch_norm": batch_norm,
    "adaptive_avg_pool2d": lambda row, p, x: x.mean((2, 3), keepdims=True),
    "flatten": lambda row, p, x: x.reshape(len(x), -1),
    "transformer_encoder_layer": encoder,
}


def segment(rows: tuple[LayerRow, ...]) -> Function:
    def apply(p: Weights, x: Array) -> Array:
        for row in rows:
            x = LAYERS[row.layer.kind](row, p, x)
        return x

    return apply


def loss_of(spec: RunSpec, y: Array, wrap: Callable[[Function], Function]) -> Function:
    rows = spec.model.trace()
    parts = [wrap(segment(rows[run.start : run.stop])) for run in segments_of(spec)]

    def loss(p: Weights, x: Array) -> Array:
        for part in parts:
            x = part(p, x)
        if spec.loss == "mse":
            return jnp.square(x - y).mean()
        return (jax.nn.logsumexp(x, 1) - jnp.take_along_axis(x, y[:, None], 1)[:, 0]).mean()

    return loss


def nested(loss: Function, order: int) -> Callable[[Weights, Array], Weights]:
    """The gradient of the sum of the gradient of the sum ..."""
    function = loss
    for _ in range(order - 1):
        gradient = jax.grad(function)
        function = lambda p, x, gradient=gradient: sum(  # noqa: E731
            one.sum() for one in gradient(p, x).values()
        )
    return jax.grad(function)


def main(spec_file: str, tensors_file: str, repetitions: int) -> None:
    spec = RunSpec.from_json(Path(spec_file).read_text(encoding="utf-8"))
    with np.load(tensors_file) as tensors:
        p = {
            name.removeprefix("parameters/"): jnp.asarray(tensors[name])
            for name in tensors
            if name.startswith("parameters/")
        }
        x, y = jnp.asarray(tensors["data/x"]), jnp.asarray(tensors["data/y"])
    order = spec.workload.derivative_order
    ways = {"none": lambda function: function, "checkpoint": jax.checkpoint}
    compiled, figures = {}, {}
    for name, wrap in ways.items():
        began = time.perf_counter()
        function = jax.jit(nested(loss_of(spec, y, wrap), order)).lower(p, x).compile()
        compiled[name] = function
        result = jax.block_until_ready(function(p, x))
        figures[name] = {
            "compile_s": time.perf_counter() - began,
            "temporary_bytes": function.memory_analysis().temp_size_in_bytes,
            "norm": float(math.sqrt(sum(float(jnp.square(one).sum()) for one in result.values()))),
        }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _, name in itertools.product(range(repetitions), ways):
        began = time.perf_counter()
        jax.block_until_ready(compiled[name](p, x))
        taken[name].append(time.perf_counter() - began)
    for name, seconds in taken.items():
        figures[name]["seconds"] = statistics.median(seconds)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
