"""What is said before a run, against what the run then does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional

import core.measure.correctness.preflight as preflight_module
from core.engine import losses
from core.engine.direct import Forward
from core.engine.layers import forward as engine_forward
from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.correctness.preflight import Part, observe, preflight
from core.measure.memory.allocator import allocator_peak
from core.spec.derivation import Derivation
from core.spec.layers import LAYER_KINDS, LayerSpec
from core.spec.notices import layer_notices
from core.spec.run import RunSpec

CPU = torch.device("cpu")
IMAGE, SIGNAL, VECTOR, WORDS = [4, 8, 8], [4, 8], [6], [5]
INPUT_SHAPES: dict[str, list[int]] = {
    "conv1d": SIGNAL,
    "conv2d": IMAGE,
    "max_pool2d": IMAGE,
    "avg_pool2d": IMAGE,
    "adaptive_avg_pool2d": IMAGE,
    "instance_norm": SIGNAL,
    "group_norm": SIGNAL,
    "embedding": WORDS,
    "multihead_attention": SIGNAL,
    "transformer_encoder_layer": SIGNAL,
    "lstm": SIGNAL,
    "gru": SIGNAL,
}
SETTINGS: dict[str, dict[str, object]] = {"group_norm": {"num_groups": 2}}
LINEAR = {"kind": "linear", "out_features": 3}


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    preflight_module._observed_layer.cache_clear()
    preflight_module._observed_loss.cache_clear()
    yield
    preflight_module._observed_layer.cache_clear()
    preflight_module._observed_loss.cache_clear()


def spec(layers: list[dict[str, Any]], input_shape: list[int], **parts: object) -> RunSpec:
    document = {"model": {"input_shape": input_shape, "layers": layers}, **parts}
    value = RunSpec.from_json(json.dumps(document))
    assert value.problems() == ()
    return value


def nested(order: int, wrt: str = "parameters") -> dict[str, object]:
    return {"kind": "nested_gradient", "order": order, "wrt": wrt}


def replace_layer(
    monkeypatch: pytest.MonkeyPatch, kind: str, function: Any
) -> list[tuple[str, int]]:
    """Puts an operation of torch in the place of a layer; returns the layers that are asked for."""
    asked: list[tuple[str, int]] = []

    def forward(layer: LayerSpec, index: int, order: int) -> Forward:
        asked.append((layer.kind, order))
        if layer.kind == kind:
            return lambda parameters, buffers, x, update: function(x)
        return engine_forward(layer, index, order)

    monkeypatch.setattr(preflight_module, "forward", forward)
    return asked


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_that_no_layer_that_runs_is_called_faulty(kind: str, order: int) -> None:
    layers = [{"kind": kind, **SETTINGS.get(kind, {})}, LINEAR]
    value = spec(
        layers,
        INPUT_SHAPES.get(kind, VECTOR),
        workload=nested(order),
        data={"kind": "synthetic", "batch_size": 2},
    )

    found = preflight(value)
    compute(prepare(value, CPU), SILENT)

    assert [finding for finding in found if finding.severity == "error"] == []


@pytest.mark.parametrize("mode", ["forward_over_reverse", "reverse_over_forward"])
@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_that_no_layer_is_called_faulty_in_forward_modes(kind: str, mode: str) -> None:
    """What torch cannot do there is written out."""
    layers = [{"kind": kind, **SETTINGS.get(kind, {})}, LINEAR]
    hvp = {"kind": "hvp", "mode": mode}
    value = spec(layers, INPUT_SHAPES.get(kind, VECTOR), workload=hvp)

    found = preflight(value)
    compute(prepare(value, CPU), SILENT)

    assert {finding.severity for finding in found} <= {"note"}


@pytest.mark.parametrize("mode", ["forward_over_reverse", "reverse_over_forward"])
def test_that_a_sparse_embedding_is_called_faulty_in_forward_modes_and_is(mode: str) -> None:
    layers = [{"kind": "embedding", "sparse": True}, {"kind": "flatten"}, LINEAR]
    value = spec(layers, WORDS, workload={"kind": "hvp", "mode": mode})

    (finding,) = (one for one in preflight(value) if one.severity == "error")

    assert finding.layer == 0
    assert finding.sentence == (
        "embedding: the sparse gradient of embedding has no forward mode; use sparse=False."
    )
    with pytest.raises((RuntimeError, NotImplementedError)):
        compute(prepare(value, CPU), SILENT)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("wrt", ["parameters", "inputs"])
def test_that_a_plain_net_has_nothing_to_find(loss: str, wrt: str) -> None:
    layers = [LINEAR, {"kind": "tanh"}, {"kind": "dropout"}, LINEAR]
    assert preflight(spec(layers, VECTOR, loss=loss, workload=nested(2, wrt))) == ()


def test_that_a_layer_without_second_derivative_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_layer(monkeypatch, "sigmoid", functional.hardsigmoid)
    value = spec([LINEAR, {"kind": "sigmoid"}, LINEAR, {"kind": "sigmoid"}], VECTOR)

    found = preflight(value)

    assert [(finding.severity, finding.layer) for finding in found] == [("error", 1), ("error", 3)]
    assert found[0].sentence == (
        "sigmoid: hardsigmoid has no second derivative; write it out: (x / 6 + 0.5).clamp(0, 1)."
    )
    assert preflight(value.with_value("workload.order", "1")) == ()


def test_that_a_fault_in_no_table_is_found_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = torch.tensor([1, 1])
    replace_layer(
        monkeypatch, "tanh", lambda x: torch.segment_reduce(x, "sum", lengths=lengths.clone())
    )
    value = spec([LINEAR, {"kind": "tanh"}], VECTOR)

    found = preflight(value)

    assert [(finding.severity, finding.layer) for finding in found] == [("error", 1)]
    assert found[0].sentence.startswith("tanh: gradient 2 fails (")
    assert "segment_reduce_backward is not implemented" in found[0].sentence
    x = torch.randn(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="segment_reduce_backward is not implemented"):
        differentiate_twice(torch.segment_reduce(x, "sum", lengths=lengths).square().sum(), x)


def differentiate_twice(value: torch.Tensor, x: torch.Tensor) -> None:
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    torch.autograd.grad(gradient.sum(), x)


@pytest.mark.parametrize(
    "operation",
    [
        functional.hardsigmoid,
        lambda x: torch.segment_reduce(x, "sum", lengths=torch.tensor([1, 1])),
    ],
)
def test_that_a_layer_that_nothing_is_differentiated_through_may_have_any_operation(
    monkeypatch: pytest.MonkeyPatch, operation: Any
) -> None:
    """Above the first parameters there is nothing to differentiate by."""
    replace_layer(monkeypatch, "tanh", operation)
    layers = [{"kind": "relu"}, {"kind": "tanh"}, LINEAR]

    assert preflight(spec(layers, VECTOR)) == ()
    by_inputs = preflight(spec(layers, VECTOR, workload=nested(2, "inputs")))
    assert [finding.layer for finding in by_inputs] == [1]


def test_that_a_loss_without_second_derivative_belongs_to_no_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(losses.LOSSES, "cross_entropy", functional.multi_margin_loss)
    value = spec([LINEAR], VECTOR, loss="cross_entropy")

    found = preflight(value)

    assert [(finding.severity, finding.layer) for finding in found] == [("error", None)]
    assert found[0].sentence.startswith("multi_margin_loss has no second derivative")


@pytest.mark.parametrize(("order", "severities"), [(1, []), (2, ["note"]), (3, ["note"])])
def test_that_attention_comes_with_the_note_that_the_engine_switches_its_kernel(
    monkeypatch: pytest.MonkeyPatch, order: int, severities: list[str]
) -> None:
    replace_layer(
        monkeypatch, "tanh", lambda x: functional.scaled_dot_product_attention(x, 2 * x, x)
    )
    value = spec([LINEAR, {"kind": "tanh"}], [1, 5, 6], workload=nested(order))

    found = preflight(value)

    assert [finding.severity for finding in found] == severities
    assert all(finding.sentence.startswith("tanh: fused attention") for finding in found)


def test_that_what_depends_on_values_has_no_forecast_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_layer(monkeypatch, "relu", lambda x: x * 2 if x.sum() > 0 else x)

    found = preflight(spec([LINEAR, {"kind": "relu"}], VECTOR))

    assert [(finding.severity, finding.layer) for finding in found] == [("warning", 1)]
    assert found[0].sentence.startswith("relu: there is no forecast, because what it does depends")


def test_that_any_computation_can_be_observed() -> None:
    """Also one with a tensor that exists already, as a user's module has them."""
    others = torch.randn(5, 3)

    def part() -> Part:
        x = torch.zeros(4, 3, requires_grad=True)
        return Part(lambda: torch.cdist(x, others), [x])

    seen = observe(part, 2)

    assert "aten::_cdist_forward" in seen.operations
    assert seen.failure is not None
    assert seen.failure.severity == "error"
    assert "_cdist_backward" in seen.failure.sentence
    assert observe(part, 1).failure is None


