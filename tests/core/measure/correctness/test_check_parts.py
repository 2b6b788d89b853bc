"""The parts of a check: differences, layers written a second time, small copies."""

import math

import pytest
import torch
from torch import nn

from core.engine.layers import build
from core.engine.problem import prepare
from core.measure.correctness.checks.differences import TOLERANCE, Slope
from core.measure.correctness.checks.network import LOSSES, output_of
from core.measure.correctness.checks.reduced import reduced
from core.spec.layers import LAYER_KINDS
from core.spec.presets import preset, presets
from core.spec.run import RunSpec
from tests import oracles
from tests.core.engine.test_layers import CASES, problem
from tests.core.measure.correctness.checked_specs import Layers, spec
from tests.core.measure.correctness.random_stacks import random_run

EPSILON = 2.0**-52

# --------------------------------------------------------------------------------------- slopes


def test_that_a_right_slope_is_near_and_a_wrong_one_as_far_as_it_is() -> None:
    def function(distance: float) -> float:
        return math.sin(1 + distance)

    right = Slope(function, math.cos(1), EPSILON)
    wrong = Slope(function, math.cos(1) * (1 + 1e-4), EPSILON)

    assert right.is_informative
    assert right.error is not None
    assert right.error <= TOLERANCE / 10
    assert wrong.error == pytest.approx(1e-4, rel=0.2)


def test_that_a_small_slope_of_a_large_function_is_still_judged() -> None:
    def function(distance: float) -> float:
        return 1e2 + 1e-2 * math.sin(1 + distance)

    right = Slope(function, 1e-2 * math.cos(1), 1e2 * EPSILON)
    wrong = Slope(function, 1e-2 * math.cos(1) * (1 + 1e-4), 1e2 * EPSILON)

    assert right.error is not None
    assert right.error <= TOLERANCE
    assert wrong.error is not None
    assert wrong.error > 10 * TOLERANCE


def test_that_a_kink_nearby_is_stepped_over() -> None:
    def function(distance: float) -> float:
        return 2 * distance + 10 * max(distance - 3e-7, 0.0)

    found = Slope(function, 2.0, EPSILON)

    assert found.error is not None
    assert found.error <= TOLERANCE


def test_that_a_jump_gives_no_verdict() -> None:
    found = Slope(lambda distance: 1.0 if distance > 0 else 0.0, 3.0, EPSILON)

    assert found.error is None


def test_that_a_slope_of_zero_is_right_where_differences_are_rounding_errors() -> None:
    noise = torch.Generator().manual_seed(0)

    def function(distance: float) -> float:
        return 1 + EPSILON * torch.randn((), generator=noise).item()

    found = Slope(function, 1e-17, EPSILON)

    assert not found.is_informative
    assert found.error is not None
    assert found.error <= TOLERANCE


def test_that_a_slope_of_zero_is_wrong_where_differences_are_not() -> None:
    found = Slope(lambda distance: distance, 0.0, EPSILON)

    assert found.error is not None
    assert found.error > TOLERANCE


def test_that_a_slope_that_is_not_finite_is_wrong() -> None:
    assert Slope(lambda distance: distance, math.nan, EPSILON).error == math.inf


def test_that_a_function_that_is_not_finite_gives_no_verdict() -> None:
    assert Slope(lambda distance: math.nan, 1.0, EPSILON).error is None


# --------------------------------------------------------------------------------------- layers


def test_that_every_kind_of_layer_is_written_a_second_time() -> None:
    assert {layer["kind"] for _, layer in CASES.values()} == set(LAYER_KINDS)


@pytest.mark.parametrize("case", CASES)
def test_that_the_second_way_gives_the_output_of_torch(case: str) -> None:
    made = problem(case, order=1)
    rows = made.spec.model.trace()
    module = nn.Sequential(*(build(row.layer, row.input_shape or ()) for row in rows)).double()
    with torch.no_grad():
        for parameter in made.parameters.values():
            parameter.add_(torch.randn_like(parameter))
    module.load_state_dict(made.parameters, strict=False)

    torch.manual_seed(3)
    right = oracles.in_turn(module, made.data[0])
    torch.manual_seed(3)
    found = output_of(made.spec.model, made.parameters, made.data[0])

    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


def test_that_the_second_losses_are_those_of_torch() -> None:
    torch.manual_seed(0)
    output = torch.randn(4, 3, 5, dtype=torch.float64)
    classes = torch.randint(3, (4, 5))

    right = nn.functional.cross_entropy(output, classes)
    assert LOSSES["cross_entropy"](output, classes).item() == pytest.approx(right.item())
    target = torch.randn_like(output)
    right = nn.functional.mse_loss(output, target)
    assert LOSSES["mse"](output, target).item() == pytest.approx(right.item())


# --------------------------------------------------------------------------------------- copies


def copied(run: RunSpec) -> RunSpec:
    copy = reduced(run)
    assert copy is not None
    assert not copy.spec.problems()
    return copy.spec


