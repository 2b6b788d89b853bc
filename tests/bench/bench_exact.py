"""Whether the ledger sees every byte that the allocator hands out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch

from core.engine.late_modules import load_late_modules
from core.engine.problem import prepare
from core.engine.workloads import compute
from core.measure.memory.allocator import allocator_peak
from core.measure.memory.calls import Call
from core.measure.memory.kernels import Kernels
from core.measure.memory.ledger import Ledger
from core.spec.layers import LAYER_KINDS
from core.spec.run import RunSpec
from tests.bench.page import Page

CPU = torch.device("cpu")
TOLERANCE = 0.001

_Layer = dict[str, object]
_LAST: list[_Layer] = [{"kind": "linear", "out_features": 8}]
_IN_A_LINE = ([16], [{"kind": "linear", "out_features": 64}], _LAST)
_ON_A_CURVE = ([3, 20], [{"kind": "conv1d", "out_channels": 8}], [{"kind": "flatten"}, *_LAST])
_ON_AN_IMAGE = ([3, 12, 12], [{"kind": "conv2d", "out_channels": 8}], [{"kind": "flatten"}, *_LAST])
_ON_WORDS = ([12], [], [{"kind": "flatten"}, *_LAST])
_ON_A_SEQUENCE = ([6, 8], [], [{"kind": "flatten"}, *_LAST])
_TANH: _Layer = {"kind": "tanh"}

STACKS: dict[str, tuple[tuple[list[int], list[_Layer], list[_Layer]], list[_Layer]]] = {
    "adaptive_avg_pool2d": (_ON_AN_IMAGE, [_TANH, {"kind": "adaptive_avg_pool2d"}]),
    "avg_pool2d": (_ON_AN_IMAGE, [_TANH, {"kind": "avg_pool2d"}]),
    "batch_norm": (_ON_AN_IMAGE, [{"kind": "batch_norm"}, _TANH]),
    "conv1d": (_ON_A_CURVE, [_TANH, {"kind": "conv1d", "out_channels": 8, "stride": 2}, _TANH]),
    "conv2d": (_ON_AN_IMAGE, [_TANH, {"kind": "conv2d", "out_channels": 8, "padding": 1}, _TANH]),
    "dropout": (_IN_A_LINE, [_TANH, {"kind": "dropout"}]),
    "embedding": (_ON_WORDS, [{"kind": "embedding", "num_embeddings": 100, "embedding_dim": 8}]),
    "flatten": (_ON_AN_IMAGE, [_TANH]),
    "gelu": (_IN_A_LINE, [{"kind": "gelu"}]),
    "gru": (_ON_A_SEQUENCE, [{"kind": "gru", "hidden_size": 8}]),
    "group_norm": (_ON_AN_IMAGE, [{"kind": "group_norm", "num_groups": 2}, _TANH]),
    "identity": (_IN_A_LINE, [_TANH, {"kind": "identity"}]),
    "instance_norm": (_ON_AN_IMAGE, [{"kind": "instance_norm"}, _TANH]),
    "layer_norm": (_IN_A_LINE, [{"kind": "layer_norm"}, _TANH]),
    "leaky_relu": (_IN_A_LINE, [{"kind": "leaky_relu"}]),
    "linear": (_IN_A_LINE, [_TANH, {"kind": "linear", "out_features": 32}, _TANH]),
    "lstm": (_ON_A_SEQUENCE, [{"kind": "lstm", "hidden_size": 8}]),
    "max_pool2d": (_ON_AN_IMAGE, [_TANH, {"kind": "max_pool2d"}]),
    "mixed": (_IN_A_LINE, [{"kind": "mixed"}, _TANH]),
    "multihead_attention": (_ON_A_SEQUENCE, [{"kind": "multihead_attention"}, _TANH]),
    "relu": (_IN_A_LINE, [{"kind": "relu"}]),
    "residual": (
        _IN_A_LINE,
        [{"kind": "residual", "layers": [_TANH, {"kind": "linear", "out_features": 64}]}, _TANH],
    ),
    "rms_norm": (_IN_A_LINE, [{"kind": "rms_norm"}, _TANH]),
    "sigmoid": (_IN_A_LINE, [{"kind": "sigmoid"}]),
    "silu": (_IN_A_LINE, [{"kind": "silu"}]),
    "softmax": (_IN_A_LINE, [{"kind": "softmax"}]),
    "softplus": (_IN_A_LINE, [{"kind": "softplus"}]),
    "tanh": (_IN_A_LINE, [_TANH]),
    "transformer_encoder_layer": (
        _ON_A_SEQUENCE,
        [{"kind": "transformer_encoder_layer", "dim_feedforward": 16}, _TANH],
    ),
}
CHECKPOINTINGS = ("none", "torch", "rematerialize")


META_ORDERS_AND_STEPS = ((1, 1), (2, 1), (2, 5), (2, 10), (3, 1))


def workloads() -> Iterator[tuple[dict[str, object], str]]:
    """Workloads with the inner loop's kind: orders 1 to 3, of n inner steps too."""
    for order in (1, 2, 3):
        yield {"kind": "nested_gradient", "order": order}, "standard"
    sizes = {"tasks": 1, "support": 8, "query": 8}
    for (order, steps), inner in product(META_ORDERS_AND_STEPS, ("standard", "checkpoint")):
        yield {"kind": "maml", "order": order, "inner_steps": steps, **sizes}, inner


