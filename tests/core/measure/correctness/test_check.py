"""The check passes what is right, far from its tolerance, and disturbs nothing."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.direct import Forward
from core.engine.layers import forward
from core.measure.correctness.check import CheckUnavailable, check
from core.measure.correctness.checks import network
from core.results.measurement import Check
from core.spec import layers as kinds
from core.spec.derivation import Derivation
from core.spec.mitigations import INNER_LOOPS
from core.spec.presets import Preset, presets
from core.spec.run import RunSpec
from tests.core.engine.test_layers import CASES, CURVE, IMAGE, LINE
from tests.core.measure.correctness.checked_specs import Layers, spec
from tests.core.measure.correctness.random_stacks import random_run

Context = torch.autograd.function.FunctionCtx
CPU = torch.device("cpu")
FAR = 0.1
"""Share of its tolerance that an error of rounding may be."""

CHECKPOINTINGS = ["none", "torch", "rematerialize"]


def assert_passes(run: RunSpec) -> Check:
    """It passes, and nothing comes near its limit."""
    found = check(run, CPU)
    assert found.passed, found.failures
    assert found.failures == ()
    assert found.relative_error is not None
    assert found.tolerance is not None
    assert found.relative_error <= FAR * found.tolerance, found
    return found


@pytest.mark.parametrize("one", presets(), ids=[one.name for one in presets()])
def test_that_every_preset_passes(one: Preset) -> None:
    found = assert_passes(one.spec)

    assert found.method.startswith("central differences in float64 along ")
    assert "whole network" in found.method


@pytest.mark.parametrize("case", CASES)
def test_that_every_kind_of_layer_passes_at_every_order_with_every_checkpointing(case: str) -> None:
    shape, layer = CASES[case]
    before: dict[tuple[int, ...], Layers] = {
        LINE: [{"kind": "linear", "out_features": 6}],
        CURVE: [{"kind": "conv1d", "out_channels": 2, "padding": 1}],
        IMAGE: [{"kind": "conv2d", "out_channels": 2, "padding": 1}],
    }
    after: Layers = [{"kind": "flatten"}, {"kind": "linear", "out_features": 3}, {"kind": "silu"}]
    stack = [*before.get(shape, []), layer, *after]
    losses = itertools.cycle(["mse", "cross_entropy"])
    for seed, (order, checkpointing) in enumerate(itertools.product((1, 2, 3, 4), CHECKPOINTINGS)):
        assert_passes(
            spec(
                order,
                layers=stack,
                input_shape=shape,
                checkpointing=checkpointing,
                loss=next(losses),
                seed=seed,
            )
        )


@pytest.mark.parametrize("inner_loop", INNER_LOOPS)
@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_that_every_form_of_maml_passes(order: int, checkpointing: str, inner_loop: str) -> None:
    layers: Layers = [
        {"kind": "linear", "out_features": 6},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "dropout"},
        {"kind": "linear", "out_features": 3},
    ]
    run = spec(order, "maml", layers=layers, checkpointing=checkpointing, inner_loop=inner_loop)

    assert_passes(run)


PRODUCTS = [
    {"mode": "reverse_over_reverse", "vectors": 5},
    {"mode": "reverse_over_reverse", "batched": True, "vectors": 2},
    {"mode": "forward_over_reverse"},
    {"mode": "reverse_over_forward", "vectors": 2},
    {"mode": "finite_difference"},
]


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("workload", PRODUCTS, ids=str)
def test_that_every_way_to_a_hessian_vector_product_passes(
    workload: dict[str, object], loss: str
) -> None:
    run = spec(2, loss=loss).with_changes({"workload": {"kind": "hvp"} | workload})

    found = check(run, CPU)

    assert found.passed, found.failures
    assert "vectors" in found.method


@pytest.mark.parametrize(
    ("variant", "order"), [("anil", 1), ("anil", 2), ("anil", 3), ("reptile", 1), ("imaml", 2)]
)
@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
def test_that_every_variant_of_maml_passes(variant: str, order: int, checkpointing: str) -> None:
    lines: Layers = [
        {"kind": "linear", "out_features": 6},
        {"kind": "batch_norm"},
        {"kind": "silu"},
        {"kind": "dropout"},
        {"kind": "linear", "out_features": 3},
        {"kind": "dropout", "p": 0.1},
    ]
    images: Layers = [
        {"kind": "conv2d", "out_channels": 3, "padding": 1},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 3},
    ]
    for layers, shape in ((lines, (4,)), (images, (2, 4, 4))):
        assert_passes(
            spec(
                order,
                "maml",
                layers=layers,
                input_shape=shape,
                checkpointing=checkpointing,
                inner_loop="checkpoint" if checkpointing == "torch" else "standard",
                variant=variant,
            )
        )


def test_that_a_check_of_imaml_says_how_many_iterations_it_took() -> None:
    run = spec(2, "maml", variant="imaml", cg_iterations=9)

    assert check(run, CPU).method.endswith("query 4, cg iterations 4 of 9")


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("method", ["rows", "vmap"])
def test_that_a_hessian_passes(method: str, loss: str) -> None:
    workload = {"kind": "hessian", "method": method, "chunk_size": 7}

    found = check(spec(2, loss=loss).with_changes({"workload": workload}), CPU)

    assert found.passed, found.failures


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_that_an_estimate_of_the_trace_passes(distribution: str, loss: str) -> None:
    workload = {"kind": "hutchinson_trace", "probes": 5, "distribution": distribution}

    found = check(spec(2, loss=loss).with_changes({"workload": workload}), CPU)

    assert found.passed, found.failures


@pytest.mark.parametrize("wrt", ["parameters", "inputs"])
@pytest.mark.parametrize("order", [5, 6])
def test_that_the_highest_orders_pass(order: int, wrt: str) -> None:
    assert_passes(spec(order, wrt=wrt))


@pytest.mark.parametrize("seed", range(30))
def test_that_no_random_stack_gives_a_false_alarm(seed: int) -> None:
    assert_passes(random_run(seed))


def test_that_a_derivative_that_vanishes_is_right() -> None:
    linear: Layers = [{"kind": "linear", "out_features": 1}]

    found = assert_passes(spec(4, layers=linear))

    assert found.relative_error == pytest.approx(0, abs=1e-8)


# ----------------------------------------------------------------------- what both would get wrong


class _WrongFirst(torch.autograd.Function):
    """A hyperbolic tangent whose gradient is a little off."""

    @staticmethod
    def forward(ctx: Context, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Context, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return g * (1 - torch.tanh(x) ** 2) * (1 + 1e-4)


class _WrongSecond(_WrongFirst):
    """One whose gradient is right, but not the gradient of that, as in some of torch's norms."""

    @staticmethod
    def backward(ctx: Context, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        right = 1 - torch.tanh(x) ** 2
        return g * (right + 0.1 * (right - right.detach()))


def both_use(wrong: type[_WrongFirst], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the engine and what it is compared with use the same wrong operation."""

    def forward_of(layer: kinds.LayerSpec, index: int, way: Derivation) -> Forward:
        is_wrong = isinstance(layer, kinds.Tanh)
        right = forward(layer, index, way)
        return (lambda *given: wrong.apply(given[2])) if is_wrong else right

    monkeypatch.setattr("core.engine.stack.forward", forward_of)
    monkeypatch.setitem(network._LAYERS, kinds.Tanh, lambda layer, own, x: wrong.apply(x))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(
    ("workload", "first"), [("nested_gradient", "Order 1"), ("maml", "The gradient of an inner")]
)
def test_that_an_operation_that_torch_differentiates_wrongly_is_found_by_differences(
    workload: str, first: str, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_use(_WrongFirst, monkeypatch)

    found = check(spec(order, workload), CPU)

    assert not found.passed
    assert found.failures[0].startswith(first)
    assert "along a direction in 0.weight (layer 1, linear)" in found.failures[0]


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("workload", ["nested_gradient", "maml"])
def test_that_an_operation_that_is_wrong_from_the_second_order_on_is_found_by_differences(
    workload: str, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_use(_WrongSecond, monkeypatch)

    found = check(spec(order, workload), CPU)

    assert not found.passed
    assert found.failures[0].startswith("Order 2: along a direction in 0.weight")
    assert check(spec(1, workload), CPU).passed


# --------------------------------------------------------------------------- what it leaves behind


def test_that_random_numbers_threads_and_number_format_are_as_they_were() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    settings = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()

    check(spec(2, "maml"), CPU)

    assert torch.equal(torch.get_rng_state(), before)
    after = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    assert after == settings


def test_that_random_numbers_are_as_they_were_after_a_failure() -> None:
    before = torch.get_rng_state()

    with pytest.raises(CheckUnavailable):
        check(spec(2, "maml", inner_lr=1e300), CPU)

    assert torch.equal(torch.get_rng_state(), before)


def test_that_it_can_be_made_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert check(spec(2), CPU).passed


def test_that_the_same_run_is_checked_in_the_same_way() -> None:
    assert check(spec(3), CPU) == check(spec(3), CPU)


def test_that_a_result_is_kept_as_json() -> None:
    found = check(spec(2), CPU)

    assert Check.model_validate_json(found.model_dump_json()) == found


# ------------------------------------------------------------------------------------ what it says


def test_that_the_method_says_how_and_on_what() -> None:
    assert check(spec(1), CPU).method == (
        "central differences in float64 along 6 directions, whole network, batch 8 of 16"
    )
    assert check(spec(2, "maml", tasks=5, support=30, inner_steps=7), CPU).method == (
        "central differences in float64 along 12 directions, whole network, tasks 2 of 5, "
        "inner steps 3 of 7, support 4 of 30, query 4"
    )


def test_that_the_processor_stands_in_for_a_gpu_without_float64() -> None:
    found = check(spec(1), torch.device("mps"))

    assert found.passed
    assert found.method.endswith(", on the CPU, since this GPU has no float64")


def test_that_numbers_that_are_not_finite_are_a_sentence() -> None:
    with pytest.raises(
        CheckUnavailable, match=r"^The result was not checked: .*NaN or infinite\.$"
    ):
        check(spec(2, "maml", inner_lr=1e300), CPU)


def test_that_a_run_whose_copy_is_too_large_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "words.npz"
    np.savez(file, x=np.arange(32).reshape(16, 2), y=np.zeros((16, 2)))
    run = spec(
        2,
        layers=[
            {"kind": "embedding", "num_embeddings": 200_000_000, "embedding_dim": 64},
            {"kind": "flatten"},
            {"kind": "linear", "out_features": 2},
        ],
        input_shape=(2,),
    ).with_changes({"data.kind": "arrays", "data.file": str(file)})
    assert not run.problems()

    with pytest.raises(CheckUnavailable, match=r"would take too long\.$"):
        check(run, CPU)


def test_that_an_engine_that_raises_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> object:
        raise RuntimeError("no such kernel\nand more of it")

    monkeypatch.setattr("core.measure.correctness.checks.checking.compute", refuse)

    with pytest.raises(CheckUnavailable, match=r"^The result was not checked: no such kernel\.$"):
        check(spec(1), CPU)


def test_that_not_a_number_from_the_engine_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engine.gradients.gradients_of", nothing)

    found = check(spec(1), CPU)

    assert not found.passed
    assert found.relative_error is None
    assert "no finite number" in found.failures[0]
    assert json.loads(found.model_dump_json())["relative_error"] is None


def nothing(
    outputs: object, wrt: list[torch.Tensor], seeds: object = None, *, create_graph: bool
) -> tuple[torch.Tensor, ...]:
    return tuple(torch.full_like(tensor, torch.nan) for tensor in wrt)
