"""Errors put into the engine on purpose are found, at every order and with every mitigation."""

import itertools
from collections.abc import Callable, Sequence

import pytest
import torch

from core.engine import (
    direct,
    gradients,
    inner_loop,
    layers,
    meta_gradient,
    problem,
    recurrent,
    rematerialize,
    segments,
    sequences,
    stack,
)
from core.engine.direct import Forward
from core.engine.gradients import Gradients
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.workloads import hessian, hvp
from core.measure.correctness.check import check
from core.results.measurement import Check
from core.spec import derivation
from core.spec.layers import LayerSpec
from core.spec.mitigations import INNER_LOOPS
from core.spec.run import RunSpec
from core.spec.workloads import Maml
from tests.core.measure.correctness.checked_specs import Layers, spec

CPU = torch.device("cpu")
LITTLE = 1e-4
CHECKPOINTINGS = ["none", "torch", "rematerialize"]
NESTED_ORDERS = [1, 2, 3, 4]
META_ORDERS = [1, 2, 3, 4]
RIGHT = gradients.gradients_of

Patch = pytest.MonkeyPatch
Change = Callable[[Gradients], Gradients]


def assert_found(run: RunSpec, *words: str) -> Check:
    """The check fails, and its first sentence has these words."""
    found = check(run, CPU)
    assert not found.passed
    assert found.failures
    assert all(word in found.failures[0] for word in words), found.failures
    assert found.relative_error is None or found.relative_error > (found.tolerance or 0)
    return found


def changed(place: object, change: Change, patch: Patch) -> None:
    """Lets a module see changed gradients."""

    def gradients_of(
        outputs: Sequence[torch.Tensor],
        wrt: Sequence[torch.Tensor],
        seeds: Sequence[torch.Tensor] | None = None,
        *,
        create_graph: bool,
    ) -> Gradients:
        return change(RIGHT(outputs, wrt, seeds, create_graph=create_graph))

    patch.setattr(place, "gradients_of", gradients_of)


