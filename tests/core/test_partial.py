"""What is kept of a run that did not get to its end, against figures counted by hand."""

import platform

import pytest
import torch

from core.measure.machine.surroundings import environment
from core.partial import CURVE_ONLY, PartialRun, is_of_here, started_here
from core.results.environment import Environment
from core.results.events import (
    ChartPoint,
    Finished,
    MemoryMeasured,
    MemorySamples,
    PhaseStarted,
    Repetition,
    ResidentSample,
    StageStarted,
    Warned,
)
from core.results.measurement import NO_MEMORY, NO_TIME, Measurement
from core.results.outcome import Outcome
from core.spec.presets import preset
from tests.fake_core import FakeCore

SPEC = preset("lecture-second-order").spec


@pytest.fixture
def partial() -> PartialRun:
    return PartialRun(started_here("abc", SPEC))


def a_memory_pass(partial: PartialRun) -> None:
    """Baseline 100 in two steps; forward rises to 160 and keeps 130; gradient 1 rises to 180."""
    partial.add(StageStarted(stage="memory", t_s=0.0))
    partial.add(MemorySamples(t_s=(0.1, 0.2), columns={"parameters": (60, 60), "data": (0, 40)}))
    partial.add(PhaseStarted(name="forward", t_s=0.3))
    partial.add(
        MemorySamples(
            t_s=(0.4, 0.5),
            columns={"parameters": (60, 60), "data": (40, 40), "activations": (60, 30)},
        )
    )
    partial.add(PhaseStarted(name="gradient 1", t_s=0.6))
    partial.add(
        MemorySamples(
            t_s=(0.7, 0.8),
            columns={
                "parameters": (60, 60),
                "data": (40, 40),
                "activations": (30, 0),
                "graph_1": (50, 50),
            },
        )
    )


def test_that_the_curve_is_joined_with_zeros_before_a_category_appears(partial: PartialRun) -> None:
    a_memory_pass(partial)
    timeline = partial.end(Outcome.CANCELLED).timeline
    assert timeline.columns["graph_1"] == (0, 0, 0, 0, 50, 50)
    assert timeline.totals() == (60, 100, 160, 130, 180, 150)


def test_that_a_category_that_stays_away_counts_as_zero_again(partial: PartialRun) -> None:
    partial.add(MemorySamples(t_s=(0.1,), columns={"data": (5,), "other": (1,)}))
    partial.add(MemorySamples(t_s=(0.2,), columns={"data": (6,)}))
    assert partial.end(Outcome.CANCELLED).timeline.columns == {"data": (5, 6), "other": (1, 0)}


def test_that_baseline_peak_and_categories_are_read_off_the_curve(partial: PartialRun) -> None:
    a_memory_pass(partial)
    result = partial.end(Outcome.CRASHED, "It died.").result
    assert result.memory is not None
    assert (result.memory.baseline_bytes, result.memory.peak_bytes) == (100, 80)
    assert result.memory.by_category == {
        "parameters": 60,
        "data": 40,
        "activations": 30,
        "graph_1": 50,
    }
    assert CURVE_ONLY in result.warnings
    assert (result.outcome, result.error) == (Outcome.CRASHED, "It died.")


def test_that_each_phase_has_its_peak_and_what_it_retained(partial: PartialRun) -> None:
    a_memory_pass(partial)
    partial.add(StageStarted(stage="allocator", t_s=0.9))
    end = partial.end(Outcome.CANCELLED)
    assert [(span.name, span.start_s, span.end_s) for span in end.timeline.phases] == [
        ("forward", 0.3, 0.6),
        ("gradient 1", 0.6, 0.9),
    ]
    forward, gradient = end.result.phases
    assert (forward.peak_bytes, forward.retained_bytes) == (60, 30)
    assert (gradient.peak_bytes, gradient.retained_bytes) == (80, 20)
    assert forward.duration_s is None


def test_that_timed_repetitions_count_and_warm_up_does_not(partial: PartialRun) -> None:
    for index, (seconds, warm_up) in enumerate([(9.0, True), (3.0, True), (1.0, False)]):
        partial.add(Repetition(index=index, seconds=seconds, warm_up=warm_up, t_s=0.0))
    time = partial.end(Outcome.CANCELLED).result.time
    assert time is not None
    assert (time.samples_s, time.first_s, time.median_s) == ((1.0,), 9.0, 1.0)


