"""What a forecast says beside the peak: whether it is exact, whether it fits, and how long."""

import gc
import json

import pytest
import torch

import core.measure.forecasting.forecast as forecast_module
import core.measure.memory.alone as alone_module
from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.forecasting.forecast import CUDA_BLOCK_BYTES, Forecaster
from core.measure.forecasting.prediction import Unpredictable, predict
from core.measure.memory.calls import call_of
from core.measure.memory.kernels import Kernels
from core.results.device import Device
from core.results.forecast import DeviceMemory
from core.spec.declaration import InvalidSpec
from tests.core.measure.memory.exactness import CPU, FORECASTER, PATIENT_S, forecast, run_of
from tests.core.measure.memory.test_exactness import STACKS

GIB = 2**30
SHAPE, LAYERS = STACKS["linear"]
SPEC = run_of(LAYERS, SHAPE)
CONVOLUTIONS = run_of(STACKS["conv2d"][1], STACKS["conv2d"][0])


def fresh() -> Forecaster:
    """One that knows nothing."""
    return Forecaster(lambda device, threads: Kernels(device, threads))


def available(monkeypatch: pytest.MonkeyPatch, nbytes: int | None) -> None:
    device = Device(name="cpu", title="Small", memory_bytes=nbytes, available_bytes=nbytes)
    monkeypatch.setattr(forecast_module, "describe", lambda _: device)


def test_that_the_sum_of_the_categories_is_baseline_and_peak() -> None:
    told = forecast(CONVOLUTIONS)
    assert told.baseline_bytes is not None
    assert sum(told.by_category.values()) == told.baseline_bytes + told.peak_bytes
    assert told.by_category["kernel_temporaries"] > 0, "convolutions have scratch memory"


def test_that_the_curve_reaches_the_peak_and_ends_with_the_predicted_time() -> None:
    outlook = FORECASTER.outlook(SPEC, learn_s=PATIENT_S)
    told = outlook.forecast
    assert told is not None
    assert max(outlook.timeline.totals()) == (told.baseline_bytes or 0) + told.peak_bytes
    assert [span.name for span in outlook.timeline.phases] == [phase.name for phase in told.phases]
    assert outlook.timeline.phases[-1].end_s == pytest.approx(told.seconds, rel=0.5)
    assert list(outlook.timeline.t_s) == sorted(outlook.timeline.t_s)


def test_that_what_is_not_known_makes_a_lower_bound_that_says_so() -> None:
    outlook = fresh().outlook(CONVOLUTIONS, learn_s=-1.0)
    told = outlook.forecast
    assert told is not None
    assert not told.exact
    assert told.peak_bytes < forecast(CONVOLUTIONS).peak_bytes
    assert told.seconds is None
    assert outlook.unfinished, "there was no time, so asking again is worth it"
    (reason,) = told.reasons
    assert reason.startswith("What add, ")
    assert reason.endswith("is a lower bound, and there is no time.")


def test_that_the_garbage_collector_is_off_only_while_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bool] = []

    def watched(*asked: object) -> None:
        seen.append(gc.isenabled())
        raise Unpredictable("For a test.")

    monkeypatch.setattr(forecast_module, "predict", watched)
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        assert fresh().outlook(SPEC).absent == "For a test."
        assert gc.isenabled() is enabled
    gc.enable()
    assert seen == [False, False]


def test_that_asking_again_makes_it_exact() -> None:
    hasty = fresh()
    hasty.outlook(CONVOLUTIONS, learn_s=-1.0)
    outlook = hasty.outlook(CONVOLUTIONS, learn_s=PATIENT_S)
    assert not outlook.unfinished
    assert outlook.forecast is not None
    assert outlook.forecast.exact
    assert outlook.forecast.reasons == ()


def test_that_one_operation_that_cannot_run_alone_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = alone_module.rebuild

    def refuses(call, device):
        if call.base_name == "tanh_backward":
            raise RuntimeError("not without its forward")
        return original(call, device)

    monkeypatch.setattr(alone_module, "rebuild", refuses)
    outlook = fresh().outlook(SPEC, learn_s=PATIENT_S)
    told = outlook.forecast
    assert told is not None
    assert not told.exact
    assert not outlook.unfinished, "asking again would know no more"
    assert "tanh_backward" in told.reasons[0]
    assert "," not in told.reasons[0].partition(" allocate")[0], "it alone is named"


