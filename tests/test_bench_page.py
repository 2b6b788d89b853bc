"""The benchmark page tells what was measured, kept or missed, and how to measure it again."""

import json
from pathlib import Path

from tests.bench.page import Claim, Page, Section, Table, Taken, kept, rendered, renew

TAKEN = Taken("2026-11-23", 12.5, "a processor, 2 cores", "torch 2.13", (0.25, 1.5))
EXACT = Section(
    "bench_exact.py::test_that_the_ledger_is_exact",
    TAKEN,
    (Claim("bytes off", "0", "0", met=True),),
    (Table("by kind", ("kind", "runs"), (("a|b", "3"),)),),
)
SLOW = Section(
    "bench_time.py::test_that_it_is_fast[4]",
    TAKEN,
    (Claim("ratio", "≤ 1.25", "1.40", met=False),),
)
SLOW_TOO = Section(
    "bench_time.py::test_that_it_is_fast[8]",
    TAKEN,
    (Claim("ratio of 8", "≤ 1.25", "1.20", met=True),),
)


def test_that_a_section_has_bound_figure_verdict_command_and_machine() -> None:
    page = rendered([EXACT])
    assert "## The ledger is exact" in page
    assert "| bytes off | 0 | 0 | met |" in page
    assert (
        ".venv/bin/python -m pytest -o python_files='bench_*.py' -o faulthandler_timeout=0 -s "
        "tests/bench/bench_exact.py::test_that_the_ledger_is_exact\n" in page
    )
    assert "2026-11-23, 12 s, load 0.2 to 1.5; a processor, 2 cores; torch 2.13." in page
    assert "| a\\|b | 3 |" in page


def test_that_a_missed_bound_is_told_and_counted() -> None:
    page = rendered([EXACT, SLOW])
    assert "**1 of 2 promises met.**" in page
    assert "| ratio | ≤ 1.25 | 1.40 | **missed** |" in page


def test_that_one_test_with_two_parameters_is_one_section() -> None:
    page = rendered([SLOW, SLOW_TOO])
    assert page.count("## ") == 1
    assert "| ratio | ≤ 1.25 | 1.40 | **missed** |\n| ratio of 8 |" in page
    assert "bench_time.py::test_that_it_is_fast\n" in page


def test_that_a_benchmark_that_broke_says_so() -> None:
    broken = Section("bench_a.py::test_that_it_ends", TAKEN, failure="ValueError: no such thing")
    page = rendered([broken])
    assert "**Failed**: ValueError: no such thing" in page
    assert "1 did not get to their end" in page


def test_that_one_benchmark_renews_its_own_section_alone(tmp_path: Path) -> None:
    renew(tmp_path, SLOW)
    renew(tmp_path, EXACT)
    better = Section(SLOW.node, TAKEN, (Claim("ratio", "≤ 1.25", "1.10", met=True),))
    renew(tmp_path, better)
    assert kept(tmp_path / "benchmarks.json") == {EXACT.node: EXACT, better.node: better}
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == rendered([EXACT, better])
    assert len(json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))) == 2


def test_that_a_missed_claim_is_a_sentence_and_a_kept_one_is_none() -> None:
    page = Page()
    page.claim("ratio", "≤ 1.25", "1.40", met=False)
    page.claim("bytes off", "0", "0", met=True)
    assert page.missed() == ["ratio: 1.40, promised ≤ 1.25"]
