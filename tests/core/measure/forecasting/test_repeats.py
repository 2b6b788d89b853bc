"""Evaluations of segments that are repeated: the same books as those of following each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
import torch

import core.measure.forecasting.prediction as prediction_module
from core.engine.direct import Direct
from core.engine.excerpt import Excerpt
from core.engine.late_modules import load_late_modules
from core.engine.problem import prepare
from core.engine.recorder import Silent
from core.engine.repeats import evaluated
from core.engine.straight import straight
from core.engine.workloads import compute
from core.measure.forecasting.alike import Alike
from core.measure.forecasting.prediction import predict
from core.measure.forecasting.quick_fake import QuickFake
from core.measure.forecasting.repeats import NotRepeated, QuicklyPredicted
from core.measure.memory.blocks import Books
from core.measure.memory.kernels import Kernels
from core.measure.memory.ledger import Ledger
from core.spec.presets import preset
from core.spec.run import RunSpec
from tests.core.measure.memory.exactness import CPU
from tests.random_specs import random_maml, random_spec


@contextmanager
def none_repeated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(prediction_module, "repeating", lambda _: nullcontext())
        yield


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The operations of each evaluation that was taken from another."""
    counts: list[int] = []
    original = QuicklyPredicted._repeated

    def counted(self: QuicklyPredicted, known: Any, *others: Any) -> Any:
        counts.append(len(known.made))
        return original(self, known, *others)

    monkeypatch.setattr(QuicklyPredicted, "_repeated", counted)
    return counts


def all_of(books: Books) -> object:
    """What is written down, tensors that die at once in any order."""
    phases = [(each.name, each.start_bytes, each.end_bytes, each.first) for each in books.phases]
    return sorted(books.entries), books.blocks, books.made, books.calls, phases


def keeps_little(spec: RunSpec) -> bool:
    mitigation = spec.mitigation
    return mitigation.checkpointing.kind == "rematerialize" or mitigation.inner_loop != "standard"


LOOPS = [spec for seed in range(14) if keeps_little(spec := random_maml(seed, (3, 8), (1, 3)))]
OTHERS = [spec for seed in range(18) if keeps_little(spec := random_spec(seed))]


