"""Where torch 2.13 cannot differentiate, or does so wrongly in silence, and what to do instead.

Forward modes mean ``torch.autograd.forward_ad`` together with ``torch.autograd.grad``. Operations
have the names of torch's schemas; those of the forward pass tell. Tests run each entry on real
tensors, in every mode, so that an upstream repair is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from core.results.forecast import Finding
from core.spec.derivation import BY_MATH_KERNEL, NO_FUSED_ATTENTION

Mode = Literal["reverse_over_reverse", "forward_over_reverse", "reverse_over_forward"]
"""The last two take one derivative of the ``order`` forward: the outermost or the innermost."""

Severity = Literal["error", "warning", "note"]


class Operation(NamedTuple):
    """An operation of a forward pass.

    Attributes:
        layer: position of the layer that runs it, None outside of the layers.
        name: as in torch's schemas, for example ``aten::mm``; a telling argument is named too, as
            in ``aten::embedding(sparse=True)``.
    """

    layer: int | None
    name: str


@dataclass(frozen=True)
class Use:
    """What is done to a computation.

    Attributes:
        order: how often it is differentiated.
        mode: how.
        mitigations: ``selective_checkpointing`` where it is in force.
    """

    order: int
    mode: Mode = "reverse_over_reverse"
    mitigations: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fault:
    """Something that torch cannot do, or does wrongly.

    Attributes:
        why: what is wrong, with the number of the upstream issue where there is one.
        remedy: what to do instead.
        first_order: the order from which on it strikes, by mode; a mode left out is sound.
        last_order: the order up to which it does, None where that is every further one.
        operations: any of them is struck; none where the mitigation strikes by itself.
        mitigation: which has to be in force, None where it does not matter.
    """

    why: str
    remedy: str
    first_order: Mapping[Mode, int]
    operations: frozenset[str] = field(default_factory=frozenset)
    last_order: int | None = None
    mitigation: str | None = None
    severity: Severity = "error"

    def strikes(self, use: Use) -> bool:
        """Whether what is done to the computation brings the fault about."""
        if self.mitigation is not None and self.mitigation not in use.mitigations:
            return False
        if use.mode not in self.first_order or use.order < self.first_order[use.mode]:
            return False
        return self.last_order is None or use.order <= self.last_order

    @property
    def sentence(self) -> str:
        """Both halves; the first begins with the name of what is at fault."""
        return f"{self.why}; {self.remedy}."


def findings_for(
    operations: Iterable[Operation], use: Use, kinds: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """What would fail or be wrong when a recorded computation is differentiated.

    Args:
        operations: of its forward pass, each once or more often.
        use: how often and how it is differentiated.
        kinds: of the layers, by position; a layer's sentence then begins with its kind.

    Returns:
        Each fault once for each layer, the layers in the order of ``operations``.
    """
    return tuple(dict.fromkeys(_findings(operations, use, kinds)))


def _findings(operations: Iterable[Operation], use: Use, kinds: Sequence[str]) -> Iterator[Finding]:
    struck = [fault for fault in FAULTS if fault.strikes(use)]
    for fault in struck:
        if not fault.operations:
            yield Finding(severity=fault.severity, layer=None, sentence=fault.sentence)
    for layer, name in operations:
        for fault in struck:
            if name in fault.operations:
                kind = f"{kinds[layer]}: " if layer is not None and layer < len(kinds) else ""
                yield Finding(
                    severity=fault.severity, layer=layer, sentence=f"{kind}{fault.sentence}"
                )


def _modes(
    *, reverse: int | None = None, forward_outside: int | None = 2, forward_inside: int | None = 2
) -> Mapping[Mode, int]:
    orders: dict[Mode, int | None] = {
        "reverse_over_reverse": reverse,
        "forward_over_reverse": forward_outside,
        "reverse_over_forward": forward_inside,
    }
    return MappingProxyType({mode: order for mode, order in orders.items() if order is not None})


_EVERY_MODE: Final = _modes(reverse=2)
_REVERSE_MODE: Final = _modes(reverse=2, forward_outside=None, forward_inside=None)
_FORWARD_MODES: Final = _modes()
_FORWARD_OUTSIDE: Final = _modes(forward_inside=None)
_FORWARD_INSIDE: Final = _modes(forward_outside=None)

_USE_REVERSE: Final = "use reverse over reverse"

FUSED_ATTENTION: Final = frozenset(
    f"aten::_scaled_dot_product_{kernel}"
    for kernel in (
        "flash_attention_for_cpu",
        "flash_attention",
        "efficient_attention",
        "cudnn_attention",
    )
)
_MATH_ATTENTION: Final = "aten::_safe_softmax"
"""What only the math kernel of attention calls."""

FAULTS: Final = (
    # No second derivative.
    Fault(
        "torch.cdist has no second derivative",
        "write it out: (a.unsqueeze(-2) - b.unsqueeze(-3)).norm(dim=-1)",
        _EVERY_MODE,
        frozenset({"aten::_cdist_forward"}),
    ),
    Fault(
        "pdist has no second derivative",
        "write it out: (x[i] - x[j]).norm(dim=-1) with i, j = torch.triu_indices(n, n, 1)",
        _EVERY_MODE,
        frozenset({"aten::_pdist_forward"}),
    ),
    Fault(
        "embedding_bag has no second derivative",
        "look the rows up with embedding and add up those of each bag",
        _EVERY_MODE,
        frozenset({"aten::_embedding_bag", "aten::_embedding_bag_forward_only"}),
    ),
    Fault(
        "hardsigmoid has no second derivative",
        "write it out: (x / 6 + 0.5).clamp(0, 1)",
        _EVERY_MODE,
        frozenset({"aten::hardsigmoid"}),
    ),
    Fault(
        "multi_margin_loss has no second derivative",
        "write it out with gather and relu",
        _EVERY_MODE,
        frozenset({"aten::multi_margin_loss"}),
    ),
    Fault(
        "multilabel_margin_loss has no second derivative",
        "write it out with gather and relu",
        _EVERY_MODE,
        frozenset({"aten::multilabel_margin_loss_forward"}),
    ),
    Fault(
        "ctc_loss has no second derivative",
        "only order 1 works",
        _EVERY_MODE,
        frozenset({"aten::_ctc_loss"}),
    ),
    Fault(
        NO_FUSED_ATTENTION,
        "enter torch.nn.attention.sdpa_kernel(SDPBackend.MATH) around the computation",
        _EVERY_MODE,
        FUSED_ATTENTION,
    ),
    Fault(
        NO_FUSED_ATTENTION,
        BY_MATH_KERNEL,
        _EVERY_MODE,
        frozenset({_MATH_ATTENTION}),
        severity="note",
    ),
    Fault(
        "cuDNN's recurrent layers have no second derivative, by design (pytorch/pytorch#5261)",
        "enter torch.backends.cudnn.flags(enabled=False) around the computation",
        _EVERY_MODE,
        frozenset({"aten::_cudnn_rnn"}),
    ),
    # Wrong in silence.
    Fault(
        "torch's layer norm has wrong derivatives in this mode or from order 3 on "
        "(pytorch/pytorch#198017)",
        "use RMS norm or group norm, or write the norm out",
        _modes(reverse=3, forward_outside=3),
        frozenset({"aten::native_layer_norm"}),
    ),
    Fault(
        "torch's batch norm and instance norm have wrong derivatives in this mode or from order 3 "
        "on (pytorch/pytorch#198017)",
        "use RMS norm or group norm, or write the norm out",
        _modes(reverse=3, forward_outside=3),
        frozenset(
            f"aten::{name}(training=True)"
            for name in ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm")
        ),
    ),
    Fault(
        "weight_norm has a wrong second derivative by its direction, and no forward mode",
        "write it out: g * v / v.norm(dim=1, keepdim=True)",
        _EVERY_MODE,
        frozenset({"aten::_weight_norm_interface"}),
    ),
    Fault(
        "det, slogdet and solve have wrong second derivatives in forward modes "
        "(pytorch/pytorch#192540)",
        _USE_REVERSE,
        _FORWARD_MODES,
        frozenset({"aten::_linalg_det", "aten::_linalg_slogdet", "aten::_linalg_solve_ex"}),
    ),
    Fault(
        "scatter_reduce by products is wrong or fails in forward modes",
        _USE_REVERSE,
        _FORWARD_MODES,
        frozenset({"aten::scatter_reduce(reduce=prod)"}),
    ),
    # Not in every forward mode.
    Fault(
        "mse_loss by the mean fails in forward over reverse (pytorch/pytorch#123996)",
        "write it out: (output - target).square().mean()",
        _FORWARD_OUTSIDE,
        frozenset({"aten::mse_loss(reduction=1)"}),
    ),
    Fault(
        "huber_loss has no forward over reverse",
        "use delta * smooth_l1_loss with beta=delta",
        _FORWARD_OUTSIDE,
        frozenset({"aten::huber_loss"}),
    ),
    Fault(
        "soft_margin_loss has no forward over reverse",
        "write it out: softplus(-target * output).mean()",
        _FORWARD_OUTSIDE,
        frozenset({"aten::soft_margin_loss"}),
    ),
    Fault(
        "group norm has no forward over reverse at order 2",
        f"{_USE_REVERSE}, or reverse over forward",
        _FORWARD_OUTSIDE,
        frozenset({"aten::native_group_norm"}),
        last_order=2,
    ),
    Fault(
        "softmax fails in reverse over forward",
        f"{_USE_REVERSE}, or forward over reverse",
        _FORWARD_INSIDE,
        frozenset({"aten::_softmax", "aten::_log_softmax", _MATH_ATTENTION}),
    ),
    Fault(
        "silu has no forward over reverse",
        "write it out: x * torch.sigmoid(x)",
        _FORWARD_OUTSIDE,
        frozenset({"aten::silu"}),
    ),
    Fault(
        "grid_sample has no forward mode",
        _USE_REVERSE,
        _FORWARD_MODES,
        frozenset({"aten::grid_sampler_2d", "aten::grid_sampler_3d"}),
    ),
    Fault(
        "index_reduce has no forward mode",
        _USE_REVERSE,
        _FORWARD_MODES,
        frozenset({"aten::index_reduce"}),
    ),
    Fault(
        "the LSTM of oneDNN has no forward mode",
        "use a GRU, or float64, which oneDNN leaves to torch",
        _FORWARD_MODES,
        frozenset({"aten::mkldnn_rnn_layer"}),
    ),
    Fault(
        "the sparse gradient of embedding has no forward mode",
        "use sparse=False",
        _FORWARD_MODES,
        frozenset({"aten::embedding(sparse=True)"}),
    ),
    # Whole computations.
    Fault(
        "selective checkpointing lets a region be differentiated only once",
        "use mitigation.checkpointing.kind rematerialize",
        _REVERSE_MODE,
        mitigation="selective_checkpointing",
    ),
)
