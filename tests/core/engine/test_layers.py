"""Every kind of layer: its forward against torch's module, its derivatives against differences."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import pytest
import torch

from core.engine import layers
from core.engine.computed import Computed, computed
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.engine.workloads.nested_gradient import nested_gradients
from core.spec.layers import LAYER_KINDS
from core.spec.run import RunSpec
from tests import oracles

LINE = (6,)
CURVE = (2, 8)
IMAGE = (2, 6, 6)
SEQUENCE = (3, 4)

# The input of the kind, and its settings.
CASES: dict[str, tuple[tuple[int, ...], dict[str, object]]] = {
    "linear": (LINE, {"kind": "linear", "out_features": 3}),
    "linear without bias": (CURVE, {"kind": "linear", "out_features": 3, "bias": False}),
    "conv1d": (CURVE, {"kind": "conv1d", "out_channels": 4, "padding": 2, "dilation": 2,
                       "groups": 2}),
    "conv2d": (IMAGE, {"kind": "conv2d", "out_channels": 3, "kernel_size": [3, 2], "stride": 2,
                       "padding": [1, 0]}),
    "max_pool2d": (IMAGE, {"kind": "max_pool2d", "kernel_size": 3, "stride": 2, "padding": 1}),
    "avg_pool2d": (IMAGE, {"kind": "avg_pool2d", "kernel_size": [2, 3]}),
    "adaptive_avg_pool2d": (IMAGE, {"kind": "adaptive_avg_pool2d", "output_size": [2, 4]}),
    "flatten": (IMAGE, {"kind": "flatten"}),
    "identity": (LINE, {"kind": "identity"}),
    "relu": (LINE, {"kind": "relu"}),
    "leaky_relu": (LINE, {"kind": "leaky_relu", "negative_slope": 0.2}),
    "gelu": (LINE, {"kind": "gelu"}),
    "gelu by tanh": (LINE, {"kind": "gelu", "approximate": "tanh"}),
    "silu": (LINE, {"kind": "silu"}),
    "tanh": (LINE, {"kind": "tanh"}),
    "sigmoid": (LINE, {"kind": "sigmoid"}),
    "softplus": (LINE, {"kind": "softplus", "beta": 1.5}),
    "softmax": (CURVE, {"kind": "softmax", "dim": 1}),
    "dropout": (LINE, {"kind": "dropout", "p": 0.3}),
    "batch_norm": (LINE, {"kind": "batch_norm"}),
    "batch_norm of curves": (CURVE, {"kind": "batch_norm", "momentum": 0.3}),
    "batch_norm of images": (IMAGE, {"kind": "batch_norm", "affine": False,
                                     "track_running_stats": False}),
    "layer_norm": (CURVE, {"kind": "layer_norm", "normalized_dims": 2}),
    "layer_norm not affine": (LINE, {"kind": "layer_norm", "elementwise_affine": False}),
    "rms_norm": (CURVE, {"kind": "rms_norm"}),
    "group_norm": (IMAGE, {"kind": "group_norm", "num_groups": 2}),
    "instance_norm": (CURVE, {"kind": "instance_norm"}),
    "instance_norm of images": (IMAGE, {"kind": "instance_norm", "affine": True}),
    "embedding": ((3,), {"kind": "embedding", "num_embeddings": 7, "embedding_dim": 4}),
    "residual": (LINE, {"kind": "residual", "layers": [
        {"kind": "linear", "out_features": 4}, {"kind": "layer_norm"}, {"kind": "tanh"},
        {"kind": "dropout", "p": 0.3}, {"kind": "linear", "out_features": 6, "bias": False}]}),
    "residual of images": (IMAGE, {"kind": "residual", "layers": [
        {"kind": "batch_norm"}, {"kind": "silu"},
        {"kind": "residual", "layers": [
            {"kind": "conv2d", "out_channels": 2, "padding": 1}, {"kind": "batch_norm"}]}]}),
    "mixed": (LINE, {"kind": "mixed"}),
    "mixed of images": (IMAGE, {"kind": "mixed", "candidates": [
        {"kind": "conv2d", "out_channels": 2, "padding": 1},
        {"kind": "residual", "layers": [{"kind": "batch_norm"}, {"kind": "gelu"}]},
        {"kind": "mixed", "candidates": [{"kind": "sigmoid"}, {"kind": "identity"}]}]}),
    "self-attention": (SEQUENCE, {"kind": "multihead_attention", "num_heads": 2}),
    "self-attention with dropout": (SEQUENCE, {"kind": "multihead_attention", "num_heads": 1,
                                               "dropout": 0.3, "bias": False}),
    "encoder": (SEQUENCE, {"kind": "transformer_encoder_layer", "nhead": 2, "dropout": 0.0,
                           "dim_feedforward": 5, "activation": "gelu"}),
    "encoder with dropout": (SEQUENCE, {"kind": "transformer_encoder_layer", "nhead": 2,
                                        "dropout": 0.2, "dim_feedforward": 5,
                                        "activation": "gelu", "norm_first": True, "bias": False,
                                        "layer_norm_eps": 0.01}),
    "encoder with kinks": (SEQUENCE, {"kind": "transformer_encoder_layer", "nhead": 4,
                                      "dim_feedforward": 5}),
    "lstm": (SEQUENCE, {"kind": "lstm", "hidden_size": 3}),
    "lstm both ways": (SEQUENCE, {"kind": "lstm", "hidden_size": 2, "num_layers": 2,
                                  "bidirectional": True}),
    "lstm without bias": (SEQUENCE, {"kind": "lstm", "hidden_size": 2, "num_layers": 2,
                                     "bias": False}),
    "gru": (SEQUENCE, {"kind": "gru", "hidden_size": 3}),
    "gru both ways": (SEQUENCE, {"kind": "gru", "hidden_size": 2, "num_layers": 2,
                                 "bidirectional": True}),
    "gru without bias": (SEQUENCE, {"kind": "gru", "hidden_size": 2, "num_layers": 2,
                                    "bias": False}),
}  # fmt: skip
KINKED = ("relu", "leaky_relu", "max_pool2d", "mixed", "encoder with kinks")
SMOOTH = [name for name in CASES if name not in KINKED]


def problem(
    case: str,
    order: int,
    checkpointing: str = "none",
    loss: str = "mse",
    workload: str = "nested_gradient",
) -> Problem:
    """The kind behind a layer with parameters, and in front of a curved output."""
    shape, layer = CASES[case]
    before: list[dict[str, object]] = {
        LINE: [{"kind": "linear", "out_features": 6}],
        CURVE: [{"kind": "conv1d", "out_channels": 2, "kernel_size": 3, "padding": 1}],
        SEQUENCE: [{"kind": "linear", "out_features": 4}],
        IMAGE: [{"kind": "conv2d", "out_channels": 2, "kernel_size": 3, "padding": 1}],
    }.get(shape, [])
    after = [{"kind": "flatten"}, {"kind": "linear", "out_features": 3}, {"kind": "sigmoid"}]
    spec = RunSpec.from_json(
        json.dumps(
            {
                "model": {"input_shape": shape, "layers": [*before, layer, *after]},
                "data": {"kind": "synthetic", "batch_size": 5},
                "loss": loss,
                "workload": {"kind": workload, "order": order},
                "mitigation": {
                    "precision": "float64",
                    "checkpointing": {"kind": checkpointing},
                },
                "measure": {"seed": 4},
            }
        )
    )
    assert not spec.problems()
    return prepare(spec, torch.device("cpu"))


def gradients(
    made: Problem, parameters: Mapping[str, torch.Tensor], order: int
) -> list[torch.Tensor]:
    """The nested gradient at other parameters, with the same random numbers each time."""
    made.reset()
    derivative = nested_gradients(
        lambda: made.loss(parameters, made.data[0], made.data[1], SILENT),
        tuple(parameters.values()),
        order,
        SILENT,
    )
    return list(computed(derivative, parameters, order).result.values())


def summed(made: Problem, point: oracles.Tensors, order: int) -> float:
    """Sum of all entries of the nested gradient; of order 0, the loss."""
    parameters = dict(zip(made.parameters, point, strict=True))
    if order == 0:
        made.reset()
        return made.loss(parameters, made.data[0], made.data[1], SILENT).item()
    return oracles.flat(gradients(made, parameters, order)).sum().item()


def error_of_order(made: Problem, order: int) -> float:
    """Relative error of a nested gradient along a direction."""
    found = gradients(made, made.parameters, order)
    return error_along(made, found, lambda moved: summed(made, moved, order - 1))


def error_along(
    made: Problem, found: oracles.Tensors, function: Callable[[oracles.Tensors], float]
) -> float:
    """Relative error of a function's gradient along a direction in which it does not vanish."""
    torch.manual_seed(8)
    length = oracles.flat(found).norm()
    noise = [torch.randn_like(tensor) for tensor in found]
    noise_length = oracles.flat(noise).norm()
    scale = length if length > 0 else torch.ones(())
    direction = [a / scale + b / noise_length for a, b in zip(found, noise, strict=True)]
    # Short enough not to step over a kink of a rectifier or a maximum.
    difference = oracles.difference_along(function, list(made.parameters.values()), direction, 1e-4)
    along = (oracles.flat(found) @ oracles.flat(direction)).item()
    return abs(difference - along) / (abs(along) or 1.0)