def at(position: int, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Change:
    """A change of the gradient by one tensor."""

    def apply(found: Gradients) -> Gradients:
        changed = list(found)
        given = changed[position]
        changed[position] = None if given is None else change(given)
        return tuple(changed)

    return apply


class _ScaledBackward(torch.autograd.Function):
    """The identity, with a gradient that is a little too large."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * (1 + LITTLE)


def a_layer_is(wrong: Callable[[Forward], Forward], index: int, patch: Patch) -> None:
    """Puts another function in the place of one layer's."""

    def forward(layer: LayerSpec, position: int, order: int) -> Forward:
        right = layers.forward(layer, position, order)
        return wrong(right) if position == index else right

    patch.setattr(stack, "forward", forward)


def scaled_backward(right: Forward) -> Forward:
    return lambda *arguments: _ScaledBackward.apply(right(*arguments))


# ----------------------------------------------------------------------------- nested gradients


@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
@pytest.mark.parametrize("order", NESTED_ORDERS)
def test_that_a_wrong_sign_by_one_tensor_is_found_and_named(
    order: int, checkpointing: str, monkeypatch: Patch
) -> None:
    changed(gradients, at(2, torch.neg), monkeypatch)

    assert_found(spec(order, checkpointing=checkpointing), "Order 1", "2.weight (layer 3, linear)")


@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
@pytest.mark.parametrize("order", NESTED_ORDERS)
def test_that_a_little_too_much_by_one_tensor_is_found_and_named(
    order: int, checkpointing: str, monkeypatch: Patch
) -> None:
    changed(gradients, at(5, lambda gradient: gradient * (1 + LITTLE)), monkeypatch)

    found = assert_found(spec(order, checkpointing=checkpointing), "Order 1", "4.bias")
    assert "1.0e-04" in found.failures[0]


@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
@pytest.mark.parametrize("wrt", ["parameters", "inputs"])
@pytest.mark.parametrize("order", NESTED_ORDERS)
def test_that_a_backward_a_little_too_large_in_one_layer_is_found(
    order: int, wrt: str, checkpointing: str, monkeypatch: Patch
) -> None:
    a_layer_is(scaled_backward, 1, monkeypatch)

    assert_found(spec(order, wrt=wrt, checkpointing=checkpointing), "Order 1")


@pytest.mark.parametrize("order", [2, 3, 4])
def test_that_a_term_dropped_from_a_sum_is_found(order: int, monkeypatch: Patch) -> None:
    right = gradients._sums
    monkeypatch.setattr(gradients, "_sums", lambda found: right(found)[1:])

    assert_found(spec(order), "Order 2")


@pytest.mark.parametrize("order", [2, 3, 4])
def test_that_a_graph_that_is_not_made_is_found(order: int, monkeypatch: Patch) -> None:
    monkeypatch.setattr(
        gradients,
        "gradients_of",
        lambda outputs, wrt, seeds=None, *, create_graph: RIGHT(
            outputs, wrt, seeds, create_graph=False
        ),
    )

    assert_found(spec(order), "Order 2")


@pytest.mark.parametrize("order", [2, 3, 4])
def test_that_a_graph_cut_at_one_tensor_is_found(order: int, monkeypatch: Patch) -> None:
    changed(gradients, at(0, torch.Tensor.detach), monkeypatch)

    assert_found(spec(order), "Order 2")


def test_that_an_error_at_one_order_alone_is_named_with_it(monkeypatch: Patch) -> None:
    counted = [0]

    def at_order_3(found: Gradients) -> Gradients:
        counted[0] += 1
        return at(0, torch.neg)(found) if counted[0] == 3 else found

    def from_the_start(run: RunSpec, device: torch.device) -> problem.Problem:
        counted[0] = 0
        return problem.prepare(run, device)

    changed(gradients, at_order_3, monkeypatch)
    monkeypatch.setattr("core.measure.correctness.checks.checking.prepare", from_the_start)

    assert_found(spec(4), "Order 3", "0.weight")
    assert check(spec(2), CPU).passed


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((6,), {"kind": "layer_norm"}),
        ((6,), {"kind": "batch_norm"}),
        ((2, 6), {"kind": "instance_norm"}),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
def test_that_torch_s_wrong_norms_are_found(
    shape: tuple[int, ...], layer: dict[str, object], monkeypatch: Patch
) -> None:
    around: Layers = [{"kind": "linear", "out_features": 6}, layer, {"kind": "tanh"}]
    ended: Layers = [*around, {"kind": "flatten"}, {"kind": "linear", "out_features": 2}]
    monkeypatch.setattr(derivation, "FIRST_WRONG_ORDER", 99)

    assert check(spec(2, layers=ended, input_shape=shape), CPU).passed
    assert_found(spec(3, layers=ended, input_shape=shape), "Order 3")


SEQUENCE: Layers = [{"kind": "flatten"}, {"kind": "linear", "out_features": 2}]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kind", ["multihead_attention", "transformer_encoder_layer"])
def test_that_attention_with_scores_a_little_too_large_is_found(
    kind: str, order: int, monkeypatch: Patch
) -> None:
    right = sequences.self_attention

    def wrong(x: torch.Tensor, in_weight: torch.Tensor, *others: object) -> torch.Tensor:
        queries, rest = in_weight[:4], in_weight[4:]
        return right(x, torch.cat([queries * (1 + LITTLE), rest]), *others)

    monkeypatch.setattr(sequences, "self_attention", wrong)

    assert_found(spec(order, layers=[{"kind": kind}, *SEQUENCE], input_shape=(3, 4)))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_that_a_recurrence_that_begins_elsewhere_is_found(
    kind: str, order: int, monkeypatch: Patch
) -> None:
    right = recurrent._nothing
    monkeypatch.setattr(recurrent, "_nothing", lambda *given: right(*given) + LITTLE)

    assert_found(spec(order, layers=[{"kind": kind}, *SEQUENCE], input_shape=(3, 4)))


# ----------------------------------------------------------------------------------------- MAML


@pytest.mark.parametrize("inner", INNER_LOOPS)
@pytest.mark.parametrize("order", META_ORDERS)
def test_that_inner_steps_uphill_are_found(order: int, inner: str, monkeypatch: Patch) -> None:
    right = inner_loop._moved
    monkeypatch.setattr(
        inner_loop, "_moved", lambda weights, found, alpha: right(weights, found, -alpha)
    )

    assert_found(spec(order, "maml", inner_loop=inner), "loss")


@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
@pytest.mark.parametrize("inner", INNER_LOOPS)
@pytest.mark.parametrize("order", META_ORDERS)
def test_that_a_little_too_much_by_one_tensor_in_inner_steps_is_found(
    order: int, inner: str, checkpointing: str, monkeypatch: Patch
) -> None:
    changed(inner_loop, at(2, lambda gradient: gradient * (1 + LITTLE)), monkeypatch)

    assert_found(spec(order, "maml", inner_loop=inner, checkpointing=checkpointing))


@pytest.mark.parametrize("inner", INNER_LOOPS)
@pytest.mark.parametrize("order", [2, 3, 4])
def test_that_detached_inner_gradients_are_found(
    order: int, inner: str, monkeypatch: Patch
) -> None:
    right = inner_loop._moved
    monkeypatch.setattr(
        inner_loop,
        "_moved",
        lambda weights, found, alpha: right(
            weights, [g if g is None else g.detach() for g in found], alpha
        ),
    )

    assert_found(spec(order, "maml", inner_loop=inner), "Order 2")


@pytest.mark.parametrize("inner", [way for way in INNER_LOOPS if way != "standard"])
@pytest.mark.parametrize("order", [2, 3])
def test_that_a_little_too_much_in_gradients_taken_again_is_found(
    order: int, inner: str, monkeypatch: Patch
) -> None:
    """The steps are right; what they are differentiated by is not."""
    right = inner_loop.gradients_of

    def wrong(*given, create_graph: bool) -> Gradients:
        found = right(*given, create_graph=create_graph)
        return tuple(g * (1 + LITTLE) for g in found if g is not None) if create_graph else found

    monkeypatch.setattr(inner_loop, "gradients_of", wrong)

    assert_found(spec(order, "maml", inner_loop=inner), "Order 2")


@pytest.mark.parametrize("order", [2, 3])
def test_that_inner_gradients_taken_for_constants_are_found(order: int, monkeypatch: Patch) -> None:
    right = inner_loop._depending
    monkeypatch.setattr(
        inner_loop,
        "_depending",
        lambda values, tensors: right([value.detach() for value in values], tensors),
    )

    assert_found(spec(order, "maml", inner_loop="saved_gradient"), "Order 2")


@pytest.mark.parametrize("order", [2, 3, 4])
def test_that_inner_steps_without_a_graph_are_found(order: int, monkeypatch: Patch) -> None:
    monkeypatch.setitem(inner_loop.INNER_STEPS, "standard", inner_loop.detached_step)

    assert not check(spec(order, "maml"), CPU).passed


@pytest.mark.parametrize("inner", INNER_LOOPS)
@pytest.mark.parametrize("order", META_ORDERS)
def test_that_a_layer_that_ignores_the_fast_weights_is_found(
    order: int, inner: str, monkeypatch: Patch
) -> None:
    def ignoring(right: Forward) -> Forward:
        seen: list[dict[str, torch.Tensor]] = []

        def apply(
            parameters: direct.Tensors, buffers: direct.Tensors, x: torch.Tensor, update: bool
        ) -> torch.Tensor:
            seen.append({name: tensor.detach() for name, tensor in parameters.items()})
            return right(seen[0], buffers, x, update)

        return apply

    a_layer_is(ignoring, 2, monkeypatch)

    assert not check(spec(order, "maml", inner_loop=inner), CPU).passed


@pytest.mark.parametrize("order", META_ORDERS)
def test_that_a_task_left_out_is_found(order: int, monkeypatch: Patch) -> None:
    right, task = meta_gradient._add, itertools.count()
    monkeypatch.setattr(
        meta_gradient, "_add", lambda total, found: None if next(task) % 2 else right(total, found)
    )

    assert_found(spec(order, "maml"), "Order 1")


@pytest.mark.parametrize("order", META_ORDERS)
def test_that_the_meta_gradient_s_own_error_is_found_and_named(
    order: int, monkeypatch: Patch
) -> None:
    changed(gradients, at(4, lambda gradient: gradient * (1 + LITTLE)), monkeypatch)

    assert_found(spec(order, "maml"), "Order 1", "4.weight")


@pytest.mark.parametrize(("variant", "order"), [("anil", 1), ("anil", 2), ("reptile", 1)])
def test_that_wrong_inner_steps_of_a_variant_are_found(
    variant: str, order: int, monkeypatch: Patch
) -> None:
    changed(inner_loop, at(-1, lambda gradient: gradient * (1 + LITTLE)), monkeypatch)

    assert_found(spec(order, "maml", variant=variant))


def test_that_anil_that_steps_another_layer_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr("core.engine.workloads.maml.head_of", lambda model: 2)

    assert_found(spec(2, "maml", variant="anil"))


def test_that_imaml_without_its_regularisation_is_found(monkeypatch: Patch) -> None:
    right = inner_loop.proximal_step
    monkeypatch.setattr(
        meta_gradient, "proximal_step", lambda start, regularisation: right(start, 0.0)
    )

    assert_found(spec(2, "maml", variant="imaml"), "loss")


def test_that_imaml_that_takes_the_query_gradient_as_it_is_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(meta_gradient, "solve", lambda gradients, weights, right, *others: right)

    assert_found(spec(2, "maml", variant="imaml"), "a solution by an orthogonal basis")


def test_that_conjugate_gradients_that_end_early_are_found(monkeypatch: Patch) -> None:
    right = meta_gradient.solve
    monkeypatch.setattr(
        meta_gradient, "solve", lambda a, b, c, d, iterations, heard: right(a, b, c, d, 2, heard)
    )

    assert_found(spec(2, "maml", variant="imaml"), "a solution by an orthogonal basis")


def test_that_the_wrong_sparse_gradients_of_torch_are_found(monkeypatch: Patch) -> None:
    words: Layers = [
        {"kind": "embedding", "num_embeddings": 7, "embedding_dim": 4, "sparse": True},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 3},
        {"kind": "tanh"},
    ]
    monkeypatch.setattr(Maml, "needs_dense_gradients", False)

    assert check(spec(2, "maml", layers=words, input_shape=(3,)), CPU).passed
    assert_found(spec(3, "maml", layers=words, input_shape=(3,)), "Order 3", "0.weight")


