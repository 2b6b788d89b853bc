"""Specs that the tests of the check share."""

import json

from core.spec.run import RunSpec

Layers = list[dict[str, object]]

MLP: Layers = [
    {"kind": "linear", "out_features": 5},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 4},
    {"kind": "silu"},
    {"kind": "linear", "out_features": 3},
]
MAML = {"kind": "maml", "inner_steps": 2, "inner_lr": 0.1, "tasks": 2, "support": 4, "query": 4}


def spec(
    order: int,
    workload: str = "nested_gradient",
    *,
    layers: Layers = MLP,
    input_shape: tuple[int, ...] = (4,),
    checkpointing: str = "none",
    inner_loop: str = "standard",
    loss: str = "mse",
    seed: int = 0,
    **more: object,
) -> RunSpec:
    """A small run on synthetic data."""
    computed = MAML if workload == "maml" else {"kind": workload}
    made = RunSpec.from_json(
        json.dumps(
            {
                "model": {"input_shape": input_shape, "layers": layers},
                "data": {"kind": "synthetic", "batch_size": 16},
                "loss": loss,
                "workload": {**computed, "order": order, **more},
                "mitigation": {
                    "checkpointing": {"kind": checkpointing},
                    "inner_loop": inner_loop,
                },
                "measure": {"seed": seed},
            }
        )
    )
    assert not made.problems()
    return made
