"""Does the packaged program measure what the sources measure?

    .venv/bin/python packaging/smoke.py dist/hogui

It measures one preset in the packaged program's window (offscreen), on its command line, and from
the sources, each with an empty home of its own, and compares the CSVs: columns, specs and bytes.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PRESET = "lecture-second-order"
PATIENCE_S = 300

# What has to be equal, file by file: the columns whose name ends so. Times and dates differ.
EQUAL_COLUMNS = {
    "runs.csv": ("outcome", "name", "_bytes", "forecast_exact", "check_passed"),
    "phases.csv": ("name", "_bytes"),
    "layers.csv": ("index", "kind", "output_shape", "parameters", "_bytes", "bytes_at_peak"),
}

Row = dict[str, str]


class Table(NamedTuple):
    """A CSV file: its header and its rows."""

    columns: list[str]
    rows: list[Row]


def main() -> int:
    """Run all three, print what differs; 0 when nothing does."""
    arguments = _arguments()
    programs = {
        "packaged command line": [_executable(arguments.dist), "run", arguments.preset],
        "packaged window": [_executable(arguments.dist), "--smoke", arguments.preset],
        "sources": [sys.executable, "-m", "hogui", "run", arguments.preset],
    }
    with tempfile.TemporaryDirectory(prefix="hogui-smoke-") as folder:
        results = {}
        for name, command in programs.items():
            place = Path(folder) / name.replace(" ", "-")
            try:
                _measure(name, command, place)
                results[name] = _read(place)
            except SmokeError as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
    reference = results.pop("sources")
    differences = [
        f"{name}, {difference}"
        for name, tables in results.items()
        for difference in _differences(tables, reference)
    ]
    for difference in differences:
        print(difference, file=sys.stderr)
    print("The packaged program differs." if differences else "The packaged program agrees.")
    return 1 if differences else 0


class SmokeError(Exception):
    """A program did not get as far as its CSVs."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dist", type=Path, help="the folder that `make package` built")
    parser.add_argument("--preset", default=PRESET)
    return parser.parse_args()


def _executable(dist: Path) -> str:
    return str(dist.resolve() / ("hogui.exe" if os.name == "nt" else "hogui"))


def _measure(name: str, command: Sequence[str], place: Path) -> None:
    """Run a program with an empty home; its CSVs go to ``place / "csv"``."""
    place.mkdir()
    # The packaged program has to get along without anything of this Python's.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"QT_QPA_PLATFORM": "offscreen", "HOGUI_HOME": str(place / "home")}
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [*command, "--csv", str(place / "csv")],
            cwd=ROOT if command[0] == sys.executable else place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise SmokeError(f"{error.filename} does not exist; `make package` builds it") from error
    except subprocess.TimeoutExpired as error:
        raise SmokeError(f"not done after {PATIENCE_S} s; it said {error.stderr!r}") from error
    if done.returncode != 0:
        raise SmokeError(f"exit status {done.returncode}; it said\n{done.stdout}{done.stderr}")
    print(f"{name}: {time.perf_counter() - started:.1f} s")


def _read(place: Path) -> dict[str, Table]:
    tables = {}
    for file in sorted((place / "csv").glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            tables[file.name] = Table(list(reader.fieldnames or ()), list(reader))
    if "runs.csv" not in tables:
        raise SmokeError(f"no runs.csv among {sorted(tables)}")
    if not tables["runs.csv"].rows:
        raise SmokeError("runs.csv holds no run")
    return tables


def _differences(tables: dict[str, Table], reference: dict[str, Table]) -> list[str]:
    """One sentence for each thing that should be equal and is not."""
    if sorted(tables) != sorted(reference):
        return [f"files {sorted(tables)}; the sources wrote {sorted(reference)}"]
    found = []
    for file, expected in reference.items():
        given = tables[file]
        if given.columns != expected.columns:
            unequal = sorted(set(given.columns) ^ set(expected.columns)) or "in another order"
            found.append(f"{file}: columns {unequal}")
        if len(given.rows) != len(expected.rows) and not (given.rows and expected.rows):
            found.append(f"{file}: {len(given.rows)} rows; the sources wrote {len(expected.rows)}")
        compared = [column for column in expected.columns if _has_to_be_equal(file, column)]
        found += _unequal_values(file, compared, given.rows, expected.rows)
    return found + _unequal_curves(tables["memory.csv"].rows, reference["memory.csv"].rows)


def _has_to_be_equal(file: str, column: str) -> bool:
    # What the whole process held depends on what else it had loaded.
    if column == "process_peak_bytes":
        return False
    return column.startswith("spec.") or column.endswith(EQUAL_COLUMNS.get(file, ("\0",)))


def _unequal_values(
    file: str, columns: Sequence[str], given: Sequence[Row], expected: Sequence[Row]
) -> list[str]:
    if columns and len(given) != len(expected):
        return [f"{file}: {len(given)} rows; the sources wrote {len(expected)}"]
    return [
        f"{file}, row {number}, {column}: {one[column]!r}; the sources wrote {other[column]!r}"
        for number, (one, other) in enumerate(zip(given, expected, strict=False), start=1)
        for column in columns
        if one.get(column) != other[column]
    ]


def _unequal_curves(given: Sequence[Row], expected: Sequence[Row]) -> list[str]:
    """Compare the ledger's points, which are the same in every run but for their times."""
    one, other = _ledger(given), _ledger(expected)
    if not other:
        return ["memory.csv: no points of the ledger"]
    if one == other:
        return []
    return [f"memory.csv: the ledger's {len(one)} points differ from the sources' {len(other)}"]


def _ledger(rows: Sequence[Row]) -> list[Row]:
    changing = {"run_id", "t_s"}
    return [
        {column: value for column, value in row.items() if column not in changing}
        for row in rows
        if row["source"] == "ledger"
    ]


if __name__ == "__main__":
    sys.exit(main())
