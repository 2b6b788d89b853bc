"""Kept runs, in one SQLite file that several programs may use at once.

A run is written when it starts and again when it ends, so one whose program was killed is found
as interrupted. Each call opens its own connection: call from any thread.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

import psutil
from pydantic import TypeAdapter, ValidationError

from core.home import home
from core.results.events import Started
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline
from core.results.outcome import Outcome

FILE_NAME: Final = "history.sqlite3"
FORMAT_VERSION: Final = 1
# History of the format:
# 1  first version.

_PATIENCE_S = 30.0
_COMPRESSION = 3
_EPOCH: Final = "1970-01-01T00:00:00+00:00"
"""When an unreadable run is said to have started."""
_BROKEN_FILE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_COLUMNS = (
    "run_id, name, started_at, outcome, device, workload, baseline_bytes, peak_bytes, median_s"
)
T = TypeVar("T")


class HistoryError(Exception):
    """The history cannot be used; the message is one sentence."""


class UnknownRun(HistoryError):
    """No stored run has this name, or several begin with it."""


class Unreadable(StrEnum):
    """Stands for the outcome in a row that is damaged, or that another version wrote."""

    UNREADABLE = "unreadable"

    @property
    def sentence(self) -> str:
        """What the user reads."""
        return "This run cannot be read; it is damaged, or another version wrote it."


@dataclass(frozen=True)
class HistoryRow:
    """What a list shows of a run; one that is unreadable has no figures."""

    run_id: str
    name: str
    started_at: str
    outcome: Outcome | Unreadable
    device: str
    workload: str
    baseline_bytes: int | None
    peak_bytes: int | None
    median_s: float | None


class History:
    """The runs of this user.

    Args:
        folder: where the file lies, ``home()`` by default; made on the first use.

    Every method raises HistoryError where the file cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.file = (folder or home()) / FILE_NAME
        self.notice: str | None = None
        """One sentence on what happened to a broken file, None where all is well."""

    def begin(self, started: Started) -> None:
        """Keeps what is known of a run that starts now, in case its program is killed."""
        result = Measurement(
            run_id=started.run_id,
            started_at=started.started_at,
            spec=started.spec,
            environment=started.environment,
            outcome=Outcome.INTERRUPTED,
        )
        owner = psutil.Process()
        self._write(result, MemoryTimeline(), owner=(owner.pid, owner.create_time()))

    def add(self, result: Measurement, timeline: MemoryTimeline) -> None:
        """Keeps a run that ended; it is on disk when this returns."""
        self._write(result, timeline, owner=(None, None))

    def get(self, run_id: str) -> Measurement:
        """A run by its id or by a prefix that no other has.

        Raises:
            UnknownRun: there is none, or there are several.
            HistoryError: it is damaged.
        """
        return self._decoded(run_id, "result", Measurement.model_validate_json)

    def timeline(self, run_id: str) -> MemoryTimeline:
        """The memory curves of a run, by its id or prefix.

        Raises:
            UnknownRun: there is none, or there are several.
            HistoryError: they are damaged.
        """
        return self._decoded(run_id, "timeline", _unpacked)

    def list(self) -> list[HistoryRow]:
        """Every run that is not under way, newest first."""

        def read(database: sqlite3.Connection) -> list[HistoryRow]:
            rows = database.execute(
                f"SELECT {_COLUMNS}, owner_pid, owner_since FROM runs "
                "ORDER BY started_at DESC, rowid DESC"
            )
            return [_row(row[:-2]) for row in rows if not _is_alive(*row[-2:])]

        return self._use(read)

    def delete(self, run_id: str) -> None:
        """Forgets a run, by its id or prefix.

        Raises:
            UnknownRun: there is none, or there are several.
        """

        def remove(database: sqlite3.Connection) -> None:
            found = _resolve(database, run_id)
            database.execute("DELETE FROM runs WHERE run_id = ?", (found,))

        self._use(remove)

    def _write(
        self,
        result: Measurement,
        timeline: MemoryTimeline,
        owner: tuple[int | None, float | None],
    ) -> None:
        memory, time = result.memory, result.time
        values = (
            result.run_id,
            result.spec.name,
            result.started_at,
            str(result.outcome),
            result.environment.device,
            result.spec.workload.kind,
            memory.baseline_bytes if memory else None,
            memory.peak_bytes if memory else None,
            time.median_s if time else None,
            *owner,
            result.model_dump_json(),
            zlib.compress(timeline.model_dump_json().encode(), _COMPRESSION),
        )
        places = ", ".join("?" * len(values))
        statement = (
            f"INSERT OR REPLACE INTO runs ({_COLUMNS}, owner_pid, owner_since, result, timeline) "
            f"VALUES ({places})"
        )
        self._use(lambda database: database.execute(statement, values))

    def _decoded(self, run_id: str, column: str, decode: Callable[[bytes], T]) -> T:
        def read(database: sqlite3.Connection) -> bytes:
            found = _resolve(database, run_id)
            row = database.execute(f"SELECT {column} FROM runs WHERE run_id = ?", (found,))
            (content,) = row.fetchone()
            return content if isinstance(content, bytes) else str(content).encode()

        content = self._use(read)
        try:
            return decode(content)
        except (ValidationError, zlib.error):
            raise HistoryError(
                f"Run {run_id} cannot be read; it is damaged, or another version of the program "
                "wrote it."
            ) from None

    def _use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does ``work`` in a transaction; a broken file is put aside and a new one begun."""
        try:
            for _ in range(2):
                # Twice: the first failure may be of a file that another program has just replaced.
                try:
                    return self._once(work)
                except sqlite3.DatabaseError as error:
                    # Errors of Python's own module carry no code.
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BROKEN_FILE:
                        raise
            self._put_aside()
            return self._once(work)
        except (sqlite3.Error, OSError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise HistoryError(f"The history in {self.file} cannot be used: {reason}.") from error

    def _once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._connection() as database, database:
            return work(database)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file, timeout=_PATIENCE_S)) as database:
            # One damaged text must not keep the others from being read.
            database.text_factory = _forgiving_text
            self._prepare(database)
            yield database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Brings a new or an older file to this version."""
        version = _version(database)
        if version > FORMAT_VERSION:
            raise HistoryError(
                f"The history in {self.file} has format {version}; this program reads formats up "
                f"to {FORMAT_VERSION}, a newer one wrote it."
            )
        if version == FORMAT_VERSION:
            return
        database.execute("PRAGMA journal_mode = WAL")
        with database:
            # Another program may have been faster, so the version is asked under the lock.
            database.execute("BEGIN IMMEDIATE")
            for step in _UPGRADES[_version(database) :]:
                step(database)
            database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")

    def _put_aside(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        aside = self.file.with_name(f"history-broken-{stamp}.sqlite3")
        for suffix in ("-wal", "-shm", ""):
            part = self.file.with_name(self.file.name + suffix)
            if part.exists():
                os.replace(part, aside.with_name(aside.name + suffix))
        self.notice = (
            f"The history could not be read and was put aside as {aside.name}; a new one was begun."
        )


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _create(database: sqlite3.Connection) -> None:
    """Format 1. ``owner_*`` names the process of a run that is under way, empty once it ended."""
    database.execute(
        "CREATE TABLE runs (run_id TEXT PRIMARY KEY, name TEXT NOT NULL, started_at TEXT NOT NULL, "
        "outcome TEXT NOT NULL, device TEXT NOT NULL, workload TEXT NOT NULL, "
        "baseline_bytes INTEGER, peak_bytes INTEGER, median_s REAL, "
        "owner_pid INTEGER, owner_since REAL, result TEXT NOT NULL, timeline BLOB NOT NULL)"
    )
    database.execute("CREATE INDEX runs_by_time ON runs (started_at)")


_UPGRADES: Final = (_create,)
"""Step n brings format n to format n + 1; format 0 is an empty file."""


def _resolve(database: sqlite3.Connection, run_id: str) -> str:
    """The full id of the one run that is named by it or begins with it."""
    escaped = run_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = database.execute(
        "SELECT run_id FROM runs WHERE run_id LIKE ? ESCAPE '\\' ORDER BY run_id",
        (f"{escaped}%",),
    )
    found = [str(name) for (name,) in rows]
    if run_id in found:
        return run_id
    if not run_id or not found:
        raise UnknownRun(f"{run_id!r} is not the id of a stored run; `hogui history` lists them.")
    if len(found) > 1:
        raise UnknownRun(f"{run_id} begins the ids of {len(found)} runs: {', '.join(found)}.")
    return found[0]


_ROW: Final = TypeAdapter(HistoryRow)


def _row(values: tuple[object, ...]) -> HistoryRow:
    names = [field.name for field in fields(HistoryRow)]
    try:
        row = _ROW.validate_python(dict(zip(names, values, strict=True)))
        datetime.fromisoformat(row.started_at)
    except ValueError:
        run_id, name, _, _, device, workload, *_ = map(str, values)
        return HistoryRow(
            run_id, name, _EPOCH, Unreadable.UNREADABLE, device, workload, None, None, None
        )
    return row


def _unpacked(content: bytes) -> MemoryTimeline:
    return MemoryTimeline.model_validate_json(zlib.decompress(content))


def _forgiving_text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _is_alive(pid: int | None, since: float | None) -> bool:
    """Is the process that had begun this run still there? Process numbers are used again."""
    if pid is None or since is None:
        return False
    try:
        began: float = psutil.Process(pid).create_time()
        return abs(began - since) < 1.0
    except (psutil.Error, TypeError, ValueError, OverflowError):
        # There is no such process, or the row is damaged.
        return False
