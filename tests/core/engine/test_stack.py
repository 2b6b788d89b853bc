"""How a stack is cut and computed again, and what that saves."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec
from tests import oracles
from tests.core.engine.test_nested_gradient import Listening


def mlp(width: int, depth: int, **changes: object) -> Problem:
    """``depth`` blocks of a linear layer and tanh."""
    block = [{"kind": "linear", "out_features": width}, {"kind": "tanh"}]
    spec = RunSpec.from_json('{"model": {"input_shape": [1]}}').with_changes(
        {"model.input_shape": [width], "model.layers": block * depth}
        | {key.replace("__", "."): value for key, value in changes.items()}
    )
    assert not spec.problems()
    return prepare(spec, torch.device("cpu"))


def peak(made: Problem) -> int:
    return oracles.peak_bytes(lambda: compute(made, SILENT))


@pytest.mark.parametrize("first", range(9))
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
def test_that_two_parts_of_a_stack_make_up_the_whole(checkpointing: str, first: int) -> None:
    """Also where a part has no layers, or ends within a segment."""
    made = mlp(5, 4, **{"mitigation.checkpointing.kind": checkpointing})
    layers = len(made.spec.model.layers)
    assert layers == 8
    body, head = made.stack.part(range(first)), made.stack.part(range(first, layers))
    x = torch.linspace(-1, 1, 10).reshape(2, 5)
    heard, split = Listening(), Listening()

    whole = made.stack.forward(made.parameters, {}, x, heard)
    features = body.forward(made.parameters, {}, x, split)
    output = head.forward(made.parameters, {}, features, split)

    assert torch.equal(whole, output)
    indices = [[one for one in said.said if one != -1] for said in (heard, split)]
    assert indices[0] == indices[1] == list(range(layers))
    assert made.stack.part(range(first)) is body


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(
    ("checkpointing", "evaluations"),
    [("none", lambda k: 1), ("torch", lambda k: k + 1), ("rematerialize", lambda k: 2**k)],
)
def test_that_layers_are_told_of_each_time_they_are_computed(
    checkpointing: str, evaluations: Callable[[int], int], order: int
) -> None:
    recorder = Listening()
    made = mlp(3, 3, workload__order=order, mitigation__checkpointing__kind=checkpointing)

    compute(made, recorder)

    told = Counter(said for said in recorder.said if isinstance(said, int))
    assert told[5] == evaluations(order)
    # The first layers are computed less often where their inputs need no derivative.
    assert all(1 <= told[layer] <= evaluations(order) for layer in range(5))
    assert told[-1] == 1


# Two thirds of a MiB to two tens of MiB: the bytes are exact whatever the size, and the activations
# outweigh the weights as they do in large nets.
@pytest.mark.parametrize(("order", "share"), [(1, 0.45), (2, 0.45), (3, 0.35)])
def test_that_rematerialization_saves_memory_at_every_order(order: int, share: float) -> None:
    settings = {"data__batch_size": 512, "workload__order": order}

    plain = peak(mlp(64, 32, **settings))
    saving = peak(mlp(64, 32, mitigation__checkpointing__kind="rematerialize", **settings))

    assert saving <= share * plain


def test_that_checkpointing_by_torch_saves_memory_at_the_first_order_alone() -> None:
    shares = []
    for order in (1, 2):
        settings = {"data__batch_size": 512, "workload__order": order}
        plain = peak(mlp(64, 32, **settings))
        saving = peak(mlp(64, 32, mitigation__checkpointing__kind="torch", **settings))
        shares.append(saving / plain)

    assert shares[0] < 0.45
    assert shares[1] > 0.95


def test_that_checkpointed_inner_steps_keep_the_weights_alone() -> None:
    maml = {"kind": "maml", "tasks": 1, "inner_steps": 10, "support": 1024, "query": 1024}

    plain = peak(mlp(64, 8, workload=maml))
    saving = peak(mlp(64, 8, workload=maml, mitigation__inner_loop="checkpoint"))

    assert saving <= 0.2 * plain


def test_that_memory_of_checkpointed_inner_steps_grows_by_the_weights_of_a_step() -> None:
    settings = {"kind": "maml", "tasks": 1, "support": 256, "query": 256}
    peaks = [
        peak(
            mlp(32, 4, workload=settings | {"inner_steps": n}, mitigation__inner_loop="checkpoint")
        )
        for n in (10, 20)
    ]

    weights = sum(tensor.nbytes for tensor in mlp(32, 4).parameters.values())
    assert peaks[1] - peaks[0] == pytest.approx(10 * weights, rel=0.02)


def test_that_tasks_do_not_add_to_the_peak_but_for_their_sum() -> None:
    settings = {"kind": "maml", "inner_steps": 3, "support": 256, "query": 256}

    peaks = [peak(mlp(32, 4, workload=settings | {"tasks": tasks})) for tasks in (1, 2, 4)]

    weights = sum(tensor.nbytes for tensor in mlp(32, 4).parameters.values())
    assert peaks[1] - peaks[0] <= 1.05 * weights
    assert peaks[2] - peaks[1] <= 1024


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
@pytest.mark.parametrize("workload", ["nested_gradient", "maml"])
def test_that_nothing_stays_allocated_but_the_result(
    workload: str, checkpointing: str, order: int
) -> None:
    made = mlp(
        16,
        3,
        workload={"kind": workload, "order": order},
        mitigation__checkpointing__kind=checkpointing,
        mitigation__inner_loop="checkpoint",
    )

    outcome = compute(made, SILENT)

    tensors = [*outcome.result.values(), outcome.loss]
    assert oracles.kept_bytes(lambda: compute(made, SILENT)) == sum(t.nbytes for t in tensors)
