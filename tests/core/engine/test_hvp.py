"""Hessian-vector products in every mode: closed forms, identities, and what they leave behind."""

import pytest
import torch
from torch import Tensor

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Silent
from core.engine.workloads import compute, hvp
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
from tests.core.engine.test_layers import CASES
from tests.core.engine.test_nested_gradient import Listening

EXACT = ("reverse_over_reverse", "forward_over_reverse", "reverse_over_forward")
MODES = (*EXACT, "finite_difference")
TORN = ("relu", "leaky_relu", "max_pool2d")
"""Kinds with kinks, which a difference may step over."""


def products(mode: str, vectors: int = 2, **keys: object) -> RunSpec:
    return spec_of({"kind": "hvp", "mode": mode, "vectors": vectors}, **keys)  # type: ignore[arg-type]


def flat_vectors(made: Problem) -> Tensor:
    """(vectors, P), in the order of the parameters."""
    return torch.cat([vector.flatten(1) for vector in made.own.values()], dim=1)


def flat_products(result: dict[str, Tensor]) -> Tensor:
    """(vectors, P), in the order of the parameters."""
    return torch.cat([part.flatten(1) for part in result.values()], dim=1)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("case", CASES)
def test_that_all_modes_agree_on_every_kind_of_layer(case: str, loss: str) -> None:
    layers, shape = with_layer(case)

    found = [
        flat_products(result_of(products(mode, layers=layers, input_shape=shape, loss=loss)))
        for mode in MODES
    ]

    for other in found[1:3]:
        assert oracles.relative_error([other], [found[0]]) <= 1e-10
    if case not in TORN:
        assert oracles.relative_error([found[3]], [found[0]]) <= 1e-6


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CLOSED)
def test_that_a_product_is_that_with_the_closed_form(case: str, mode: str) -> None:
    spec, closed = CLOSED[case]
    spec = spec.with_changes({"workload.mode": mode, "workload.vectors": 3})
    made = prepare(spec, CPU)

    found = flat_products(compute(made, SILENT).result)

    tolerance = 1e-8 if mode == "finite_difference" else 1e-12
    assert oracles.relative_error([found], [flat_vectors(made) @ closed(made)]) <= tolerance


@pytest.mark.parametrize("mode", EXACT)
def test_that_products_are_those_with_differences_of_gradients(mode: str) -> None:
    made = prepare(products(mode, 3), CPU)

    found = flat_products(compute(made, SILENT).result)

    right = flat_vectors(made) @ hessian_by_differences(made).T
    assert oracles.relative_error([found], [right]) <= 1e-7


@pytest.mark.parametrize("mode", EXACT)
def test_that_the_hessian_between_two_vectors_is_symmetric(mode: str) -> None:
    made = prepare(products(mode, loss="cross_entropy"), CPU)

    v, w = flat_vectors(made)
    hv, hw = flat_products(compute(made, SILENT).result)

    assert (v @ hw).item() == pytest.approx((w @ hv).item(), rel=1e-12)


def test_that_differences_are_exact_on_a_quadratic() -> None:
    made = prepare(products("finite_difference", 3, layers=LINEAR), CPU)
    exact = prepare(products("reverse_over_reverse", 3, layers=LINEAR), CPU)

    found, right = (compute(one, SILENT).result["0.weight"] for one in (made, exact))

    assert oracles.relative_error([found], [right]) <= 1e-9


