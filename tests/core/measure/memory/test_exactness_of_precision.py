"""Ledger, forecast and allocator agree to the byte in bfloat16 and under autocast too."""

import pytest

from tests.core.measure.memory.exactness import assert_foretold_to_the_byte, run_of, watched
from tests.core.measure.memory.test_exactness import LINE, LINEAR, STACKS, TANH

PRECISIONS = ["bfloat16", "autocast"]
LESS_THAN_ALONE = {"lstm": ["forward"], "gru": ["forward"]}
"""Phases whose products of bfloat16 matrices need less, one after the other, than each alone."""


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_that_every_layer_is_foretold_to_the_byte(kind: str, precision: str) -> None:
    shape, layers = STACKS[kind]
    for order in (1, 2):
        assert_foretold_to_the_byte(
            run_of(
                layers,
                shape,
                workload={"kind": "nested_gradient", "order": order},
                mitigation={"precision": precision},
            ),
            but=LESS_THAN_ALONE.get(kind, []) if order > 1 and precision == "bfloat16" else [],
        )


@pytest.mark.parametrize("checkpointing", ["torch", "rematerialize"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_that_checkpointing_is_foretold_to_the_byte(checkpointing: str, precision: str) -> None:
    layers = [LINEAR, TANH, {"kind": "dropout"}, LINEAR, TANH, LINEAR]

    assert_foretold_to_the_byte(
        run_of(
            layers,
            LINE,
            workload={"kind": "nested_gradient", "order": 2},
            mitigation={
                "precision": precision,
                "accumulation": 3,
                "checkpointing": {"kind": checkpointing},
            },
        )
    )


@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "hvp", "vectors": 2, "mode": "forward_over_reverse"},
        {"kind": "hvp", "vectors": 2, "mode": "finite_difference"},
        {"kind": "maml", "tasks": 2, "support": 6, "query": 5, "inner_steps": 2},
        {"kind": "maml", "variant": "anil", "tasks": 2, "support": 6, "query": 5},
        {"kind": "newton", "method": "cg"},
    ],
    ids=str,
)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_that_other_workloads_are_foretold_to_the_byte(
    workload: dict[str, object], precision: str
) -> None:
    assert_foretold_to_the_byte(
        run_of([LINEAR, TANH, LINEAR], LINE, workload=workload, mitigation={"precision": precision})
    )


def test_that_bfloat16_halves_what_float32_holds() -> None:
    """Weights, data and graph of a net of matrix products, without what kernels need beside."""
    spec = run_of([LINEAR, TANH, LINEAR, TANH], LINE, workload={"kind": "nested_gradient"})
    fine, coarse = (
        watched(spec.with_changes({"mitigation.precision": precision})).report
        for precision in ("float32", "bfloat16")
    )

    assert coarse.baseline_bytes * 2 == fine.baseline_bytes
    graphs = [
        sum(report.by_category.get(name, 0) for name in ("activations", "graph_1", "gradients"))
        for report in (fine, coarse)
    ]
    assert graphs[1] * 2 == graphs[0]
