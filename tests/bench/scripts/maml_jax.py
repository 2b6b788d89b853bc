"""The meta-gradient of sinusoid MAML in JAX: the whole of it under one ``jit``, all tasks at once.

Reads what ``hogui run --save-tensors`` writes and refuses to be timed where its result is another.
"""

import os

os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 "
    + os.environ.get("XLA_FLAGS", "")
)
os.environ["JAX_PLATFORMS"] = "cpu"

import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np


def by_jax(file: Path, inner_steps: int, inner_lr: float) -> tuple[Callable[[], float], float]:
    """How long a meta-gradient takes, each time it is called, and how long compiling took."""
    arrays = np.load(file)
    names = [name for name in arrays if name.startswith("parameters/")]
    weights = {name: jnp.asarray(arrays[name]) for name in names}
    data = [
        jnp.asarray(arrays[f"data/{name}"])
        for name in ("support_x", "support_y", "query_x", "query_y")
    ]
    layers = sorted({int(name.split("/")[1].split(".")[0]) for name in names})

    def loss(weights, x, y):
        for layer in layers:
            x = x @ weights[f"parameters/{layer}.weight"].T + weights[f"parameters/{layer}.bias"]
            x = x if layer == layers[-1] else jax.nn.relu(x)
        return jnp.mean((x - y) ** 2)

    def adapted_loss(weights, support_x, support_y, query_x, query_y):
        for _ in range(inner_steps):
            gradients = jax.grad(loss)(weights, support_x, support_y)
            weights = jax.tree.map(lambda w, g: w - inner_lr * g, weights, gradients)
        return loss(weights, query_x, query_y)

    def meta_loss(weights, *data):
        of_tasks = jax.vmap(adapted_loss, in_axes=(None, 0, 0, 0, 0))
        return jnp.mean(of_tasks(weights, *data))

    began = time.perf_counter()
    compiled = jax.jit(jax.grad(meta_loss)).lower(weights, *data).compile()
    compile_s = time.perf_counter() - began
    found = compiled(weights, *data)
    for name in names:
        right = arrays[name.replace("parameters/", "result/")]
        distance = np.linalg.norm(found[name] - right) / np.linalg.norm(right)
        assert distance < 1e-4, f"{name} differs by {distance:.1e}"

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready(compiled(weights, *data))
        return time.perf_counter() - start

    return seconds, compile_s
