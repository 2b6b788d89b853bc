"""What single operations cost: learned once, kept, and the same as when they run among others."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from torch.autograd.profiler import profile

import core.measure.memory.kernels as kernels_module
from core.measure.memory.alone import (
    MOST_BYTES_TOGETHER,
    MOST_TOGETHER,
    POINTWISE,
    allocated_by,
    in_groups,
    made_small,
    seconds_of,
)
from core.measure.memory.calls import Call, Exactly, TensorLike, call_of
from core.measure.memory.kernels import Kernels

CPU = torch.device("cpu")
ATEN = torch.ops.aten
PRODUCT = call_of(ATEN.mm.default, (torch.ones(8, 8), torch.ones(8, 8)))
CONVOLUTION = call_of(
    ATEN.convolution.default,
    (
        torch.ones(4, 3, 9, 9),
        torch.ones(8, 3, 3, 3),
        torch.ones(8),
        [2, 2],
        [1, 1],
        [1, 1],
        False,
        [0, 0],
        1,
    ),
)


def scratch_of(call: Call) -> int:
    """Bytes beyond what it returns, as the class learns them."""
    kernels = Kernels(CPU, 1)
    assert kernels.learn([call]) == ()
    known = kernels.known(call)
    assert known is not None
    return known.scratch_bytes


def full_size_scratch(call: Call) -> int:
    """The same measured by hand, on tensors of full size with other numbers."""
    arguments = [_real(argument) for argument in call.arguments]
    keywords = {name: _real(value) for name, value in call.keywords}
    with torch.no_grad(), profile(profile_memory=True) as profiler:
        output = call.operation(*arguments, **keywords)
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    peak = max(accumulate(changes), default=0)
    old = {t.untyped_storage().data_ptr() for t in _each(arguments)}
    new = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _each(output)}
    return peak - sum(n for place, n in new.items() if place not in old)


def _each(output: object) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, list | tuple):
        return [tensor for item in output for tensor in _each(item)]
    return []


def _real(value: object) -> object:
    if isinstance(value, Exactly):
        return value.value
    if isinstance(value, tuple) and not isinstance(value, TensorLike):
        return [_real(item) for item in value]
    if not isinstance(value, TensorLike):
        return value
    tensor = torch.empty_strided(value.size, value.stride, dtype=value.dtype)
    return tensor.fill_(0.7 if value.dtype.is_floating_point else 1)


@pytest.mark.parametrize(
    "call",
    [
        PRODUCT,
        CONVOLUTION,
        call_of(ATEN.mm.default, (torch.ones(32, 16), torch.ones(1).expand(16, 24))),
        call_of(ATEN._softmax.default, (torch.ones(32, 10), 1, False)),
        call_of(
            ATEN.native_group_norm.default, (torch.ones(4, 6, 5), None, None, 4, 6, 5, 2, 1e-5)
        ),
        call_of(ATEN.sum.dim_IntList, (torch.ones(64, 3, 5), [0, 2])),
        call_of(ATEN.cat.default, ([torch.ones(4), torch.ones(6)],)),
        call_of(ATEN.avg_pool2d.default, (torch.ones(2, 3, 8, 8), [2, 2])),
    ],
    ids=lambda call: call.base_name,
)
def test_that_learned_scratch_is_what_the_profiler_sees(call: Call) -> None:
    assert scratch_of(call) == full_size_scratch(call)


def test_that_a_product_with_an_expanded_operand_needs_a_copy_of_it() -> None:
    call = call_of(ATEN.mm.default, (torch.ones(32, 16), torch.ones(1).expand(16, 24)))
    assert scratch_of(call) >= 16 * 24 * 4


_TWO = {
    *("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "maximum", "minimum"),
    *("eq", "ne", "lt", "le", "gt", "ge", "pow"),
}
_BACKWARD: dict[str, tuple[object, ...]] = {
    "leaky_relu_backward": (0.01, False),
    "sigmoid_backward": (),
    "silu_backward": (),
    "softplus_backward": (1.0, 20.0),
    "tanh_backward": (),
    "threshold_backward": (0,),
}
_SETTINGS: dict[str, tuple[object, ...]] = {
    "clamp": (0.2, 0.8),
    "clamp_min": (0.2,),
    "fill_": (2.0,),
    "full_like": (2.0,),
    "leaky_relu": (0.1,),
    "softplus": (1.0, 20.0),
}
_OVERLOADS = {"maximum": "default", "minimum": "default", "fill_": "Scalar", "pow": "Tensor_Tensor"}
_SHAPES: dict[str, Callable[[torch.dtype], tuple[torch.Tensor, torch.Tensor]]] = {
    "plain": lambda dtype: (torch.ones(40, 30, dtype=dtype), torch.ones(40, 30, dtype=dtype)),
    "one row": lambda dtype: (torch.ones(40, 30, dtype=dtype), torch.ones(30, dtype=dtype)),
    "expanded": lambda dtype: (
        torch.ones(40, 30, dtype=dtype),
        torch.ones(1, dtype=dtype).expand(40, 30),
    ),
    "transposed": lambda dtype: (
        torch.ones(40, 30, dtype=dtype),
        torch.ones(30, 40, dtype=dtype).t(),
    ),
    "every other": lambda dtype: (
        torch.ones(40, 60, dtype=dtype)[:, ::2],
        torch.ones(40, 30, dtype=dtype),
    ),
    "scalar": lambda dtype: (torch.ones(40, 30, dtype=dtype), torch.ones((), dtype=dtype)),
    "large": lambda dtype: (torch.ones(300, 300, dtype=dtype), torch.ones(300, 300, dtype=dtype)),
}


def pointwise_calls(name: str, dtype: torch.dtype) -> list[Call]:
    """The operation on tensors of many shapes and strides."""
    packet = getattr(ATEN, name)
    calls = []
    for make in _SHAPES.values():
        one, other = make(dtype)
        if name in _BACKWARD:
            arguments: tuple[object, ...] = (one, other.expand(one.shape), *_BACKWARD[name])
            overload = _first(packet)
        elif name in _TWO:
            arguments, overload = (one, other), _OVERLOADS.get(name, "Tensor")
        elif name == "where":
            arguments, overload = (one > 0, one, other), "self"
        else:
            arguments = (one, *_SETTINGS.get(name, ()))
            overload = _OVERLOADS.get(name, _first(packet))
        calls.append(call_of(getattr(packet, overload), arguments))
        if name in _TWO and name not in ("maximum", "minimum"):
            scalar = "Tensor_Scalar" if name == "pow" else "Scalar"
            calls.append(call_of(getattr(packet, scalar), (one, 2.0)))
    return calls


def _first(packet: object) -> str:
    return "default" if "default" in packet.overloads() else packet.overloads()[0]


@pytest.mark.parametrize("name", sorted(POINTWISE))
def test_that_pointwise_operations_need_the_same_scratch_at_every_size(name: str) -> None:
    """The claim that lets them be learned on tensors of a few numbers."""
    for dtype in (torch.float32, torch.float64):
        for call in pointwise_calls(name, dtype):
            assert made_small(call) is not call
            assert scratch_of(call) == full_size_scratch(call), call.key


def test_that_an_operation_that_copies_operands_with_gaps_is_learned_at_full_size() -> None:
    gaps = call_of(ATEN.gelu_backward.default, (torch.ones(40, 60)[:, ::2], torch.ones(40, 30)))
    assert scratch_of(gaps) == full_size_scratch(gaps) == 40 * 30 * 4


def test_that_what_was_learned_is_read_by_others(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "kernels.jsonl"
    first = Kernels(CPU, 1, file)
    assert first.learn([PRODUCT, CONVOLUTION]) == ()
    second = Kernels(CPU, 1, file)
    assert second.known(CONVOLUTION) is not None
    assert second.known(CONVOLUTION).scratch_bytes == first.known(CONVOLUTION).scratch_bytes
    assert len(file.read_text().splitlines()) == 2
    second.learn([PRODUCT, CONVOLUTION])
    assert len(file.read_text().splitlines()) == 2, "nothing is learned twice"


def test_that_what_others_learn_meanwhile_is_read_when_asked(tmp_path: Path) -> None:
    one, other = (Kernels(CPU, 1, tmp_path / "kernels.jsonl") for _ in range(2))
    one.learn([PRODUCT])
    assert other.known(PRODUCT) is None
    other.refresh()
    assert other.known(PRODUCT) is not None


def test_that_damaged_lines_are_passed_over_and_half_lines_awaited(tmp_path: Path) -> None:
    file = tmp_path / "kernels.jsonl"
    Kernels(CPU, 1, file).learn([PRODUCT])
    line = file.read_bytes()
    kernel = json.loads(line) | {"scratch_bytes": "many"}
    damaged = [b"\xff\xfe\n", b"{}\n", b"[]\n", b"7\n", json.dumps(kernel).encode() + b"\n"]
    file.write_bytes(b"".join(damaged) + line[:-5])
    kernels = Kernels(CPU, 1, file)
    assert kernels.known(PRODUCT) is None
    with file.open("ab") as stream:
        stream.write(line[-5:])
    kernels.refresh()
    assert kernels.known(PRODUCT) is not None


def test_that_other_versions_and_other_numbers_of_threads_are_other_kernels(tmp_path: Path) -> None:
    file = tmp_path / "kernels.jsonl"
    Kernels(CPU, 1, file).learn([PRODUCT])
    assert Kernels(CPU, 2, file).known(PRODUCT) is None
    file.write_text(file.read_text().replace(torch.__version__, "1.0"))
    assert Kernels(CPU, 1, file).known(PRODUCT) is None


def test_that_a_file_that_cannot_be_written_costs_nothing_but_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kernels = Kernels(CPU, 1, tmp_path / "file" / "kernels.jsonl")
    assert kernels.learn([PRODUCT]) == ()
    assert kernels.known(PRODUCT) is not None


def test_that_an_operation_that_cannot_run_alone_is_not_known() -> None:
    """A product of shapes that do not fit, as made-up numbers may not suit an operation."""
    wrong = call_of(ATEN.mm.default, (torch.ones(2, 3), torch.ones(2, 3)))
    kernels = Kernels(CPU, 1)
    assert kernels.learn([wrong, PRODUCT]) == (wrong,)
    assert kernels.impossible(wrong)
    assert kernels.known(wrong) is None
    assert kernels.known(PRODUCT) is not None


def test_that_what_is_learned_together_is_what_is_learned_alone() -> None:
    """One profiler watches all; neither their neighbours nor one that refuses count."""
    wrong = call_of(ATEN.mm.default, (torch.ones(2, 3), torch.ones(2, 3)))
    dense = call_of(ATEN.mm.default, (torch.ones(32, 16), torch.ones(1).expand(16, 24)))
    calls = [CONVOLUTION, PRODUCT, wrong, dense, CONVOLUTION]
    together = allocated_by(calls, CPU)
    assert together == [allocated_by([call], CPU)[0] for call in calls]
    assert together[2] is None
    assert together[0].scratch_bytes == full_size_scratch(CONVOLUTION) > 0


def test_that_operations_on_too_much_memory_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels_module, "LARGEST_BYTES", PRODUCT_BYTES - 1)
    kernels = Kernels(CPU, 1)
    assert kernels.learn([PRODUCT]) == (PRODUCT,)
    monkeypatch.setattr(kernels_module, "LARGEST_BYTES", PRODUCT_BYTES)
    assert Kernels(CPU, 1).learn([PRODUCT]) == ()


PRODUCT_BYTES = 2 * 8 * 8 * 4


def test_that_nothing_is_begun_once_the_budget_is_spent() -> None:
    kernels = Kernels(CPU, 1)
    assert kernels.learn([PRODUCT], budget_s=-1.0) == (PRODUCT,)
    assert not kernels.impossible(PRODUCT), "there was no time, which may come"
    assert kernels.learn([PRODUCT], budget_s=10.0) == ()


def test_that_learning_leaves_random_numbers_as_they_were() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    dropout = call_of(ATEN.native_dropout.default, (torch.ones(100), 0.5, True))
    assert Kernels(CPU, 1).learn([dropout]) == ()
    assert torch.equal(torch.rand(4), expected)


def test_that_operations_are_timed_at_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those whose scratch memory is learned on a few numbers."""
    timed: list[Call] = []

    def seconds(calls: list[Call], *_: object) -> list[float]:
        timed.extend(calls)
        return [0.5] * len(calls)

    monkeypatch.setattr(kernels_module, "seconds_of", seconds)
    call = call_of(ATEN.tanh.default, (torch.ones(1_000_000),))
    kernels = Kernels(CPU, 1)
    kernels.learn([call])
    assert timed == [call]
    assert kernels.known(call).seconds == 0.5