def test_that_every_kind_is_tested() -> None:
    assert {str(layer["kind"]) for _, layer in CASES.values()} == set(LAYER_KINDS)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_that_a_layer_computes_what_its_torch_module_computes(case: str, order: int) -> None:
    made = problem(case, order)
    rows = made.spec.model.trace()
    module = torch.nn.Sequential(*(layers.build(row.layer, row.input_shape) for row in rows))
    module = module.double().train()
    module.load_state_dict(made.parameters | made.buffers)

    x = made.data[0]
    made.reset()
    found = made.stack.forward(made.parameters, made.buffers, x, SILENT)
    torch.manual_seed(made.spec.measure.seed)
    right = oracles.in_turn(module, x)

    assert found.shape == (5, *made.spec.model.output_shape)
    assert oracles.relative_error([found], [right]) <= 1e-14
    assert set(made.buffers) == {name for name, _ in module.named_buffers()}
    for name, buffer in module.named_buffers():
        assert torch.allclose(made.buffers[name], buffer, rtol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_that_parameters_have_the_shapes_that_the_spec_tells(case: str) -> None:
    for row in problem(case, 1).spec.model.trace():
        module = layers.build(row.layer, row.input_shape)
        named = {name: tuple(tensor.shape) for name, tensor in module.named_parameters()}
        buffers = {name: tuple(tensor.shape) for name, tensor in module.named_buffers()}
        assert named == row.layer.parameter_shapes(row.input_shape)
        assert buffers == row.layer.buffer_shapes(row.input_shape)


@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
@pytest.mark.parametrize("highest", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_that_derivatives_equal_differences(case: str, highest: int, checkpointing: str) -> None:
    made = problem(case, highest, checkpointing)

    errors = [error_of_order(made, order) for order in range(1, highest + 1)]

    assert max(errors) <= 1e-7, errors


@pytest.mark.parametrize("case", SMOOTH)
def test_that_orders_above_three_equal_differences_too(case: str) -> None:
    made = problem(case, 5)

    errors = [error_of_order(made, order) for order in (4, 5)]

    assert max(errors) <= 1e-7, errors


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_that_both_losses_are_right_at_every_order(loss: str) -> None:
    made = problem("tanh", 6, loss=loss)

    errors = [error_of_order(made, order) for order in range(1, 7)]

    assert max(errors) <= 1e-7, errors


@pytest.mark.parametrize("highest", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_that_meta_gradients_through_every_layer_equal_differences(case: str, highest: int) -> None:
    """Here what reaches a layer's gradient depends on the weights, unlike in nested gradients."""
    made = problem(case, highest, workload="maml")
    spec = made.spec.with_changes(
        {"workload.tasks": 1, "workload.support": 5, "workload.query": 4,
         "workload.inner_steps": 2, "workload.inner_lr": 0.2}
    )  # fmt: skip
    made = prepare(spec, torch.device("cpu"))

    def meta(point: oracles.Tensors, order: int) -> Computed:
        parameters = dict(zip(made.parameters, point, strict=True))
        made.reset()
        lower = made.spec.with_changes({"workload.order": order})
        return compute(replace(made, parameters=parameters, spec=lower), SILENT)

    def previous(point: oracles.Tensors, order: int) -> float:
        if order == 2:
            return meta(point, 2).loss.item()
        return oracles.flat(list(meta(point, order - 1).result.values())).sum().item()

    point = list(made.parameters.values())
    errors = [
        error_along(made, list(meta(point, order).result.values()), partial(previous, order=order))
        for order in range(2, highest + 1)
    ]

    assert max(errors) <= 1e-7, errors
