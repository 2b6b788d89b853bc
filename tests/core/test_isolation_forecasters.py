"""Many forecasts from several processes, and times measured in one: what arrives, what survives."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag

import pytest

from core.isolation import Forecasters, Isolation
from core.isolation.forecaster import Forecaster
from core.results.memory_timeline import MemoryTimeline
from core.spec.declaration import InvalidSpec
from core.spec.presets import preset
from core.spec.run import RunSpec

TARGETS = "tests.core.advice_targets"
SPEC = preset("lecture-second-order").spec
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


@pytest.fixture
def isolation() -> Iterator[Isolation]:
    made = Isolation(
        METHOD, f"{TARGETS}:run", outlook=f"{TARGETS}:outlook", times=f"{TARGETS}:times"
    )
    yield made
    made.shut_down()


@pytest.fixture
def asked(isolation: Isolation) -> Iterator[Forecasters]:
    several = isolation.forecasters(2)
    yield several
    several.close()


def batch(count: int, name: str = "") -> RunSpec:
    return SPEC.with_changes({"data.batch_size": count, "name": name})


def test_that_every_question_is_answered_once_with_its_own_answer(asked: Forecasters) -> None:
    specs = [batch(count) for count in range(1, 30)]
    answers = dict(asked.ask_all(specs))
    assert sorted(answers) == list(range(29))
    for place, outlook in answers.items():
        assert outlook.forecast is not None
        assert outlook.forecast.peak_bytes == specs[place].data.batch_size
        assert outlook.timeline == MemoryTimeline()


def test_that_several_processes_answer(asked: Forecasters, tmp_path: Path) -> None:
    """Each holds its question up until the other has come."""
    specs = [batch(count, f"meet {tmp_path}") for count in (1, 2)]
    told = {outlook.absent for _, outlook in asked.ask_all(specs)}
    assert len(told) == 2
    assert str(os.getpid()) not in told


def test_that_a_known_answer_is_not_asked_for_again(asked: Forecasters) -> None:
    first = dict(asked.ask_all([batch(1, "counts"), batch(2, "counts")]))
    again = dict(asked.ask_all([batch(2, "counts, again"), batch(1, "counts"), batch(3, "counts")]))
    assert again[0] == first[1]
    assert again[1] == first[0]
    assert again[2] not in first.values()


def test_that_an_unfinished_answer_is_asked_for_again(asked: Forecasters) -> None:
    spec = batch(1, "unfinished")
    (first,), (second,) = list(asked.ask_all([spec])), list(asked.ask_all([spec]))
    assert first[1].unfinished
    assert first != second


def test_that_a_process_which_dies_takes_no_other_answer_with_it(asked: Forecasters) -> None:
    specs = [batch(1), batch(2, "die"), batch(3), batch(4)]
    answers = dict(asked.ask_all(specs))
    assert answers[1].forecast is None
    assert answers[1].absent == "There is no forecast: out of everything."
    assert all(answers[place].forecast is not None for place in (0, 2, 3))


def test_that_a_refused_run_is_refused(asked: Forecasters) -> None:
    with pytest.raises(InvalidSpec, match="tpu"):
        list(asked.ask_all([batch(1), batch(2, "refuse"), batch(3)]))
    assert dict(asked.ask_all([batch(5)]))[0].forecast is not None


def test_that_closing_the_iterator_early_leaves_the_processes_ready(asked: Forecasters) -> None:
    answers = asked.ask_all([batch(count) for count in range(1, 50)])
    next(answers)
    answers.close()
    assert dict(asked.ask_all([batch(77)]))[0].forecast is not None


def test_that_times_come_in_the_order_of_the_runs(isolation: Isolation) -> None:
    assert isolation.side_by_side([batch(1), batch(2, "fails"), batch(3)]) == (1.0, None, 3.0)


def test_that_a_process_which_dies_while_timing_leaves_all_unknown(isolation: Isolation) -> None:
    assert isolation.side_by_side([batch(1), batch(2, "die")]) == (None, None)


def test_that_timing_is_refused_where_the_machine_cannot(isolation: Isolation) -> None:
    with pytest.raises(InvalidSpec, match="tpu"):
        isolation.side_by_side([batch(1, "refuse")])


def test_that_timing_ends_when_it_is_cancelled(isolation: Isolation) -> None:
    cancelled = Flag()
    cancelled.set()
    assert isolation.side_by_side([batch(1, "for ever")], cancelled) == (None,)


def test_that_a_fault_while_asking_is_raised_and_nobody_waits_for_ever(
    asked: Forecasters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Forecaster, "ask", failing)
    with pytest.raises(RuntimeError, match="a fault"):
        list(asked.ask_all([batch(1), batch(2), batch(3)]))
