"""The user's module in the engine: it is what a stack of the same layers is."""

import math
from typing import Any

import pytest
import torch
from torch.func import functional_call, hessian  # noqa: TID251 - judges the engine from outside

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT, Silent
from core.engine.user_file import UserFileError
from core.engine.user_module import UserModule
from core.engine.user_trial import completed
from core.engine.workloads import compute, follow
from core.results.charts import Point
from core.spec.run import RunSpec
from tests import oracles
from tests.own_models import LAYERS, NETWORK, STEP, own_spec, written

# torch says it when it first differentiates forwards.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
CPU = torch.device("cpu")
FLOAT64 = {"mitigation": {"precision": "float64"}}
WORKLOADS = [
    {"kind": "nested_gradient", "order": 1},
    {"kind": "nested_gradient", "order": 2},
    {"kind": "nested_gradient", "order": 3},
    {"kind": "nested_gradient", "order": 3, "wrt": "inputs"},
    {"kind": "hvp", "mode": "reverse_over_reverse", "vectors": 3},
    {"kind": "hvp", "mode": "reverse_over_reverse", "vectors": 3, "batched": True},
    {"kind": "hvp", "mode": "forward_over_reverse", "vectors": 2},
    {"kind": "hvp", "mode": "reverse_over_forward", "vectors": 2},
    {"kind": "hvp", "mode": "finite_difference", "vectors": 2},
    {"kind": "maml", "order": 1, "inner_steps": 2, "tasks": 2, "support": 4, "query": 4},
    {"kind": "maml", "order": 2, "inner_steps": 2, "tasks": 2, "support": 4, "query": 4},
    {"kind": "maml", "order": 3, "inner_steps": 2, "tasks": 1, "support": 4, "query": 4},
    {"kind": "maml", "variant": "reptile", "inner_steps": 2, "tasks": 2, "support": 4, "query": 4},
    {"kind": "maml", "variant": "imaml", "inner_steps": 2, "tasks": 2, "support": 4, "query": 4},
    {"kind": "hessian", "method": "rows"},
    {"kind": "hessian", "method": "vmap"},
    {"kind": "hutchinson_trace", "probes": 3},
    {"kind": "newton", "method": "cg", "steps": 2},
    {"kind": "newton", "method": "exact", "steps": 2},
    {"kind": "adversarial", "method": "i_fgsm", "steps": 2},
    {"kind": "adversarial", "method": "second_order", "steps": 2},
]
MAML = {"kind": "maml", "order": 2, "inner_steps": 2, "tasks": 2, "support": 4, "query": 4}


