"""Kept runs: nothing is lost, whoever writes, whatever breaks."""

import os
import sqlite3
import subprocess
import sys
import threading
import zlib
from datetime import datetime
from pathlib import Path

import pytest

from core.history import FILE_NAME, History, HistoryError, UnknownRun, Unreadable
from core.home import home
from core.results.events import Finished, Started
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline
from core.results.outcome import Outcome
from core.spec.presets import preset
from tests.fake_core import FakeCore

ROOT = Path(__file__).resolve().parents[2]
SPEC = preset("lecture-second-order").spec


def a_run(run_id: str = "abc123", **changes: object) -> tuple[Measurement, MemoryTimeline]:
    *_, event = FakeCore().run(SPEC, run_id=run_id)
    assert isinstance(event, Finished)
    return event.result.model_copy(update=changes), event.timeline


def a_start(run_id: str) -> Started:
    event = next(FakeCore().run(SPEC, run_id=run_id))
    assert isinstance(event, Started)
    return event


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def test_that_a_run_is_read_back_as_it_was(history: History) -> None:
    result, timeline = a_run()
    history.add(result, timeline)
    assert history.get("abc123") == result
    assert history.timeline("abc123") == timeline


def test_that_the_list_shows_the_newest_first(history: History) -> None:
    for day in (2, 3, 1):
        history.add(*a_run(f"day{day}", started_at=f"2026-01-0{day}T00:00:00.000+00:00"))
    assert [row.run_id for row in history.list()] == ["day3", "day2", "day1"]


def test_that_the_list_holds_the_figures_of_the_result(history: History) -> None:
    result, timeline = a_run()
    history.add(result, timeline)
    (row,) = history.list()
    assert result.memory is not None
    assert result.time is not None
    assert (row.name, row.outcome, row.device) == (SPEC.name, Outcome.FINISHED, "cpu")
    assert (row.baseline_bytes, row.peak_bytes) == (
        result.memory.baseline_bytes,
        result.memory.peak_bytes,
    )
    assert row.median_s == result.time.median_s


def test_that_a_prefix_names_a_run_if_it_names_only_one(history: History) -> None:
    for run_id in ("abc1", "abc2", "ab"):
        history.add(*a_run(run_id))
    assert history.get("abc1").run_id == "abc1"
    assert history.get("ab").run_id == "ab"
    with pytest.raises(UnknownRun, match="begins the ids of 2 runs: abc1, abc2"):
        history.get("abc")
    with pytest.raises(UnknownRun, match="'%' is not the id of a stored run"):
        history.timeline("%")


def test_that_a_deleted_run_is_gone_and_the_others_are_not(history: History) -> None:
    history.add(*a_run("one"))
    history.add(*a_run("two"))
    history.delete("one")
    assert [row.run_id for row in history.list()] == ["two"]
    with pytest.raises(UnknownRun):
        history.delete("one")


def test_that_a_run_under_way_is_not_listed_until_it_ends(history: History) -> None:
    history.begin(a_start("abc123"))
    assert history.list() == []
    history.add(*a_run("abc123"))
    assert [row.outcome for row in history.list()] == [Outcome.FINISHED]