def specs() -> Iterator[tuple[str, RunSpec]]:
    for kind, ((shape, first, last), middle) in STACKS.items():
        for (workload, inner), checkpointing in product(workloads(), CHECKPOINTINGS):
            document = {
                "model": {"input_shape": shape, "layers": [*first, *middle, *last]},
                "data": {"kind": "synthetic", "batch_size": 16},
                "workload": workload,
                "device": "cpu",
                "mitigation": {
                    "checkpointing": {"kind": checkpointing},
                    "inner_loop": inner,
                },
            }
            spec = RunSpec.from_json(json.dumps(document))
            assert not spec.problems(), spec.problems()
            yield kind, spec


@dataclass(frozen=True)
class Seen:
    """One run's peak, thrice: as the allocator counted it, by the ledger alone, and by the ledger
    with what its operations were seen to allocate when they ran alone.

    Attributes:
        unknown: operations that could not run alone.
    """

    kind: str
    allocator: int
    alone: int
    learned: int
    unknown: int

    @property
    def scratch(self) -> bool:
        """Whether scratch memory of an operation raises the peak."""
        return self.learned != self.alone

    @property
    def off(self) -> float:
        """Deviation from the allocator, relative: of the ledger alone where that is enough."""
        told = self.learned if self.scratch else self.alone
        return abs(told - self.allocator) / self.allocator


def measure(kind: str, spec: RunSpec, kernels: Kernels) -> Seen:
    torch.set_num_threads(spec.measure.threads)
    load_late_modules(spec)
    problem = prepare(spec, CPU)
    problem.reset()
    ledger = Ledger(0.0)
    for name, tensor in (problem.parameters | problem.buffers).items():
        ledger.register("parameters", [tensor], layer=int(name.partition(".")[0]))
    ledger.register("data", problem.data)
    with ledger:
        computed = compute(problem, ledger)
    books = ledger.books()
    del computed
    unknown = kernels.learn(books.calls)

    def scratch(call: Call) -> int:
        known = kernels.known(call)
        return known.scratch_bytes if known else 0

    truth = allocator_peak(CPU, lambda recorder: compute(problem, recorder), problem.reset)
    return Seen(
        kind,
        allocator=truth.peak_bytes,
        alone=books.report(lambda _: 0).peak_bytes,
        learned=books.report(scratch).peak_bytes,
        unknown=len(unknown),
    )


def test_that_the_ledger_sees_what_the_allocator_counts(page: Page) -> None:
    """Every kind of layer × orders 1 to 3 × checkpointing × MAML with 1, 5 and 10 inner steps."""
    assert STACKS.keys() == set(LAYER_KINDS)
    kernels = Kernels(CPU, 1)
    seen = [measure(kind, spec, kernels) for kind, spec in specs()]
    bare = [run for run in seen if not run.scratch]
    rest = [run for run in seen if run.scratch]
    for name, runs in (
        ("Ledger alone, no operation's scratch memory at the peak", bare),
        ("Ledger and learned scratch memory", rest),
    ):
        off = sum(run.off > 0 for run in runs)
        assert runs, name
        worst = max(run.off for run in runs)
        page.claim(
            f"{name}, against the allocator",
            "≤ 0.1 % in every run",
            f"{len(runs)} runs, {off} off by a byte or more, worst {worst:.3%}",
            met=worst <= TOLERANCE,
        )
    page.claim(
        "Operations that cannot be learned alone",
        "0",
        str(sum(r.unknown for r in seen)),
        met=not any(run.unknown for run in seen),
    )
    rows = []
    for kind in STACKS:
        mine = [run for run in seen if run.kind == kind]
        rows.append(
            (
                kind,
                len(mine),
                sum(run.off > 0 for run in mine),
                f"{max(run.off for run in mine):.3%}",
                f"{max(1 - run.alone / run.allocator for run in mine):.1%}",
            )
        )
    headers = ("layer", "runs", "off by a byte", "worst", "most scratch memory at a peak")
    page.table("By kind of layer", headers, rows)