def test_that_a_computation_that_cannot_begin_says_so() -> None:
    def part() -> Part:
        x = torch.zeros(4, 3, requires_grad=True)
        return Part(lambda: x @ x, [x])

    failure = observe(part, 2).failure

    assert failure is not None
    assert failure.severity == "error"
    assert failure.sentence.startswith("forward fails (")


def test_that_random_numbers_are_left_alone() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()

    preflight(spec([LINEAR, {"kind": "dropout"}, LINEAR], VECTOR))

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([{"kind": "linear", "out_features": 200_000}], [200_000]),
        ([{"kind": "conv2d", "out_channels": 4096}, {"kind": "batch_norm"}], [4096, 512, 512]),
        ([{"kind": "embedding", "num_embeddings": 10**8, "embedding_dim": 512}], [4096]),
        ([{"kind": "flatten"}, LINEAR], [4096, 512, 512]),
    ],
)
def test_that_a_net_larger_than_any_memory_takes_none(
    layers: list[dict[str, object]], shape: list[int]
) -> None:
    value = spec(layers, shape)
    peak = allocator_peak(CPU, lambda recorder: preflight(value))

    assert peak is not None
    assert peak.peak_bytes < 2**20


def test_that_typing_in_one_layer_looks_at_that_layer_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = replace_layer(monkeypatch, "none", None)
    layers = [LINEAR, {"kind": "layer_norm"}, LINEAR, {"kind": "softplus", "beta": 1.0}]
    value = spec(layers, VECTOR)
    preflight(value)
    asked.clear()

    preflight(value.with_value("model.layers.3.beta", "2.0").with_value("measure.seed", "4"))

    assert asked == [("softplus", Derivation(2))]


def test_that_a_device_that_is_not_here_is_an_error() -> None:
    found = preflight(spec([LINEAR], VECTOR, device="xpu:7"))

    assert [(finding.severity, finding.layer) for finding in found] == [("error", None)]
    assert found[0].sentence.startswith("device: xpu:7 was given; allowed here: ")


def test_that_notices_of_the_spec_are_among_the_findings_by_layer() -> None:
    value = spec(
        [{"kind": "embedding", "sparse": True}, {"kind": "layer_norm"}, {"kind": "layer_norm"}],
        WORDS,
        workload={"kind": "maml", "order": 3, "inner_lr": 0},
        mitigation={"checkpointing": {"kind": "torch"}},
    )

    found = preflight(value)

    assert [(finding.severity, finding.layer) for finding in found] == [
        ("warning", None),
        ("warning", None),
        ("note", 0),
        ("note", 1),
        ("note", 2),
    ]
    assert [finding.sentence for finding in found] == [
        notice.sentence for notice in layer_notices(value)
    ]
    assert "dense one is used" in found[2].sentence
    assert "computed from elementary operations" in found[3].sentence
