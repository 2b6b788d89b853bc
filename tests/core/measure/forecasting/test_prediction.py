"""A workload that is watched without being computed."""

import re

import numpy as np
import psutil
import pytest
import torch

import core.engine.stack as stack_module
from core.engine.problem import Problem
from core.measure.forecasting.prediction import Unpredictable, predict
from core.measure.forecasting.quick_fake import Numberless
from core.spec.presets import preset
from tests.core.measure.memory.exactness import CPU, assert_foretold_to_the_byte, run_of
from tests.core.measure.memory.test_exactness import STACKS

GIB = 2**30


def test_that_nothing_is_computed_and_nothing_is_held() -> None:
    """A net of more than 10 GiB, at order 3."""
    wide = [{"kind": "linear", "out_features": 30_000}, {"kind": "tanh"}] * 4
    spec = run_of(wide, [30_000], workload={"kind": "nested_gradient", "order": 3})
    process = psutil.Process()
    predict(run_of([{"kind": "linear"}], [3]), CPU)
    before = process.memory_info().rss
    report = predict(spec, CPU).report(lambda call: 0)
    assert report.baseline_bytes > 10 * GIB
    assert report.peak_bytes > 20 * GIB
    assert process.memory_info().rss - before < GIB / 4


def test_that_tensors_made_while_predicting_are_without_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data come from the engine, which draws them with the same functions as for a run."""
    seen: list[torch.Tensor] = []
    original = Problem.loss_of

    def watched(self: Problem, x, y, recorder, **options):
        seen.extend([x, y, *self.parameters.values()])
        return original(self, x, y, recorder, **options)

    monkeypatch.setattr(Problem, "loss_of", watched)
    predict(run_of([{"kind": "linear"}], [3]), CPU)
    assert len(seen) == 4
    assert all(isinstance(tensor, Numberless) for tensor in seen)


def test_that_random_numbers_go_on_as_if_nothing_had_been_predicted() -> None:
    shape, layers = STACKS["dropout"]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    predict(run_of(layers, shape, mitigation={"checkpointing": {"kind": "torch"}}), CPU)
    assert torch.equal(torch.rand(3), expected)


def test_that_a_prediction_counts_operations_for_seconds() -> None:
    shape, layers = STACKS["linear"]
    books = predict(run_of(layers, shape), CPU)
    times = [t_s for t_s, *_ in books.entries]
    assert times == sorted(times)
    assert times[-1] <= len(books.made)
    assert [phase.name for phase in books.phases] == ["forward", "gradient 1", "gradient 2"]


def test_that_what_is_released_afterwards_belongs_to_no_run() -> None:
    """The result is let go of when the books are closed; its tensors stay what they were."""
    shape, layers = STACKS["linear"]
    books = predict(run_of(layers, shape), CPU)
    assert all(block.died_in is None for block in books.blocks if block.held == "parameters")


def test_that_second_gradients_of_a_sparse_embedding_are_refused_with_the_reason() -> None:
    shape, (embedding, *others) = STACKS["embedding"]
    spec = run_of(
        [embedding | {"sparse": True}, *others],
        shape,
        workload={"kind": "nested_gradient", "order": 2},
    )
    with pytest.raises(Unpredictable, match="no second derivative of a sparse gradient"):
        predict(spec, CPU)


def reads_a_number(x: torch.Tensor) -> torch.Tensor:
    return x * x.sum().item()


def chooses_rows(x: torch.Tensor) -> torch.Tensor:
    return x[x > 0].sum() + x


def asks(x: torch.Tensor) -> torch.Tensor:
    return x if x.sum() > 0 else -x


@pytest.mark.parametrize("layer", [reads_a_number, chooses_rows, asks])
def test_that_a_layer_that_looks_at_numbers_is_refused_in_one_sentence(
    layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = stack_module.Stack.forward

    def forward(self, parameters, buffers, x, recorder, **options):
        return layer(original(self, parameters, buffers, x, recorder, **options))

    monkeypatch.setattr(stack_module.Stack, "forward", forward)
    state = torch.get_rng_state()
    with pytest.raises(Unpredictable) as refusal:
        predict(run_of([{"kind": "linear"}], [3]), CPU)
    assert "depends on the numbers that it works on" in str(refusal.value)
    assert re.fullmatch(r"[^\n]+\.", str(refusal.value))
    assert torch.equal(torch.get_rng_state(), state)


def test_that_other_errors_are_one_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_: object, **__: object) -> None:
        raise RuntimeError("mat1 and mat2 do not fit\nat some place\nin C++")

    monkeypatch.setattr(stack_module.Stack, "forward", forward)
    with pytest.raises(Unpredictable, match=r"^[^\n]*: mat1 and mat2 do not fit\.$"):
        predict(run_of([{"kind": "linear"}], [3]), CPU)


@pytest.mark.parametrize("name", ["sinusoid-maml"])
def test_that_presets_with_data_of_their_own_are_foretold_to_the_byte(name: str) -> None:
    assert_foretold_to_the_byte(preset(name).spec)


@pytest.mark.parametrize("workload", [{"kind": "nested_gradient"}, {"kind": "maml", "tasks": 2}])
def test_that_digits_are_foretold_to_the_byte(workload: dict[str, object]) -> None:
    classes = 5 if workload["kind"] == "maml" else 10
    assert_foretold_to_the_byte(
        run_of(
            [{"kind": "linear", "out_features": classes}],
            [64],
            data={"kind": "digits", "batch_size": 32, "ways": 5},
            loss="cross_entropy",
            workload=workload | ({"inner_steps": 1} if workload["kind"] == "maml" else {}),
        )
    )


def test_that_sinusoids_are_foretold_to_the_byte() -> None:
    layers = [{"kind": "linear", "out_features": 8}, {"kind": "tanh"}]
    assert_foretold_to_the_byte(
        run_of(
            [*layers, {"kind": "linear", "out_features": 1}],
            [1],
            data={"kind": "sinusoid"},
            workload={"kind": "maml", "inner_steps": 2, "tasks": 2},
        )
    )


def test_that_the_users_own_arrays_are_foretold_to_the_byte(tmp_path) -> None:
    file = tmp_path / "own.npz"
    numbers = np.random.default_rng(0)
    np.savez(file, x=numbers.normal(size=(40, 6)), y=numbers.normal(size=(40, 2)))
    spec = run_of(
        [{"kind": "linear", "out_features": 2}],
        [6],
        data={"kind": "arrays", "file": str(file), "batch_size": 30},
    )
    assert spec.problems() == ()
    assert_foretold_to_the_byte(spec)
