"""What memory is held for. The order is the order of stacking, from the ground up."""

from __future__ import annotations

from core.spec.workloads import HIGHEST_ORDER

GRAPHS = tuple(f"graph_{order}" for order in range(1, HIGHEST_ORDER + 1))

CATEGORIES = (
    "parameters",
    "data",
    "optimizer_state",
    "activations",
    *GRAPHS,
    "gradients",
    "fast_weights",
    "tangents",
    "temporaries",
    "kernel_temporaries",
    "other",
)
"""graph_k is what the gradient of order k leaves alive for the next one; temporaries are born and
freed within one phase; kernel_temporaries are the scratch memory inside operations."""


def graph_category(order: int) -> str:
    """The category of what the gradient of that order keeps alive."""
    return GRAPHS[min(order, HIGHEST_ORDER) - 1]
