"""Layers made of layers: shapes and names as torch's, keys and sentences that find the part."""

import json

import pytest
import torch

from core.engine.layers import build
from core.spec.declaration import InvalidSpec
from core.spec.layers import (
    LAYER_KINDS,
    BatchNorm,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerSpec,
    Linear,
    Mixed,
    ReLU,
    Residual,
    ShapeError,
    Softmax,
    Tanh,
    describe_settings,
    parse_settings,
)
from core.spec.model import StackModel
from core.spec.notices import layer_notices
from core.spec.run import RunSpec
from core.spec.size import least_bytes

WIDE = Residual(layers=(Linear(out_features=5), Tanh(), Linear(out_features=3)))
NESTED = Residual(layers=(WIDE, BatchNorm(), Mixed(candidates=(WIDE, Tanh(), Identity()))))


def run(layers: list[dict[str, object]], **more: object) -> RunSpec:
    document = {"model": {"input_shape": [3], "layers": layers}, **more}
    return RunSpec.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (WIDE, (3,)),
        (NESTED, (3,)),
        (Mixed(), (4, 2)),
        (Residual(layers=(Conv2d(out_channels=2, padding=1), BatchNorm())), (2, 4, 5)),
        (Mixed(candidates=(Linear(out_features=7), Linear(out_features=7, bias=False))), (2, 3)),
    ],
)
def test_that_names_and_shapes_are_those_of_the_module(
    layer: LayerSpec, shape: tuple[int, ...]
) -> None:
    module = build(layer, shape)
    assert layer.output_shape(shape) == tuple(module(torch.zeros(2, *shape)).shape[1:])
    parameters = {name: tuple(tensor.shape) for name, tensor in module.named_parameters()}
    assert list(layer.parameter_shapes(shape).items()) == list(parameters.items())
    buffers = {name: tuple(tensor.shape) for name, tensor in module.named_buffers()}
    assert layer.buffer_shapes(shape) == buffers
    assert layer.parameter_count(shape) == sum(p.numel() for p in module.parameters())


def test_that_a_choice_starts_near_even_by_the_seed() -> None:
    torch.manual_seed(3)
    first = build(Mixed(), (4,)).get_parameter("alpha")
    torch.manual_seed(3)
    assert torch.equal(build(Mixed(), (4,)).get_parameter("alpha"), first)
    assert 0 < first.abs().max() < 1e-2


@pytest.mark.parametrize(
    ("layer", "path", "sentence"),
    [
        (
            Residual(layers=(Linear(out_features=5), Tanh())),
            (),
            "residual adds what its layers give to what it gets, but it gets 3 and its last layer, "
            "tanh, gives 5.",
        ),
        (Residual(layers=()), (), "residual has no layers; add at least one."),
        (
            Residual(layers=(WIDE, Residual(layers=(Conv2d(),)))),
            ("layers", 1, "layers", 0),
            "conv2d takes an input of shape (channels, height, width), but gets 3.",
        ),
        (
            Mixed(candidates=(Tanh(), ReLU(), Linear(out_features=2))),
            (),
            "mixed needs candidates of one output shape, but tanh gives 3 and linear (candidate 3) "
            "gives 2.",
        ),
        (
            Mixed(candidates=(Tanh(),)),
            (),
            "mixed chooses among at least 2 candidates, but has 1.",
        ),
        (
            Mixed(candidates=(Tanh(), Softmax(dim=7))),
            ("candidates", 1),
            "softmax has no axis 7: its input has axes -2 to 1, the batch included.",
        ),
        (
            Residual(layers=(Flatten(), Embedding())),
            ("layers", 1),
            "embedding takes whole numbers, so it cannot be a part of another layer.",
        ),
    ],
)
def test_that_what_does_not_fit_is_said_of_the_part_that_it_is(layer, path, sentence) -> None:
    with pytest.raises(ShapeError) as caught:
        layer.output_shape((3,))
    assert (str(caught.value), caught.value.path) == (sentence, path)

    stack = StackModel(input_shape=(3,), layers=(Tanh(), layer, Linear()))
    problem = RunSpec(model=stack).problems()[0]
    assert problem.path == ("model", "layers", 1, *path)
    assert problem.sentence == sentence


def test_that_a_wrong_value_inside_is_named_by_its_whole_key() -> None:
    inner = {"kind": "residual", "layers": [{"kind": "linear", "out_features": 0}]}
    with pytest.raises(InvalidSpec) as caught:
        run([{"kind": "tanh"}, {"kind": "mixed", "candidates": [{"kind": "relu"}, inner]}])
    assert str(caught.value) == (
        "model.layers.1.candidates.1.layers.0.out_features: 0 was given; allowed: a whole number "
        "from 1 to 1000000000."
    )
    with pytest.raises(InvalidSpec) as caught:
        run([{"kind": "residual", "layers": [{"kind": "heap"}]}])
    assert str(caught.value).startswith('model.layers.0.layers.0.kind: "heap" was given; allowed: ')
    with pytest.raises(InvalidSpec) as caught:
        run([{"kind": "residual", "layers": 3}])
    assert str(caught.value) == (
        "model.layers.0.layers: 3 was given; allowed: a list of JSON objects."
    )


