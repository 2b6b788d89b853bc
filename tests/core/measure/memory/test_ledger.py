"""The ledger against sizes known by hand, and against the allocator's own events."""

import threading
from collections.abc import Callable

import pytest
import torch

import core.measure.memory.ledger as ledger_module
from core.engine import tangents
from core.engine.recorder import Recorder
from core.measure.memory.allocator import allocator_peak
from core.measure.memory.ledger import Ledger, LedgerReport, PassCancelledError

MIB = 2**20


def watch(
    compute: Callable[[Recorder], object], parameters: list[torch.Tensor] = ()
) -> LedgerReport:
    ledger = Ledger(0.0)
    ledger.register("parameters", parameters)
    with ledger:
        result = compute(ledger)
    report = ledger.finish()
    del result
    return report


def block() -> torch.Tensor:
    """One MiB."""
    return torch.empty(MIB, dtype=torch.uint8)


def test_that_tensors_of_known_size_are_counted_to_the_byte() -> None:
    def compute(recorder: Recorder) -> object:
        with recorder.phase("forward"):
            recorder.born("activations")
            return [block() for _ in range(5)]

    report = watch(compute, [block(), block()])
    assert report.baseline_bytes == 2 * MIB
    assert report.peak_bytes == 5 * MIB
    assert report.by_category == {"parameters": 2 * MIB, "activations": 5 * MIB}
    assert report.phases[0].peak_bytes == report.phases[0].retained_bytes == 5 * MIB


def test_that_views_and_in_place_operations_cost_nothing() -> None:
    def compute(recorder: Recorder) -> object:
        with recorder.phase("forward"):
            base = block()
            view = base.view(2, -1)[0]
            view.add_(1)
            return base, view, view.t()

    assert watch(compute).peak_bytes == MIB


def test_that_what_is_born_and_freed_in_a_phase_is_a_temporary() -> None:
    def compute(recorder: Recorder) -> object:
        with recorder.phase("gradient 1"):
            recorder.born("graph_1")
            kept = block()
            freed = block()
            del freed
        with recorder.phase("gradient 2"):
            recorder.born("gradients")
            return kept

    report = watch(compute)
    assert report.by_category == {"graph_1": MIB, "temporaries": MIB}
    assert report.phases[0].peak_bytes == 2 * MIB
    assert report.phases[0].retained_bytes == MIB
    assert report.phases[1].retained_bytes == 0
    assert report.timeline.columns["temporaries"] == (0, MIB, 0)


def test_that_held_tensors_are_what_the_engine_calls_them() -> None:
    def compute(recorder: Recorder) -> object:
        with recorder.phase("inner step 1"):
            recorder.born("graph_1")
            fast = block()
            recorder.hold("fast_weights", [fast])
            recorder.result([torch.full((4,), 3.0)])
            return fast

    report = watch(compute)
    assert report.by_category["fast_weights"] == MIB
    assert report.phases[0].result_norm == pytest.approx(6.0)


def test_that_a_result_with_nan_has_no_norm() -> None:
    def compute(recorder: Recorder) -> object:
        with recorder.phase("gradient 1"):
            result = torch.tensor([1.0, float("nan")]) * 1
            recorder.result([result])
            return result

    phase = watch(compute).phases[0]
    assert phase.result_norm is None
    assert not phase.result_is_finite


def test_that_backward_operations_belong_to_the_layer_of_their_forward() -> None:
    weights = [torch.randn(64, 64, requires_grad=True) for _ in range(3)]
    inputs = torch.randn(32, 64)

    def compute(recorder: Recorder) -> object:
        with recorder.phase("forward"):
            hidden = inputs
            for index, weight in enumerate(weights):
                recorder.layer(index)
                hidden = torch.tanh(hidden @ weight)
            recorder.layer(-1)
            loss = hidden.square().mean()
        with recorder.phase("gradient 1"):
            first = torch.autograd.grad(loss, weights, create_graph=True)
        with recorder.phase("gradient 2"):
            return torch.autograd.grad(sum(g.sum() for g in first), weights)

    report = watch(compute, [])
    known = sum(nbytes for layer, nbytes in report.by_layer.items() if layer >= 0)
    assert set(report.by_layer) >= {0, 1, 2}
    assert known >= 0.9 * report.peak_bytes, "only the loss itself belongs to no layer"


def _mlp(depth: int, order: int, activation: Callable[[torch.Tensor], torch.Tensor]) -> Callable:
    torch.manual_seed(0)
    weights = [torch.randn(96, 96).div_(10).requires_grad_() for _ in range(depth)]
    inputs = torch.randn(128, 96)

    def compute(recorder: Recorder) -> object:
        with recorder.phase("forward"):
            hidden = inputs
            for weight in weights:
                hidden = activation(hidden @ weight)
            total = hidden.square().sum()
        for k in range(1, order + 1):
            with recorder.phase(f"gradient {k}"):
                gradients = torch.autograd.grad(total, weights, create_graph=k < order)
                if k < order:
                    total = sum(g.sum() for g in gradients)
                    del gradients
        return gradients

    return compute


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("activation", [torch.tanh, torch.sigmoid])
def test_that_the_ledger_agrees_with_the_allocator_to_the_byte(order, activation) -> None:
    compute = _mlp(4, order, activation)
    allocator = allocator_peak(torch.device("cpu"), compute)
    report = watch(compute)
    assert allocator is not None
    assert report.peak_bytes == allocator.peak_bytes
    assert {phase.name: phase.peak_bytes for phase in report.phases} == allocator.phases


