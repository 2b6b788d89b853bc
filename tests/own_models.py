"""Files of a user's, and runs of them."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

from core.spec.run import RunSpec

HEAD = "import torch\nfrom torch import nn\n"
NETWORK = "def model():\n    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))\n"
LAYERS = [
    {"kind": "linear", "out_features": 16},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 3},
]
"""``NETWORK`` as a stack."""
STEP = """
optimizer = None
def step(module, batch):
    global optimizer
    if optimizer is None:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9, foreach=False)
    x, y = batch
    loss = (module(x) - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
"""
"""A step with momentum."""


def written(folder: Path, text: str, name: str = "own.py") -> Path:
    """A file with what torch is known as at its head."""
    file = folder / name
    file.write_text(HEAD + dedent(text), encoding="utf-8")
    return file


def own_spec(file: Path, *, input_shape: list[int] | None = None, **keys: Any) -> RunSpec:
    """A small run of a file's model."""
    model = {"kind": "python", "file": str(file), "input_shape": input_shape or [8]}
    document = {
        "model": model | keys.pop("model", {}),
        "data": {"kind": "synthetic", "batch_size": 6},
        "device": "cpu",
        "measure": {"repetitions": 3, "warmup": 1},
    }
    return RunSpec.from_json(json.dumps(document | keys))
