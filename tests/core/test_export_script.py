"""The printed script does what the product does: equal numbers, bit by bit, and an equal peak."""

import ast
import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.engine.data import Batch, Tasks
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.export.script import script
from core.measure.memory.allocator import allocator_peak
from core.spec.layers import LAYER_KINDS
from core.spec.mitigations import INNER_LOOPS
from core.spec.presets import Preset, presets
from core.spec.run import RunSpec
from core.spec.workloads import Maml

CPU = torch.device("cpu")
Layers = list[dict[str, Any]]


@pytest.fixture(autouse=True, scope="module")
def _what_torch_loaded_is_not_collected() -> Iterator[None]:
    """Each clean pass begins with the garbage collector, which would go through it all."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def layer(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, **fields}


HEAD = layer("linear", out_features=3)
STACKS: dict[str, tuple[list[int], Layers]] = {
    "activations": (
        [6],
        [
            layer("linear", out_features=8),
            layer("leaky_relu", negative_slope=0.2),
            layer("silu"),
            layer("sigmoid"),
            layer("softplus", beta=2.0, threshold=10.0),
            layer("gelu", approximate="tanh"),
            layer("relu"),
            layer("softmax", dim=-1),
            HEAD,
        ],
    ),
    "noise": (
        [6],
        [layer("linear", out_features=8, bias=False), layer("tanh"), layer("dropout", p=0.3), HEAD],
    ),
    "convolutions": (
        [2, 8, 8],
        [
            layer("conv2d", out_channels=4, kernel_size=[3, 2], padding=1, stride=2),
            layer("batch_norm", momentum=0.3),
            layer("softplus"),
            layer("avg_pool2d", kernel_size=2, stride=1),
            layer("group_norm", num_groups=2),
            layer("conv2d", out_channels=4, kernel_size=3, padding=1, groups=2, bias=False),
            layer("instance_norm", affine=True),
            layer("max_pool2d", kernel_size=2, stride=1),
            layer("adaptive_avg_pool2d", output_size=[2, 1]),
            layer("flatten"),
            HEAD,
        ],
    ),
    "sequences": (
        [3, 12],
        [
            layer("conv1d", out_channels=4, kernel_size=3, dilation=2),
            layer("tanh"),
            layer("batch_norm", track_running_stats=False),
            layer("instance_norm"),
            layer("layer_norm", normalized_dims=2),
            layer("rms_norm", eps=1e-4),
            layer("flatten"),
            layer("batch_norm", affine=False, eps=1e-3),
            HEAD,
        ],
    ),
    "words": (
        [4],
        [
            layer("embedding", num_embeddings=7, embedding_dim=5, sparse=True),
            layer("tanh"),
            layer("flatten"),
            HEAD,
        ],
    ),
    "composites": (
        [6],
        [
            layer("linear", out_features=8),
            layer(
                "residual",
                layers=[
                    layer("batch_norm"),
                    layer("mixed"),
                    layer("residual", layers=[layer("linear", out_features=8), layer("tanh")]),
                    layer("dropout", p=0.3),
                ],
            ),
            layer("identity"),
            layer(
                "mixed",
                candidates=[
                    layer("linear", out_features=5, bias=False),
                    layer("linear", out_features=5),
                ],
            ),
            layer("identity"),
            HEAD,
        ],
    ),
    "deep of blocks": (
        [6],
        [layer("residual", layers=[layer("linear", out_features=6), layer("tanh")])] * 6,
    ),
    "attention": (
        [3, 4],
        [
            layer("linear", out_features=8),
            layer("multihead_attention", num_heads=2, dropout=0.2),
            layer("tanh"),
            layer("multihead_attention", num_heads=1, bias=False),
            layer("transformer_encoder_layer", nhead=2, dim_feedforward=6, activation="gelu"),
            layer("flatten"),
            HEAD,
        ],
    ),
    "encoders": (
        [3, 4],
        [
            layer("linear", out_features=8),
            layer("transformer_encoder_layer", dim_feedforward=6),
            layer("transformer_encoder_layer", dim_feedforward=6),
            layer(
                "transformer_encoder_layer",
                dim_feedforward=6,
                norm_first=True,
                bias=False,
                dropout=0.0,
                layer_norm_eps=1e-3,
            ),
            layer("flatten"),
            HEAD,
        ],
    ),
    "recurrent": (
        [4, 3],
        [
            layer("lstm", hidden_size=4, bidirectional=True, num_layers=2),
            layer("tanh"),
            layer("gru", hidden_size=4, bias=False),
            layer("dropout", p=0.2),
            layer("gru", hidden_size=3, bidirectional=True),
            layer("lstm", hidden_size=3, bias=False),
            layer("flatten"),
            HEAD,
        ],
    ),
    "deep": ([6], [layer("linear", out_features=6), layer("tanh")] * 8),
}
CHECKPOINTINGS = ("none", "torch", "rematerialize")


def spec_of(stack: str, **changes: Any) -> RunSpec:
    shape, layers = STACKS[stack]
    document = {
        "device": "cpu",
        "model": {"input_shape": shape, "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 5},
    }
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    spec = RunSpec.from_json(json.dumps(document)).with_changes(keys)
    assert not spec.problems()
    return spec


def module(spec: RunSpec) -> dict[str, Any]:
    """What the script defines, without its main part."""
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(script(spec), "script", "exec"), names)
    return names


def assert_same(spec: RunSpec, *, but: int = 0) -> None:
    """Result and loss to the bit, peak to the byte.

    Args:
        spec: a run without problems.
        but: so many bytes more the product may keep.
    """
    made, found = prepare(spec, CPU), module(spec)
    made.reset()
    computed = compute(made, SILENT)
    found.get("reset", bool)()
    loss, result = found["compute"]()
    assert torch.equal(loss, computed.loss)
    assert len(result) == len(computed.result)
    for name, tensor, ours in zip(computed.result, result, computed.result.values(), strict=True):
        assert torch.equal(tensor.to_dense(), ours.to_dense()), name
    del computed, loss, result
    assert 0 <= peak_of(made) - found["peak_on_cpu"]() <= but


def peak_of(made: Problem) -> int:
    peak = allocator_peak(CPU, lambda recorder: compute(made, recorder), made.reset)
    assert peak is not None
    return peak.peak_bytes


def baseline_of(made: Problem) -> int:
    tensors = (
        *made.parameters.values(),
        *made.buffers.values(),
        *made.data,
        *made.own.values(),
    )
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def figures_of(source: str, folder: Path) -> dict[str, Any]:
    """What a script prints in a process of its own, which knows nothing of this project."""
    file = folder / "script.py"
    file.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(file)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


# ------------------------------------------------------------------------- the same computation


def test_that_the_stacks_here_hold_every_kind_of_layer() -> None:
    assert {one["kind"] for _, layers in STACKS.values() for one in layers} == set(LAYER_KINDS)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
@pytest.mark.parametrize("stack", STACKS)
def test_that_nested_gradients_are_the_same(stack: str, checkpointing: str, order: int) -> None:
    loss = "cross_entropy" if stack in ("convolutions", "words") else "mse"
    assert_same(
        spec_of(
            stack, loss=loss, workload__order=order, mitigation__checkpointing__kind=checkpointing
        )
    )


def test_that_long_modules_are_laid_out_over_lines() -> None:
    block = layer("residual", layers=[layer("linear", out_features=6), layer("mixed")] * 4)
    text = script(spec_of("deep", model__layers=[block, HEAD]))
    assert max(map(len, text.splitlines())) <= 100
    assert "    Residual(\n        nn.Linear(6, 6),\n        Mixed(" in text
    assert text.count("class Residual(nn.Sequential):") == 1


@pytest.mark.parametrize("stack", ["noise", "convolutions"])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_that_gradients_by_the_inputs_are_the_same(stack: str, order: int) -> None:
    changes = {"workload__order": order, "workload__wrt": "inputs"}
    kind = "rematerialize" if order < 4 else "none"
    assert_same(spec_of(stack, **changes, mitigation__checkpointing__kind=kind))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(("steps", "tasks"), [(1, 3), (5, 1)])
@pytest.mark.parametrize(
    ("inner_loop", "checkpointing"),
    [
        ("standard", "none"),
        ("standard", "torch"),
        ("checkpoint", "none"),
        ("saved_gradient", "none"),
        ("segments", "none"),
        ("segments_saved_gradient", "torch"),
    ],
)
def test_that_meta_gradients_are_the_same(
    order: int, steps: int, tasks: int, inner_loop: str, checkpointing: str
) -> None:
    workload = {"kind": "maml", "order": order, "inner_steps": steps, "tasks": tasks}
    workload |= {"support": 4, "query": 6, "inner_lr": 0.1}
    assert_same(
        spec_of(
            "noise",
            workload=workload,
            mitigation__inner_loop=inner_loop,
            mitigation__checkpointing__kind=checkpointing,
        )
    )


@pytest.mark.parametrize(
    ("stack", "inner_loop", "order"),
    [
        ("convolutions", "standard", 2),
        ("sequences", "checkpoint", 2),
        ("sequences", "standard", 3),
        ("words", "checkpoint", 3),
        ("words", "saved_gradient", 3),
        ("sequences", "segments", 2),
    ],
)
def test_that_meta_gradients_through_rematerialized_layers_are_the_same(
    stack: str, inner_loop: str, order: int
) -> None:
    workload = {"kind": "maml", "order": order, "inner_steps": 1, "tasks": 2}
    assert_same(
        spec_of(
            stack,
            workload=workload | {"support": 4, "query": 4},
            mitigation__inner_loop=inner_loop,
            mitigation__checkpointing__kind="rematerialize",
        )
    )


PRODUCTS = [
    ("reverse_over_reverse", CHECKPOINTINGS),
    ("forward_over_reverse", CHECKPOINTINGS),
    ("reverse_over_forward", ("none", "rematerialize")),
    ("finite_difference", CHECKPOINTINGS),
]


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize(("mode", "checkpointings"), PRODUCTS, ids=[mode for mode, _ in PRODUCTS])
@pytest.mark.parametrize("stack", STACKS)
def test_that_hessian_vector_products_are_the_same(
    stack: str, mode: str, checkpointings: tuple[str, ...], vectors: int
) -> None:
    loss = "cross_entropy" if stack in ("convolutions", "words") else "mse"
    changes: dict[str, Any] = {"workload": {"kind": "hvp", "mode": mode, "vectors": vectors}}
    if stack == "words" and mode in ("forward_over_reverse", "reverse_over_forward"):
        changes["model__layers__0__sparse"] = False
    for kind in checkpointings:
        assert_same(spec_of(stack, **changes, loss=loss, mitigation__checkpointing__kind=kind))


@pytest.mark.parametrize("stack", ["activations", "convolutions", "sequences"])
def test_that_products_all_at_once_are_the_same(stack: str) -> None:
    assert_same(spec_of(stack, workload={"kind": "hvp", "vectors": 3, "batched": True}))


@pytest.mark.parametrize(
    ("order", "method"), [(1, "exact"), (2, "exact"), (2, "finite_difference")]
)
@pytest.mark.parametrize("checkpointing", CHECKPOINTINGS)
@pytest.mark.parametrize("stack", ["activations", "noise", "convolutions", "composites"])
def test_that_architecture_gradients_are_the_same(
    stack: str, checkpointing: str, order: int, method: str
) -> None:
    workload = {"kind": "darts", "order": order, "method": method}
    assert_same(spec_of(stack, workload=workload, mitigation__checkpointing__kind=checkpointing))


@pytest.mark.parametrize(
    ("stack", "method"),
    [("noise", "exact"), ("noise", "cg"), ("convolutions", "cg"), ("sequences", "cg")],
)
@pytest.mark.parametrize(("damping", "checkpointing"), [(0.5, "none"), (0, "rematerialize")])
def test_that_newton_steps_are_the_same(
    stack: str, method: str, damping: float, checkpointing: str
) -> None:
    workload = {"kind": "newton", "method": method, "steps": 2, "damping": damping}
    assert_same(spec_of(stack, workload=workload, mitigation__checkpointing__kind=checkpointing))


@pytest.mark.parametrize("vectors", [1, 3])
def test_that_products_with_a_sparse_embedding_are_the_same(vectors: int) -> None:
    assert_same(spec_of("words", workload={"kind": "hvp", "vectors": vectors}))


@pytest.mark.parametrize("method", ["i_fgsm", "second_order"])
@pytest.mark.parametrize(
    ("stack", "loss", "checkpointing", "training_steps"),
    [
        ("noise", "mse", "none", 3),
        ("deep", "cross_entropy", "rematerialize", 0),
        ("activations", "cross_entropy", "torch", 2),
    ],
)
def test_that_attacks_are_the_same(
    stack: str, loss: str, checkpointing: str, training_steps: int, method: str
) -> None:
    workload = {"kind": "adversarial", "method": method, "steps": 4}
    changes = {"mitigation__checkpointing__kind": checkpointing, "loss": loss}
    assert_same(spec_of(stack, workload=workload | {"training_steps": training_steps}, **changes))


def test_that_signed_steps_beside_running_statistics_are_the_same() -> None:
    workload = {"kind": "adversarial", "steps": 3, "training_steps": 2}
    assert_same(spec_of("convolutions", workload=workload, loss="cross_entropy"))


@pytest.mark.parametrize(
    ("variant", "order"), [("anil", 1), ("anil", 2), ("anil", 3), ("reptile", 1), ("imaml", 2)]
)
@pytest.mark.parametrize(
    ("stack", "inner_loop", "checkpointing"),
    [
        ("noise", "checkpoint", "none"),
        ("deep", "standard", "torch"),
        ("words", "checkpoint", "rematerialize"),
        ("noise", "segments", "none"),
        ("words", "segments_saved_gradient", "none"),
    ],
)
def test_that_the_variants_of_maml_are_the_same(
    stack: str, inner_loop: str, checkpointing: str, variant: str, order: int
) -> None:
    workload = {"kind": "maml", "variant": variant, "order": order, "support": 4, "query": 6}
    for steps, tasks in ((1, 3), (4, 1)):
        assert_same(
            spec_of(
                stack,
                workload=workload | {"inner_steps": steps, "tasks": tasks, "cg_iterations": 3},
                mitigation__inner_loop=inner_loop,
                mitigation__checkpointing__kind=checkpointing,
            )
        )


@pytest.mark.parametrize("inner_loop", INNER_LOOPS)
@pytest.mark.parametrize(("variant", "order"), [("maml", 2), ("anil", 2), ("imaml", 2)])
def test_that_variants_leave_running_statistics_as_the_product_does(
    variant: str, order: int, inner_loop: str
) -> None:
    workload = {"kind": "maml", "variant": variant, "order": order, "support": 4, "query": 4}
    spec = spec_of(
        "convolutions",
        workload=workload | {"inner_steps": 3, "tasks": 2},
        mitigation__checkpointing__kind="rematerialize",
        mitigation__inner_loop=inner_loop,
    )
    assert_same(spec)
    made, found = prepare(spec, CPU), module(spec)
    compute(made, SILENT)
    found["compute"]()
    for theirs, ours in zip(found["running"], made.buffers.values(), strict=True):
        assert torch.equal(theirs, ours)


@pytest.mark.parametrize(
    ("stack", "method", "checkpointing"),
    [
        ("activations", "rows", "none"),
        ("activations", "vmap", "rematerialize"),
        ("noise", "rows", "torch"),
        ("noise", "vmap", "none"),
        ("sequences", "vmap", "torch"),
        ("words", "rows", "none"),
        ("deep", "vmap", "none"),
    ],
)
def test_that_hessians_are_the_same(stack: str, method: str, checkpointing: str) -> None:
    workload = {"kind": "hessian", "method": method, "chunk_size": 20}
    kind = {"mitigation__checkpointing__kind": checkpointing}
    assert_same(spec_of(stack, workload=workload, **kind))


@pytest.mark.parametrize("probes", [1, 5])
@pytest.mark.parametrize(
    ("stack", "distribution", "checkpointing"),
    [
        ("activations", "rademacher", "none"),
        ("noise", "gaussian", "torch"),
        ("words", "rademacher", "none"),
        ("convolutions", "gaussian", "rematerialize"),
    ],
)
def test_that_estimates_of_the_trace_are_the_same(
    stack: str, distribution: str, checkpointing: str, probes: int
) -> None:
    workload = {"kind": "hutchinson_trace", "probes": probes, "distribution": distribution}
    assert_same(spec_of(stack, workload=workload, mitigation__checkpointing__kind=checkpointing))


def test_that_derivatives_that_vanish_are_zeros() -> None:
    linear = RunSpec.from_json(
        '{"device": "cpu", "model": {"input_shape": [3], "layers": [{"kind": "linear"}]}}'
    )
    assert_same(linear.with_value("workload.order", "3"))
    assert_same(linear.with_value("workload.order", "4"))
    workload = {"kind": "maml", "order": 4, "inner_steps": 1}
    assert_same(linear.with_changes({"workload": workload}))


def test_that_double_precision_and_another_seed_are_kept() -> None:
    changes = {"mitigation__precision": "float64", "measure__seed": 2**63 - 1}
    assert_same(spec_of("convolutions", **changes))


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_that_the_presets_are_the_same(preset: Preset) -> None:
    small: dict[str, Any] = {
        "device": "cpu",
        "data.batch_size": min(preset.spec.data.batch_size, 64),
    }
    if isinstance(preset.spec.workload, Maml):
        small |= {"workload.tasks": 2, "workload.inner_steps": 2}
    assert_same(preset.spec.with_changes(small))


@pytest.mark.parametrize(("kind", "states"), [("lstm", 2), ("gru", 1)])
@pytest.mark.parametrize("both_ways", [False, True])
def test_that_recurrence_is_written_out_for_accelerators(
    kind: str, states: int, both_ways: bool
) -> None:
    """Where it cannot run here, the functions that it would run are those of torch all the same."""
    layers = [layer(kind, hidden_size=4, num_layers=2, bidirectional=both_ways), layer("flatten")]
    model = {"input_shape": [3, 5], "layers": [*layers, HEAD]}
    document = {"model": model, "workload": {"kind": "nested_gradient", "order": 2}}
    names = module(RunSpec.from_json(json.dumps(document | {"device": "auto"})))
    torch.manual_seed(0)
    recurrent = getattr(torch.nn, kind.upper())(5, 4, 2, batch_first=True, bidirectional=both_ways)
    x = torch.randn(2, 3, 5)

    found = names["step_by_step"](
        x, tuple(recurrent.parameters()), names[f"{kind}_cell"], states, 4, 2, both_ways
    )

    torch.testing.assert_close(found, recurrent(x)[0])
    alone = script(RunSpec.from_json(json.dumps(document | {"device": "cuda:0"})))
    assert "step_by_step(x, weights" in alone
    assert "_VF" not in alone
    at_first = document | {"device": "cuda:0", "workload": {"kind": "nested_gradient", "order": 1}}
    assert "step_by_step" not in script(RunSpec.from_json(json.dumps(at_first)))


# -------------------------------------------------------------------------------- the same data


def examples(names: Mapping[str, Any], made: Problem) -> None:
    """The script's examples are those of the product."""
    if isinstance(made.data, Batch):
        ours: tuple[torch.Tensor, ...] = made.data
        theirs = names["x"], names["y"]
    else:
        assert isinstance(made.data, Tasks)
        ours, theirs = made.data, names["data"]
    for left, right in zip(ours, theirs, strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)