def test_that_autograd_accumulates_in_place_although_a_mode_watches(monkeypatch) -> None:
    """Four uses of one tensor: their gradients are added up in the first one's memory."""
    used = torch.randn(MIB // 4, requires_grad=True)
    factors = [torch.full((MIB // 4,), float(k)) for k in range(4)]

    def compute(recorder: Recorder) -> object:
        with recorder.phase("forward"):
            loss = sum((used * factor).sum() for factor in factors)
        with recorder.phase("gradient 1"):
            return torch.autograd.grad(loss, used)

    allocator = allocator_peak(torch.device("cpu"), compute)
    assert allocator is not None
    gradient_1 = allocator.phases["gradient 1"]
    assert watch(compute).phases[1].peak_bytes == gradient_1
    monkeypatch.setattr(ledger_module, "unwatched", lambda func, *_: func)
    assert watch(compute).phases[1].peak_bytes == gradient_1 + MIB


def test_that_both_gradients_of_a_square_are_added_up_in_place() -> None:
    """They come from one node and go to one place: the product and they are all there is."""
    used, ones = torch.randn(MIB // 4, requires_grad=True), torch.ones(MIB // 4)

    def compute(recorder: Recorder) -> object:
        with recorder.phase("gradient 1"):
            return torch.autograd.grad(used * used, used, ones)

    allocator = allocator_peak(torch.device("cpu"), compute)
    assert allocator is not None
    assert watch(compute).peak_bytes == allocator.peak_bytes == 3 * MIB


def test_that_the_terms_of_a_tangent_are_added_anew() -> None:
    """Uses of a product while its factors move: gradients have tangents, of two terms each."""
    tangents.load()
    used = torch.randn(MIB // 4, requires_grad=True)
    along = torch.randn(MIB // 4)

    def compute(recorder: Recorder) -> object:
        with tangents.moving({"used": used}, [along]) as weights:
            moved = weights["used"] * weights["used"]
            with recorder.phase("forward"):
                loss = (moved.tanh() * moved).sum()
            with recorder.phase("gradient 1"):
                (gradient,) = torch.autograd.grad(loss, weights["used"])
                return tangents.tangent_of(gradient)

    allocator = allocator_peak(torch.device("cpu"), compute)
    assert allocator is not None
    report = watch(compute)
    assert {phase.name: phase.peak_bytes for phase in report.phases} == allocator.phases
    assert report.peak_bytes == allocator.peak_bytes


def test_that_categories_add_up_to_baseline_and_peak() -> None:
    weights = [torch.randn(32, 32, requires_grad=True)]

    def compute(recorder: Recorder) -> object:
        with recorder.phase("forward"):
            recorder.born("activations")
            loss = torch.tanh(torch.randn(8, 32) @ weights[0]).sum()
        with recorder.phase("gradient 1"):
            return torch.autograd.grad(loss, weights)

    report = watch(compute, weights)
    assert sum(report.by_category.values()) == report.baseline_bytes + report.peak_bytes
    assert max(report.timeline.totals()) == report.baseline_bytes + report.peak_bytes


def test_that_both_parts_of_a_held_sparse_tensor_are_of_its_category() -> None:
    table = torch.randn(1000, 16, requires_grad=True)

    def compute(recorder: Recorder) -> object:
        with recorder.phase("gradient 1"):
            rows = torch.nn.functional.embedding(torch.arange(10), table, sparse=True)
            gradient = torch.autograd.grad(rows.square().sum(), table)
            recorder.hold("gradients", gradient)
            return gradient

    assert watch(compute, [table]).by_category["gradients"] >= 10 * (16 * 4 + 8)


def test_that_sparse_gradients_are_counted_by_indices_and_values() -> None:
    table = torch.randn(1000, 16, requires_grad=True)

    def compute(recorder: Recorder) -> object:
        with recorder.phase("forward"):
            rows = torch.nn.functional.embedding(torch.arange(10), table, sparse=True)
            loss = rows.sum()
        with recorder.phase("gradient 1"):
            return torch.autograd.grad(loss, table)

    assert watch(compute, [table]).peak_bytes < table.nbytes / 10


def test_that_a_cancelled_pass_ends_at_the_next_operation() -> None:
    ledger, raised = Ledger(0.0), []

    def compute() -> None:
        try:
            with ledger:
                while True:
                    torch.zeros(1)
        except PassCancelledError as error:
            raised.append(error)

    thread = threading.Thread(target=compute)
    thread.start()
    ledger.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert raised


def test_that_only_the_memory_of_the_runs_device_is_counted() -> None:
    """Random states and the like stay on the CPU; the device here is one of shapes alone."""
    device = torch.device("meta")
    ledger = Ledger(0.0, device)
    data = [torch.empty(MIB, dtype=torch.uint8, device=device), block()]
    ledger.register("data", data)
    with ledger, ledger.phase("forward"):
        kept = torch.empty(3 * MIB, dtype=torch.uint8, device=device), block()
    report = ledger.finish()
    del kept
    assert report.by_category == {"data": MIB, "other": 3 * MIB}
    assert (report.baseline_bytes, report.peak_bytes) == (MIB, 3 * MIB)


def test_that_backward_passes_get_their_threads_back_after_the_ledgers_pass() -> None:
    seen = []

    def compute(_: Recorder) -> None:
        seen.append(torch.autograd.is_multithreading_enabled())
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        watch(compute)
    seen.append(torch.autograd.is_multithreading_enabled())
    assert seen == [False, True]
