"""Problems of meta-learning that the product and its peers compute alike, in doubles."""

from __future__ import annotations

import json

import torch
from torch import nn

from core.engine.data import Tasks
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec

STEPS, RATE = 3, 0.1
TANH = {
    "input_shape": [4],
    "layers": [
        {"kind": "linear", "out_features": 7},
        {"kind": "tanh"},
        {"kind": "linear", "out_features": 5},
        {"kind": "softplus"},
        {"kind": "linear", "out_features": 2},
    ],
}
IMAGES = {
    "input_shape": [1, 8, 8],
    "layers": [
        {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
        {"kind": "silu"},
        {"kind": "avg_pool2d", "kernel_size": 2},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 3},
    ],
}
MODELS = {"tanh": TANH, "images": IMAGES}
MODULES = {
    "tanh": lambda: nn.Sequential(
        nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 5), nn.Softplus(), nn.Linear(5, 2)
    ),
    "images": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    ),
}


def problem(net: str, inner_loop: str = "standard", order: int = 2) -> Problem:
    """Two tasks of synthetic data."""
    document = {
        "model": MODELS[net],
        "workload": {"kind": "maml", "order": order, "inner_steps": STEPS, "inner_lr": RATE,
                     "tasks": 2, "support": 6, "query": 5},
        "mitigation": {"precision": "float64", "inner_loop": inner_loop},
        "device": "cpu",
    }  # fmt: skip
    return prepare(RunSpec.from_json(json.dumps(document)), torch.device("cpu"))


def module_of(made: Problem, net: str) -> nn.Module:
    """The torch module at the problem's initial weights."""
    module = MODULES[net]().double()
    module.load_state_dict({name: weight.detach() for name, weight in made.parameters.items()})
    return module


def tasks_of(made: Problem) -> list[tuple[torch.Tensor, ...]]:
    """Support and query sets, task by task."""
    assert isinstance(made.data, Tasks)
    return list(zip(*made.data, strict=True))


def ours(made: Problem) -> tuple[list[torch.Tensor], float]:
    """The product's result and loss."""
    computed = compute(made, SILENT)
    return list(computed.result.values()), computed.loss.item()
