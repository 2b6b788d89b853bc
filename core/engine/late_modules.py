"""What torch loads at its first use, loaded beforehand."""

from __future__ import annotations

from importlib import import_module

from core.spec.run import RunSpec


def load_late_modules(spec: RunSpec) -> None:
    """Loads what torch would load in the middle of the memory pass, at its first use."""
    import_module("torch.fx.experimental.symbolic_shapes")
    if spec.mitigation.checkpointing.kind == "torch":
        import_module("torch._dynamo")