MAML = {"kind": "maml", "tasks": 2, "support": 10, "query": 5, "inner_steps": 1}
MLP = {"input_shape": [64], "layers": [layer("linear", out_features=10)]}
FIVE_WAYS = {"input_shape": [1, 8, 8], "layers": [layer("flatten"), layer("linear")]}


def test_that_digits_travel_inside_the_script(tmp_path: Path) -> None:
    batch = {"model": MLP, "loss": "cross_entropy", "data": {"kind": "digits", "batch_size": 70}}
    tasks = {
        "model": {"input_shape": [1, 8, 8], "layers": [layer("flatten"), layer("linear")]},
        "loss": "cross_entropy",
        "data": {"kind": "digits", "ways": 5},
        "workload": MAML,
    }
    tasks["model"]["layers"][1]["out_features"] = 5  # type: ignore[index]
    for document in (batch, tasks):
        spec = RunSpec.from_json(json.dumps({"device": "cpu", "measure": {"seed": 3}} | document))
        assert not spec.problems()
        examples(module(spec), prepare(spec, CPU))
        assert_same(spec)
    more_than_there_are = batch | {"data": {"kind": "digits", "batch_size": 2000}}
    spec = RunSpec.from_json(json.dumps({"device": "cpu"} | more_than_there_are))
    examples(module(spec), prepare(spec, CPU))


