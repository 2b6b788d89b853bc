"""Runs drawn at random, of every kind there is, for what must hold whatever is asked.

One repetition of each takes less than about a second.
"""

import json
import random
from typing import TypeAlias

from core.spec.mitigations import INNER_LOOPS
from core.spec.run import RunSpec

Part: TypeAlias = dict[str, object]

ACTIVATIONS = ("relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "softplus", "softmax")
CHECKPOINTING = ("none", "none", "torch", "rematerialize")
_MOST_STEPS = {1: 10, 2: 10, 3: 2, 4: 1}
_MOST_TASKS = {1: 4, 2: 4, 3: 2, 4: 1}
"""Of MAML by its order, which multiplies what a step costs."""


def random_spec(seed: int) -> RunSpec:
    """A run without problems, the same for the same seed everywhere."""
    numbers = random.Random(seed)
    while True:
        drawn = _drawn(numbers, seed)
        if not drawn.problems():
            return drawn


def random_maml(seed: int, steps: tuple[int, int], tasks: tuple[int, int]) -> RunSpec:
    """A run of MAML at orders 2 and 3 with as many inner steps and tasks as between the bounds."""
    numbers = random.Random(seed)
    while True:
        workload = _maml(numbers) | {
            "order": numbers.choice([2, 2, 3]),
            "inner_steps": numbers.randint(*steps),
            "tasks": numbers.randint(*tasks),
        }
        drawn = _run(numbers, seed, _stack(numbers), workload)
        if not drawn.problems():
            return drawn


def _drawn(numbers: random.Random, seed: int) -> RunSpec:
    workload = _maml(numbers) if numbers.random() < 0.45 else _nested(numbers)
    return _run(numbers, seed, _stack(numbers), workload)


def _run(numbers: random.Random, seed: int, model: Part, workload: Part) -> RunSpec:
    document = {
        "name": f"Random {seed}",
        "model": model,
        "data": {"kind": "synthetic", "batch_size": numbers.choice([8, 16, 64, 256])},
        "loss": numbers.choice(["mse", "cross_entropy"]),
        "workload": workload,
        "mitigation": {
            "checkpointing": _checkpointing(numbers),
            "inner_loop": numbers.choice(INNER_LOOPS),
            "precision": numbers.choice(["float32", "float32", "float64"]),
        },
        "device": "cpu",
        "measure": {"seed": seed},
    }
    return RunSpec.from_json(json.dumps(document))


def _nested(numbers: random.Random) -> Part:
    return {
        "kind": "nested_gradient",
        "order": numbers.choice([1, 2, 2, 2, 3, 3, 4]),
        "wrt": numbers.choice(["parameters", "parameters", "inputs"]),
    }


def _maml(numbers: random.Random) -> Part:
    order = numbers.choice([1, 2, 2, 2, 2, 2, 3, 3, 4])
    return {
        "kind": "maml",
        "order": order,
        "inner_steps": numbers.randint(1, _MOST_STEPS[order]),
        "inner_lr": numbers.choice([0.001, 0.01, 0.1]),
        "tasks": numbers.randint(1, _MOST_TASKS[order]),
        "support": numbers.choice([2, 5, 10, 20]),
        "query": numbers.choice([2, 5, 15]),
    }


def _checkpointing(numbers: random.Random) -> Part:
    segments = numbers.choice(["auto", "auto", 1, 2, 3])
    return {"kind": numbers.choice(CHECKPOINTING), "segments": segments}


def _stack(numbers: random.Random) -> Part:
    form = numbers.choice([_line, _line, _curve, _image, _image, _words, _sequence])
    shape, layers = form(numbers)
    classes = numbers.choice([2, 5, 10])
    bias = numbers.random() < 0.9
    head: list[Part] = [
        {"kind": "flatten"},
        {"kind": "linear", "out_features": classes, "bias": bias},
    ]
    return {"input_shape": shape, "layers": layers + head}


def _line(numbers: random.Random) -> tuple[list[int], list[Part]]:
    """Rows of numbers through linear layers."""
    norms: list[Part] = [
        {"kind": "batch_norm", "track_running_stats": numbers.random() < 0.7},
        {"kind": "layer_norm"},
        {"kind": "rms_norm"},
        {"kind": "group_norm", "num_groups": 2},
    ]
    width = numbers.choice([16, 32, 64, 128])
    layers: list[Part] = []
    for _ in range(numbers.randint(1, 5)):
        layers.append({"kind": "linear", "out_features": width, "bias": numbers.random() < 0.8})
        layers += _between(numbers, norms)
    return [numbers.choice([8, 20, 64])], layers


def _curve(numbers: random.Random) -> tuple[list[int], list[Part]]:
    """Curves of several channels through convolutions."""
    norms: list[Part] = [
        {"kind": "batch_norm"},
        {"kind": "instance_norm", "affine": numbers.random() < 0.5},
        {"kind": "group_norm", "num_groups": 2},
        {"kind": "layer_norm", "normalized_dims": numbers.choice([1, 2])},
    ]
    layers: list[Part] = []
    for _ in range(numbers.randint(1, 3)):
        layers.append(
            {
                "kind": "conv1d",
                "out_channels": numbers.choice([4, 8]),
                "kernel_size": 3,
                "stride": numbers.choice([1, 2]),
                "padding": numbers.choice([0, 1]),
                "dilation": numbers.choice([1, 1, 2]),
            }
        )
        layers += _between(numbers, norms)
    return [numbers.choice([1, 3]), numbers.choice([20, 33])], layers


def _image(numbers: random.Random) -> tuple[list[int], list[Part]]:
    """Images through convolutions and pooling."""
    norms: list[Part] = [
        {"kind": "batch_norm"},
        {"kind": "instance_norm", "affine": numbers.random() < 0.5},
        {"kind": "group_norm", "num_groups": 2},
        {"kind": "rms_norm"},
    ]
    pooling: list[Part] = [
        {"kind": "max_pool2d", "kernel_size": 2},
        {"kind": "avg_pool2d", "kernel_size": 2},
        {"kind": "adaptive_avg_pool2d", "output_size": [2, 3]},
    ]
    channels = numbers.choice([2, 4])
    layers: list[Part] = []
    for number in range(numbers.randint(1, 3)):
        layers.append(
            {
                "kind": "conv2d",
                "out_channels": numbers.choice([4, 8]),
                "kernel_size": numbers.choice([1, 3]),
                "stride": numbers.choice([1, 1, 2]),
                "padding": numbers.choice([0, 1]),
                "groups": numbers.choice([1, 1, 2]) if number == 0 else 1,
                "bias": numbers.random() < 0.8,
            }
        )
        layers += _between(numbers, norms)
    if numbers.random() < 0.6:
        layers.append(numbers.choice(pooling))
    side = numbers.choice([8, 11, 14])
    return [channels, side, side], layers


def _words(numbers: random.Random) -> tuple[list[int], list[Part]]:
    """Whole numbers through an embedding. Sparse gradients are tested by name: what they hold
    depends on the numbers."""
    layers: list[Part] = [
        {
            "kind": "embedding",
            "num_embeddings": numbers.choice([10, 300]),
            "embedding_dim": numbers.choice([4, 16]),
        }
    ]
    for _ in range(numbers.randint(0, 2)):
        layers.append({"kind": "linear", "out_features": 16})
        layers += _between(numbers, [{"kind": "layer_norm"}, {"kind": "batch_norm"}])
    return [numbers.choice([4, 12])], layers


def _sequence(numbers: random.Random) -> tuple[list[int], list[Part]]:
    """Sequences through attention and recurrence."""
    width = numbers.choice([4, 8])
    weights: list[Part] = [
        {"kind": "multihead_attention", "num_heads": 2, "dropout": numbers.choice([0.0, 0.2])},
        {
            "kind": "transformer_encoder_layer",
            "nhead": numbers.choice([1, 4]),
            "dim_feedforward": 12,
            "dropout": numbers.choice([0.0, 0.1]),
            "norm_first": numbers.random() < 0.5,
        },
        {"kind": "lstm", "hidden_size": width, "bias": numbers.random() < 0.8},
        {"kind": "gru", "hidden_size": width // 2, "bidirectional": True},
    ]
    layers: list[Part] = []
    for _ in range(numbers.randint(1, 2)):
        layers.append(numbers.choice(weights))
        layers += _between(numbers, [{"kind": "layer_norm"}, {"kind": "rms_norm"}])
    return [numbers.choice([3, 6]), width], layers


def _between(numbers: random.Random, norms: list[Part]) -> list[Part]:
    """What stands between two layers with weights: perhaps a norm, an activation, perhaps
    dropout."""
    layers: list[Part] = []
    if numbers.random() < 0.5:
        layers.append(numbers.choice(norms))
    layers.append({"kind": numbers.choice(ACTIVATIONS)})
    if numbers.random() < 0.2:
        layers.append({"kind": "dropout", "p": 0.3})
    return layers
