"""Small runs drawn at random: every kind of layer, workload and mitigation."""

import json
import random

from core.spec.mitigations import INNER_LOOPS
from core.spec.run import RunSpec

_Layer = dict[str, object]
_ACTIVATIONS = ["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "softplus", "softmax"]
_SHAPES = {"line": [6], "curve": [4, 7], "image": [2, 6, 7], "words": [4], "sequence": [3, 4]}
_NORMS: dict[str, list[_Layer]] = {
    "line": [{"kind": "batch_norm"}, {"kind": "group_norm", "num_groups": 2}],
    "curve": [{"kind": "instance_norm"}, {"kind": "group_norm", "num_groups": 2}],
    "image": [{"kind": "batch_norm"}, {"kind": "instance_norm", "affine": True}],
    "words": [{"kind": "batch_norm"}],
    "sequence": [{"kind": "batch_norm"}, {"kind": "instance_norm"}],
}
_WEIGHTS: dict[str, list[_Layer]] = {
    "line": [{"kind": "linear", "out_features": 4}],
    "curve": [{"kind": "conv1d", "out_channels": 4, "padding": 1}],
    "image": [
        {"kind": "conv2d", "out_channels": 4, "padding": 1},
        {"kind": "max_pool2d"},
        {"kind": "avg_pool2d"},
        {"kind": "adaptive_avg_pool2d", "output_size": 2},
    ],
    "words": [{"kind": "linear", "out_features": 4, "bias": False}],
    "sequence": [
        {"kind": "multihead_attention", "num_heads": 2, "dropout": 0.2},
        {"kind": "transformer_encoder_layer", "nhead": 2, "dim_feedforward": 5},
        {"kind": "lstm", "hidden_size": 2, "bidirectional": True},
        {"kind": "gru", "hidden_size": 4},
    ],
}


def random_run(seed: int) -> RunSpec:
    """A run without problems; the same for the same seed."""
    numbers = random.Random(seed)
    while True:
        drawn = _draw(numbers, seed)
        if not drawn.problems():
            return drawn


def _draw(numbers: random.Random, seed: int) -> RunSpec:
    form = numbers.choice(list(_SHAPES))
    layers: list[_Layer] = []
    if form == "words":
        sparse = numbers.random() < 0.5
        layers += [{"kind": "embedding", "num_embeddings": 9, "embedding_dim": 4, "sparse": sparse}]
    for _ in range(numbers.randint(1, 5)):
        layers.append(
            numbers.choice(
                [
                    numbers.choice(_WEIGHTS[form]),
                    {"kind": numbers.choice(_ACTIVATIONS)},
                    numbers.choice([*_NORMS[form], {"kind": "layer_norm"}, {"kind": "rms_norm"}]),
                    {"kind": "dropout", "p": 0.3},
                ]
            )
        )
    layers += [{"kind": "flatten"}, {"kind": "linear", "out_features": 3}]
    workload: _Layer = {
        "kind": "nested_gradient",
        "order": numbers.choice([1, 2, 2, 3, 3, 4, 5]),
        "wrt": numbers.choice(["parameters", "inputs"]),
    }
    if numbers.random() < 0.5:
        workload = {
            "kind": "maml",
            "order": numbers.choice([1, 2, 2, 3, 4]),
            "inner_steps": numbers.randint(1, 4),
            "inner_lr": numbers.choice([0.01, 0.1, 0.5]),
            "tasks": numbers.randint(1, 3),
            "support": numbers.randint(2, 9),
            "query": numbers.randint(2, 9),
        }
    document = {
        "model": {"input_shape": _SHAPES[form], "layers": layers},
        "data": {"kind": "synthetic", "batch_size": numbers.choice([2, 16, 64])},
        "loss": numbers.choice(["mse", "cross_entropy"]),
        "workload": workload,
        "mitigation": {
            "checkpointing": {"kind": numbers.choice(["none", "torch", "rematerialize"])},
            "inner_loop": numbers.choice(INNER_LOOPS),
        },
        "measure": {"seed": seed},
    }
    return RunSpec.from_json(json.dumps(document))
