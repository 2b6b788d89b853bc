"""How many errors that are put into the engine on purpose are found by its check."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from tests.bench.page import Page

ROOT = Path(__file__).parents[2]
FAULTS = "tests/core/measure/correctness/test_check_faults.py"


def test_that_errors_put_in_on_purpose_are_found(page: Page, tmp_path: Path) -> None:
    """Each test of ``FAULTS`` breaks the engine in one way and asserts that the check fails."""
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", f"--junit-xml={report}", FAULTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    tried: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = str(case.get("name")).partition("[")[0]
        tried[name] += 1
        found[name] += not len(case)
    page.claim(
        "Errors put into workloads on purpose that the check finds",
        "all",
        f"{found.total()} of {tried.total()}",
        met=0 < tried.total() == found.total(),
    )
    page.table(
        "By kind of error",
        ("error", "tried", "found"),
        [
            (name.removeprefix("test_that_").replace("_", " "), tried[name], found[name])
            for name in tried
        ],
    )
