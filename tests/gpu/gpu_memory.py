"""Memory on the device, against a script that knows nothing of HoGUI and against the driver."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.isolation import Isolation
from core.measure.machine.driver_memory import installed_nvml
from core.results.events import Event, Finished, ResidentSample
from core.results.measurement import Measurement
from core.results.outcome import Outcome
from core.runner import run
from core.spec.presets import preset
from core.spec.run import RunSpec

SCRIPT = Path(__file__).with_name("plain_script.py")
DEPTH, WIDTH, BATCH = 32, 256, 256
"""Those of the preset, but for the batch. No tensor is above 1 MiB: larger ones share blocks, whose
size depends on what was freed before."""


def deep_mlp(order: int) -> RunSpec:
    spec = preset("deep-mlp").spec
    for key, value in {
        "data.batch_size": BATCH,
        "workload.order": order,
        "device": "cuda:0",
        "measure.repetitions": 3,
        "measure.warmup": 1,
    }.items():
        spec = spec.with_value(key, str(value))
    return spec


@pytest.fixture
def isolation() -> Iterator[Isolation]:
    made = Isolation()
    yield made
    made.shut_down()


def result_of(events: list[Event]) -> Measurement:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.result


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_the_peak_is_that_of_a_script_written_by_hand(
    isolation: Isolation, order: int
) -> None:
    sizes = [str(number) for number in (DEPTH, WIDTH, BATCH, order)]
    done = subprocess.run(
        [sys.executable, SCRIPT, *sizes], capture_output=True, text=True, check=True
    )
    result = result_of(list(isolation.run(deep_mlp(order))))
    assert result.outcome is Outcome.FINISHED, result.error
    assert result.memory is not None
    assert result.memory.peak_bytes == json.loads(done.stdout)["peak_bytes"]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_that_the_ledger_sees_most_and_never_more_than_the_allocator(
    isolation: Isolation, order: int
) -> None:
    result = result_of(list(isolation.run(deep_mlp(order))))
    memory = result.memory
    assert memory is not None
    assert sum(memory.by_category.values()) == memory.total_bytes
    unseen = memory.by_category.get("kernel_temporaries", 0)
    assert 0 <= unseen < 0.1 * memory.total_bytes
    shares = [layer.bytes_at_peak or 0 for layer in result.layers]
    assert sum(shares) > 0.9 * (memory.total_bytes - unseen), "backward operations have layers too"


def test_that_bytes_repeat_within_a_process_and_between_processes(isolation: Isolation) -> None:
    figures = [result_of(list(isolation.run(deep_mlp(2)))).memory for _ in range(2)]
    figures += [result_of(list(run(deep_mlp(2)))).memory for _ in range(2)]
    assert len({figure.model_dump_json(exclude={"process_peak_bytes"}) for figure in figures}) == 1


def test_that_the_baseline_is_what_parameters_and_data_weigh(isolation: Isolation) -> None:
    memory = result_of(list(isolation.run(deep_mlp(1)))).memory
    assert memory is not None
    parameters = DEPTH * (WIDTH * WIDTH + WIDTH)
    assert memory.baseline_bytes == 4 * (parameters + 2 * BATCH * WIDTH)


def test_that_a_run_on_the_processor_opens_no_context_on_a_device(isolation: Isolation) -> None:
    events = list(isolation.run(deep_mlp(1).with_value("device", "cpu")))
    assert not [e for e in events if isinstance(e, ResidentSample) and e.source == "driver"]


def test_that_the_driver_counts_at_least_what_the_allocator_does_or_says_why_not(
    isolation: Isolation,
) -> None:
    events = list(isolation.run(deep_mlp(2)))
    result = result_of(events)
    counted = [
        e.total_bytes for e in events if isinstance(e, ResidentSample) and e.source != "resident"
    ]
    missing = [w for w in result.warnings if w.startswith("The driver's memory curve is missing")]
    assert bool(counted) != bool(missing)
    assert result.memory is not None
    assert not counted or max(counted) >= result.memory.total_bytes
    if installed_nvml() is not None:
        assert result.environment.driver is not None
        assert "driver" in result.environment.driver


@pytest.fixture
def too_large(device: torch.device) -> RunSpec:
    """Scores that are larger than the device, from few parameters and little data."""
    classes = 2**20
    batch = torch.cuda.get_device_properties(device).total_memory // (4 * classes) + 1
    document = {
        "model": {"input_shape": [1], "layers": [{"kind": "linear", "out_features": classes}]},
        "data": {"kind": "synthetic", "batch_size": batch},
        "loss": "cross_entropy",
        "device": "cuda:0",
        "measure": {"repetitions": 1, "warmup": 0},
    }
    return RunSpec.from_json(json.dumps(document))


def test_that_what_cannot_fit_is_refused_and_when_forced_runs_out_of_memory(
    too_large: RunSpec,
) -> None:
    refused = result_of(list(run(too_large)))
    assert refused.outcome is Outcome.OUT_OF_MEMORY
    assert "It needs at least" in (refused.error or "")
    forced = result_of(list(run(too_large, force=True)))
    assert forced.outcome is Outcome.OUT_OF_MEMORY
    assert "out of memory" in (forced.error or "")


def test_that_a_run_after_one_without_memory_works(too_large: RunSpec) -> None:
    list(run(too_large, force=True))
    assert result_of(list(run(deep_mlp(1)))).outcome is Outcome.FINISHED