@pytest.mark.parametrize("exact", [True, False])
def test_that_it_fits_where_it_is_known_to_and_not_where_it_cannot(
    exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fresh()
    patience = PATIENT_S if exact else -1.0

    def fits(nbytes: int) -> bool | None:
        available(monkeypatch, nbytes)
        told = asked.outlook(SPEC, learn_s=patience).forecast
        assert told is not None
        assert told.available_bytes == nbytes
        assert told.memory_name == "cpu"
        return told.fits

    first = asked.outlook(SPEC, learn_s=patience).forecast
    assert first is not None
    needed = (first.baseline_bytes or 0) + first.peak_bytes
    assert fits(needed - 1) is False
    assert fits(needed) is (True if exact else None)


def test_that_memory_that_nobody_tells_leaves_the_question_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    available(monkeypatch, None)
    told = forecast(SPEC)
    assert told.fits is told.available_bytes is told.memory_name is None


def test_that_another_devices_memory_is_counted_in_its_blocks() -> None:
    """Each storage takes whole blocks of 512 bytes; counted again here from the plain books."""
    device = DeviceMemory(name="RTX 4090", total_bytes=24 * GIB)
    told = fresh().outlook(CONVOLUTIONS, device).forecast
    assert told is not None
    books = predict(CONVOLUTIONS, CPU)
    live = baseline = highest = 0
    for _, _, change, _ in books.entries:
        whole = -(-abs(change) // CUDA_BLOCK_BYTES) * CUDA_BLOCK_BYTES
        live += whole if change > 0 else -whole
        highest = max(highest, live)
    baseline = sum(
        -(-block.nbytes // CUDA_BLOCK_BYTES) * CUDA_BLOCK_BYTES
        for block in books.blocks
        if block.held in ("parameters", "data") and block.born_in == -1
    )
    assert told.baseline_bytes == baseline
    assert told.peak_bytes == highest - baseline
    assert not told.exact
    assert told.seconds is None
    assert told.fits is None
    assert told.memory_name == "RTX 4090"
    assert told.available_bytes == 24 * GIB
    assert "that device's kernels" in told.reasons[0]


def test_that_another_device_that_is_too_small_is_too_small() -> None:
    told = fresh().outlook(SPEC, DeviceMemory(name="Tiny", total_bytes=1000)).forecast
    assert told is not None
    assert told.fits is False


def test_that_a_processor_elsewhere_has_no_blocks_and_the_same_kernels() -> None:
    elsewhere = DeviceMemory(name="Server", total_bytes=64 * GIB, cuda=False)
    told = FORECASTER.outlook(SPEC, elsewhere, PATIENT_S).forecast
    assert told is not None
    assert told.exact
    assert told.fits is True
    assert told.peak_bytes == forecast(SPEC).peak_bytes


def test_that_a_workload_that_looks_at_its_numbers_has_no_forecast_but_a_reason() -> None:
    shape, (embedding, *others) = STACKS["embedding"]
    outlook = FORECASTER.outlook(run_of([embedding | {"sparse": True}, *others], shape))
    assert outlook.forecast is None
    assert outlook.absent is not None
    assert outlook.absent.endswith(".")
    assert "\n" not in outlook.absent


def test_that_a_device_that_is_not_here_is_refused_unless_its_memory_is_named() -> None:
    spec = SPEC.model_copy(update={"device": "cuda:7"})
    with pytest.raises(InvalidSpec, match="device: cuda:7 was given"):
        FORECASTER.outlook(spec)
    device = DeviceMemory(name="RTX 4090", total_bytes=24 * GIB)
    assert FORECASTER.outlook(spec, device).forecast is not None


def test_that_the_json_has_what_other_programs_read() -> None:
    document = json.loads(forecast(SPEC).model_dump_json())
    assert document.keys() >= {"peak_bytes", "exact", "seconds", "by_category", "fits"}
    assert document["exact"] is True
    assert document["seconds"] > 0


def test_that_every_operation_of_a_run_is_known_afterwards() -> None:
    """With as little as the books: what a run calls is what its prediction called."""
    kernels = Kernels(CPU, 1)
    Forecaster(lambda device, threads: kernels).outlook(SPEC, learn_s=PATIENT_S)
    books = predict(SPEC, CPU)
    assert all(kernels.known(call) is not None for call in books.calls)
    assert kernels.known(call_of(torch.ops.aten.tan.default, (torch.ones(3),))) is None


def test_that_kernels_are_kept_apart_by_device_and_threads() -> None:
    made: list[tuple[str, int]] = []

    def make(device: torch.device, threads: int) -> Kernels:
        made.append((str(device), threads))
        return Kernels(device, threads)

    asked = Forecaster(make)
    for threads in (1, 2, 1):
        asked.kernels(CPU, threads)
    assert made == [("cpu", 1), ("cpu", 2)]


def test_that_autocast_on_another_device_is_not_said_to_fit_or_not() -> None:
    device = DeviceMemory(name="RTX 4090", total_bytes=1, cuda=True)
    spec = run_of(
        [{"kind": "linear", "out_features": 4}], [3], mitigation={"precision": "autocast"}
    )

    told = FORECASTER.outlook(spec, device).forecast

    assert told is not None
    assert told.fits is None
    assert any(reason.startswith("Autocast leaves other operations") for reason in told.reasons)


def test_that_foreign_books_take_whole_blocks_for_every_storage() -> None:
    plain, whole = predict(SPEC, CPU), predict(SPEC, CPU, CUDA_BLOCK_BYTES)
    assert len(plain.blocks) == len(whole.blocks)
    for one, other in zip(plain.blocks, whole.blocks, strict=True):
        assert other.nbytes % CUDA_BLOCK_BYTES == 0
        assert 0 <= other.nbytes - one.nbytes < CUDA_BLOCK_BYTES


def test_that_a_forecast_leaves_no_tensor_and_no_mode_behind() -> None:
    forecast(SPEC)
    tensor = torch.ones(2) + 1
    assert type(tensor) is torch.Tensor
    problem = prepare(SPEC, CPU)
    result = compute(problem, SILENT)
    assert all(type(gradient) is torch.Tensor for gradient in result.result.values())
