"""How a loss is differentiated, and which of torch's formulas do not stand it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Tangents = Literal["none", "outside", "inside"]
"""Where derivatives are carried forward: around a backward pass, inside of one, or nowhere."""

FIRST_WRONG_ORDER: Final = 3
"""From this order on torch 2.13 differentiates its norms wrongly (pytorch/pytorch#198017)."""

_WRONG: Final = "torch's own derivative is wrong from order 3 on (pytorch/pytorch#198017)"
_WRONG_INSIDE: Final = "the gradient of torch's own tangent is wrong (pytorch/pytorch#198017)"
_OVERWRITES: Final = "torch's own tangent overwrites what its gradient needs"
_CRASHES: Final = "the gradient of torch's own tangent ends the process while it is watched"
_NO_TANGENT: Final = "torch's own gradient carries no tangents"
_INTERPRETED: Final = (
    "the tangent of torch's own gradient runs in an interpreter, whose memory nobody can watch"
)
_MIXED_UP: Final = "torch's own second derivative takes no several vectors at once"
NO_FUSED_ATTENTION: Final = "fused attention has no second derivative (pytorch/pytorch#116350)"
BY_MATH_KERNEL: Final = (
    "so the engine switches to the math kernel by itself, which is right; memory and time differ "
    "from those of the fused one"
)
NO_FUSED_RECURRENCE: Final = (
    "an accelerator's own recurrent layers have no second derivative (pytorch/pytorch#5261)"
)
WITHOUT_ONEDNN: Final = (
    "the LSTM of oneDNN carries no tangents and is computed once more for its second derivative, "
    "so the engine leaves it out; memory and time differ from those of oneDNN"
)
_NORMS: Final = ("layer_norm", "batch_norm", "instance_norm")
_ATTENTION: Final = ("multihead_attention",)

_IN_FORWARD_MODES: Final[Mapping[Tangents, Mapping[str, str]]] = MappingProxyType(
    {
        "none": {},
        "outside": dict.fromkeys(("silu", "group_norm", "mse"), _NO_TANGENT)
        | dict.fromkeys(("softmax", "cross_entropy", *_NORMS, *_ATTENTION), _INTERPRETED),
        "inside": dict.fromkeys(_NORMS, _WRONG_INSIDE)
        | dict.fromkeys(("softmax", "cross_entropy", *_ATTENTION), _OVERWRITES)
        | {"mse": _CRASHES},
    }
)
"""Kinds of layers and losses by the way of differentiating that they do not stand."""


@dataclass(frozen=True)
class Derivation:
    """How often and in which way a loss is differentiated.

    Attributes:
        order: how many derivatives are nested.
        tangents: where one of them is carried forward.
        batched: whether the last one is taken for several vectors at once.
    """

    order: int
    tangents: Tangents = "none"
    batched: bool = False

    def why_rewritten(self, kind: str) -> str | None:
        """Why a kind of layer or loss is written out in elementary operations, None where torch's
        own function does."""
        if kind in _NORMS and self.order >= FIRST_WRONG_ORDER:
            return _WRONG
        if kind == "group_norm" and self.batched:
            return _MIXED_UP
        return _IN_FORWARD_MODES[self.tangents].get(kind)

    @property
    def by_math_kernel(self) -> bool:
        """Whether torch's attention is computed by its math kernel, the fused ones being once
        differentiable."""
        return self.order >= 2

    def rewrites(self, kind: str) -> bool:
        """Whether a kind of layer or loss is written out."""
        return self.why_rewritten(kind) is not None