def test_that_a_key_inside_can_be_set_and_its_kind_changed() -> None:
    spec = run([WIDE.model_dump(mode="json")])
    changed = spec.with_value("model.layers.0.layers.0.out_features", "9").with_value(
        "model.layers.0.layers.2.kind", "relu"
    )
    assert changed.model.layers[0] == Residual(layers=(Linear(out_features=9), Tanh(), ReLU()))


@pytest.mark.parametrize("levels", [8, 9, 60, 500])
def test_that_layers_within_layers_end_somewhere(levels: int) -> None:
    text = '{"kind": "residual", "layers": [' * (levels - 1) + '{"kind": "tanh"}'
    text = f'{{"model": {{"input_shape": [3], "layers": [{text}{"]}" * (levels - 1)}]}}}}'
    if levels == 8:
        assert RunSpec.from_json(text).model.output_shape == (3,)
        return
    with pytest.raises(InvalidSpec, match=r"at most 8 layers may lie|recursion limit"):
        RunSpec.from_json(text)


@pytest.mark.parametrize("layer", [WIDE, NESTED, Mixed(), Residual(layers=())])
def test_that_the_parts_read_back_from_a_line_of_text(layer: LayerSpec) -> None:
    assert parse_settings(layer.kind, describe_settings(layer)) == layer


def test_that_parts_are_written_as_calls() -> None:
    text = describe_settings(NESTED)
    assert text.startswith("residual(linear(5), tanh, linear(3)), batch_norm, mixed(residual(")
    for wrong in ("linear(5", "heap", "linear 5", "linear(5) tanh"):
        with pytest.raises(InvalidSpec, match=r"^residual: .* was given; allowed: kinds of layers"):
            parse_settings("residual", wrong)
    with pytest.raises(InvalidSpec, match="out_features: 0 was given"):
        parse_settings("residual", "tanh, residual(linear(0))")


def test_that_what_is_asked_of_layers_is_asked_of_their_parts() -> None:
    def model(layer: LayerSpec) -> StackModel:
        return StackModel(input_shape=(3,), layers=(Linear(out_features=3), layer))

    assert model(Residual(layers=(Residual(layers=(Dropout(),)),))).is_random
    assert not model(NESTED).is_random
    assert model(NESTED).functions == {"linear", "tanh", "batch_norm", "identity", "softmax"}
    places = [place for place, _ in model(WIDE).outline()]
    assert places == [(0,), (1,), (1, 0), (1, 1), (1, 2)]
    shapes = [row.output_shape for _, row in model(WIDE).outline()]
    assert shapes == [(3,), (3,), (5,), (5,), (3,)]


def test_that_a_norm_within_a_layer_is_told_of_at_that_layer() -> None:
    layers = [{"kind": "tanh"}, {"kind": "residual", "layers": [{"kind": "layer_norm"}]}]
    (notice,) = layer_notices(run(layers, workload={"kind": "nested_gradient", "order": 3}))
    assert notice.layer == 1
    assert notice.sentence.startswith("layer_norm: torch's own derivative is wrong")


def test_that_a_batch_norm_within_a_layer_needs_two_values_too() -> None:
    layers = [{"kind": "linear", "out_features": 3}, NESTED.model_dump(mode="json")]
    (problem,) = run(layers, data={"kind": "synthetic", "batch_size": 1}).problems()
    assert problem.sentence.endswith("batch_norm (layer 2) needs at least 2 values a channel.")


def test_that_outputs_within_a_layer_count_among_what_must_exist() -> None:
    wide = Residual(layers=(Linear(out_features=5000), Linear(out_features=3)))
    least = least_bytes(RunSpec(model=StackModel(input_shape=(3,), layers=(wide, Tanh()))))
    assert least is not None
    assert least.activations == 64 * 5000 * 4


@pytest.mark.parametrize("kind", sorted(set(LAYER_KINDS) - {"embedding"}))
def test_that_every_kind_can_be_a_candidate(kind: str) -> None:
    sequences = ("conv1d", "multihead_attention", "transformer_encoder_layer", "lstm", "gru")
    shape = (4, 8) if kind in sequences else (4, 8, 8)
    layer = LAYER_KINDS[kind]()
    assert Mixed(candidates=(layer, layer)).output_shape(shape) == layer.output_shape(shape)


def test_that_noise_within_a_layer_keeps_vectors_from_being_multiplied_at_once() -> None:
    noisy = Residual(layers=(Residual(layers=(Dropout(),)),)).model_dump(mode="json")
    workload = {"kind": "hvp", "vectors": 2, "batched": True}
    checkpointed = {"checkpointing": {"kind": "rematerialize"}}
    layers = [{"kind": "linear"}, noisy]
    assert run(layers, workload=workload).problems() == ()
    (problem,) = run(layers, workload=workload, mitigation=checkpointed).problems()
    assert problem.key == "workload.batched"