# ---------------------------------------------------------------------------------- mitigations

WORKLOADS = [("nested_gradient", order) for order in NESTED_ORDERS]
WORKLOADS += [("maml", order) for order in META_ORDERS]


@pytest.mark.parametrize(("workload", "order"), WORKLOADS)
def test_that_a_rematerialized_gradient_a_little_too_large_is_found(
    workload: str, order: int, monkeypatch: Patch
) -> None:
    right = rematerialize._gradients

    def wrong(*arguments: object) -> list[torch.Tensor | None]:
        first, *others = right(*arguments)
        return [None if first is None else first * (1 + LITTLE), *others]

    monkeypatch.setattr(rematerialize, "_gradients", wrong)

    found = assert_found(spec(order, workload, checkpointing="rematerialize"))
    assert any("checkpointing rematerialize" in sentence for sentence in found.failures) or (
        "other comparisons" in found.failures[-1]
    )


@pytest.mark.parametrize(("workload", "order"), WORKLOADS)
def test_that_a_rematerialized_gradient_that_is_dropped_is_found(
    workload: str, order: int, monkeypatch: Patch
) -> None:
    right = rematerialize._gradients
    monkeypatch.setattr(
        rematerialize, "_gradients", lambda *arguments: [*right(*arguments)[:-1], None]
    )

    assert_found(spec(order, workload, checkpointing="rematerialize"))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_that_checkpointed_inner_steps_a_little_off_are_found(
    order: int, monkeypatch: Patch
) -> None:
    right = rematerialize._gradients

    def wrong(*arguments: object) -> list[torch.Tensor | None]:
        *others, last = right(*arguments)
        return [*others, None if last is None else last * (1 + LITTLE)]

    monkeypatch.setattr(rematerialize, "_gradients", wrong)

    assert_found(spec(order, "maml", inner_loop="checkpoint"), "Order 2")


