"""Forecasts from a process of its own: what arrives, what survives, what is left behind."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.isolation import Forecaster, Isolation, NotReady
from core.results.events import Finished
from core.results.forecast import DeviceMemory
from core.results.outcome import Outcome
from core.spec.declaration import InvalidSpec
from core.spec.presets import preset
from core.spec.run import RunSpec

TARGETS = "tests.core.forecasting_targets"
SPEC = preset("lecture-second-order").spec
METHODS = [
    name for name in ("forkserver", "spawn") if name in multiprocessing.get_all_start_methods()
]

Make = Callable[..., Isolation]


@pytest.fixture
def isolated() -> Iterator[Make]:
    """Makes an Isolation whose children answer questions with the targets."""
    made: list[Isolation] = []

    def make(method: str = METHODS[0], outlook: str = f"{TARGETS}:outlook") -> Isolation:
        made.append(Isolation(method, f"{TARGETS}:run", outlook=outlook))
        return made[-1]

    yield make
    for isolation in made:
        isolation.shut_down()


@pytest.fixture
def asked(isolated: Make) -> Iterator[Forecaster]:
    forecaster = isolated().forecaster()
    yield forecaster
    forecaster.close()


def named(name: str) -> RunSpec:
    return SPEC.model_copy(update={"name": name})


def pid(forecaster: Forecaster) -> int:
    absent = forecaster.ask(named("pid")).absent
    assert absent is not None
    return int(absent)


def gone(number: int) -> bool:
    try:
        psutil.Process(number).wait(10)
    except psutil.NoSuchProcess:
        return True
    return not psutil.pid_exists(number)


@pytest.mark.parametrize("method", METHODS)
def test_that_questions_are_answered_by_one_process_after_the_other(
    isolated: Make, method: str
) -> None:
    forecaster = isolated(method).forecaster()
    first = forecaster.ask(SPEC, DeviceMemory(name="Tiny", total_bytes=7), 2.5)
    assert first.forecast is not None
    assert first.forecast.memory_name == "Tiny"
    assert first.forecast.seconds == 2.5
    assert pid(forecaster) == pid(forecaster) != os.getpid()
    forecaster.close()


def test_that_without_a_patience_the_usual_one_holds(asked: Forecaster) -> None:
    forecast = asked.ask(SPEC).forecast
    assert forecast is not None
    assert forecast.seconds == 0.125


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_that_a_killed_process_is_said_and_replaced(asked: Forecaster) -> None:
    number = pid(asked)
    os.kill(number, signal.SIGKILL)
    with pytest.raises(NotReady, match=r"^the process that forecasts died$"):
        asked.ask(SPEC)
    assert asked.ask(SPEC).forecast is not None
    assert pid(asked) != number


def test_that_a_process_that_dies_on_a_question_tells_its_last_words(asked: Forecaster) -> None:
    with pytest.raises(NotReady, match="out of everything"):
        asked.ask(named("die"))
    assert asked.ask(SPEC).forecast is not None


def test_that_a_refused_spec_is_refused_on_this_side(asked: Forecaster) -> None:
    number = pid(asked)
    with pytest.raises(InvalidSpec, match="device: tpu was given"):
        asked.ask(named("refuse"))
    assert pid(asked) == number


def test_that_an_error_is_a_reason_and_not_the_end_of_the_process(asked: Forecaster) -> None:
    number = pid(asked)
    outlook = asked.ask(named("raise"))
    assert outlook.forecast is None
    assert outlook.absent == "There is no forecast: ArithmeticError: no such number."
    assert pid(asked) == number


def test_that_closing_ends_a_question_that_waits(asked: Forecaster, tmp_path: Path) -> None:
    number = pid(asked)
    begun = tmp_path / "begun"
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            asked.ask(named(f"wait {begun}"))
        except NotReady as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not begun.exists():
        time.sleep(0.01)
    asked.close()
    thread.join(20)
    assert not thread.is_alive()
    assert len(ended) == 1
    assert gone(number)


def test_that_nothing_is_answered_once_it_is_closed(asked: Forecaster) -> None:
    number = pid(asked)
    asked.close()
    assert gone(number)
    with pytest.raises(NotReady, match="closed"):
        asked.ask(SPEC)
    asked.close()


def test_that_one_that_was_never_asked_starts_nothing(isolated: Make) -> None:
    before = set(psutil.Process().children(recursive=True))
    isolated().forecaster().close()
    assert set(psutil.Process().children(recursive=True)) == before


def test_that_shutting_down_leaves_no_process_behind(isolated: Make) -> None:
    isolation = isolated()
    number = pid(isolation.forecaster())
    isolation.shut_down()
    assert gone(number)


def test_that_a_target_that_cannot_be_loaded_is_a_sentence(isolated: Make) -> None:
    forecaster = isolated(outlook="tests.core.no_such_module:outlook").forecaster()
    with pytest.raises(NotReady, match="no_such_module"):
        forecaster.ask(SPEC)
    forecaster.close()


def test_that_runs_go_on_beside_a_question(isolated: Make) -> None:
    isolation = isolated()
    forecaster = isolation.forecaster()
    number = pid(forecaster)
    *_, last = isolation.run(SPEC)
    assert isinstance(last, Finished)
    assert last.result.outcome is Outcome.FINISHED
    assert pid(forecaster) == number, "a run does not end the process that forecasts"
    forecaster.close()


def test_that_questions_from_many_threads_take_turns(asked: Forecaster) -> None:
    found: list[str | None] = []

    def ask(number: int) -> None:
        memory = DeviceMemory(name=str(number), total_bytes=1)
        forecast = asked.ask(SPEC, memory).forecast
        found.append(None if forecast is None else forecast.memory_name)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [str(number) for number in range(8)]
