"""Hutchinson's trace: what it estimates, how well it says it does, and what is drawn of it."""

import itertools
import math

import pytest
import torch

from core.engine.own_tensors import probes
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute, follow
from core.engine.workloads.hutchinson_trace import exact_trace
from core.results.charts import Point
from core.spec.run import RunSpec
from tests import oracles
from tests.core.engine.second_derivatives import (
    CLOSED,
    CPU,
    LINEAR,
    NET,
    hessian_by_differences,
    result_of,
    spec_of,
    with_layer,
)
from tests.core.engine.test_hvp import SPARSE

DISTRIBUTIONS = ("rademacher", "gaussian")
NETS = ["tanh", "conv2d", "layer_norm", "embedding"]


def trace_of(count: int, distribution: str = "rademacher", **keys: object) -> RunSpec:
    workload = {"kind": "hutchinson_trace", "probes": count, "distribution": distribution}
    return spec_of(workload, **keys)  # type: ignore[arg-type]


def drawn(made: Problem, count: int) -> torch.Tensor:
    """(count, P): the probes of a run."""
    weights = list(made.parameters.values())
    return torch.stack(
        [oracles.flat(one) for one in itertools.islice(probes(made.spec, weights), count)]
    )


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("case", CLOSED)
def test_that_the_estimate_is_the_mean_over_probes_of_the_closed_form(
    case: str, distribution: str
) -> None:
    spec, closed = CLOSED[case]
    workload = {"kind": "hutchinson_trace", "probes": 4, "distribution": distribution}
    made = prepare(spec.with_changes({"workload": workload}), CPU)

    computed = compute(made, SILENT)

    vectors, hessian = drawn(made, 4), closed(made)
    samples = torch.einsum("ip,pq,iq->i", vectors, hessian, vectors)
    assert computed.result["trace"].item() == pytest.approx(samples.mean().item(), rel=1e-12)
    assert float(computed.readings["trace_estimate"]) == computed.result["trace"].item()
    error = samples.std(unbiased=True).item() / 2
    assert float(computed.readings["standard_error"]) == pytest.approx(error, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_that_one_probe_of_signs_is_exact_where_the_hessian_is_diagonal(seed: int) -> None:
    made = prepare(trace_of(1, layers=LINEAR, measure__seed=seed), CPU)
    with torch.no_grad():
        made.data[0].copy_(torch.diag(torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0]))[:, :3])

    computed = compute(made, SILENT)

    assert computed.result["trace"].item() == pytest.approx(2 / 5 * (1 + 4 + 9), rel=1e-14)
    assert math.isnan(computed.readings["standard_error"])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_that_the_standard_error_is_that_of_the_known_variance(distribution: str) -> None:
    """2(‖H‖² - ΣHᵢᵢ²) for signs and 2‖H‖² for normal numbers, Frobenius; 3,000 samples know a
    variance to about 5 %."""
    count = 3000
    made = prepare(trace_of(count, distribution), CPU)
    hessian = hessian_by_differences(made)
    variance = 2 * hessian.square().sum().item()
    if distribution == "rademacher":
        variance -= 2 * hessian.diagonal().square().sum().item()

    error = float(compute(made, SILENT).readings["standard_error"])

    assert error**2 * count == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("case", NETS)
def test_that_the_estimate_is_within_three_standard_errors(case: str, distribution: str) -> None:
    layers, shape = with_layer(case)
    spec = trace_of(100, distribution, layers=layers, input_shape=shape, measure__seed=6)
    computed = compute(prepare(spec, CPU), SILENT)
    whole = spec.with_changes({"workload": {"kind": "hessian"}})

    right = result_of(whole)["hessian"].trace().item()

    assert abs(computed.result["trace"].item() - right) <= 3 * float(
        computed.readings["standard_error"]
    )
    assert exact_trace(prepare(spec, CPU)) == pytest.approx(right, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_that_the_curve_ends_with_the_estimate_between_its_errors(distribution: str) -> None:
    layers = [NET[0], {"kind": "batch_norm"}, {"kind": "dropout"}, *NET]
    made = prepare(trace_of(7, distribution, layers=layers), CPU)
    made.reset()
    computed = compute(made, SILENT)
    before = {name: tensor.clone() for name, tensor in made.parameters.items()}

    points = list(follow(made) or ())

    curve = [point for point in points if point.curve == "estimate"]
    exact = [point for point in points if point.curve == "exact trace"]
    assert [point.x for point in curve] == list(range(1, 8))
    assert curve[-1].y == pytest.approx(computed.result["trace"].item(), rel=1e-12)
    error = float(computed.readings["standard_error"])
    assert curve[-1].low == pytest.approx(curve[-1].y - error, rel=1e-10)
    assert curve[-1].high == pytest.approx(curve[-1].y + error, rel=1e-10)
    assert (curve[0].low, curve[0].high, curve[-1].done) == (None, None, 1.0)
    assert [point.x for point in exact] == [1, 7]
    made.reset()
    assert exact[0].y == pytest.approx(
        result_of(made.spec.with_changes({"workload": {"kind": "hessian"}}))["hessian"]
        .trace()
        .item(),
        rel=1e-10,
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.parameters.items())


def test_that_a_large_network_has_no_exact_trace_beside_it() -> None:
    wide = [{"kind": "linear", "out_features": 200}]
    points: list[Point] = list(follow(prepare(trace_of(2, layers=wide), CPU)) or ())

    assert {point.curve for point in points} == {"estimate"}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_that_probes_are_drawn_by_the_seed_alone_and_have_the_distribution(
    distribution: str,
) -> None:
    wide = [{"kind": "linear", "out_features": 2000}]
    torch.manual_seed(1)
    made = prepare(trace_of(2, distribution, layers=wide), CPU)
    one, two = drawn(made, 2)
    torch.manual_seed(2)
    other = prepare(trace_of(2, distribution, layers=wide, measure__seed=5), CPU)

    assert torch.equal(drawn(made, 2), torch.stack([one, two]))
    assert not torch.equal(one, two)
    assert not torch.equal(drawn(other, 1)[0], one)
    assert abs(one.mean().item()) <= 0.05
    assert one.square().mean().item() == pytest.approx(1, abs=0.06)
    assert (set(one.tolist()) == {-1, 1}) == (distribution == "rademacher")


def test_that_a_sparse_embedding_has_the_trace_of_a_dense_one() -> None:
    layers = [SPARSE, {"kind": "flatten"}, *NET]
    sparse = trace_of(3, layers=layers, input_shape=(2,))

    found = result_of(sparse)["trace"]

    dense = sparse.with_value("model.layers.0.sparse", "false")
    assert found.item() == pytest.approx(result_of(dense)["trace"].item(), rel=1e-12)


def test_that_no_probes_are_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"workload\.probes: 0 was given"):
        trace_of(0)
