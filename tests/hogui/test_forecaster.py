"""Asking for forecasts while somebody types: when, how often, and what becomes of the answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtTest import QTest

from core.results.forecast import DeviceMemory
from core.spec.declaration import InvalidSpec, Problem
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.forecaster import DEBOUNCE_MS, Forecasts
from hogui.open_tab import OpenTab
from hogui.preferences import Preferences
from hogui.session import Session
from tests.fake_core import FakeCore, FakeOracle

SPEC = preset("lecture-second-order").spec
LONG_MS = 3 * DEBOUNCE_MS


@pytest.fixture
def session(qapp: object) -> Session:
    session = Session(lambda job: FakeCore().run, lambda event: None)
    session.set_current(session.open(SPEC))
    return session


@pytest.fixture
def preferences(tmp_path: Path) -> Preferences:
    return Preferences(tmp_path)


@pytest.fixture
def oracle() -> FakeOracle:
    return FakeOracle()


@pytest.fixture
def forecasts(
    session: Session, preferences: Preferences, oracle: FakeOracle
) -> Iterator[Forecasts]:
    forecasts = Forecasts(session, preferences)
    yield forecasts
    oracle.held.set()
    forecasts.close()


@pytest.fixture
def tab(session: Session) -> OpenTab:
    assert session.current is not None
    return session.current


def _asked(oracle: FakeOracle) -> list[RunSpec]:
    return [spec for spec, _ in oracle.asked]


def _nameless(spec: RunSpec) -> RunSpec:
    return spec.model_copy(update={"name": ""})


def _known(tab: OpenTab) -> bool:
    return tab.outlook is not None and not tab.outlook_is_stale


def _order(spec: RunSpec, order: int) -> RunSpec:
    return spec.with_changes({"workload.order": order})


def test_that_nothing_is_asked_before_the_start(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab
) -> None:
    tab.edit(_order(SPEC, 3))
    QTest.qWait(LONG_MS)
    assert oracle.asked == []


def test_that_the_tab_in_front_learns_what_it_will_cost(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    assert tab.outlook == FakeOracle().ask(_nameless(SPEC))
    assert oracle.asked == [(_nameless(SPEC), None)]


def test_that_an_outlook_is_asked_for_once_and_not_again_for_a_name(
    forecasts: Forecasts, oracle: FakeOracle, session: Session, tab: OpenTab, qtbot: object
) -> None:
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    other = session.open(SPEC)
    tab.rename("another name")
    session.set_current(None)
    session.set_current(tab)
    QTest.qWait(LONG_MS)
    assert len(oracle.asked) == 1
    session.set_current(other)
    qtbot.waitUntil(lambda: _known(other))


def test_that_typing_asks_when_it_pauses(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    for size in (1, 12, 128):
        tab.edit(SPEC.with_changes({"data.batch_size": size}))
        assert tab.outlook_is_stale
    qtbot.waitUntil(lambda: _known(tab))
    assert [spec.data.batch_size for spec in _asked(oracle)][1:] == [128]


def test_that_the_newest_question_wins_and_stale_answers_are_dropped(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    seen = []
    tab.outlookChanged.connect(lambda: seen.append(tab.outlook_of))
    oracle.held.clear()
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: len(oracle.asked) == 1)
    for order in (3, 4):
        tab.edit(_order(SPEC, order))
        QTest.qWait(2 * DEBOUNCE_MS)
    oracle.held.set()
    qtbot.waitUntil(lambda: _known(tab))
    assert [spec.workload.order for spec in _asked(oracle)] == [2, 4]
    assert {question.spec.workload.order for question in seen if question} == {4}


def test_that_undoing_to_what_is_known_asks_nothing(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    tab.edit(_order(SPEC, 3))
    tab.undo()
    assert _known(tab)
    QTest.qWait(LONG_MS)
    assert len(oracle.asked) == 1


def test_that_a_lower_bound_is_asked_for_again_while_it_gets_better(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    oracle.exact, oracle.learns_after = False, 3
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab) and tab.outlook.forecast.exact)
    QTest.qWait(LONG_MS)
    assert len(oracle.asked) == 3


def test_that_a_lower_bound_that_stays_the_same_is_left_alone(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    oracle.exact = False
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    QTest.qWait(LONG_MS)
    assert len(oracle.asked) == 1


def test_that_nothing_is_asked_beside_a_run(
    forecasts: Forecasts, oracle: FakeOracle, session: Session, tab: OpenTab, qtbot: object
) -> None:
    """Learning what operations cost runs them, and would disturb the clock."""
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    asked = len(oracle.asked)
    session.run(tab)
    tab.edit(_order(SPEC, 3))
    while session.busy:
        assert len(oracle.asked) == asked
        QTest.qWait(5)
    qtbot.waitUntil(lambda: _known(tab))
    assert len(oracle.asked) == asked + 1


def test_that_a_question_which_waits_is_not_asked_beside_a_run(
    forecasts: Forecasts, oracle: FakeOracle, session: Session, tab: OpenTab, qtbot: object
) -> None:
    """And what a run kept from being learned is asked for when it is over."""
    oracle.learns_after = 2
    oracle.held.clear()
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: len(oracle.asked) == 1)
    session.run(tab)
    oracle.held.set()
    while session.busy:
        assert len(oracle.asked) == 1
        QTest.qWait(5)
    qtbot.waitUntil(lambda: len(oracle.asked) == 2 and not tab.outlook.unfinished)


def test_that_a_run_is_given_the_forecast_that_the_window_shows(
    forecasts: Forecasts,
    oracle: FakeOracle,
    session: Session,
    preferences: Preferences,
    tab: OpenTab,
    qtbot: object,
) -> None:
    assert tab.own_forecast is None
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    assert tab.own_forecast == tab.outlook.forecast
    session.run(tab)
    assert tab.job.forecast == tab.outlook.forecast
    qtbot.waitUntil(lambda: not session.busy)
    preferences.change(memory="RTX 4090, 24 GiB")
    assert tab.own_forecast is None
    qtbot.waitUntil(lambda: _known(tab))
    assert tab.own_forecast is None


def test_that_a_configuration_that_cannot_run_is_not_asked_about(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    tab.edit(SPEC.with_changes({"model.layers": [{"kind": "max_pool2d", "kernel_size": 99}]}))
    assert tab.problems
    assert tab.wanted is None
    QTest.qWait(LONG_MS)
    assert len(oracle.asked) == 1


def test_that_another_devices_memory_is_part_of_the_question(
    forecasts: Forecasts,
    oracle: FakeOracle,
    preferences: Preferences,
    tab: OpenTab,
    qtbot: object,
) -> None:
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    preferences.change(memory="RTX 4090, 24 GiB")
    qtbot.waitUntil(lambda: _known(tab) and len(oracle.asked) == 2)
    assert oracle.asked[1][1] == DeviceMemory(name="RTX 4090", total_bytes=24 << 30, cuda=True)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (RuntimeError("The forecaster died."), "The forecaster died."),
        (OSError(28, "No space left"), "OSError: [Errno 28] No space left"),
        (RuntimeError(), "RuntimeError"),
        (InvalidSpec([Problem(("device",), "There is no mps here.")]), "There is no mps here."),
    ],
)
def test_that_trouble_becomes_a_sentence_and_the_next_question_is_asked_all_the_same(
    forecasts: Forecasts,
    oracle: FakeOracle,
    tab: OpenTab,
    qtbot: object,
    trouble: Exception,
    sentence: str,
) -> None:
    oracle.trouble = trouble
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: _known(tab))
    assert (tab.outlook.forecast, tab.outlook.absent) == (None, sentence)
    oracle.trouble = None
    tab.edit(_order(SPEC, 3))
    qtbot.waitUntil(lambda: _known(tab))
    assert tab.outlook.forecast is not None


def test_that_an_oracle_that_cannot_be_made_says_so(
    forecasts: Forecasts, tab: OpenTab, qtbot: object
) -> None:
    def none_today() -> FakeOracle:
        raise RuntimeError("There is no forecaster today.")

    forecasts.start(none_today)
    qtbot.waitUntil(lambda: _known(tab))
    assert tab.outlook.absent == "There is no forecaster today."


def test_that_closing_ends_a_question_that_hangs_and_its_thread(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab, qtbot: object
) -> None:
    oracle.held.clear()
    before = threading.active_count()
    forecasts.start(lambda: oracle)
    qtbot.waitUntil(lambda: bool(oracle.asked))
    forecasts.close()
    assert oracle.is_closed
    assert threading.active_count() <= before
    QTest.qWait(DEBOUNCE_MS)
    assert tab.outlook is None


def test_that_nothing_starts_after_the_end(
    forecasts: Forecasts, oracle: FakeOracle, tab: OpenTab
) -> None:
    forecasts.close()
    forecasts.start(lambda: oracle)
    tab.edit(_order(SPEC, 3))
    QTest.qWait(LONG_MS)
    assert not forecasts.is_started
    assert oracle.asked == []