@pytest.mark.parametrize("workload", [{"kind": "nested_gradient", "wrt": "inputs"}, MAML])
def test_that_sine_curves_are_drawn_alike(workload: dict[str, Any]) -> None:
    model = {"input_shape": [1], "layers": [layer("linear"), layer("linear", out_features=1)]}
    document = {"device": "cpu", "model": model, "data": {"kind": "sinusoid"}}
    spec = RunSpec.from_json(json.dumps(document | {"workload": workload}))
    examples(module(spec), prepare(spec, CPU))
    assert_same(spec)


@pytest.mark.parametrize("workload", [{"kind": "nested_gradient"}, MAML])
@pytest.mark.parametrize("form", ["npz", "csv"])
def test_that_the_users_file_is_read_where_it_lies(
    workload: dict[str, Any], form: str, tmp_path: Path
) -> None:
    numbers = np.random.default_rng(0)
    x, y = numbers.normal(size=(20, 2, 3)), numbers.normal(size=(20, 4)).astype(np.float32)
    file = tmp_path / f"näive 'table'.{form}"
    if form == "npz":
        np.savez(file, x=x, y=y)
    else:
        table = np.concatenate([x.reshape(20, 6), y], axis=1)
        lines = [",".join(f'"{value!r}"' for value in row) for row in table.tolist()]
        file.write_text("\n".join(["a,b,c,d,e,f,g,h,i,j", "", *lines]), encoding="utf-8-sig")
    document = {
        "device": "cpu",
        "model": {"input_shape": [2, 3], "layers": [layer("flatten"), layer("linear")]},
        "data": {"kind": "arrays", "file": str(file), "batch_size": 7},
        "workload": workload,
    }
    document["model"]["layers"][1]["out_features"] = 4  # type: ignore[index]
    spec = RunSpec.from_json(json.dumps(document))
    assert not spec.problems()
    examples(module(spec), prepare(spec, CPU))
    assert_same(spec)