def test_that_the_error_of_differences_falls_with_the_square_of_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = flat_products(result_of(products("reverse_over_reverse")))
    errors = []
    for step in (1e-1, 1e-2, 1e-3):
        monkeypatch.setattr(hvp, "difference_step", lambda *_, s=step: torch.tensor(s).double())
        found = flat_products(result_of(products("finite_difference")))
        errors.append(oracles.relative_error([found], [right]))

    assert errors[0] / errors[1] == pytest.approx(100, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_that_the_step_suits_the_number_format(precision: str) -> None:
    """Far from both ends: truncation, and the rounding that makes a fixed small step useless."""
    changes = {"mitigation__precision": precision}
    right = flat_products(result_of(products("reverse_over_reverse", **changes)))

    found = flat_products(result_of(products("finite_difference", **changes)))

    tolerance = {"float32": 1e-2, "float64": 1e-7}[precision]
    assert oracles.relative_error([found], [right]) <= tolerance


@pytest.mark.parametrize("mode", MODES)
def test_that_weights_and_vectors_are_as_they_were(mode: str) -> None:
    made = prepare(products(mode), CPU)
    tensors = {**made.parameters, **made.own}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    computed = compute(made, SILENT)

    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors.items())
    assert all(tensor.grad is None for tensor in made.parameters.values())
    assert not any(part.requires_grad for part in computed.result.values())
    assert not computed.loss.requires_grad


class _Raising(Silent):
    """Interrupts at the end of a phase, as a cancelled memory pass does in the midst of one."""

    def __init__(self, phase: int) -> None:
        self._left = phase

    def result(self, tensors: object) -> None:
        del tensors
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("phase", [0, 1])
def test_that_weights_are_as_they_were_when_it_is_interrupted(mode: str, phase: int) -> None:
    made = prepare(products(mode), CPU)
    before = {name: tensor.detach().clone() for name, tensor in made.parameters.items()}
    right = compute(made, SILENT).result

    with pytest.raises(KeyboardInterrupt):
        compute(made, _Raising(phase))

    assert all(torch.equal(tensor, before[name]) for name, tensor in made.parameters.items())
    again = compute(made, SILENT).result
    assert all(torch.equal(again[name], part) for name, part in right.items())


def test_that_dropout_is_the_same_function_for_all_vectors_and_modes() -> None:
    """The same vector twice has the same product, and every mode the same mask."""
    layers = [NET[0], {"kind": "dropout", "p": 0.4}, {"kind": "tanh"}, NET[2]]
    found = []
    for mode in MODES:
        made = prepare(products(mode, layers=layers), CPU)
        for vectors in made.own.values():
            vectors[1] = vectors[0]
        made.reset()
        one, two = flat_products(compute(made, SILENT).result)
        assert torch.equal(one, two)
        found.append(one)

    for other in found[1:3]:
        assert oracles.relative_error([other], [found[0]]) <= 1e-12
    assert oracles.relative_error([found[3]], [found[0]]) <= 1e-7


@pytest.mark.parametrize("mode", MODES)
def test_that_running_statistics_see_the_batch_at_most_once(mode: str) -> None:
    layers = [NET[0], {"kind": "batch_norm"}, NET[2]]
    made = prepare(products(mode, 3, layers=layers), CPU)

    compute(made, SILENT)

    seen = made.buffers["1.num_batches_tracked"].item()
    assert seen == (1 if mode == "reverse_over_reverse" else 0)


@pytest.mark.parametrize("case", CASES)
def test_that_vectors_multiplied_all_at_once_are_those_one_by_one(case: str) -> None:
    layers, shape = with_layer(case)
    spec = products("reverse_over_reverse", 4, layers=layers, input_shape=shape)
    right = flat_products(result_of(spec))
    for kind in ("none", "torch", "rematerialize"):
        if kind != "none" and spec.model.is_random:
            continue  # refused, below
        changes = {"workload.batched": True, "mitigation.checkpointing.kind": kind}
        at_once = flat_products(result_of(spec.with_changes(changes)))
        assert oracles.relative_error([at_once], [right]) <= 1e-11, kind


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["torch", "rematerialize"])
def test_that_checkpointing_changes_nothing_where_it_is_allowed(mode: str, kind: str) -> None:
    layers = [NET[0], {"kind": "dropout"}, {"kind": "batch_norm"}, *NET]
    plain = products(mode, layers=layers)
    checkpointed = plain.with_changes({"mitigation.checkpointing.kind": kind})

    if (mode, kind) == ("reverse_over_forward", "torch"):
        (problem,) = checkpointed.problems()
        assert problem.sentence == (
            'mitigation.checkpointing.kind: "torch" was given, which computes its segments again '
            'without tangents, which workload.mode "reverse_over_forward" needs; allowed: "none" '
            'or "rematerialize".'
        )
        return

    right, found = (flat_products(result_of(spec)) for spec in (plain, checkpointed))
    assert oracles.relative_error([found], [right]) <= 1e-12