@pytest.mark.parametrize("spec", [*LOOPS, *OTHERS], ids=lambda spec: spec.name)
def test_that_the_books_are_those_of_following_every_evaluation(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_late_modules(spec)
    excerpt = Excerpt(units=3, parts=3)
    with none_repeated(monkeypatch):
        expected = all_of(predict(spec, CPU, 1, excerpt))
    assert all_of(predict(spec, CPU, 1, excerpt)) == expected


def test_that_most_of_a_long_loop_is_repeated(repeated: list[int]) -> None:
    spec = random_maml(5, (20, 60), (1, 4))
    assert (spec.workload.order, spec.mitigation.inner_loop) == (3, "segments")
    books = predict(spec.with_changes({"workload.tasks": 1}), CPU)
    assert sum(repeated) > len(books.made) / 2


@pytest.mark.parametrize("steps", [5, 11])
@pytest.mark.parametrize("inner_loop", ["segments", "segments_saved_gradient"])
@pytest.mark.parametrize("order", [2, 3])
def test_that_what_is_repeated_is_what_a_run_holds(
    order: int, inner_loop: str, steps: int, repeated: list[int]
) -> None:
    spec = random_maml(5, (20, 60), (1, 4)).with_changes(
        {
            "workload.order": order,
            "workload.inner_steps": steps,
            "workload.tasks": 2,
            "mitigation.inner_loop": inner_loop,
        }
    )
    ledger, problem = Ledger(0.0), prepare(spec, CPU)
    ledger.register_problem(problem)
    with ledger:
        computed = compute(problem, ledger)
    found, books, kernels = ledger.finish(), predict(spec, CPU), Kernels(CPU, 1)
    del computed
    assert repeated
    assert not kernels.learn(books.calls)
    known = {call: kernels.known(call) for call in books.calls}
    foretold = books.corrected(
        lambda call: None if (kernel := known[call]) is None else kernel.returned_bytes
    ).report(lambda _: None)
    assert foretold.by_category == found.by_category
    assert foretold.by_layer == found.by_layer
    assert [(each.name, each.peak_bytes, each.retained_bytes) for each in foretold.phases] == [
        (each.name, each.peak_bytes, each.retained_bytes) for each in found.phases
    ]


def test_that_a_prediction_does_without_what_cannot_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = LOOPS[0]
    with none_repeated(monkeypatch):
        expected = all_of(predict(spec, CPU))
    tried = []

    def refused(*_: object) -> None:
        tried.append(True)
        raise NotRepeated

    monkeypatch.setattr(QuicklyPredicted, "_repeated", refused)
    assert all_of(predict(spec, CPU)) == expected
    assert tried == [True]


def test_that_several_vectors_at_once_are_foretold_without_repeating(repeated: list[int]) -> None:
    """Their tensors have no storage that can be asked for."""
    one = preset("hvp-conv").spec
    spec = one.with_changes(
        {"device": "cpu", "mitigation.checkpointing": {"kind": "rematerialize"}}
    ).with_changes({"workload.mode": "reverse_over_reverse", "workload.batched": True})
    assert spec.workload.derivation.batched
    assert predict(spec, CPU).calls
    assert not repeated


def test_that_an_evaluation_that_fills_a_list_is_never_left_out() -> None:
    filled: list[int] = []

    def fills(x: torch.Tensor) -> torch.Tensor:
        filled.append(1)
        return x + 1

    assert evaluations(fills) == 3
    assert len(filled) == 3 + 1, "the last for what is expected"


def test_that_one_that_keeps_a_tensor_of_its_own_is_never_left_out() -> None:
    kept: dict[int, torch.Tensor] = {}
    assert evaluations(partial(keeps, kept)) == 3


def keeps(kept: dict[int, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    kept[0] = x * 2
    return x + 1


def test_that_any_other_is_evaluated_once_for_all_of_its_kind() -> None:
    assert evaluations(lambda x: x + 1) == 1
    assert evaluations(lambda x: x[1:]) == 1, "a view of what is given"
    assert evaluations(lambda x: x) == 1


def evaluations(function: Callable[[torch.Tensor], torch.Tensor]) -> int:
    """How often a function of three tensors of one shape is evaluated; checks what it returns."""
    done = []
    ledger = QuicklyPredicted(CPU, 1)

    def evaluate(x: torch.Tensor) -> tuple[Sequence[torch.Tensor], None]:
        done.append(True)
        return [function(x)], None

    with QuickFake(), prediction_module.repeating(ledger):
        tensors = [torch.ones(4, 3) for _ in range(3)]
        ledger.register("data", tensors)
        with ledger, torch.no_grad():
            found = [evaluated(function, [x], {}, partial(evaluate, x))[0][0] for x in tensors]
        storages = [tensor.untyped_storage()._cdata for tensor in found]
        expected = function(tensors[0])
    assert ledger.alive_bytes % expected.untyped_storage().nbytes() == 0
    assert len(set(storages)) == 3
    for tensor in found:
        assert (tensor.shape, tensor.stride()) == (expected.shape, expected.stride())
        assert tensor.storage_offset() == expected.storage_offset()
    return len(done)


def adder(number: object) -> Callable[[], object]:
    return lambda: number


def test_that_functions_are_alike_that_hold_the_same() -> None:
    alike = Alike(None)
    pairs: list[tuple[object, object]] = [
        (2, 2),
        (range(3), range(3)),
        ([1, (2, "a")], [1, (2, "a")]),
        (torch.ones(3), torch.zeros(3)),
        (Silent(), Silent()),
        ({"a": torch.ones(2)}, {"a": torch.ones(2)}),
    ]
    for one, other in pairs:
        assert alike.described(adder(one)) == alike.described(adder(other)), one


def test_that_functions_are_told_apart_by_what_they_hold() -> None:
    alike = Alike(None)
    pairs: list[tuple[object, object]] = [
        (2, 2.0),
        (1, True),
        (range(3), range(1, 4)),
        ([1], (1,)),
        (torch.ones(3), torch.ones(4)),
        (torch.ones(2, 2), torch.ones(2, 2).t()[:, :1]),
        (torch.ones(3), torch.ones(3, requires_grad=True)),
        (object(), object()),
        (iter([1]), iter([1])),
    ]
    for one, other in pairs:
        assert alike.described(adder(one)) != alike.described(adder(other)), one
    assert alike.described(adder(1)) != alike.described(lambda: 1)


def test_that_a_function_that_holds_itself_is_described() -> None:
    def itself() -> object:
        return itself

    alike = Alike(None)
    assert alike.described(itself) == alike.described(itself)


def test_that_the_same_code_of_other_functions_is_told_apart() -> None:
    """Layers are put together as code whose functions are its globals."""
    alike = Alike(None)
    (relu, tanh) = (straight([Direct(each, (), ())]) for each in (torch.relu, torch.tanh))
    assert relu.__code__ == tanh.__code__
    assert alike.described(relu) != alike.described(tanh)
    assert alike.described(relu) == alike.described(relu)
