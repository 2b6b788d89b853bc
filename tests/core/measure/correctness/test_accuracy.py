"""The errors of number formats and approximations, against computations by hand."""

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from core.answer import judged
from core.engine.data import Batch, Tasks
from core.engine.problem import prepare
from core.measure.correctness.accuracy import accuracy
from core.spec.run import RunSpec

CPU = torch.device("cpu")
LAYERS = [
    {"kind": "linear", "out_features": 8},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 3},
]
MAML = {"kind": "maml", "tasks": 2, "support": 5, "query": 4, "inner_steps": 3, "inner_lr": 0.3}


def spec_of(workload: dict[str, Any], **mitigation: Any) -> RunSpec:
    document = {
        "model": {"input_shape": [6], "layers": LAYERS},
        "data": {"kind": "synthetic", "batch_size": 7},
        "workload": workload,
        "mitigation": mitigation,
        "device": "cpu",
    }
    return RunSpec.from_json(json.dumps(document))


def readings_of(spec: RunSpec) -> dict[str, float | None]:
    found = accuracy(spec, CPU)
    assert found is not None
    assert found.extent == "the whole run"
    return found.readings


def network(dtype: torch.dtype) -> nn.Sequential:
    """The module that the spec describes, with its first weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def flat(tensors: Any) -> torch.Tensor:
    return torch.cat([tensor.detach().double().reshape(-1) for tensor in tensors])


def apart(found: torch.Tensor, right: torch.Tensor) -> float:
    return float((found - right).norm() / right.norm())


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "autocast"])
def test_that_the_error_of_a_precision_is_the_distance_from_64_bits(precision: str) -> None:
    spec = spec_of({"kind": "nested_gradient", "order": 1}, precision=precision)
    data = prepare(spec.with_changes({"mitigation.precision": "float64"}), CPU).data
    assert isinstance(data, Batch)

    def gradient(dtype: torch.dtype, *, cast: bool = False) -> torch.Tensor:
        module = network(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            loss = functional.mse_loss(module(data.x.to(dtype)), data.y.to(dtype))
        return flat(torch.autograd.grad(loss, list(module.parameters())))

    dtype = torch.float32 if precision == "autocast" else getattr(torch, precision)
    right = gradient(torch.float64)
    expected = apart(gradient(dtype, cast=precision == "autocast"), right)

    assert readings_of(spec) == {"precision_error": pytest.approx(expected, rel=1e-6)}
    assert expected > 0


def meta_gradients(spec: RunSpec) -> dict[str, torch.Tensor]:
    """First-order, exact and Reptile's, by loops written out."""
    data = prepare(spec, CPU).data
    assert isinstance(data, Tasks)
    module = network(torch.float64)
    initial = list(module.parameters())

    def loss(w: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(functional.linear(x, w[0], w[1]))
        return functional.mse_loss(functional.linear(hidden, w[2], w[3]), y)

    found = {name: torch.zeros(len(flat(initial))).double() for name in ("one", "two", "reptile")}
    for sx, sy, qx, qy in zip(*data, strict=True):
        w = initial
        for _ in range(3):
            slopes = torch.autograd.grad(loss(w, sx, sy), w, create_graph=True)
            w = [weight - 0.3 * slope for weight, slope in zip(w, slopes, strict=True)]
        judged_by = loss(w, qx, qy)
        found["one"] += flat(torch.autograd.grad(judged_by, w, retain_graph=True)) / len(data[0])
        found["two"] += flat(torch.autograd.grad(judged_by, initial)) / len(data[0])
        found["reptile"] += (flat(initial) - flat(w)) / 0.3 / len(data[0])
    return found


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        (MAML | {"order": 1}, "one"),
        (MAML | {"variant": "reptile", "order": 1}, "reptile"),
    ],
    ids=["fomaml", "reptile"],
)
def test_that_the_error_of_an_approximation_is_the_distance_from_the_exact_meta_gradient(
    workload: dict[str, Any], name: str
) -> None:
    spec = spec_of(workload, precision="float64")
    by_hand = meta_gradients(spec)
    approximate, exact = by_hand[name], by_hand["two"]

    readings = readings_of(spec)

    assert readings["approximation_error"] == pytest.approx(apart(approximate, exact), rel=1e-9)
    cosine = float(approximate @ exact / approximate.norm() / exact.norm())
    assert readings["approximation_cosine"] == pytest.approx(cosine, rel=1e-9)
    assert "precision_error" not in readings


def test_that_a_difference_of_gradients_is_further_from_exact_in_coarser_formats() -> None:
    workload = {"kind": "hvp", "mode": "finite_difference"}
    errors = [
        readings_of(spec_of(workload, precision=precision))["approximation_error"]
        for precision in ("float64", "float32", "bfloat16")
    ]
    fine, single, coarse = (error or 0.0 for error in errors)
    assert 0 < fine < 1e-7 < single < 1e-2 < coarse < 1


@pytest.mark.parametrize("variant", ["maml", "anil", "imaml"])
def test_that_without_a_step_an_approximation_is_the_gradient_itself(variant: str) -> None:
    """At the rate 0 nothing adapts: every variant is the gradient of the query loss, for iMAML as
    far as conjugate gradients get with an identity that outweighs the Hessian."""
    workload = MAML | {"variant": variant, "order": 2 if variant == "imaml" else 1, "inner_lr": 0.0}
    workload |= {"regularisation": 1e9} if variant == "imaml" else {}

    error = readings_of(spec_of(workload, precision="float64"))["approximation_error"]

    assert error is not None
    assert error < 1e-8


def test_that_an_exact_answer_in_64_bits_has_no_error_to_show() -> None:
    assert accuracy(spec_of({"kind": "hvp"}, precision="float64"), CPU) is None


def test_that_random_numbers_are_as_they_were() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    accuracy(spec_of(MAML | {"order": 1}), CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_that_the_saving_stands_beside_the_error() -> None:
    answer = judged(spec_of(MAML | {"order": 1, "inner_steps": 3}), CPU)

    assert answer.check is not None
    assert answer.check.passed
    exact = answer.readings["peak_bytes_exact"]
    assert exact is not None
    (note,) = answer.notes
    assert note.startswith("The result approximates the meta-gradient of MAML through all inner")
    error = answer.readings["approximation_error"]
    assert f"its relative error is {error:.2g} " in note
    assert f"would take {exact / 2**20:.3g} MiB by its forecast" in note


def test_that_a_large_run_is_judged_on_a_copy_that_is_named() -> None:
    spec = spec_of({"kind": "nested_gradient"}, precision="bfloat16").with_changes(
        {"data.batch_size": 100_000, "model.layers.0.out_features": 512}
    )
    found = accuracy(spec, CPU)
    assert found is not None
    assert "batch 8 of 100000" in found.extent
    assert found.readings["precision_error"] is not None