@pytest.mark.parametrize("run", [*map(random_run, range(40)), *(one.spec for one in presets())])
def test_that_a_copy_can_run_and_has_the_same_layers_workload_and_mitigations(
    run: RunSpec,
) -> None:
    copy = copied(run)

    assert [layer.kind for layer in copy.model.layers] == [layer.kind for layer in run.model.layers]
    assert copy.workload.kind == run.workload.kind
    assert copy.workload.derivative_order == run.workload.derivative_order
    assert copy.mitigation.checkpointing == run.mitigation.checkpointing
    assert copy.mitigation.inner_loop == run.mitigation.inner_loop
    assert copy.mitigation.precision == "float64"
    assert prepare(copy, torch.device("cpu")).parameters.keys() >= {
        f"{row.index}.{name}"
        for row in run.model.trace()
        for name in row.layer.parameter_shapes(row.input_shape or ())
    }


def test_that_examples_tasks_and_inner_steps_are_few() -> None:
    copy = copied(spec(2, "maml", tasks=50, support=100, query=2, inner_steps=1000))

    assert copy.workload.tasks == 2
    assert copy.workload.support == 4
    assert copy.workload.query == 2
    assert copy.workload.inner_steps == 3
    assert copied(spec(2).with_value("data.batch_size", "9999")).data.batch_size == 8


def test_that_digits_keep_their_ways() -> None:
    run = preset("digits-5-way-1-shot").spec.with_changes(
        {"workload.support": 50, "workload.query": 10}
    )

    copy = copied(run)

    assert (copy.workload.support, copy.workload.query) == (5, 5)


def test_that_a_wide_network_is_narrowed_until_it_is_cheap() -> None:
    wide: Layers = [
        {"kind": "conv2d", "out_channels": 512, "kernel_size": 3, "padding": 1},
        {"kind": "group_norm", "num_groups": 32},
        {"kind": "relu"},
        {"kind": "conv2d", "out_channels": 512, "kernel_size": 3, "padding": 1, "groups": 8},
        {"kind": "adaptive_avg_pool2d"},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 1000},
    ]
    run = spec(2, layers=wide, input_shape=(3, 224, 224), loss="cross_entropy")

    copy = reduced(run)

    assert copy is not None
    assert not copy.spec.problems()
    assert copy.extent == "narrowed network, batch 8 of 16"
    assert copy.weights < 100_000


@pytest.mark.parametrize("data", ["synthetic", "digits"])
def test_that_layers_within_layers_are_narrowed_alike(data: str) -> None:
    block: dict[str, object] = {
        "kind": "residual",
        "layers": [
            {"kind": "linear", "out_features": 4096},
            {"kind": "mixed"},
            {"kind": "linear", "out_features": 2048},
        ],
    }
    wide: Layers = [
        {"kind": "linear", "out_features": 2048},
        block,
        {"kind": "linear", "out_features": 10},
        {"kind": "residual", "layers": [{"kind": "linear", "out_features": 10}]},
    ]
    run = spec(2, layers=wide, input_shape=(64,), loss="cross_entropy")

    copy = copied(run.with_value("data.kind", data))

    outer, inner = copy.model.layers[0], copy.model.layers[1].layers
    assert outer.out_features == inner[2].out_features < 2048
    assert inner[0].out_features < 4096
    assert copy.model.output_shape == (10,) or data == "synthetic"


@pytest.mark.parametrize(
    "first",
    [
        {"kind": "embedding", "num_embeddings": 30_000, "embedding_dim": 768},
        {"kind": "lstm", "hidden_size": 384, "bidirectional": True},
    ],
    ids=lambda first: first["kind"],
)
def test_that_a_narrowed_transformer_keeps_its_heads(first: dict[str, object]) -> None:
    heads = {"kind": "transformer_encoder_layer", "nhead": 12}
    layers: Layers = [first, heads, {"kind": "multihead_attention", "num_heads": 8}]
    shape = (512,) if first["kind"] == "embedding" else (512, 768)
    ended: Layers = [*layers, {"kind": "flatten"}, {"kind": "linear", "out_features": 2}]
    run = spec(2, layers=ended, input_shape=shape)

    copy = reduced(run)

    assert copy is not None
    assert not copy.spec.problems()
    _, encoder, attention, *_ = copy.spec.model.layers
    assert (encoder.nhead, attention.num_heads) == (12, 8)  # type: ignore[union-attr]
    assert encoder.dim_feedforward < 2048  # type: ignore[union-attr]
    assert copy.weights < 1_000_000


def test_that_a_deep_network_of_high_order_is_made_shallower() -> None:
    deep: Layers = [{"kind": "linear", "out_features": 8}, {"kind": "tanh"}] * 100

    copy = reduced(spec(6, layers=deep, checkpointing="rematerialize"))

    assert copy is not None
    assert "layers " in copy.extent
    assert " of 200, batch 8 of 16" in copy.extent


def test_that_the_output_stays_where_the_data_are_given() -> None:
    wide: Layers = [
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 3000},
        {"kind": "relu"},
        {"kind": "linear", "out_features": 3000},
        {"kind": "relu"},
        {"kind": "linear", "out_features": 10},
    ]
    run = spec(2, layers=wide, input_shape=(8, 8), loss="cross_entropy").with_value(
        "data.kind", "digits"
    )
    assert not run.problems()

    copy = copied(run)

    assert copy.model.input_shape == (8, 8)
    assert copy.model.output_shape == (10,)
    assert copy.model.layers[1].out_features < 3000
