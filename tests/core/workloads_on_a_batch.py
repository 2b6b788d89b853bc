"""The workloads whose batch can be computed in parts, each way of each of them once."""

from typing import Any

ON_A_BATCH: list[dict[str, Any]] = [
    {"kind": "nested_gradient", "order": 1},
    {"kind": "nested_gradient", "order": 3},
    {"kind": "nested_gradient", "order": 2, "wrt": "inputs"},
    {"kind": "hvp"},
    {"kind": "hvp", "vectors": 3},
    {"kind": "hvp", "vectors": 3, "batched": True},
    {"kind": "hvp", "vectors": 2, "mode": "forward_over_reverse"},
    {"kind": "hvp", "vectors": 2, "mode": "reverse_over_forward"},
    {"kind": "hvp", "vectors": 2, "mode": "finite_difference"},
    {"kind": "hessian"},
    {"kind": "hessian", "method": "vmap", "chunk_size": 4},
    {"kind": "hutchinson_trace", "probes": 4},
    {"kind": "newton", "method": "exact", "steps": 2},
    {"kind": "newton", "method": "cg", "steps": 2, "damping": 0.5},
    {"kind": "adversarial", "steps": 3, "training_steps": 2},
    {"kind": "adversarial", "method": "second_order", "steps": 3},
]