def named(name: str, ran: list[str], *, refuses_after: int | None = None) -> Call:
    """A call that writes down when it runs."""

    def operation() -> None:
        ran.append(name)
        if ran.count(name) == refuses_after:
            raise RuntimeError("not with these numbers")

    return Call(operation, (), ())


def test_that_operations_are_timed_in_turns() -> None:
    """None of them may find the caches as it left them."""
    ran: list[str] = []
    one, other, company = (named(name, ran) for name in ("one", "other", "company"))
    assert len(seconds_of([one, other], CPU, [company])) == 2
    assert len(ran) > 6
    assert ran == ["one", "other", "company"] * (len(ran) // 3)


def test_that_an_operation_that_refuses_leaves_the_others_their_turns() -> None:
    ran: list[str] = []
    taken = seconds_of([named("one", ran, refuses_after=2), named("other", ran)], CPU)
    assert taken[0] is None
    assert taken[1] is not None
    assert (ran.count("one"), ran.count("other")) == (2, len(ran) - 2)


def test_that_what_takes_turns_is_few_and_small_together() -> None:
    def of(numbers: int) -> Call:
        return call_of(ATEN.neg.default, (torch.empty(numbers),))

    half, whole = MOST_BYTES_TOGETHER // 8, MOST_BYTES_TOGETHER // 4
    calls = [of(half), of(half), of(half), of(10 * whole), of(1)]
    assert list(in_groups(calls)) == [calls[:2], calls[2:3], calls[3:4], calls[4:]]
    many = [of(1)] * (MOST_TOGETHER + 1)
    assert [len(group) for group in in_groups(many)] == [MOST_TOGETHER, 1]


def test_that_a_single_operation_takes_turns_with_those_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[list[Call], list[Call]]] = []

    def seconds(calls: list[Call], _: torch.device, company: list[Call]) -> list[float]:
        asked.append((calls, company))
        return [0.5] * len(calls)

    monkeypatch.setattr(kernels_module, "seconds_of", seconds)
    kernels = Kernels(CPU, 1)
    kernels.learn([PRODUCT, CONVOLUTION])
    kernels.time([call_of(ATEN.neg.default, (torch.ones(3),))])
    assert [company for _, company in asked] == [[], [PRODUCT, CONVOLUTION]]


