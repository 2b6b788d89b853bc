"""Events travel as bytes and arrive as they were."""

import pytest
from pydantic import ValidationError

from core.results import charts
from core.results.events import (
    ChartPoint,
    Event,
    Finished,
    MemoryMeasured,
    MemorySamples,
    PhaseStarted,
    Repetition,
    ResidentSample,
    StageStarted,
    Started,
    Warned,
    decode,
    encode,
)
from core.results.measurement import LayerCost, Measurement, Memory, Phase, Timing
from core.results.memory_timeline import Curve, MemoryTimeline, PhaseSpan
from core.results.outcome import Outcome
from core.spec.presets import presets
from tests.fake_core import ENVIRONMENT

SPEC = presets()[0].spec
RESULT = Measurement(
    run_id="r",
    started_at="2026-01-01T00:00:00.000+00:00",
    spec=SPEC,
    environment=ENVIRONMENT,
    outcome=Outcome.FINISHED,
    memory=Memory(baseline_bytes=1, peak_bytes=2, by_category={"data": 3}),
    time=Timing(
        median_s=1.0, interval_s=(0.5, 2.0), samples_s=(1.0,), first_s=None, verdict="noisy"
    ),
    phases=(
        Phase(
            name="forward",
            start_s=0.0,
            duration_s=1.0,
            peak_bytes=2,
            retained_bytes=1,
            result_norm=None,
        ),
    ),
    layers=(
        LayerCost(index=0, kind="linear", output_shape=(1,), parameters=5, bytes_at_peak=None),
    ),
    curves=(
        charts.Curve(chart="learning", name="outer loss", x=(0, 1), y=(1.0, None), low=(0.5, None)),
    ),
    readings={"trace": 1.5, "error": None},
    warnings=("w",),
)
TIMELINE = MemoryTimeline(
    t_s=(0.0, 1.0),
    columns={"data": (1, 1), "activations": (0, 2)},
    phases=(
        PhaseSpan(name="forward", start_s=0.0, end_s=0.5),
        PhaseSpan(name="gradient 1", start_s=0.5, end_s=1.0),
    ),
    resident=Curve(t_s=(0.1,), total_bytes=(7,)),
)
EVENTS: list[Event] = [
    Started(
        run_id="r",
        spec=SPEC,
        environment=ENVIRONMENT,
        started_at="2026-01-01T00:00:00.000+00:00",
        clock_s=1.5,
    ),
    StageStarted(stage="memory", t_s=0.1),
    PhaseStarted(name="forward", t_s=0.1),
    MemorySamples(t_s=(0.1, 0.2), columns={"parameters": (1, 2)}),
    ResidentSample(source="driver", t_s=0.3, total_bytes=4),
    MemoryMeasured(
        memory=RESULT.memory or Memory(baseline_bytes=0, peak_bytes=0, by_category={}),
        phases=RESULT.phases,
        layers=RESULT.layers,
        timeline=TIMELINE,
    ),
    Repetition(index=0, seconds=0.1, warm_up=True, t_s=0.4, about=None, left_s=None),
    ChartPoint(chart="learning", curve="outer loss", x=0, y=None, high=2.0, done=0.5),
    Warned(sentence="Look."),
    Finished(result=RESULT, timeline=TIMELINE),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_that_an_event_arrives_as_it_was_sent(event: Event) -> None:
    assert decode(encode(event)) == event


@pytest.mark.parametrize("data", [b"", b"{}", b'{"type": "party"}', encode(EVENTS[1])[:-3]])
def test_that_bytes_that_are_no_event_are_refused(data: bytes) -> None:
    with pytest.raises(ValidationError):
        decode(data)


def test_that_a_time_belongs_to_the_phase_that_runs_then() -> None:
    assert TIMELINE.phase_at(0.2) == "forward"
    assert TIMELINE.phase_at(0.7) == "gradient 1"
    assert TIMELINE.phase_at(5.0) == ""
    assert TIMELINE.phase_at(-1.0) == ""
    assert TIMELINE.totals() == (1, 3)


def test_that_every_outcome_has_a_sentence_and_an_exit_status() -> None:
    assert {outcome.exit_status for outcome in Outcome} == {0, 1, 3, 4, 130}
    assert all(outcome.sentence.endswith(".") for outcome in Outcome)
    failed = RESULT.model_copy(update={"outcome": Outcome.FAILED, "error": "Why."})
    assert failed.sentence == "An operation of the run raised an error. Why."


def test_that_a_setting_that_cannot_be_followed_is_not_called_a_failed_operation() -> None:
    error = "mitigation.compile: no C++ compiler is there; allowed: false."
    failed = RESULT.model_copy(update={"outcome": Outcome.FAILED, "error": error})
    assert failed.sentence == error
    assert failed.ending == "The run could not start."
    assert RESULT.ending == "The run finished."
