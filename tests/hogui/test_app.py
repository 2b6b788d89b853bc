"""Starting the program with a window."""

from __future__ import annotations

import csv
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QLocale

from core.spec.presets import preset
from hogui import translations
from hogui.app import Options, UsageError, parse
from hogui.garbage import GarbageCollector

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240


def _hogui(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "QT_QPA_PLATFORM": "offscreen",
        "HOGUI_HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; from hogui.app import main; sys.exit(main({arguments!r}))",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_that_arguments_are_files_and_the_smoke_runs_options() -> None:
    assert parse(["a.json", "b.json"]) == Options(files=(Path("a.json"), Path("b.json")))
    assert parse(["--smoke", "x", "--csv", "d"]) == Options(smoke="x", csv=Path("d"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--loud"], "--loud"),
        (["--smoke"], "--smoke needs a value"),
        (["--smoke", "x"], "belong together"),
    ],
)
def test_that_wrong_arguments_are_named(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(arguments)


def test_that_wrong_arguments_end_with_status_2_before_a_window(hogui_home: Path) -> None:
    done = _hogui(hogui_home, "--loud")
    assert done.returncode == 2
    assert "--loud is not a known option." in done.stderr
    assert "Traceback" not in done.stderr


def test_that_a_smoke_run_presses_run_and_leaves_csv_files(
    hogui_home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "csv"
    done = _hogui(hogui_home, "--smoke", "lecture-second-order", "--csv", str(folder))
    assert done.returncode == 0, done.stderr
    with (folder / "runs.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["outcome"] == "finished"
    assert row["name"] == preset("lecture-second-order").spec.name
    assert int(row["memory_peak_bytes"]) > 0


def test_that_a_smoke_run_of_an_unknown_preset_fails_with_a_sentence(
    hogui_home: Path, tmp_path: Path
) -> None:
    done = _hogui(hogui_home, "--smoke", "nothing", "--csv", str(tmp_path))
    assert done.returncode != 0
    assert "nothing is neither a file nor a preset" in done.stderr
    assert "Traceback" not in done.stderr


def test_that_a_language_without_a_translation_is_english(qapp: object) -> None:
    assert translations.install(qapp, QLocale("en_GB")) is not None


def test_that_garbage_is_collected_in_the_windows_thread_only(qapp: object) -> None:
    collector = GarbageCollector()
    try:
        assert not gc.isenabled()
        rounds = gc.get_stats()[0]["collections"]
        kept = [[] for _ in range(3 * gc.get_threshold()[0])]
        collector.collect()
        assert gc.get_stats()[0]["collections"] > rounds or gc.get_count()[0] < len(kept)
    finally:
        collector.stop()
        gc.unfreeze()
    assert gc.isenabled()


def test_that_no_import_after_qt_reads_the_source_of_what_it_imports() -> None:
    program = """
import inspect, sys
from hogui import app
from hogui.quick_imports import skip_feature_search
read = []
getsource = inspect.getsource
inspect.getsource = lambda module: read.append(module.__name__) or getsource(module)
{skip}
import csv, hogui.units
print(len(read))
"""
    found = {
        skip: subprocess.run(
            [sys.executable, "-c", program.format(skip=skip)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            timeout=PATIENCE_S,
        ).stdout.strip()
        for skip in ("", "skip_feature_search()")
    }
    # The first is the canary: once PySide6 reads nothing of itself, there is nothing to skip.
    assert int(found[""]) > 0
    assert found["skip_feature_search()"] == "0"