def test_that_bytes_of_returned_storages_are_known() -> None:
    kernels = Kernels(CPU, 1)
    kernels.learn([PRODUCT])
    assert kernels.known(PRODUCT).returned_bytes == (8 * 8 * 4,)


def of_size(numbers: int) -> Call:
    return call_of(ATEN.neg.default, (torch.empty(numbers),))


def learned(monkeypatch: pytest.MonkeyPatch, kernels: Kernels, seconds: float) -> None:
    monkeypatch.setattr(kernels_module, "seconds_of", lambda calls, *_: [seconds] * len(calls))
    kernels.learn([PRODUCT])


@pytest.mark.parametrize("order", [(0.25, 0.5), (0.5, 0.25)])
def test_that_of_two_processes_that_learned_the_same_the_faster_is_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, order: tuple[float, float]
) -> None:
    file = tmp_path / "kernels.jsonl"
    processes = [Kernels(CPU, 1, file) for _ in order]
    for process, seconds in zip(processes, order, strict=True):
        learned(monkeypatch, process, seconds)
    for process in (*processes, Kernels(CPU, 1, file)):
        process.refresh()
        assert process.known(PRODUCT).seconds == 0.25


@pytest.mark.parametrize(("may_be_longer", "expected"), [(True, 0.5), (False, 0.25)])
def test_that_a_longer_time_replaces_a_shorter_one_where_it_may(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, may_be_longer: bool, expected: float
) -> None:
    file = tmp_path / "kernels.jsonl"
    one, other = (Kernels(CPU, 1, file) for _ in range(2))
    learned(monkeypatch, one, 0.25)
    other.refresh()
    before = other.known(PRODUCT)
    monkeypatch.setattr(kernels_module, "seconds_of", lambda calls, *_: [0.5] * len(calls))
    one.learn_again({PRODUCT: 3, CONVOLUTION: 1}, may_be_longer=may_be_longer)
    assert one.known(CONVOLUTION) is None, "what was never learned is not learned again"
    other.refresh()
    for kernels in (one, other, Kernels(CPU, 1, file)):
        known = kernels.known(PRODUCT)
        assert known.seconds == expected
        assert known.scratch_bytes == before.scratch_bytes
        assert known.returned_bytes == before.returned_bytes == (8 * 8 * 4,)