def test_that_a_run_of_a_killed_program_is_interrupted_and_keeps_its_spec(tmp_path: Path) -> None:
    code = """
import os
from pathlib import Path
from core.history import History
from tests.core.test_history import a_start
History(Path(os.environ["HOGUI_HOME"])).begin(a_start("abc123"))
os.kill(os.getpid(), 9)
"""
    environment = os.environ | {"HOGUI_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert done.returncode != 0
    (row,) = History(tmp_path).list()
    assert row.outcome is Outcome.INTERRUPTED
    assert History(tmp_path).get("abc123").spec == SPEC


def test_that_several_processes_and_threads_may_write_at_once(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from core.history import History
from tests.core.test_history import a_run
for number in range(10):
    History(Path(sys.argv[1])).add(*a_run(f"{sys.argv[2]}-{number}"))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, name], cwd=ROOT, env=environment)
        for name in ("p", "q")
    ]
    history = History(tmp_path)

    def write(name: str) -> None:
        for number in range(10):
            history.add(*a_run(f"{name}-{number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in ("r", "s")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(history.list()) == 40


def test_that_a_broken_file_is_put_aside_whole_and_the_new_run_is_kept(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database, but somebody may want it" * 100)
    history = History(tmp_path)
    history.add(*a_run())
    (aside,) = tmp_path.glob("history-broken-*.sqlite3")
    assert aside.read_bytes().startswith(b"this is no database")
    assert aside.name in (history.notice or "")
    assert history.get("abc123").outcome is Outcome.FINISHED


def test_that_a_file_that_breaks_further_in_is_put_aside_too(tmp_path: Path) -> None:
    for number in range(20):
        History(tmp_path).add(*a_run(f"run{number}"))
    file = tmp_path / FILE_NAME
    content = bytearray(file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    history = History(tmp_path)
    history.add(*a_run("new"))
    assert [row.run_id for row in history.list()] == ["new"]
    assert len(list(tmp_path.glob("history-broken-*.sqlite3"))) == 1


def damage(folder: Path, run_id: str, **columns: object) -> None:
    with sqlite3.connect(folder / FILE_NAME) as database:
        for column, value in columns.items():
            database.execute(f"UPDATE runs SET {column} = ? WHERE run_id = ?", (value, run_id))
    database.close()


@pytest.mark.parametrize(
    "columns",
    [
        {"outcome": "vanished"},
        {"peak_bytes": "many"},
        {"median_s": b"\x00"},
        {"started_at": "yesterday"},
        {"outcome": b"\xff"},
        {"owner_pid": "nobody", "owner_since": "never", "outcome": ""},
    ],
)
def test_that_a_damaged_row_is_listed_as_unreadable_beside_the_others(
    history: History, tmp_path: Path, columns: dict[str, object]
) -> None:
    for day in (1, 2, 3):
        history.add(*a_run(f"day{day}", started_at=f"2026-01-0{day}T00:00:00.000+00:00"))
    damage(tmp_path, "day2", **columns)
    rows = {row.run_id: row for row in history.list()}
    assert set(rows) == {"day1", "day2", "day3"}
    assert rows["day2"].outcome is Unreadable.UNREADABLE
    assert rows["day2"].outcome.sentence.endswith(".")
    assert datetime.fromisoformat(rows["day2"].started_at).tzinfo is not None
    assert rows["day2"].peak_bytes is None
    assert rows["day1"].outcome is rows["day3"].outcome is Outcome.FINISHED


def test_that_a_name_that_is_no_text_is_shown_as_far_as_it_goes(
    history: History, tmp_path: Path
) -> None:
    history.add(*a_run("one"))
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("UPDATE runs SET name = CAST(X'6162FF' AS TEXT)")
    database.close()
    (row,) = history.list()
    assert row.name == "ab\ufffd"


@pytest.mark.parametrize("content", [b"", b"\xff\x00", zlib.compress(b"{"), "text", 3])
def test_that_damaged_curves_and_results_are_one_sentence(
    history: History, tmp_path: Path, content: object
) -> None:
    history.add(*a_run("one"))
    damage(tmp_path, "one", timeline=content)
    assert history.get("one").run_id == "one"
    with pytest.raises(HistoryError, match="Run one cannot be read; it is damaged"):
        history.timeline("one")
    damage(tmp_path, "one", result=content)
    with pytest.raises(HistoryError, match="Run one cannot be read; it is damaged"):
        history.get("one")


def test_that_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE future (x)")
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = file.read_bytes()
    with pytest.raises(HistoryError, match=r"format 99.* a newer one wrote it"):
        History(tmp_path).add(*a_run())
    assert file.read_bytes() == before


def test_that_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match="cannot be used"):
        History(tmp_path / "file").list()


def test_that_the_environment_moves_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOGUI_HOME", "elsewhere")
    assert home() == Path("elsewhere")
    monkeypatch.delenv("HOGUI_HOME")
    assert home().is_absolute()
