"""The loss as the same function of the weights each time."""

from __future__ import annotations

from core.export.script.model import Network


def loss_at(network: Network) -> str:
    """The source of ``loss_at(p)``: with the same random numbers, and without a trace in the
    running statistics."""
    lines = ["def loss_at(p):", '    """The loss at the weights p."""']
    if network.random:
        lines.append("    torch.manual_seed(SEED)")
    update = ", update=False" if network.updates else ""
    return "\n".join([*lines, f"    return loss(p, x, y{update})"])