def test_that_all_at_once_is_refused_where_vectors_are_carried_forward() -> None:
    spec = products("forward_over_reverse")

    (problem,) = spec.with_value("workload.batched", "true").problems()

    assert problem.sentence == (
        "workload.batched: true was given; only the mode reverse_over_reverse multiplies all "
        "vectors at once."
    )


SPARSE = {"kind": "embedding", "num_embeddings": 9, "embedding_dim": 3, "sparse": True}


def test_that_all_at_once_is_refused_for_what_torch_takes_one_by_one() -> None:
    dropout = products("reverse_over_reverse", layers=[*NET, {"kind": "dropout"}])
    again = {"workload.batched": True, "mitigation.checkpointing.kind": "torch"}
    words = products(
        "reverse_over_reverse", layers=[SPARSE, {"kind": "flatten"}, *NET], input_shape=(2,)
    )

    (of_dropout,) = dropout.with_changes(again).problems()
    (of_words,) = words.with_value("workload.batched", "true").problems()

    assert "dropout cannot be computed again for several vectors at once" in of_dropout.sentence
    assert "the sparse gradient of an embedding takes one vector at a time" in of_words.sentence


@pytest.mark.parametrize("vectors", [1, 3])
def test_that_a_sparse_embedding_has_the_products_of_a_dense_one(vectors: int) -> None:
    found = [
        flat_products(
            result_of(
                products(
                    "reverse_over_reverse",
                    vectors,
                    layers=[SPARSE | {"sparse": sparse}, {"kind": "flatten"}, *NET],
                    input_shape=(2,),
                )
            )
        )
        for sparse in (False, True)
    ]

    assert oracles.relative_error([found[1]], [found[0]]) <= 1e-12


@pytest.mark.parametrize("mode", MODES)
def test_that_a_hessian_of_zeros_is_a_result_and_a_warning(mode: str) -> None:
    """A constant output: nothing moves it."""
    layers = [*LINEAR, {"kind": "softmax"}]
    made = prepare(products(mode, layers=layers), CPU)

    computed = compute(made, SILENT)

    assert not computed.result["0.weight"].any()
    assert computed.result["0.weight"].shape == (2, 1, 3)


def test_that_further_vectors_are_one_phase() -> None:
    heard = {}
    for mode in MODES:
        recorder = Listening()
        compute(prepare(products(mode, 3), CPU), recorder)
        heard[mode] = [said for said in recorder.said if isinstance(said, str)]

    assert heard == {
        "reverse_over_reverse": ["forward", "gradient 1", "gradient 2", "further vectors"],
        "forward_over_reverse": ["forward", "gradient 1", "further vectors"],
        "reverse_over_forward": ["forward", "gradient 2", "further vectors"],
        "finite_difference": [
            "gradient ahead", "gradient behind", "difference", "further vectors",
        ],
    }  # fmt: skip


def test_that_vectors_are_drawn_by_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = flat_vectors(prepare(products("reverse_over_reverse"), CPU))
    torch.manual_seed(2)
    second = flat_vectors(prepare(products("finite_difference"), CPU))
    other = flat_vectors(prepare(products("reverse_over_reverse", measure__seed=5), CPU))

    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_that_autocast_with_group_norm_and_tangents_inside_is_refused() -> None:
    layers = [{"kind": "linear", "out_features": 4}, {"kind": "group_norm", "num_groups": 2}]
    autocast = products("reverse_over_forward", layers=layers).with_value(
        "mitigation.precision", "autocast"
    )

    (problem,) = autocast.problems()

    assert problem.sentence.startswith('mitigation.precision: "autocast" was given; group_norm')
    assert not autocast.with_value("workload.mode", "forward_over_reverse").problems()