def test_that_a_change_is_another_revision_and_reading_again_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "kernels.jsonl"
    one, other = (Kernels(CPU, 1, file) for _ in range(2))
    learned(monkeypatch, one, 1 / 3)
    for kernels in (one, other):
        kernels.refresh()
        assert kernels.revision == 0
    one.learn_again({PRODUCT: 1}, may_be_longer=True)
    at = one.revision
    other.refresh()
    one.refresh()
    assert at == one.revision == other.revision == 1, "it may change what was made of it"


def test_that_what_matters_most_is_learned_again_first(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Kernels(CPU, 1)
    small, often, large = of_size(1), of_size(2), of_size(3)
    taken = {small: 0.1, often: 0.2, large: 0.3}
    monkeypatch.setattr(
        kernels_module, "seconds_of", lambda calls, *_: [taken[call] for call in calls]
    )
    kernels.learn(taken)
    asked: list[Call] = []

    def seconds(calls: list[Call], *_: object) -> list[float]:
        asked.extend(calls)
        return [0.5] * len(calls)

    monkeypatch.setattr(kernels_module, "seconds_of", seconds)
    kernels.learn_again({small: 1, often: 2, large: 1}, may_be_longer=True)
    assert asked == [often, large, small]
    kernels.learn_again({small: 1, often: 2, large: 1}, may_be_longer=True)
    assert len(asked) == 3, "not at once once more"


@pytest.mark.parametrize(("apart_s", "fresh"), [(0.0005, True), (-0.0005, True), (61.0, False)])
def test_that_a_record_is_fresh_also_where_it_was_rounded_up(apart_s: float, fresh: bool) -> None:
    kernel = kernels_module.Kernel(0, 0.1, again_at=1000.0)
    assert kernels_module._is_fresh(kernel, 1000.0 + apart_s) is fresh


def test_that_nothing_is_learned_again_once_the_budget_is_spent() -> None:
    kernels = Kernels(CPU, 1)
    kernels.learn([PRODUCT])
    before = kernels.known(PRODUCT)
    kernels.learn_again({PRODUCT: 1}, -1.0, may_be_longer=True)
    assert kernels.known(PRODUCT) == before


def test_that_a_file_that_was_started_over_is_read_from_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "kernels.jsonl"
    reader = Kernels(CPU, 1, file)
    Kernels(CPU, 1, file).learn([PRODUCT, of_size(1)])
    reader.refresh()
    file.unlink()
    Kernels(CPU, 1, file).learn([CONVOLUTION])
    reader.refresh()
    assert reader.known(CONVOLUTION) is not None
    assert reader.known(PRODUCT) is not None, "what was read stays"


LEARNER = """
import sys
from pathlib import Path
import torch
from core.measure.memory.calls import call_of
from core.measure.memory.kernels import Kernels
kernels = Kernels(torch.device("cpu"), 1, Path(sys.argv[1]))
for size in range(*map(int, sys.argv[2:])):
    kernels.learn([call_of(torch.ops.aten.neg.default, (torch.empty(size),))])
"""


def test_that_processes_that_learn_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "kernels.jsonl"
    ranges = [(1, 60), (50, 110), (100, 160)]
    learners = [
        subprocess.Popen([sys.executable, "-c", LEARNER, str(file), *map(str, part)])
        for part in ranges
    ]
    assert [learner.wait(timeout=60) for learner in learners] == [0, 0, 0]
    for line in file.read_text().splitlines():
        assert json.loads(line)["seconds"] > 0
    kernels = Kernels(CPU, 1, file)
    assert all(kernels.known(of_size(size)) is not None for size in range(1, 160))
    assert kernels.known(of_size(160)) is None