@pytest.mark.parametrize(("workload", "order"), WORKLOADS)
@pytest.mark.parametrize("kind", ["torch", "rematerialize"])
def test_that_a_segment_computed_again_from_other_weights_is_found(
    kind: str, workload: str, order: int, monkeypatch: Patch
) -> None:
    right = segments.STRATEGIES[kind]

    def wrong(
        segment: segments.Segment,
        again: segments.Segment,
        tensors: Sequence[torch.Tensor],
        random: bool,
    ) -> torch.Tensor:
        return right(
            segment,
            lambda x, *weights: again(x, *(weight * (1 + LITTLE) for weight in weights)),
            tensors,
            random,
        )

    monkeypatch.setitem(segments.STRATEGIES, kind, wrong)

    assert_found(spec(order, workload, checkpointing=kind))


@pytest.mark.parametrize(("workload", "order"), WORKLOADS)
@pytest.mark.parametrize("kind", ["torch", "rematerialize"])
def test_that_other_random_numbers_when_computed_again_are_found(
    kind: str, workload: str, order: int, monkeypatch: Patch
) -> None:
    right = segments.STRATEGIES[kind]
    monkeypatch.setitem(
        segments.STRATEGIES,
        kind,
        lambda segment, again, tensors, random: right(segment, again, tensors, False),
    )
    noisy: Layers = [
        {"kind": "linear", "out_features": 6},
        {"kind": "tanh"},
        {"kind": "dropout"},
        {"kind": "linear", "out_features": 3},
        {"kind": "tanh"},
    ]

    assert_found(spec(order, workload, layers=noisy, checkpointing=kind))


# ------------------------------------------------------------------------------------- Hessians


@pytest.mark.parametrize("row", [0, 7])
def test_that_a_single_wrong_row_of_a_hessian_is_found(row: int, monkeypatch: Patch) -> None:
    right = hessian._one

    def one(
        output: object, wrt: object, rows: hessian._Rows, columns: list, keep: bool, share: float
    ) -> None:
        right(output, wrt, rows, columns, keep, share)
        if rows.start == row:
            columns[0][row].mul_(1 + LITTLE)

    monkeypatch.setitem(hessian._FILLS, "rows", one)

    assert_found(spec(2).with_changes({"workload": {"kind": "hessian"}}), "Order 2")


def test_that_the_product_with_another_vector_is_found(monkeypatch: Patch) -> None:
    right = hvp.reverse_over_reverse

    def wrong(problem: Problem, recorder: Recorder) -> hvp.Multiply:
        multiply = right(problem, recorder)
        return lambda vector, *others: multiply([part * (1 + LITTLE) for part in vector], *others)

    monkeypatch.setitem(hvp._WAYS, "reverse_over_reverse", wrong)

    workload = {"kind": "hvp", "vectors": 2}
    assert_found(spec(2).with_changes({"workload": workload}), "Order 2")