def test_that_classes_and_whole_numbers_are_drawn_alike() -> None:
    words = spec_of("words", loss="cross_entropy")
    examples(module(words), prepare(words, CPU))
    # An output with positions: a class for each of them.
    positions = {"input_shape": [3, 4], "layers": [layer("relu"), layer("linear", out_features=5)]}
    document = {"device": "cpu", "model": positions, "loss": "cross_entropy"}
    spec = RunSpec.from_json(json.dumps(document))
    examples(module(spec), prepare(spec, CPU))


# ------------------------------------------------------------------------- a process of its own


@pytest.mark.parametrize(
    "spec",
    [
        spec_of("convolutions", workload__order=2),
        spec_of("noise", workload__order=3, mitigation__checkpointing__kind="rematerialize"),
        spec_of("deep", workload=MAML, mitigation__inner_loop="checkpoint"),
        next(preset.spec for preset in presets() if preset.name == "lecture-maml"),
    ],
    ids=["convolutions", "rematerialized", "inner loop", "preset"],
)
def test_that_a_script_alone_prints_the_products_figures(spec: RunSpec, tmp_path: Path) -> None:
    spec = spec.with_changes({"device": "cpu", "measure.repetitions": 3, "measure.warmup": 1})

    figures = figures_of(script(spec), tmp_path)

    made = prepare(spec, CPU)
    made.reset()
    result = compute(made, SILENT).result.values()
    norm = torch.cat([tensor.to_dense().double().flatten() for tensor in result]).norm()
    assert figures["peak_bytes"] == pytest.approx(peak_of(made), rel=1e-3)
    assert figures["baseline_bytes"] == baseline_of(made)
    assert figures["result_norm"] == pytest.approx(float(norm), rel=1e-9)
    assert len(figures["samples_s"]) == 3
    assert figures["median_s"] == sorted(figures["samples_s"])[1] > 0