class Layers(Silent):
    """Notes the layers that begin."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def layer(self, index: int) -> None:
        self.told.append(index)


def stack_of(own: RunSpec) -> RunSpec:
    """The same run of the same network as layers."""
    document = own.model_dump(mode="json")
    document["model"] = {"kind": "stack", "input_shape": [8], "layers": LAYERS}
    return RunSpec.model_validate_json(RunSpec.model_validate(document, strict=False).to_json())


def computed(problem: Problem) -> dict[str, torch.Tensor]:
    problem.reset()
    return compute(problem, SILENT).result


def peak(problem: Problem) -> int:
    problem.reset()
    return oracles.peak_bytes(lambda: compute(problem, SILENT))


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_that_a_module_gives_what_a_stack_of_its_layers_gives(
    workload: dict[str, Any], tmp_path
) -> None:
    own = own_spec(written(tmp_path, NETWORK), workload=workload, **FLOAT64)
    module, stack = prepare(own, CPU), prepare(stack_of(own), CPU)
    found, right = computed(module), computed(stack)
    assert list(found) == list(right)
    for name in right:
        assert oracles.relative_error([found[name]], [right[name]]) <= 1e-12


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_that_a_module_takes_the_memory_of_a_stack_to_the_byte(
    workload: dict[str, Any], tmp_path
) -> None:
    own = own_spec(written(tmp_path, NETWORK), workload=workload)
    module, stack = prepare(own, CPU), prepare(stack_of(own), CPU)
    # A module has all weights at once in its forward computation, moved ones too.
    moved = workload.get("mode") == "finite_difference"
    weights = sum(parameter.nbytes for parameter in module.parameters.values())
    assert 0 <= peak(module) - peak(stack) <= (weights if moved else 0)


def test_that_an_inner_loop_in_checkpoints_gives_the_same_and_takes_the_same(tmp_path) -> None:
    workload = MAML | {"inner_steps": 4}
    mitigation = {"inner_loop": "checkpoint", "precision": "float64"}
    own = own_spec(written(tmp_path, NETWORK), workload=workload, mitigation=mitigation)
    module, stack = prepare(own, CPU), prepare(stack_of(own), CPU)
    found, right = computed(module), computed(stack)
    assert max(oracles.relative_error([found[n]], [right[n]]) for n in right) <= 1e-12
    assert peak(module) == peak(stack)


def test_that_a_meta_learned_module_learns_what_a_stack_learns(tmp_path) -> None:
    workload = MAML | {"outer_steps": 3}
    own = own_spec(written(tmp_path, NETWORK), workload=workload, **FLOAT64)
    found, right = (
        [each.y for each in follow(prepare(spec, CPU)) or () if isinstance(each, Point)]
        for spec in (own, stack_of(own))
    )
    assert len(found) == 3
    assert found == pytest.approx(right, rel=1e-12)


TIED = """
class model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8, bias=False)
        self.second.weight = self.first.weight
        self.out = nn.Linear(8, 3)
    def forward(self, x):
        x = torch.tanh(self.first(torch.tanh(self.first(x))))
        return self.out(torch.tanh(self.second(x)))
