"""Ledger, forecast and allocator agree to the byte, whatever is computed.

The allocator's events of an unwatched pass are the truth; the ledger follows tensors alone and adds
what operations are known to allocate within themselves; the forecast computes nothing.
"""

import gc
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

import core.measure.memory.ledger as ledger_module
from core.spec.layers import LAYER_KINDS
from tests.core.measure.memory.exactness import (
    assert_foretold_to_the_byte,
    forecast,
    run_of,
    watched,
)
from tests.random_specs import random_maml, random_spec

Layer = dict[str, object]
LINE, CURVE, IMAGE, SEQUENCE = [12], [3, 14], [3, 8, 8], [5, 8]
LINEAR: Layer = {"kind": "linear", "out_features": 16}
CONV1D: Layer = {"kind": "conv1d", "out_channels": 4, "padding": 1}
CONV2D: Layer = {"kind": "conv2d", "out_channels": 4, "padding": 1}
TANH: Layer = {"kind": "tanh"}
HEAD: list[Layer] = [{"kind": "flatten"}, {"kind": "linear", "out_features": 5}]


def between(layer: Layer) -> tuple[list[int], list[Layer]]:
    """The layer in a stack of linear ones, where it needs no other."""
    return LINE, [LINEAR, layer, *HEAD]


STACKS: dict[str, tuple[list[int], list[Layer]]] = {
    "linear": (LINE, [LINEAR, TANH, LINEAR | {"bias": False}, TANH, *HEAD]),
    "conv1d": (CURVE, [CONV1D, TANH, CONV1D | {"stride": 2, "dilation": 2}, TANH, *HEAD]),
    "conv2d": (IMAGE, [CONV2D, TANH, CONV2D | {"stride": 2, "groups": 2}, TANH, *HEAD]),
    "max_pool2d": (IMAGE, [CONV2D, {"kind": "max_pool2d", "kernel_size": 2}, TANH, *HEAD]),
    "avg_pool2d": (IMAGE, [CONV2D, {"kind": "avg_pool2d", "kernel_size": 2}, TANH, *HEAD]),
    "adaptive_avg_pool2d": (
        IMAGE,
        [CONV2D, TANH, {"kind": "adaptive_avg_pool2d", "output_size": [3, 2]}, *HEAD],
    ),
    "flatten": (IMAGE, [{"kind": "flatten"}, LINEAR, TANH, *HEAD]),
    "identity": between({"kind": "identity"}),
    "relu": between({"kind": "relu"}),
    "leaky_relu": between({"kind": "leaky_relu"}),
    "gelu": between({"kind": "gelu"}),
    "silu": between({"kind": "silu"}),
    "tanh": between({"kind": "tanh"}),
    "sigmoid": between({"kind": "sigmoid"}),
    "softplus": between({"kind": "softplus"}),
    "softmax": between({"kind": "softmax"}),
    "dropout": (LINE, [LINEAR, TANH, {"kind": "dropout"}, *HEAD]),
    "batch_norm": (IMAGE, [CONV2D, {"kind": "batch_norm"}, TANH, *HEAD]),
    "layer_norm": (LINE, [LINEAR, {"kind": "layer_norm"}, TANH, *HEAD]),
    "rms_norm": (LINE, [LINEAR, {"kind": "rms_norm"}, TANH, *HEAD]),
    "group_norm": (IMAGE, [CONV2D, {"kind": "group_norm", "num_groups": 2}, TANH, *HEAD]),
    "instance_norm": (IMAGE, [CONV2D, {"kind": "instance_norm"}, TANH, *HEAD]),
    "embedding": (
        [6],
        [{"kind": "embedding", "num_embeddings": 40, "embedding_dim": 4}, TANH, *HEAD],
    ),
    "residual": (
        IMAGE,
        [CONV2D, {"kind": "residual", "layers": [{"kind": "batch_norm"}, TANH, CONV2D]}, *HEAD],
    ),
    "mixed": between(
        {
            "kind": "mixed",
            "candidates": [TANH, {"kind": "residual", "layers": [LINEAR]}, {"kind": "identity"}],
        }
    ),
    "multihead_attention": (SEQUENCE, [{"kind": "multihead_attention"}, TANH, *HEAD]),
    "transformer_encoder_layer": (
        SEQUENCE,
        [{"kind": "transformer_encoder_layer", "dim_feedforward": 12}, TANH, *HEAD],
    ),
    "lstm": (SEQUENCE, [{"kind": "lstm", "hidden_size": 6, "bidirectional": True}, *HEAD]),
    "gru": (SEQUENCE, [{"kind": "gru", "hidden_size": 6, "num_layers": 2}, *HEAD]),
}
CHECKPOINTING = ["none", "torch", "rematerialize"]
ORDERS = {"none": (1, 2, 3), "torch": (1, 2), "rematerialize": (2, 3)}
"""The benchmark has them all."""