def test_that_repetitions_without_a_number_end_with_the_time_budget(tmp_path: Path) -> None:
    spec = spec_of("noise", measure__time_budget_s=0.01, measure__warmup=0)

    figures = figures_of(script(spec), tmp_path)

    assert 3 <= len(figures["samples_s"]) <= 200


# ---------------------------------------------------------------------------------- the text


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_that_a_script_is_short_and_independent(preset: Preset) -> None:
    text = script(preset.spec)
    tree = ast.parse(text)
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) <= {"torch", "numpy"}
    assert max(map(len, text.splitlines())) <= 100
    longer = ("rematerialize", "imaml")  # they bring a mechanism of their own
    is_plain = preset.spec.data.kind != "digits" and not preset.name.endswith(longer)
    code = re.sub(r'(?s)^DIGITS = """.*?"""', "", text, flags=re.MULTILINE)
    both = preset.name == "maml-in-segments"  # the steps and their runs, of nodes of one kind
    assert len(code.splitlines()) < (320 if both else 200 if is_plain else 260)


def test_that_only_what_a_run_needs_is_printed() -> None:
    plain = script(spec_of("deep", workload__order=1))
    for word in ("rematerialize", "checkpoint", "numpy", "reset", "running", "normalize", "ORDER"):
        assert word not in plain
    assert "accelerator" not in plain
    assert "peak_on_cpu" not in script(spec_of("deep", device="cuda:0"))
    assert "torch.accelerator.set_device_index" in script(spec_of("deep", device="cuda:1"))
    assert "torch.accelerator" in script(spec_of("deep", device="auto"))


def test_that_equal_layers_are_written_once() -> None:
    text = script(spec_of("deep", workload=MAML))
    assert text.count("nn.Linear(6, 6)") == 1
    assert "for i in range(0, 16, 2):" in text


@pytest.mark.parametrize(
    "name", ['"""', "\\", "a\nb", "\ud800 lone", "import math.", "x" * 500, "", "é 数"]
)
def test_that_any_name_of_a_run_is_harmless(name: str) -> None:
    text = script(spec_of("noise").model_copy(update={"name": name}))
    ast.parse(text)
    text.encode("utf-8")
    assert "hogui" not in text.replace("HoGUI", "")