"""


def test_that_tied_weights_and_a_module_used_twice_are_differentiated_as_one(tmp_path) -> None:
    workload = {"kind": "hvp", "vectors": 2}
    problem = prepare(own_spec(written(tmp_path, TIED), workload=workload, **FLOAT64), CPU)
    assert list(problem.parameters) == ["first.weight", "first.bias", "out.weight", "out.bias"]
    module = problem.stack._module
    x, y = problem.examples

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return (functional_call(module, weights, (x,)) - y).square().mean()

    whole = hessian(loss)({n: p.detach() for n, p in problem.parameters.items()})
    found = computed(problem)
    for name, rows in whole.items():
        right = sum(
            torch.einsum(
                "ab,vb->va",
                block.reshape(problem.parameters[name].numel(), -1),
                problem.own[f"vectors/{by}"].reshape(2, -1),
            )
            for by, block in rows.items()
        )
        assert oracles.relative_error([found[name].reshape(2, -1)], [right]) <= 1e-12


PARTS = """
class model(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(8, 8)
        self.frozen.requires_grad_(False)
        self.norm = nn.BatchNorm1d(8)
        self.scale = nn.Parameter(torch.ones(8))
        self.body = nn.Sequential(nn.Linear(8, 4), nn.Tanh())
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("constant", torch.full((4,), 2.0))
    def forward(self, x):
        h = self.body(self.scale * self.norm(self.frozen(x)))
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return {"h": self.constant * h + 0 * self.mean}
def loss(module, batch):
    x, y = batch
    return (module(x)["h"] - y).square().mean()
"""


def test_that_modules_are_rows_with_their_shapes_and_weights(tmp_path) -> None:
    spec = completed(own_spec(written(tmp_path, PARTS)))
    rows = [
        (row.layer.kind, row.input_shape, row.output_shape, row.parameters)
        for row in spec.model.trace()
    ]
    assert rows == [
        ("model", (8,), (4,), 8),
        ("frozen Linear", (8,), (8,), 0),
        ("norm BatchNorm1d", (8,), (8,), 16),
        ("body.0 Linear", (8,), (4,), 36),
        ("body.1 Tanh", (4,), (4,), 0),
    ]
    assert spec.model.output_shape == (4,)
    assert spec.model.known.changing == {
        "mean",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }


def test_that_what_is_frozen_is_not_differentiated_by(tmp_path) -> None:
    problem = prepare(own_spec(written(tmp_path, PARTS)), CPU)
    assert "frozen.weight" not in problem.parameters
    assert not problem.buffers["frozen.weight"].requires_grad
    assert problem.stack.layer_of("frozen.weight") == 1
    assert problem.stack.layer_of("scale") == 0


def test_that_each_repetition_starts_from_the_same_buffers(tmp_path) -> None:
    problem = prepare(own_spec(written(tmp_path, PARTS)), CPU)
    module = problem.stack._module
    for _ in range(2):
        problem.reset()
        assert not module.mean.any()
        assert module.norm.num_batches_tracked == 0
        compute(problem, SILENT)
        assert module.mean.any()
        assert module.norm.num_batches_tracked == 1


@pytest.mark.parametrize("mode", ["reverse_over_reverse", "finite_difference"])
def test_that_losses_beside_the_weights_leave_the_statistics_alone(mode: str, tmp_path) -> None:
    workload = {"kind": "hvp", "mode": mode}
    problem = prepare(own_spec(written(tmp_path, PARTS), workload=workload), CPU)
    problem.reset()
    compute(problem, SILENT)
    times = {"reverse_over_reverse": 1, "finite_difference": 0}
    assert problem.buffers["norm.num_batches_tracked"] == times[mode]


def test_that_a_recorder_hears_which_module_computes(tmp_path) -> None:
    problem = prepare(own_spec(written(tmp_path, PARTS)), CPU)
    heard = Layers()
    x, y = problem.examples
    problem.loss(problem.parameters, x, y, heard)
    assert heard.told == [0, 1, 0, 2, 0, 3, 0, 4, 0, -1, -1]
    silent = Layers()
    problem.loss(problem.parameters, x, y, SILENT)
    assert silent.told == []


@pytest.mark.parametrize(
    ("network", "loss", "random"),
    [
        (NETWORK, "", False),
        (NETWORK.replace("nn.Tanh()", "nn.Dropout(0.5)"), "", True),
        (NETWORK, "def loss(module, batch):\n    return module(batch[0]).sum()\n", True),
    ],
)
def test_that_random_numbers_are_kept_only_where_they_may_be_drawn(
    network: str, loss: str, random: bool, tmp_path
) -> None:
    assert prepare(own_spec(written(tmp_path, network + loss)), CPU).stack.random == random


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("return (module(batch[0]) - batch[1]).square()", "a tensor of shape (6, 3)"),
        ("return 3.0", "a value of type float"),
        ("module(batch[0])", "None"),
    ],
)
def test_that_a_loss_is_a_tensor_without_axes(text: str, sentence: str, tmp_path) -> None:
    file = written(tmp_path, f"{NETWORK}def loss(module, batch):\n    {text}\n")
    with pytest.raises(UserFileError) as caught:
        prepare(own_spec(file), CPU)
    allowed = "allowed: a tensor without axes."
    assert str(caught.value) == f"loss(module, batch) of own.py gives {sentence}; {allowed}"


def test_that_a_module_without_weights_is_refused_unless_inputs_are_asked_for(tmp_path) -> None:
    file = written(tmp_path, "def model():\n    return nn.Tanh()\n")
    with pytest.raises(UserFileError, match=r"no weights that require a gradient"):
        prepare(own_spec(file), CPU)
    by_inputs = {"kind": "nested_gradient", "order": 1, "wrt": "inputs"}
    problem = prepare(own_spec(file, workload=by_inputs, **FLOAT64), CPU)
    x, y = problem.examples
    right = 2 * (x.tanh() - y) * (1 - x.tanh() ** 2) / x.numel()
    assert oracles.relative_error([computed(problem)["x"]], [right]) <= 1e-14


TOKENS = """
class model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.memory = nn.LSTM(8, 8, batch_first=True)
        self.out = nn.Linear(8, 11)
    def forward(self, x):
        return self.out(self.memory(self.layer(self.table(x)))[0]).transpose(1, 2)
"""


def test_that_attention_and_lstm_are_differentiated_twice_by_themselves(tmp_path) -> None:
    """Neither fused attention nor oneDNN's LSTM has a second derivative; torch's plain ones do."""
    spec = own_spec(
        written(tmp_path, TOKENS),
        input_shape=[5],
        model={"vocabulary": 11},
        loss="cross_entropy",
    )
    assert not completed(spec).problems()
    problem = prepare(spec, CPU)
    x, y = problem.examples
    assert (x.dtype, x.shape, y.shape) == (torch.int64, (6, 5), (6, 5))
    assert all(gradient.isfinite().all() for gradient in computed(problem).values())
    assert torch.backends.mkldnn.is_available() == torch._C._get_mkldnn_enabled()


def test_that_an_lstm_of_ones_own_is_computed_under_autocast_on_every_processor(tmp_path) -> None:
    keys = {
        "workload": {"kind": "nested_gradient", "order": 1},
        "mitigation": {"precision": "autocast"},
        "loss": "cross_entropy",
        "model": {"vocabulary": 11},
    }
    problem = prepare(own_spec(written(tmp_path, TOKENS), input_shape=[5], **keys), CPU)
    assert all(gradient.isfinite().all() for gradient in computed(problem).values())
    assert torch.backends.mkldnn.is_available() == torch._C._get_mkldnn_enabled()


def test_that_one_derivative_leaves_the_kernels_to_torch(tmp_path) -> None:
    order = {"kind": "nested_gradient", "order": 1}
    tokens = {"input_shape": [5], "model": {"vocabulary": 11}, "loss": "cross_entropy"}
    problem = prepare(own_spec(written(tmp_path, TOKENS), workload=order, **tokens), CPU)
    x, y = problem.examples
    loss = problem.loss(problem.parameters, x, y, SILENT)
    names, todo = set(), [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in names:
            names.add(node)
            todo += [next_node for next_node, _ in node.next_functions]
    assert any("ScaledDotProductFlash" in type(node).__name__ for node in names)


def test_that_float64_is_float64_throughout(tmp_path) -> None:
    problem = prepare(own_spec(written(tmp_path, PARTS), **FLOAT64), CPU)
    tensors = [*problem.parameters.values(), *problem.buffers.values(), *problem.data]
    assert {tensor.dtype for tensor in tensors} == {torch.float64, torch.int64}


def test_that_a_step_is_measured_once_its_optimizer_has_settled(tmp_path) -> None:
    """The momentum that a first step makes is the gradient; a second one adds 0.9 of it."""
    returning_a_number = STEP.replace("return loss", "return loss.item()")
    spec = own_spec(written(tmp_path, NETWORK + returning_a_number), **FLOAT64)
    problem = prepare(spec, CPU)
    start = [weight.detach().clone() for weight in problem.parameters.values()]
    x, y = problem.examples
    loss = torch.nn.functional.mse_loss(problem.stack._module(x), y)
    gradients = torch.autograd.grad(loss, list(problem.parameters.values()))
    after = compute(problem, SILENT)
    right = [w - 0.5 * 1.9 * g for w, g in zip(start, gradients, strict=True)]
    assert oracles.relative_error(list(after.result.values()), right) <= 1e-14
    assert math.isclose(after.loss.item(), loss.item(), rel_tol=1e-14)
    problem.reset()
    assert all(
        torch.equal(weight, before) and weight.grad is None
        for weight, before in zip(problem.parameters.values(), start, strict=True)
    )


def test_that_a_step_takes_the_place_of_any_workload(tmp_path) -> None:
    workload = {"kind": "maml", "tasks": 2}
    problem = prepare(own_spec(written(tmp_path, NETWORK + STEP), workload=workload), CPU)
    assert isinstance(problem.stack, UserModule)
    assert problem.examples[0].shape == (6, 8)
    assert not problem.own