RANDOM_STATE_BYTES = 5056
MAML = {"kind": "maml", "tasks": 2, "support": 6, "query": 5}


@pytest.fixture(autouse=True, scope="module")
def _what_torch_loaded_is_not_collected() -> Iterator[None]:
    """Each clean pass begins with the garbage collector, which would go through it all."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_that_there_is_a_stack_for_every_kind_of_layer() -> None:
    assert set(STACKS) == set(LAYER_KINDS)


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("checkpointing", CHECKPOINTING)
def test_that_nested_gradients_are_foretold_to_the_byte(kind: str, checkpointing: str) -> None:
    shape, layers = STACKS[kind]
    for order in ORDERS[checkpointing]:
        assert_foretold_to_the_byte(
            run_of(
                layers,
                shape,
                workload={"kind": "nested_gradient", "order": order},
                mitigation={"checkpointing": {"kind": checkpointing}},
            )
        )


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize(
    ("steps", "checkpointing", "inner_loop"),
    [
        (1, "torch", "standard"),
        (5, "none", "checkpoint"),
        (4, "none", "saved_gradient"),
        (4, "none", "segments"),
        (6, "none", "segments_saved_gradient"),
    ],
)
def test_that_maml_is_foretold_to_the_byte(
    kind: str, steps: int, checkpointing: str, inner_loop: str
) -> None:
    shape, layers = STACKS[kind]
    assert_foretold_to_the_byte(
        run_of(
            layers,
            shape,
            workload=MAML | {"inner_steps": steps},
            mitigation={"checkpointing": {"kind": checkpointing}, "inner_loop": inner_loop},
        )
    )


@pytest.mark.parametrize(
    ("order", "steps", "tasks", "checkpointing", "inner_loop"),
    [
        (3, 1, 1, "rematerialize", "standard"),
        (3, 1, 1, "none", "checkpoint"),
        (3, 2, 2, "torch", "standard"),
        (3, 2, 2, "rematerialize", "checkpoint"),
        (4, 1, 1, "rematerialize", "checkpoint"),
        (4, 2, 1, "none", "standard"),
        (3, 4, 1, "none", "segments_saved_gradient"),
        (3, 4, 2, "rematerialize", "segments"),
        (4, 2, 1, "none", "saved_gradient"),
    ],
)
def test_that_high_orders_through_an_embedding_are_foretold_to_the_byte(
    order: int, steps: int, tasks: int, checkpointing: str, inner_loop: str
) -> None:
    """Rows are put into zeros as large as the table, which autograd does in place."""
    table: Layer = {"kind": "embedding", "num_embeddings": 300, "embedding_dim": 4}
    sizes = {"inner_steps": steps, "tasks": tasks, "support": 10, "query": 5}
    assert_foretold_to_the_byte(
        run_of(
            [table, *HEAD],
            [12],
            workload=MAML | sizes | {"order": order},
            mitigation={
                "checkpointing": {"kind": checkpointing, "segments": 1},
                "inner_loop": inner_loop,
            },
        )
    )


NORMS = ("batch_norm", "layer_norm", "instance_norm", "group_norm")
PRODUCTS = [
    ("reverse_over_reverse", "cross_entropy", "rematerialize", False),
    ("reverse_over_reverse", "mse", "none", True),
    ("forward_over_reverse", "cross_entropy", "torch", False),
    ("forward_over_reverse", "mse", "none", False),
    ("reverse_over_forward", "cross_entropy", "none", False),
    ("reverse_over_forward", "mse", "rematerialize", False),
    ("finite_difference", "mse", "torch", False),
]


@pytest.mark.parametrize("kind", STACKS)
def test_that_hessian_vector_products_are_foretold_to_the_byte(kind: str) -> None:
    shape, layers = STACKS[kind]
    for mode, loss, checkpointing, batched in PRODUCTS:
        workload = {"kind": "hvp", "mode": mode, "vectors": 2, "batched": batched}
        mitigation = {"checkpointing": {"kind": checkpointing}}
        # While a mode watches, torch adds up the tangents of its norms out of place: a little more
        # on the way forward, far from the peak.
        watched = mode == "forward_over_reverse" or checkpointing == "rematerialize"
        but = ("forward",) if watched and kind in NORMS else ()
        assert_foretold_to_the_byte(
            run_of(layers, shape, loss=loss, workload=workload, mitigation=mitigation), but=but
        )


@pytest.mark.parametrize("kind", ["linear", "relu", "layer_norm"])
def test_that_gradients_with_tangents_through_segments_are_foretold_on_the_safe_side(
    kind: str,
) -> None:
    """While a mode watches, torch adds up more of them out of place, near the peak too."""
    shape, layers = STACKS[kind]
    workload = {"kind": "hvp", "mode": "forward_over_reverse", "vectors": 2}
    mitigation = {"checkpointing": {"kind": "rematerialize"}}
    spec = run_of(layers, shape, workload=workload, mitigation=mitigation, loss="cross_entropy")

    told, seen = forecast(spec), watched(spec)

    assert told.peak_bytes == seen.report.peak_bytes
    assert seen.allocator.peak_bytes <= told.peak_bytes <= 1.15 * seen.allocator.peak_bytes


HESSIANS = [
    ("linear", "rows", "rematerialize"),
    ("softmax", "vmap", "none"),
    ("dropout", "rows", "torch"),
    ("layer_norm", "vmap", "rematerialize"),
    ("embedding", "vmap", "torch"),
]


@pytest.mark.parametrize(("kind", "method", "checkpointing"), HESSIANS)
def test_that_hessians_are_foretold_to_the_byte(kind: str, method: str, checkpointing: str) -> None:
    shape, layers = STACKS[kind]
    workload = {"kind": "hessian", "method": method, "chunk_size": 10}
    mitigation = {"checkpointing": {"kind": checkpointing}}
    assert_foretold_to_the_byte(
        run_of(layers, shape, workload=workload, mitigation=mitigation, loss="cross_entropy")
    )


@pytest.mark.parametrize("kind", ["dropout", "batch_norm", "embedding"])
@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_that_estimates_of_the_trace_are_foretold_to_the_byte(kind: str, distribution: str) -> None:
    shape, layers = STACKS[kind]
    workload = {"kind": "hutchinson_trace", "probes": 4, "distribution": distribution}
    assert_foretold_to_the_byte(run_of(layers, shape, workload=workload))


@pytest.mark.parametrize("checkpointing", CHECKPOINTING)
@pytest.mark.parametrize(
    ("order", "method"), [(1, "exact"), (2, "exact"), (2, "finite_difference")]
)
@pytest.mark.parametrize("kind", ["mixed", "residual", "dropout"])
def test_that_architecture_gradients_are_foretold_to_the_byte(
    kind: str, order: int, method: str, checkpointing: str
) -> None:
    shape, layers = STACKS[kind]
    assert_foretold_to_the_byte(
        run_of(
            layers,
            shape,
            workload={"kind": "darts", "order": order, "method": method},
            mitigation={"checkpointing": {"kind": checkpointing}},
        )
    )


@pytest.mark.parametrize(
    ("variant", "order"), [("anil", 1), ("anil", 2), ("reptile", 1), ("imaml", 2)]
)
@pytest.mark.parametrize(
    ("kind", "steps", "checkpointing", "inner_loop"),
    [
        ("conv2d", 1, "none", "standard"),
        ("dropout", 5, "none", "checkpoint"),
        ("batch_norm", 5, "torch", "standard"),
        ("linear", 5, "rematerialize", "checkpoint"),
        ("dropout", 6, "rematerialize", "segments_saved_gradient"),
        ("batch_norm", 5, "none", "segments"),
        ("conv2d", 4, "torch", "saved_gradient"),
    ],
)
def test_that_variants_of_maml_are_foretold_to_the_byte(
    kind: str, steps: int, checkpointing: str, inner_loop: str, variant: str, order: int
) -> None:
    shape, layers = STACKS[kind]
    assert_foretold_to_the_byte(
        run_of(
            layers,
            shape,
            workload=MAML | {"inner_steps": steps, "variant": variant, "order": order},
            mitigation={"checkpointing": {"kind": checkpointing}, "inner_loop": inner_loop},
        )
    )


@pytest.mark.parametrize("checkpointing", CHECKPOINTING)
@pytest.mark.parametrize("wrt", ["parameters", "inputs"])
def test_that_cross_entropy_in_doubles_is_foretold_to_the_byte(
    checkpointing: str, wrt: str
) -> None:
    shape, layers = STACKS["linear"]
    assert_foretold_to_the_byte(
        run_of(
            layers,
            shape,
            loss="cross_entropy",
            workload={"kind": "nested_gradient", "order": 2, "wrt": wrt},
            mitigation={"checkpointing": {"kind": checkpointing}, "precision": "float64"},
        )
    )


@pytest.mark.parametrize("norm", ["tanh", "batch_norm", "dropout"])
@pytest.mark.parametrize("method", ["exact", "cg"])
@pytest.mark.parametrize(("steps", "damping"), [(1, 0.001), (3, 1.0)])
def test_that_newton_steps_are_foretold_to_the_byte(
    norm: str, method: str, steps: int, damping: float
) -> None:
    """However many iterations there are in the end."""
    narrow: Layer = {"kind": "linear", "out_features": 4}
    shape, layers = [3], [narrow, {"kind": norm}, narrow]
    workload = {"kind": "newton", "method": method, "steps": steps, "damping": damping}
    assert_foretold_to_the_byte(run_of(layers, shape, workload=workload | {"cg_iterations": 4}))


@pytest.mark.parametrize("kind", ["linear", "conv2d", "dropout", "layer_norm"])
@pytest.mark.parametrize("method", ["i_fgsm", "second_order"])
def test_that_attacks_are_foretold_to_the_byte(kind: str, method: str) -> None:
    shape, layers = STACKS[kind]
    workload = {"kind": "adversarial", "method": method, "steps": 4, "training_steps": 2}
    assert_foretold_to_the_byte(run_of(layers, shape, workload=workload, loss="cross_entropy"))


@pytest.mark.parametrize("checkpointing", ["torch", "rematerialize"])
def test_that_random_states_kept_for_dropout_are_counted(
    checkpointing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is 5,056 bytes, and no dispatch mode sees it."""
    shape, layers = STACKS["dropout"]
    mitigation = {"checkpointing": {"kind": checkpointing, "segments": 3}}
    run = run_of(layers, shape, mitigation=mitigation)
    seen = watched(run, learn=True)
    assert seen.report.phases[0].peak_bytes == seen.allocator.phases["forward"]
    monkeypatch.setattr(ledger_module, "random_states_seen", lambda see: nullcontext())
    missed = seen.allocator.phases["forward"] - watched(run).report.phases[0].peak_bytes
    assert missed >= RANDOM_STATE_BYTES
    assert missed % RANDOM_STATE_BYTES == 0


def test_that_first_gradients_of_a_sparse_embedding_are_foretold_to_the_byte() -> None:
    """Of higher orders, what they hold depends on the numbers, and there is no forecast."""
    shape, (embedding, *others) = STACKS["embedding"]
    first = {"kind": "nested_gradient", "order": 1}
    wide = embedding | {"num_embeddings": 500}
    sparse = run_of([wide | {"sparse": True}, *others], shape, workload=first)
    assert_foretold_to_the_byte(sparse)
    dense = run_of([wide, *others], shape, workload=first)
    assert forecast(sparse).peak_bytes < forecast(dense).peak_bytes


@pytest.mark.parametrize("seed", [0, 1, 4, 221])
def test_that_runs_drawn_at_random_are_foretold_to_the_byte(seed: int) -> None:
    assert_foretold_to_the_byte(random_spec(seed))


@pytest.mark.parametrize("seed", [1, 4])
def test_that_long_inner_loops_drawn_at_random_are_foretold_to_the_byte(seed: int) -> None:
    assert_foretold_to_the_byte(random_maml(seed, steps=(5, 8), tasks=(1, 3)))
