"""The networks of bench_inner_loop.py in JAX: memory and time of a meta-gradient, as JSON.

Arguments: width, blocks, examples, inner steps. One line for each way of keeping the inner loop:
the bytes that the compiled program needs beside its arguments and results
(``compiled.memory_analysis().temp_size_in_bytes``), and the median seconds of a call.

``standard`` differentiates through a scan over the steps, ``step remat`` wraps the step in
``jax.checkpoint``, ``MixFlow`` gives the inner gradient the rule of Kemaev et al. 2025
(arXiv 2505.00793): its backward is one Hessian-vector product, forward over reverse.
"""

import json
import os
import statistics
import sys
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp

WIDTH, BLOCKS, EXAMPLES, STEPS = map(int, sys.argv[1:5])
RATE = 0.01
CALLS = 5


def loss(weights, x, y):
    *blocks, last = weights
    for w, b in blocks:
        x = jnp.tanh(x @ w + b)
    w, b = last
    return jnp.mean((x @ w + b - y) ** 2)


inner_gradient = jax.grad(loss)


@jax.custom_vjp
def primitive(weights, x, y):
    return inner_gradient(weights, x, y)


def kept(weights, x, y):
    return inner_gradient(weights, x, y), (weights, x, y)


def product(residuals, cotangent):
    weights, x, y = residuals

    def along(w):
        return inner_gradient(w, x, y)

    return jax.jvp(along, (weights,), (cotangent,))[1], jnp.zeros_like(x), jnp.zeros_like(y)


primitive.defvjp(kept, product)


def meta_gradient(gradient, wrap):
    def outer(weights, support_x, support_y, query_x, query_y):
        def step(weights, _):
            slopes = gradient(weights, support_x, support_y)
            return jax.tree.map(lambda w, g: w - RATE * g, weights, slopes), None

        adapted, _ = jax.lax.scan(wrap(step), weights, None, length=STEPS)
        return loss(adapted, query_x, query_y)

    return jax.jit(jax.grad(outer))


def same(step):
    return step


WAYS = {
    "standard": (inner_gradient, same),
    "step remat": (inner_gradient, jax.checkpoint),
    "MixFlow": (primitive, same),
}

keys = iter(jax.random.split(jax.random.key(0), 2 * BLOCKS + 6))


def draw(*shape):
    return jax.random.normal(next(keys), shape)


start = [(draw(WIDTH, WIDTH) / WIDTH**0.5, draw(WIDTH)) for _ in range(BLOCKS + 1)]
data = [draw(EXAMPLES, WIDTH) for _ in range(4)]
for name, way in WAYS.items():
    compiled = meta_gradient(*way).lower(start, *data).compile()
    seconds = []
    for _ in range(CALLS + 1):
        begun = time.perf_counter()
        jax.block_until_ready(compiled(start, *data))
        seconds.append(time.perf_counter() - begun)
    peak = compiled.memory_analysis().temp_size_in_bytes
    print(json.dumps({"way": name, "bytes": peak, "seconds": statistics.median(seconds[1:])}))