def test_that_losses_warnings_and_sampled_memory_are_kept(partial: PartialRun) -> None:
    partial.add(Warned(sentence="Mind the gap."))
    for x, y in ((0, 2.5), (1, None)):
        partial.add(ChartPoint(chart="learning", curve="outer loss", x=x, y=y))
    partial.add(ResidentSample(t_s=0.5, total_bytes=1000))
    partial.add(ResidentSample(t_s=0.6, total_bytes=900))
    partial.add(ResidentSample(source="driver", t_s=0.6, total_bytes=7))
    end = partial.end(Outcome.CANCELLED)
    (curve,) = end.result.curves
    assert (curve.name, curve.x, curve.y) == ("outer loss", (0, 1), (2.5, None))
    assert end.result.warnings[0] == "Mind the gap."
    assert end.timeline.resident.total_bytes == (1000, 900)
    assert end.timeline.driver.total_bytes == (7,)
    assert partial.resident_peak_bytes == 1000


def test_that_missing_figures_are_explained(partial: PartialRun) -> None:
    result = partial.end(Outcome.CANCELLED).result
    assert (result.memory, result.time, result.phases) == (None, None, ())
    assert {NO_MEMORY, NO_TIME} <= set(result.warnings)


def test_that_a_run_is_as_good_ended_from_outside_as_it_was_by_then() -> None:
    """The last moment of a whole run, put together, is what the run itself reports."""
    *events, last = FakeCore().run(SPEC)
    assert isinstance(last, Finished)
    whole = PartialRun(started_here("abc", SPEC))
    for event in events:
        whole.add(event)
    end = whole.end(Outcome.CANCELLED)
    assert end.timeline == last.timeline
    assert end.result.time == last.result.time
    assert end.result.memory is not None
    assert last.result.memory is not None
    assert end.result.memory.total_bytes == last.result.memory.total_bytes


def test_that_the_result_of_a_run_gets_what_was_sampled_outside() -> None:
    *_, last = FakeCore().run(SPEC)
    assert isinstance(last, Finished)
    whole = PartialRun(started_here("abc", SPEC))
    whole.add(ResidentSample(t_s=0.1, total_bytes=1 << 40))
    result = whole.complete(last).result
    assert isinstance(result, Measurement)
    assert result.memory is not None
    assert result.memory.process_peak_bytes == 1 << 40
    assert whole.complete(last).timeline.resident.total_bytes == (1 << 40,)


def test_that_memory_figures_once_measured_survive_a_cancelled_timing() -> None:
    """From the passes that had ended, not from the live curve."""
    events = list(FakeCore().run(SPEC))
    finished = events[-1]
    assert isinstance(finished, Finished)
    memory = finished.result.memory
    assert memory is not None
    measured = MemoryMeasured(
        memory=memory,
        phases=finished.result.phases,
        layers=finished.result.layers,
        timeline=finished.timeline,
    )
    partial = PartialRun(events[0])
    for event in [*events[1:-1], measured]:
        partial.add(event)
    result = partial.end(Outcome.CANCELLED).result
    assert result.memory is not None
    assert result.memory.by_category == memory.by_category
    assert result.layers == finished.result.layers
    assert CURVE_ONLY not in result.warnings


def here() -> Environment:
    """As a run on this machine says it, which has loaded torch."""
    return environment(torch.device("cpu"), 1)


@pytest.mark.parametrize(
    ("key", "other"),
    [("cpu", "Another"), ("cpu_count", 1000), ("platform", "Another-1"), ("torch", "1.0.0")],
)
def test_that_a_run_of_another_machine_or_torch_is_not_of_here(key: str, other: object) -> None:
    assert is_of_here(here(), ())
    assert not is_of_here(here().model_copy(update={key: other}), ())


@pytest.mark.parametrize(
    "update",
    [
        {"git_revision": "abc", "threads": 7, "power_source": "battery"},
        {"torch": torch.__version__.partition("+")[0] + "+cu130"},
        {"platform": f"{platform.system()}-with-another-kernel"},
    ],
)
def test_that_what_changes_no_figure_by_itself_is_still_of_here(update: dict[str, object]) -> None:
    assert is_of_here(here().model_copy(update=update), ())


def test_that_a_run_on_another_accelerator_is_not_of_here() -> None:
    update = {"device": "cuda:0", "device_name": "Another"}
    elsewhere = here().model_copy(update=update)
    assert not is_of_here(elsewhere, ("One",))
    assert is_of_here(elsewhere, ("One", "Another"))
